/** NumPy's array files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
import { NearsideError, Tensor } from '../node.js';

/** Byte 0x93, then the name. */
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** The most axes that NumPy has. */
const MAX_AXES = 64;

type Read = (view: DataView, offset: number, littleEndian: boolean) => number;

/** Of each type: its bytes, and how one value is read. */
const TYPES: Record<string, [number, Read]> = {
  f2: [2, (view, offset, little) => fromHalf(view.getUint16(offset, little))],
  f4: [4, (view, offset, little) => view.getFloat32(offset, little)],
  f8: [8, (view, offset, little) => view.getFloat64(offset, little)],
  i1: [1, (view, offset) => view.getInt8(offset)],
  i2: [2, (view, offset, little) => view.getInt16(offset, little)],
  i4: [4, (view, offset, little) => view.getInt32(offset, little)],
  i8: [8, (view, offset, little) => Number(view.getBigInt64(offset, little))],
  u1: [1, (view, offset) => view.getUint8(offset)],
  u2: [2, (view, offset, little) => view.getUint16(offset, little)],
  u4: [4, (view, offset, little) => view.getUint32(offset, little)],
  u8: [8, (view, offset, little) => Number(view.getBigUint64(offset, little))],
  b1: [1, (view, offset) => Number(view.getUint8(offset) !== 0)],
};

/** Whether these bytes begin as an array file does. */
export function isNpy(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

/**
 * Reads an array of numbers of any type, as float32.
 * @throws `format`, with the byte offset, for a damaged file; `unsupported` for text, objects and records.
 */
export function readNpy(bytes: Uint8Array): Tensor {
  if (!isNpy(bytes)) throw damaged('no .npy file: it does not begin with \\x93NUMPY', 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [start, end] = headerRange(view);
  const { descr, fortran, shape } = readHeader(new TextDecoder('latin1').decode(bytes.subarray(start, end)), start);
  const [, order, type] = /^([<>|=])([a-z]\d+)$/.exec(descr) ?? [];
  const [size, read] = (type !== undefined && Object.hasOwn(TYPES, type) && TYPES[type]) || [];
  if (size === undefined || read === undefined) throw unsupportedType(`'${descr}'`, start);
  if (size > 1 && order !== '<' && order !== '>') throw damaged(`the byte order of the type '${descr}' is not < or >`, start);
  const count = shape.reduce((product, axis) => product * axis, 1);
  // Before anything is allocated: a header may claim any length.
  const there = bytes.length - end;
  if (count * size !== there) {
    const problem = there < count * size ? 'the file is truncated' : 'more follows the array';
    throw damaged(`${problem}: shape (${shape.join(', ')}) needs ${count * size} bytes, ${there} are there`, end);
  }
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = read(view, end + i * size, order === '<');
  return new Tensor(fortran ? toRowMajor(data, shape) : data, shape);
}

/** First byte of the header's text, and the byte after it. */
function headerRange(view: DataView): [number, number] {
  if (view.byteLength < 12) throw damaged('the file is truncated: its header is not whole', view.byteLength);
  const version = view.getUint8(6);
  if (version < 1 || version > 3 || view.getUint8(7) !== 0) {
    const message = `version ${version}.${view.getUint8(7)} of the .npy format; 1.0, 2.0 and 3.0 are read`;
    throw new NearsideError('unsupported', message, { offset: 6 });
  }
  const [start, length] = version === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  if (length > view.byteLength - start) {
    throw damaged(`the file is truncated: its header needs ${length} bytes, ${view.byteLength - start} are there`, start);
  }
  return [start, start + length];
}

interface Header {
  descr: string;
  fortran: boolean;
  shape: number[];
}

/** What a value of the header looks like. A type that is a list, of records, is read no further. */
const VALUES = {
  descr: /['"]([^'"\\]*)['"]|\[/y,
  fortran_order: /(True|False)/y,
  shape: /\(([\d\s,L]*)\)/y,
};

/** Reads the text of a Python dict: three keys, in any order. */
function readHeader(text: string, start: number): Header {
  let at = 0;
  const next = (pattern: RegExp, what: string): RegExpExecArray => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) throw damaged(`the header is damaged: ${what} expected`, start + at);
    at = pattern.lastIndex;
    return found;
  };
  const found: Partial<Record<keyof typeof VALUES, string>> = {};
  next(/\s*\{\s*/y, "'{'");
  while (text[at] !== '}') {
    const key = next(/['"](descr|fortran_order|shape)['"]\s*:\s*/y, "'descr', 'fortran_order' or 'shape'")[1] as keyof Header;
    const value = next(VALUES[key as keyof typeof VALUES], `a value of '${key}'`);
    if (value[1] === undefined) throw unsupportedType(text.slice(value.index, value.index + 40), start);
    if (key in found) throw damaged(`the header is damaged: '${key}' twice`, start + at);
    found[key as keyof typeof VALUES] = value[1];
    next(/\s*(,\s*|(?=\}))/y, "',' or '}'");
  }
  next(/\}\s*$/y, 'nothing behind the }');
  const { descr, fortran_order: order, shape } = found;
  if (descr === undefined || order === undefined || shape === undefined) {
    throw damaged("the header is damaged: 'descr', 'fortran_order' and 'shape' are needed", start);
  }
  return { descr, fortran: order === 'True', shape: readShape(shape, start) };
}

function readShape(text: string, start: number): number[] {
  // A tuple of one ends in a comma; Python 2 wrote 3 as 3L.
  const axes = text.replace(/,\s*$/, '').trim();
  const shape = axes === '' ? [] : axes.split(',').map((axis) => (/^\s*\d+L?\s*$/.test(axis) ? parseInt(axis, 10) : NaN));
  if (shape.length > MAX_AXES || !shape.every(Number.isSafeInteger)) throw damaged(`the shape (${text.slice(0, 80)}) is none`, start);
  return shape;
}

/** The values of an array whose first axis varies fastest. */
function toRowMajor(data: Float32Array, shape: number[]): Float32Array {
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, length) => product * length, 1));
  const position = shape.map(() => 0);
  const result = new Float32Array(data.length);
  for (let i = 0, from = 0; i < data.length; i++) {
    result[i] = data[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++position[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      position[axis] = 0;
    }
  }
  return result;
}

/** The value of a 16-bit float (IEEE 754 binary16). */
function fromHalf(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  const sign = bits >> 15 ? -1 : 1;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

/** An array file: float32, little-endian, row-major. */
export function* writeNpy({ data, shape }: Tensor): Generator<Uint8Array> {
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${axes}), }`;
  // The data begins at a multiple of 64 bytes, after a line's end.
  const length = Math.ceil((10 + dict.length + 1) / 64) * 64 - 10;
  const text = new TextEncoder().encode(`${dict.padEnd(length - 1)}\n`);
  yield Uint8Array.of(...MAGIC, 1, 0, length & 0xff, length >> 8);
  yield text;
  const bytes = new DataView(new ArrayBuffer(data.length * 4));
  data.forEach((value, i) => bytes.setFloat32(i * 4, value, true));
  yield new Uint8Array(bytes.buffer);
}

function unsupportedType(descr: string, offset: number): NearsideError {
  const known = Object.keys(TYPES).join(', ');
  return new NearsideError('unsupported', `the array's type is ${descr}; one of ${known} is needed`, { offset });
}

function damaged(message: string, offset: number): NearsideError {
  return new NearsideError('format', `${message} (at byte ${offset})`, { offset });
}
