import { NearsideError } from './errors.js';
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

/** One flat array for each of the model's inputs, in the model's order. */
export function toArrays(x: ModelInput, names: string[]): Float32Array[] {
  if (isValues(x)) return [toFloat32(x, names[0]!)];
  if (typeof x !== 'object' || x === null) {
    throw new NearsideError('value', `the input is ${x === null ? 'null' : `a ${typeof x}`}; give an array of numbers`);
  }
  const unknown = Object.keys(x).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new NearsideError('value', `the model has no input '${unknown}'; it has ${names.join(', ')}`, { tensor: unknown });
  }
  return names.map((name) => {
    const values = x[name];
    if (values === undefined) throw new NearsideError('value', `the input '${name}' is missing`, { tensor: name });
    return toFloat32(values, name);
  });
}

function isValues(x: ModelInput): x is InputValues {
  return Array.isArray(x) || x instanceof Tensor || (ArrayBuffer.isView(x) && !(x instanceof DataView));
}

function toFloat32(values: InputValues, name: string): Float32Array {
  if (values instanceof Float32Array) return values;
  if (values instanceof Tensor) return values.data;
  if (!isValues(values)) throw new NearsideError('value', 'not an array of numbers', { tensor: name });
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
    throw new NearsideError('value', 'an array of bigints; convert them to numbers', { tensor: name });
  }
  if (!Array.isArray(values)) return Float32Array.from(values);
  const flat: number[] = [];
  flatten(values, [], 0, flat, name);
  return Float32Array.from(flat);
}

/** Appends nested numbers to `flat`. `lengths` holds the length of each axis met so far. */
function flatten(values: NestedArray[], lengths: number[], axis: number, flat: number[], name: string): void {
  lengths[axis] ??= values.length;
  if (values.length !== lengths[axis]) {
    const message = `rows of ${lengths[axis]} and of ${values.length} values; all must have the same length`;
    throw new NearsideError('shape', message, { tensor: name });
  }
  for (const value of values) {
    if (Array.isArray(value) && (lengths.length > axis + 1 || values[0] === value)) {
      flatten(value, lengths, axis + 1, flat, name);
    } else if (typeof value === 'number' && lengths.length === axis + 1) {
      flat.push(value);
    } else {
      const what = Array.isArray(value) ? 'an array beside numbers' : `${typeof value} ${String(value)}`;
      throw new NearsideError('value', `element ${flat.length} is ${what}; all must be numbers`, { tensor: name });
    }
  }
}
