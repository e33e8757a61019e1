/** Inputs and outputs in the formats that hold numbers: .npy, .csv, .json. */
import { NearsideError, Tensor, type InputValues, type ModelInput, type TensorSpec } from '../node.js';
import { readCsv, writeCsv } from './csv.js';
import { decodeText, nameOf, readBytes, writeParts } from './files.js';
import { assertFinite, readJson, writeJson } from './json.js';
import { naming } from './load.js';
import { isNpy, readNpy, writeNpy } from './npy.js';

export type Kind = 'npy' | 'csv' | 'json';

/** What a file of this name holds, if its ending says so. */
export function kindOf(path: string): Kind | undefined {
  const ending = /\.(npy|csv|json)$/i.exec(path)?.[1]?.toLowerCase();
  return ending as Kind | undefined;
}

/** One of a model's inputs, or all of them in one JSON object. */
export type Values = Table | ModelInput;

export async function readValues(path: string): Promise<Values> {
  const bytes = await readBytes(path);
  return naming(nameOf(path), () => {
    const kind = kindOf(path) ?? detect(bytes);
    if (kind === 'npy') return readNpy(bytes);
    const text = decodeText(bytes);
    return kind === 'csv' ? new Table(readCsv(text)) : readJson(text);
  });
}

/** What standard input is, or a file of another name. */
function detect(bytes: Uint8Array): Kind {
  if (isNpy(bytes)) return 'npy';
  const start = bytes.find((byte) => byte > 0x20);
  return start === 0x5b || start === 0x7b ? 'json' : 'csv'; // [ or {
}

/** Rows of numbers: each a sample, however many axes the model's input has. */
export class Table {
  constructor(readonly tensor: Tensor) {}

  /** @throws `shape` when the columns are not as many as a sample has values. */
  toTensor({ name, shape }: TensorSpec): Tensor {
    const [rows, columns] = this.tensor.shape as [number, number];
    const width = shape.reduce<number>((product, axis) => product * (axis ?? 1), 1);
    const needed = shape.includes(null) ? columns : columns * rows;
    if (needed !== width) {
      const message = `tensor '${name}': ${columns} columns given, a sample has ${width} values`;
      throw new NearsideError('shape', message, { tensor: name });
    }
    return new Tensor(this.tensor.data, shape.map((axis) => axis ?? rows));
  }
}

export function isValues(values: ModelInput): values is InputValues {
  return Array.isArray(values) || ArrayBuffer.isView(values) || values instanceof Tensor;
}

/** Writes one output, or several as one JSON object. The file's ending says how; `kind` does for standard output. */
export async function writeValues(path: string, kind: Kind, outputs: Record<string, Tensor>): Promise<void> {
  const [[name, tensor], another] = Object.entries(outputs) as [[string, Tensor], unknown];
  if (kind === 'json') {
    for (const [name, tensor] of Object.entries(outputs)) assertFinite(tensor, name);
    return writeParts(path, writeJson(another === undefined ? tensor : outputs));
  }
  if (another !== undefined) {
    const names = Object.keys(outputs).map((name) => `--output ${name}=FILE`).join(' ');
    throw new NearsideError('value', `${path} holds one output, and the model has several: use a .json file, or ${names}`);
  }
  if (kind === 'npy') return writeParts(path, writeNpy(tensor));
  if (tensor.shape.length > 2) {
    const message = `tensor '${name}': shape [${tensor.shape.join(', ')}] is no table; write a .npy or .json file`;
    throw new NearsideError('shape', message, { tensor: name });
  }
  return writeParts(path, writeCsv(tensor));
}

/** How outputs are printed: a table where they are one. */
export function printedKind(outputs: Record<string, Tensor>): Kind {
  const [first, another] = Object.values(outputs);
  return another === undefined && first!.shape.length <= 2 ? 'csv' : 'json';
}
