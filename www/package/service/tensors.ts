/**
 * Tensors of the Open Inference Protocol, version 2: as JSON
 * (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md) and as bytes
 * (the binary tensor data extension: little-endian, row-major).
 */
import { type ErrorKind, NearsideError } from '../nearside.js';

/**
 * How values of a datatype are read. Models compute with FP32: all others are converted, by way of FP64, rounding to the
 * nearest.
 */
interface Datatype {
  /** Bytes of a value. */
  size: number;
  /** Whether values have no fraction. */
  whole: boolean;
  /** What a finite value may be. */
  lowest: number;
  highest: number;
  read: (view: DataView, offset: number) => number;
}

function whole(size: number, lowest: number, highest: number, read: Datatype['read']): Datatype {
  return { size, whole: true, lowest, highest, read };
}

/** IEEE 754's: `highest` is the last FP64 that rounds to a finite value of so many bits of fraction. */
function floating(size: number, fraction: number, exponent: number, read: Datatype['read']): Datatype {
  const highest = (2 - 2 ** -(fraction + 1) - 2 ** -52) * 2 ** exponent;
  return { size, whole: false, lowest: -highest, highest, read };
}

const DATATYPES = new Map<string, Datatype>([
  ['BOOL', whole(1, 0, 1, (view, at) => view.getUint8(at))],
  ['UINT8', whole(1, 0, 2 ** 8 - 1, (view, at) => view.getUint8(at))],
  ['UINT16', whole(2, 0, 2 ** 16 - 1, (view, at) => view.getUint16(at, true))],
  ['UINT32', whole(4, 0, 2 ** 32 - 1, (view, at) => view.getUint32(at, true))],
  // JSON's numbers are FP64, in which the highest is the next power of two.
  ['UINT64', whole(8, 0, 2 ** 64, (view, at) => Number(view.getBigUint64(at, true)))],
  ['INT8', whole(1, -(2 ** 7), 2 ** 7 - 1, (view, at) => view.getInt8(at))],
  ['INT16', whole(2, -(2 ** 15), 2 ** 15 - 1, (view, at) => view.getInt16(at, true))],
  ['INT32', whole(4, -(2 ** 31), 2 ** 31 - 1, (view, at) => view.getInt32(at, true))],
  ['INT64', whole(8, -(2 ** 63), 2 ** 63, (view, at) => Number(view.getBigInt64(at, true)))],
  ['FP16', floating(2, 10, 15, (view, at) => fromHalf(view.getUint16(at, true)))],
  ['BF16', floating(2, 7, 127, (view, at) => fromBrainFloat(view.getUint16(at, true)))],
  ['FP32', floating(4, 23, 127, (view, at) => view.getFloat32(at, true))],
  // No larger than FP32: what models compute with.
  ['FP64', floating(8, 23, 127, (view, at) => view.getFloat64(at, true))],
]);

/** The datatype of that name. @throws `unsupported`. */
export function datatypeOf(name: unknown, tensor: string): Datatype {
  const datatype = typeof name === 'string' ? DATATYPES.get(name) : undefined;
  if (datatype) return datatype;
  const given = typeof name === 'string' ? `the datatype '${excerpt(name)}'` : 'no datatype';
  throw refusal('unsupported', tensor, `it has ${given}; use ${[...DATATYPES.keys()].join(', ')}`);
}

/** The values of a tensor that is given in JSON, flat or nested. */
export function fromJson(data: unknown, shape: number[], datatype: Datatype, tensor: string): Float32Array {
  if (!Array.isArray(data)) throw refusal('value', tensor, "'data' is no array");
  const elements = Array.isArray(data[0]) ? flatten(data, shape, tensor) : data;
  const count = size(shape);
  // A shape is a claim: memory is taken only for what is there.
  if (elements.length !== count) throw refusal('shape', tensor, `${elements.length} values given, shape [${shape}] has ${count}`);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = toNumber(elements[i], datatype, i, tensor);
  return values;
}

/** The elements of nested arrays, each of whose rows is as long as the shape says. */
function flatten(data: unknown[], shape: number[], tensor: string): unknown[] {
  const elements: unknown[] = [];
  const nest = (row: unknown, axis: number) => {
    if (!Array.isArray(row)) throw refusal('shape', tensor, `rows that are no arrays along axis ${axis} of shape [${shape}]`);
    if (row.length !== shape[axis]) throw refusal('shape', tensor, `a row of ${row.length} elements along axis ${axis} of shape [${shape}]`);
    for (const element of row) {
      if (axis === shape.length - 1) elements.push(element);
      else nest(element, axis + 1);
    }
  };
  nest(data, 0);
  return elements;
}

function toNumber(element: unknown, datatype: Datatype, index: number, tensor: string): number {
  const number = typeof element === 'boolean' ? Number(element) : element;
  if (typeof number !== 'number') throw refusal('value', tensor, `element ${index} is no number`);
  assertHolds(datatype, number, index, tensor);
  return number;
}

/** Refuses what conversion would make another value, or infinite. */
function assertHolds({ whole, lowest, highest }: Datatype, number: number, index: number, tensor: string): void {
  if (number >= lowest && number <= highest && !(whole && !Number.isInteger(number))) return;
  throw refusal('value', tensor, `element ${index} is ${number}: no value of its datatype, or none that FP32 holds, which models compute with`);
}

/** The values of a tensor that is given as bytes. What is infinite or NaN there stays so. */
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
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const number = datatype.read(view, i * datatype.size);
    // A byte of a BOOL may be neither 0 nor 1, an FP64 larger than any FP32.
    if (Number.isFinite(number)) assertHolds(datatype, number, i, tensor);
    values[i] = number;
  }
  return values;
}

/** Text as the protocol has it in bytes: each element's length, then its UTF-8. */
export function textToBytes(texts: string[]): Uint8Array {
  const parts = texts.flatMap((text) => {
    const bytes = new TextEncoder().encode(text);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.length, true);
    return [length, bytes];
  });
  return concatenate(Uint8Array, parts);
}

/** Arrays, one behind the other. */
export function concatenate<A extends Float32Array | Uint8Array>(Kind: new (length: number) => A, arrays: ArrayLike<number>[]): A {
  const all = new Kind(arrays.reduce((length, array) => length + array.length, 0));
  let offset = 0;
  for (const array of arrays) {
    all.set(array, offset);
    offset += array.length;
  }
  return all;
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

/** As much of what a request says as an answer repeats. */
export function excerpt(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
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
