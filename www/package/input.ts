import { NearsideError } from './errors.js';
import type { TensorSpec } from './model.js';
import { Tensor, type NestedArray } from './tensor.js';

/** Numbers of one input: row-major when flat, samples first. */
export type InputValues =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | NestedArray[]
  | Tensor;

/** The model's input, or for a model with several, each by its name. */
export type ModelInput = InputValues | { [inputName: string]: InputValues };

/** @internal Rows of so many values. */
export interface Column {
  values: Exclude<InputValues, NestedArray[] | Tensor>;
  width: number;
}

/** @internal As `toArrays`, but of typed arrays those themselves. */
export function columnsOf(x: ModelInput, specs: TensorSpec[]): Column[] {
  const widths = specs.map(({ shape }) => shape.reduce<number>((product, axis) => product * (axis ?? 1), 1));
  const keep = (values: InputValues, spec: TensorSpec) => (isNumbers(values) ? values : toFloat32(values, spec));
  return each(x, specs, keep).map((values, i) => ({ values, width: widths[i]! }));
}

function isNumbers(values: unknown): values is Column['values'] {
  return ArrayBuffer.isView(values) && !(values instanceof DataView || values instanceof BigInt64Array || values instanceof BigUint64Array);
}

/** @internal One flat array for each of the model's inputs, in the model's order. */
export function toArrays(x: ModelInput, inputs: TensorSpec[]): Float32Array[] {
  return each(x, inputs, toFloat32);
}

function each<T>(x: ModelInput, inputs: TensorSpec[], convert: (values: InputValues, input: TensorSpec) => T): T[] {
  if (isValues(x)) return [convert(x, inputs[0]!)];
  if (typeof x !== 'object' || x === null) {
    throw new NearsideError('value', `the input is ${describe(x)}; give an array of numbers`);
  }
  const names = inputs.map(({ name }) => name);
  const unknown = Object.keys(x).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new NearsideError('value', `the model has no input '${unknown}'; it has ${names.join(', ')}`, { tensor: unknown });
  }
  return inputs.map((input) => {
    const values = x[input.name];
    if (values === undefined) throw refusal('value', input, 'it is missing');
    return convert(values, input);
  });
}

function isValues(x: unknown): x is InputValues {
  return Array.isArray(x) || x instanceof Tensor || (ArrayBuffer.isView(x) && !(x instanceof DataView));
}

function toFloat32(values: InputValues, input: TensorSpec): Float32Array {
  if (values instanceof Float32Array) return values;
  if (values instanceof Tensor) {
    assertShape(values.shape, input);
    return values.data;
  }
  if (!isValues(values)) throw refusal('value', input, `it is ${describe(values)}; give an array of numbers`);
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
    throw refusal('value', input, 'it holds bigints; convert them to numbers');
  }
  if (!Array.isArray(values)) return Float32Array.from(values);
  const flat: number[] = [];
  const shape: number[] = [];
  flatten(values, shape, 0, flat, input);
  assertShape(shape, input);
  return Float32Array.from(flat);
}

/** What has axes must have the input's: as many values in other rows would be other samples. */
function assertShape(shape: number[], input: TensorSpec): void {
  const fits = input.shape.length === shape.length && input.shape.every((axis, i) => axis === null || axis === shape[i]);
  if (shape.length === 1 || fits) return;
  const needed = input.shape.map((axis) => axis ?? 'samples').join(', ');
  throw refusal('shape', input, `values of shape [${shape.join(', ')}] given, [${needed}] needed`);
}

/** Appends nested numbers to `flat`. `lengths` holds the length of each axis met so far. */
function flatten(values: NestedArray[], lengths: number[], axis: number, flat: number[], input: TensorSpec): void {
  lengths[axis] ??= values.length;
  if (values.length !== lengths[axis]) {
    const message = `rows of ${lengths[axis]} and of ${values.length} values; all must have the same length`;
    throw refusal('shape', input, message);
  }
  for (const value of values) {
    if (Array.isArray(value) && (lengths.length > axis + 1 || values[0] === value)) {
      flatten(value, lengths, axis + 1, flat, input);
    } else if (typeof value === 'number' && lengths.length === axis + 1) {
      flat.push(value);
    } else {
      throw refusal('value', input, `element ${flat.length} is ${describe(value)}; give numbers in rows of one length`);
    }
  }
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return `the string '${value.slice(0, 40)}'`;
  if (Array.isArray(value)) return 'an array beside numbers';
  if (typeof value === 'number') return 'a number beside arrays';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function refusal(kind: 'shape' | 'value', { name }: TensorSpec, message: string): NearsideError {
  return new NearsideError(kind, `tensor '${name}': ${message}`, { tensor: name });
}
