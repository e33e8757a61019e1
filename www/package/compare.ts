/** Whether two devices give the same answers. */
import type { WrongAnswer } from './device.js';

/** Differences allowed, as a part of the output's largest value: ten times those of other orders of summation. */
const ALLOWED = 1e-3;

/** Samples of ordinary values, the same each time, or of indices. */
export function probe(samples: number, width: number, size: number, limits: number[] | undefined): Float32Array {
  let state = 1;
  return Float32Array.from({ length: samples * width }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const part = state / 2 ** 32;
    const limit = limits?.[i % width] ?? 0;
    return limit > 0 ? Math.floor(part * limit) : size * (2 * part - 1);
  });
}

/** The first value that differs, in more rows than may: where a function jumps, a rounding may cross over in one of eight. */
export function difference(want: Float32Array[], got: Float32Array[], samples: number, continuous: boolean): Omit<WrongAnswer, 'adapter' | 'samples'> | undefined {
  for (const [output, right] of want.entries()) {
    const width = right.length / samples;
    const largest = right.reduce((largest, value) => (Math.abs(value) < Infinity ? Math.max(largest, Math.abs(value)) : largest), 0);
    const allowed = ALLOWED * Math.max(largest, 1e-6);
    const rows = new Map<number, number>();
    right.forEach((value, index) => {
      const other = got[output]![index]!;
      if (Object.is(value, other) || Math.abs(value - other) <= allowed) return;
      const row = Math.floor(index / width);
      if (!rows.has(row)) rows.set(row, index);
    });
    if (rows.size <= (continuous ? 0 : samples / 8)) continue;
    const index = rows.values().next().value!;
    return { output, index, cpu: right[index]!, gpu: got[output]![index]! };
  }
  return undefined;
}
