/** Samples on their way to the worker: which rows make a batch, copied where they can be given away. */
import type { Batch, ClassWeight } from '../fit.js';
import type { Column, InputValues, ModelInput } from '../input.js';
import type { TensorSpec } from '../model.js';
import type { Batches } from './requests.js';
import type { Host } from './session.js';

/** Samples with their targets, and a weight for each where there are any. */
export interface Samples {
  count: number;
  inputs: Column[];
  targets: Column[];
  weights: Column | undefined;
}

/** @throws `shape` where inputs, targets and weights are not of as many samples. */
export function samplesOf(host: Host, specs: { inputs: TensorSpec[]; targets: TensorSpec[] }, { x, y, sampleWeight }: Batch, classWeight: ClassWeight | undefined): Samples {
  const inputs = columns(host, x, specs.inputs, 'inputs');
  const targets = columns(host, y, specs.targets, 'outputs');
  const count = rows(inputs[0]!);
  if (!Number.isInteger(count)) {
    const { name } = specs.inputs[0]!;
    const { values, width } = inputs[0]!;
    throw host.error('shape', `tensor '${name}': ${values.length} values given, a multiple of ${width} needed`, { tensor: name });
  }
  if (count === 0) throw host.error('shape', 'there are no samples: the dataset is empty');
  const check = (column: Column, name: string) => {
    if (rows(column) === count) return;
    const message = `${column.values.length} values given for ${count} samples, ${count * column.width} needed`;
    throw host.error('shape', `tensor '${name}': ${message}`, { tensor: name });
  };
  inputs.forEach((column, i) => check(column, specs.inputs[i]!.name));
  targets.forEach((column, i) => check(column, specs.targets[i]!.name));
  const weights = weightsOf(host, sampleWeight, targets, count, classWeight);
  if (weights) check(weights, 'sampleWeight');
  return { count, inputs, targets, weights };
}

/** One column for each of the model's inputs or outputs. */
function columns(host: Host, given: ModelInput, specs: TensorSpec[], what: string): Column[] {
  const found = host.columns(given, specs);
  if (found.length === specs.length) return found;
  const names = specs.map(({ name }) => `${name}: …`).join(', ');
  throw host.error('value', `one array given, and the model has ${specs.length} ${what}; give { ${names} }`);
}

function rows({ values, width }: Column): number {
  return values.length / width;
}

function weightsOf(host: Host, given: InputValues | undefined, targets: Column[], count: number, classWeight: ClassWeight | undefined): Column | undefined {
  const own = given === undefined ? undefined : host.columns(given, [{ name: 'sampleWeight', shape: [null], dtype: 'float32' }])[0]!;
  if (!classWeight) return own;
  const { values, width } = targets[0]!;
  const classOf = (row: number) => {
    if (width === 1) return Math.round(values[row]!);
    const target = Array.from(values.subarray(row * width, (row + 1) * width));
    return target.indexOf(Math.max(...target));
  };
  const weight = (row: number) => (classWeight[classOf(row)] ?? 1) * (own?.values[row] ?? 1);
  return { values: Float32Array.from({ length: count }, (_, row) => weight(row)), width: 1 };
}

/** The last share of the samples apart. */
export function split(samples: Samples, share: number): [Samples, Samples] {
  const at = Math.floor(samples.count * (1 - share));
  const part = (from: number, to: number): Samples => {
    const cut = ({ values, width }: Column): Column => ({ values: values.subarray(from * width, to * width), width });
    const { inputs, targets, weights } = samples;
    return { count: to - from, inputs: inputs.map(cut), targets: targets.map(cut), weights: weights && cut(weights) };
  };
  return [part(0, at), part(at, samples.count)];
}

/** Batches of the samples from one to before another, in that order of rows if one is given. */
export function batches(act: Batches['act'], samples: Samples, batchSize: number, from: number, to: number, order: Uint32Array | undefined): Batches {
  const end = Math.min(to, samples.count);
  const sizes = Array.from({ length: Math.ceil((end - from) / batchSize) }, (_, i) => Math.min(batchSize, end - from - i * batchSize));
  const copy = (column: Column) => gather(column, from, end, order);
  const { inputs, targets, weights } = samples;
  return { act, sizes, inputs: inputs.map(copy), targets: targets.map(copy), weights: weights && copy(weights) };
}

/** Rows shorter than this are copied value by value: a view of each costs more. */
const SHORT = 32;

function gather({ values, width }: Column, from: number, to: number, order: Uint32Array | undefined): Float32Array<ArrayBuffer> {
  const copy = new Float32Array((to - from) * width);
  if (!order) {
    copy.set(values.subarray(from * width, to * width));
    return copy;
  }
  for (let row = from; row < to; row++) {
    const start = order[row]! * width;
    const at = (row - from) * width;
    if (width >= SHORT) copy.set(values.subarray(start, start + width), at);
    else for (let i = 0; i < width; i++) copy[at + i] = values[start + i]!;
  }
  return copy;
}
