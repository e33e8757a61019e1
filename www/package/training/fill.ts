/** Batches of a message on their way into the module's memory. */
import type { Batches } from './requests.js';

/** Writes one batch after the other where the module wants it; gives how many samples that were. */
export function* filled(memory: () => ArrayBuffer, reserve: (samples: number) => ArrayLike<number>, { sizes, inputs, targets, weights }: Batches): Iterable<number> {
  const arrays = [...inputs, ...targets, ...(weights ? [weights] : [])];
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const each = arrays.map((array) => array.length / total);
  let done = 0;
  for (const size of sizes) {
    const addresses = reserve(size);
    arrays.forEach((array, i) => {
      const part = array.subarray(done * each[i]!, (done + size) * each[i]!);
      new Float32Array(memory(), addresses[i], part.length).set(part);
    });
    if (!weights) new Float32Array(memory(), addresses[addresses.length - 1], size).fill(1);
    yield size;
    done += size;
  }
}
