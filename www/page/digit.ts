/**
 * From ink on a canvas to the 28×28 image the network was trained on.
 *
 * The steps are those that made MNIST (http://yann.lecun.com/exdb/mnist/): "The original black and white
 * (bilevel) images from NIST were size normalized to fit in a 20x20 pixel box while preserving their aspect
 * ratio. The resulting images contain grey levels as a result of the anti-aliasing technique used by the
 * normalization algorithm. The images were centered in a 28x28 image by computing the center of mass of the
 * pixels, and translating the image so as to position this point at the center of the 28x28 field."
 */

export const SIDE = 28;
export const BOX = 20;

/** Pixels of which only the ink counts: RGBA (alpha is ink), or one byte a pixel. */
export interface Ink {
  data: ArrayLike<number>;
  width: number;
  height: number;
}

/**
 * The middle of pixel 14, counted from 0, is where MNIST's mass lies: at 14.5 ± 0.5 across and down in its test
 * images. A test image enlarged eightfold comes back through `toDigit` as it was; half a pixel off, it does not.
 */
const CENTRE = 14.5;

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The image as MNIST would hold it, row by row, 0 for background and 1 for ink; null where there is no ink. */
export function toDigit(ink: Ink): Float32Array | null {
  const plane = inkPlane(ink);
  const box = boundingBox(plane, ink.width, ink.height);
  if (box === null) return null;

  const scale = BOX / Math.max(box.width, box.height);
  const width = Math.max(1, Math.round(box.width * scale));
  const height = Math.max(1, Math.round(box.height * scale));
  return centre(shrink(plane, ink.width, box, width, height), width, height);
}

function inkPlane({ data, width, height }: Ink): Uint8Array {
  const pixels = width * height;
  if (data.length !== pixels && data.length !== pixels * 4) {
    throw new RangeError(`${width}×${height} pixels need ${pixels} or ${pixels * 4} bytes, not ${data.length}`);
  }
  const step = data.length === pixels ? 1 : 4;
  return Uint8Array.from({ length: pixels }, (_, i) => data[i * step + step - 1]!);
}

function boundingBox(plane: Uint8Array, width: number, height: number): Box | null {
  let left = width;
  let right = -1;
  let top = height;
  let bottom = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (plane[y * width + x] === 0) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/**
 * Area averaging, one axis after the other: every source pixel counts by how much of it a target pixel covers.
 * It is the anti-aliasing that leaves no ink out; picking nearest pixels would break thin strokes.
 */
function shrink(plane: Uint8Array, stride: number, box: Box, width: number, height: number): Float32Array {
  const columns = coverage(box.width, width);
  const rows = coverage(box.height, height);
  const narrow = new Float32Array(width * box.height);
  for (let y = 0; y < box.height; y++) {
    const line = (box.top + y) * stride + box.left;
    for (const [x, from, weight] of columns) narrow[y * width + x]! += plane[line + from]! * weight;
  }
  const small = new Float32Array(width * height);
  for (const [y, from, weight] of rows) {
    for (let x = 0; x < width; x++) small[y * width + x]! += (narrow[from * width + x]! * weight) / 255;
  }
  return small;
}

/** For every target pixel: [target, source, share of the target that this source pixel covers]. */
function coverage(from: number, to: number): [number, number, number][] {
  const span = from / to;
  const shares: [number, number, number][] = [];
  for (let target = 0; target < to; target++) {
    const start = target * span;
    const end = Math.min(from, start + span);
    for (let source = Math.floor(start); source < end; source++) {
      const covered = Math.min(end, source + 1) - Math.max(start, source);
      if (covered > 0) shares.push([target, source, covered / span]);
    }
  }
  return shares;
}

function centre(small: Float32Array, width: number, height: number): Float32Array {
  let mass = 0;
  let massX = 0;
  let massY = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = small[y * width + x]!;
      mass += value;
      massX += value * (x + 0.5);
      massY += value * (y + 0.5);
    }
  }
  // A whole number of pixels, so that nothing is blurred twice; never so far that ink is cut off.
  const left = clamp(Math.round(CENTRE - massX / mass), 0, SIDE - width);
  const top = clamp(Math.round(CENTRE - massY / mass), 0, SIDE - height);

  const image = new Float32Array(SIDE * SIDE);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      image[(top + y) * SIDE + left + x] = clamp(small[y * width + x]!, 0, 1);
    }
  }
  return image;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
