/** Values as JSON, with one spelling each. */
import { NearsideError } from '../errors.js';

/**
 * The properties of objects in the order of their names, so that the same value is always the same text.
 * @throws `value` for what JSON would lose: bytes, keys, classes, NaN.
 */
export function canonicalJson(value: unknown): string {
  try {
    const text = JSON.stringify(value, ordered) as string | undefined;
    if (text !== undefined) return text;
  } catch (cause) {
    if (cause instanceof NearsideError) throw cause;
    throw new NearsideError('value', `the value can't be kept as JSON: ${(cause as Error).message}`, {}, { cause });
  }
  throw new NearsideError('value', "the value can't be kept as JSON");
}

function ordered(key: string, value: unknown): unknown {
  if (value === null || ['string', 'boolean', 'undefined'].includes(typeof value)) return value;
  if (Number.isFinite(value) || Array.isArray(value)) return value;
  if (typeof value === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  throw new NearsideError('value', `'${key}' can't be kept as JSON: only text, finite numbers, booleans, null, arrays and plain objects can`);
}
