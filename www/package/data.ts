/** Datasets: what training scripts read from files, and make of it before they train. */
import { columnsOf } from './cli/csv.js';
import { NearsideError } from './errors.js';
import { Tensor } from './tensor.js';

/** A table of text and numbers. */
export interface CsvData {
  /** Names of the columns that `x` has. */
  features: string[];
  /** Rows × features. */
  x: Tensor;
  /** One value a row: numbers as they are, classes as their index in `classes`. */
  y: Float32Array;
  /** The classes, in the order of the alphabet, where the target is text. */
  classes?: string[];
}

/**
 * Reads a table with a sample a line. Fields are separated by `,`, `;` or a tab, the first line names the columns. All but
 * the target are numbers.
 * @param target The column to predict; the last one unless given.
 * @throws `format`, with the line and the column; `value` for a target that is not there.
 */
export function readCsv(text: string, { target }: { target?: string } = {}): CsvData {
  const { names, rows } = columnsOf(text);
  const at = target === undefined ? names.length - 1 : names.indexOf(target);
  if (at < 0) throw new NearsideError('value', `the table has no column '${target}'; it has ${names.join(', ')}`);
  const features = names.filter((_, column) => column !== at);
  const x = new Float32Array(rows.length * features.length);
  rows.forEach(({ fields, line }, row) => {
    const values = fields.filter((_, column) => column !== at);
    values.forEach((field, column) => (x[row * features.length + column] = toNumber(field, line, features[column]!)));
  });
  const targets = rows.map(({ fields }) => fields[at]!.trim());
  const numeric = targets.every((field) => field !== '' && Number.isFinite(Number(field)));
  const classes = [...new Set(targets)].sort();
  const y = Float32Array.from(targets, (field) => (numeric ? Number(field) : classes.indexOf(field)));
  return { features, x: new Tensor(x, [rows.length, features.length]), y, ...(!numeric && { classes }) };
}

function toNumber(field: string, line: number, name: string): number {
  const number = Number(field);
  if (field.trim() !== '' && Number.isFinite(number)) return number;
  throw new NearsideError('format', `line ${line}, column '${name}': '${field.trim().slice(0, 40)}' is not a number`);
}

/** Types of an IDX file, by the third byte of it. */
const IDX = {
  0x08: { size: 1, read: (view: DataView, at: number) => view.getUint8(at) },
  0x09: { size: 1, read: (view: DataView, at: number) => view.getInt8(at) },
  0x0b: { size: 2, read: (view: DataView, at: number) => view.getInt16(at) },
  0x0c: { size: 4, read: (view: DataView, at: number) => view.getInt32(at) },
  0x0d: { size: 4, read: (view: DataView, at: number) => view.getFloat32(at) },
  0x0e: { size: 8, read: (view: DataView, at: number) => view.getFloat64(at) },
} as const;

/**
 * Reads an IDX file, the format of MNIST (http://yann.lecun.com/exdb/mnist): bytes stay bytes, of other types come floats.
 * @throws `format` for a damaged file.
 */
export function readIdx(bytes: Uint8Array): { data: Uint8Array | Float32Array; shape: number[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = bytes.length >= 4 && view.getUint16(0) === 0 ? IDX[bytes[2] as keyof typeof IDX] : undefined;
  if (!kind) throw new NearsideError('format', 'the file is no IDX file: it does not begin with 0, 0 and a type', { offset: 0 });
  const axes = bytes[3]!;
  const start = 4 + 4 * axes;
  if (bytes.length < start) throw new NearsideError('format', `the file is truncated in its header of ${start} bytes`, { offset: bytes.length });
  const shape = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
  const count = shape.reduce((product, axis) => product * axis, 1);
  if (start + count * kind.size !== bytes.length) {
    throw new NearsideError('format', `the file has ${bytes.length - start} bytes of values, shape [${shape.join(', ')}] needs ${count * kind.size}`, { offset: start });
  }
  if (bytes[2] === 0x08) return { data: bytes.subarray(start), shape };
  return { data: Float32Array.from({ length: count }, (_, i) => kind.read(view, start + i * kind.size)), shape };
}

/** Samples × classes: 1 at each label, else 0. @throws `value` for labels that are no index of a class. */
export function oneHot(labels: ArrayLike<number>, classes: number): Float32Array {
  const rows = new Float32Array(labels.length * classes);
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row]!;
    if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
      throw new NearsideError('value', `label ${label} of sample ${row} is no whole number from 0 to ${classes - 1}`);
    }
    rows[row * classes + label] = 1;
  }
  return rows;
}
