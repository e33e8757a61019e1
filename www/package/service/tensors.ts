/**
 * Tensors of the Open Inference Protocol, version 2: as JSON
 * (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md) and as bytes
 * (the binary tensor data extension: little-endian, row-major).
 */
import type { ErrorKind } from '../errors.js';
import { NearsideError } from '../nearside.js';

/** How values of a datatype are read. Models compute with FP32: all others are converted, rounding to the nearest. */
interface Datatype {
  /** Bytes of a value. */
  size: number;
  /** What a whole number may be; none for those that have a fraction. */
  range?: [lowest: number, highest: number];
  read: (view: DataView, offset: number) => number;
}

const DATATYPES = new Map<string, Datatype>([
  ['BOOL', { size: 1, range: [0, 1], read: (view, at) => view.getUint8(at) }],
  ['UINT8', { size: 1, range: [0, 2 ** 8 - 1], read: (view, at) => view.getUint8(at) }],
  ['UINT16', { size: 2, range: [0, 2 ** 16 - 1], read: (view, at) => view.getUint16(at, true) }],
  ['UINT32', { size: 4, range: [0, 2 ** 32 - 1], read: (view, at) => view.getUint32(at, true) }],
  ['UINT64', { size: 8, range: [0, 2 ** 64], read: (view, at) => Number(view.getBigUint64(at, true)) }],
  ['INT8', { size: 1, range: [-(2 ** 7), 2 ** 7 - 1], read: (view, at) => view.getInt8(at) }],
  ['INT16', { size: 2, range: [-(2 ** 15), 2 ** 15 - 1], read: (view, at) => view.getInt16(at, true) }],
  ['INT32', { size: 4, range: [-(2 ** 31), 2 ** 31 - 1], read: (view, at) => view.getInt32(at, true) }],
  ['INT64', { size: 8, range: [-(2 ** 63), 2 ** 63], read: (view, at) => Number(view.getBigInt64(at, true)) }],
  ['FP16', { size: 2, read: (view, at) => fromHalf(view.getUint16(at, true)) }],
  ['BF16', { size: 2, read: (view, at) => fromBrainFloat(view.getUint16(at, true)) }],
  ['FP32', { size: 4, read: (view, at) => view.getFloat32(at, true) }],
  ['FP64', { size: 8, read: (view, at) => view.getFloat64(at, true) }],
]);

/** The datatype of that name. @throws `unsupported`. */
export function datatypeOf(name: unknown, tensor: string): Datatype {
  const datatype = typeof name === 'string' ? DATATYPES.get(name) : undefined;
  if (datatype) return datatype;
  const given = typeof name === 'string' ? `the datatype '${name.slice(0, 20)}'` : 'no datatype';
  throw refusal('unsupported', tensor, `it has ${given}; use ${[...DATATYPES.keys()].join(', ')}`);
}

/** The values of a tensor that is given in JSON, flat or nested. */
export function fromJson(data: unknown, shape: number[], { range }: Datatype, tensor: string): Float32Array {
  const count = size(shape);
  if (!Array.isArray(data)) throw refusal('value', tensor, "'data' is no array");
  const values = new Float32Array(count);
  let filled = 0;
  const take = (value: unknown) => {
    const number = value === true ? 1 : value === false ? 0 : value;
    if (typeof number !== 'number') throw refusal('value', tensor, `element ${filled} is no number`);
    if (range && !(Number.isInteger(number) && number >= range[0] && number <= range[1])) {
      throw refusal('value', tensor, `element ${filled} is ${number}, which its datatype does not have`);
    }
    if (filled === count) throw refusal('shape', tensor, `more than the ${count} values of shape [${shape}]`);
    values[filled++] = number;
  };
  const nest = (elements: unknown[], axis: number) => {
    if (elements.length !== shape[axis]) {
      throw refusal('shape', tensor, `a row of ${elements.length} elements along axis ${axis} of shape [${shape}]`);
    }
    for (const element of elements) {
      if (axis === shape.length - 1) take(element);
      else if (Array.isArray(element)) nest(element, axis + 1);
      else throw refusal('shape', tensor, `rows that are no arrays along axis ${axis} of shape [${shape}]`);
    }
  };
  if (Array.isArray(data[0])) nest(data, 0);
  else data.forEach(take);
  if (filled < count) throw refusal('shape', tensor, `${filled} values given, shape [${shape}] has ${count}`);
  return values;
}

/** The values of a tensor that is given as bytes. */
export function fromBytes(bytes: Uint8Array, shape: number[], datatype: Datatype, tensor: string): Float32Array {
  const count = size(shape);
  if (bytes.length !== count * datatype.size) {
    throw refusal('shape', tensor, `${bytes.length} bytes given, shape [${shape}] has ${count * datatype.size}`);
  }
  if (datatype === DATATYPES.get('FP32')) {
    const aligned = bytes.byteOffset % 4 ? bytes.slice() : bytes; // the JSON before it ends where it does
    return new Float32Array(aligned.buffer, aligned.byteOffset, count);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const values = Float32Array.from({ length: count }, (_, i) => datatype.read(view, i * datatype.size));
  if (datatype.range?.[1] === 1 && values.some((value) => value > 1)) {
    throw refusal('value', tensor, 'a byte of a BOOL is neither 0 nor 1');
  }
  return values;
}

/** Text as the protocol has it in bytes: each element's length, then its UTF-8. */
export function textToBytes(texts: string[]): Uint8Array {
  const parts = texts.map((text) => new TextEncoder().encode(text));
  const bytes = new Uint8Array(parts.reduce((total, { length }) => total + 4 + length, 0));
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const part of parts) {
    view.setUint32(offset, part.length, true);
    bytes.set(part, offset + 4);
    offset += 4 + part.length;
  }
  return bytes;
}

/** The shape of a tensor, checked. @throws `value`. */
export function shapeOf(shape: unknown, tensor: string): number[] {
  if (!Array.isArray(shape) || !shape.every((axis) => Number.isSafeInteger(axis) && axis >= 0)) {
    throw refusal('value', tensor, "'shape' is no array of whole numbers");
  }
  return shape;
}

/** An error that names the tensor. */
export function refusal(kind: ErrorKind, tensor: string, message: string): NearsideError {
  return new NearsideError(kind, `tensor '${tensor}': ${message}`, { tensor });
}

function size(shape: number[]): number {
  return shape.reduce((product, axis) => product * axis, 1);
}

/** IEEE 754 binary16. */
function fromHalf(bits: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

/** The upper half of a binary32. */
function fromBrainFloat(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}
const scratch = new DataView(new ArrayBuffer(4));
