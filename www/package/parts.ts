/** Size of the equal parts of so many samples, of which none has more than `most`: no last one of few is left over, which
 * would be slow, and with 8-bit weights of another precision. */
export function partSize(samples: number, most: number): number {
  return Math.ceil(samples / Math.ceil(samples / most));
}
