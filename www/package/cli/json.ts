/** Arrays as JSON: nested, or an object of them by name. */
import { NearsideError, Tensor, type NestedArray } from '../node.js';
import { shortest } from './number.js';

/** @throws `format` for what is not JSON, `value` for JSON that is neither. */
export function readJson(text: string): NestedArray[] | Record<string, NestedArray[]> {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (cause) {
    throw new NearsideError('format', `not JSON: ${(cause as Error).message}`, {}, { cause });
  }
  if (typeof value === 'object' && value !== null) return value as NestedArray[];
  throw new NearsideError('value', `the JSON is ${JSON.stringify(value)}; give an array, or { name: array }`);
}

/** The nested arrays of one tensor, or an object of several: one sample a line. */
export function* writeJson(outputs: Tensor | Record<string, Tensor>): Generator<string> {
  if (outputs instanceof Tensor) {
    yield* writeArray(outputs);
    return yield '\n';
  }
  let separator = '{';
  for (const [name, tensor] of Object.entries(outputs)) {
    yield `${separator}${JSON.stringify(name)}: `;
    yield* writeArray(tensor);
    separator = ',\n';
  }
  yield '}\n';
}

function* writeArray({ data, shape: [length, ...sample] }: Tensor): Generator<string> {
  if (length === undefined) return yield number(data[0]!);
  const step = data.length / length;
  yield '[';
  for (let i = 0; i < length; i++) yield (i ? ',\n' : '') + nested(data.subarray(i * step, (i + 1) * step), sample);
  yield ']';
}

function nested(data: Float32Array, shape: number[]): string {
  const [length, ...inner] = shape;
  if (length === undefined) return number(data[0]!);
  if (inner.length === 0) return `[${Array.from(data, number)}]`;
  const step = data.length / length;
  return `[${Array.from({ length }, (_, i) => nested(data.subarray(i * step, (i + 1) * step), inner))}]`;
}

function number(value: number): string {
  return String(shortest(value));
}

/** @throws `value` for NaN and infinities, which JSON does not have. */
export function assertFinite(tensor: Tensor, name: string): void {
  const odd = tensor.data.find((value) => !Number.isFinite(value));
  if (odd === undefined) return;
  const message = `tensor '${name}': it holds ${odd}, which JSON cannot say; write a .csv or .npy file instead`;
  throw new NearsideError('value', message, { tensor: name });
}
