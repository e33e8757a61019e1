/** Numbers and names as the page writes them. */

const NARROW = '\u202f'; // a narrow space that does not break: between a number and its unit

const grouped = new Intl.NumberFormat('en');

export function count(value: number): string {
  return grouped.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function bytes(value: number): string {
  if (value < 1000) return `${value}${NARROW}B`;
  if (value < 1e6) return `${round(value / 1e3)}${NARROW}KB`;
  return `${round(value / 1e6)}${NARROW}MB`;
}

export function duration(ms: number): string {
  if (ms < 0.9995) return `${Math.max(1, Math.round(ms * 1000))}${NARROW}µs`;
  if (ms < 1000) return `${round(ms)}${NARROW}ms`;
  return `${round(ms / 1000)}${NARROW}s`;
}

/** One decimal; never 100 % for what is merely close to it. */
export function percent(share: number): string {
  if (share < 1 && share >= 0.9995) return `>${NARROW}99.9${NARROW}%`;
  return `${(share * 100).toFixed(1)}${NARROW}%`;
}

/** An engine's message, which starts small as the end of a sentence does, as a sentence of its own. */
export function sentence(text: string, capital = true): string {
  // Only a plain word: addresses and nearside's own name stay as they are.
  const word = capital && /^(?!nearside\b)[a-z]+[ ,]/.test(text);
  const start = word ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(start) ? start : `${start}.`;
}

/** A shape without its batch axis, as a person says it: 784, 28 × 28 × 1. */
export function shape(dimensions: readonly (number | null)[]): string {
  const row = perRow(dimensions);
  return row.length === 0 ? '1' : row.map((size) => (size === null ? 'any' : count(size))).join(' × ');
}

/** The axes of one row: Keras writes the batch axis first, as null. */
export function perRow(dimensions: readonly (number | null)[]): readonly (number | null)[] {
  return dimensions[0] === null ? dimensions.slice(1) : dimensions;
}

/** How many numbers one row has; null if that is not fixed. */
export function rowLength(dimensions: readonly (number | null)[]): number | null {
  let length = 1;
  for (const size of perRow(dimensions)) {
    if (size === null) return null;
    length *= size;
  }
  return length;
}

/** Three digits that matter, without trailing zeros. */
function round(value: number): string {
  return grouped.format(Number(value.toPrecision(value < 1000 ? 3 : 6)));
}
