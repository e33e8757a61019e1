import { NearsideError } from './errors.js';

/** Room for so many values. @throws `memory` where there is none. */
export function allocate(length: number): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(length);
  } catch (cause) {
    const megabytes = Math.ceil((4 * length) / 1e6);
    throw new NearsideError('memory', `${megabytes} MB could not be allocated; use a smaller batch or model`, {}, { cause });
  }
}
