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

function* writeArray(tensor: Tensor): Generator<string> {
  const [length, ...sample] = tensor.shape;
  if (length === undefined) return yield element(tensor, 0);
  const step = tensor.data.length / length;
  yield '[';
  for (let i = 0; i < length; i++) yield (i ? ',\n' : '') + nested(tensor, sample, i * step, step);
  yield ']';
}

/** The nested array of `size` elements from `start`, of this shape. */
function nested(tensor: Tensor, [length, ...inner]: number[], start: number, size: number): string {
  if (length === undefined) return element(tensor, start);
  const step = size / length;
  return `[${Array.from({ length }, (_, i) => nested(tensor, inner, start + i * step, step))}]`;
}

/** A number, or a class label. */
function element({ data, labels }: Tensor, index: number): string {
  return labels ? JSON.stringify(labels[index]) : String(shortest(data[index]!));
}

/** @throws `value` for NaN and infinities, which JSON does not have. */
export function assertFinite(tensor: Tensor, name: string): void {
  const odd = tensor.data.find((value) => !Number.isFinite(value));
  if (odd === undefined) return;
  const message = `tensor '${name}': it holds ${odd}, which JSON cannot say; write a .csv or .npy file instead`;
  throw new NearsideError('value', message, { tensor: name });
}
