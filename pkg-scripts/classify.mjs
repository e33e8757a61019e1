// Classifies MNIST's 10,000 test images in headless Chromium, on the CPU and on WebGPU, and holds the answers against
// the labels and against Keras. Fails when either device differs. node classify.mjs [FOLDER OF THE PACKAGE]
import { emptyPage, launch } from './browser.mjs';
import { DATA, FIXTURES, IMAGES, IMAGES_HEADER, MODEL, kerasOutputs, testLabels } from './mnist.mjs';
import { serve } from './serve.mjs';

/** What Keras itself gets right of the 10,000. */
const CORRECT = 9707;
/** The largest difference from Keras's outputs, which are probabilities. */
const TOLERANCE = 1e-5;

const server = await serve([process.argv[2] ?? 'pkg', FIXTURES, DATA]);
const browser = await launch({ webgpu: true });
try {
  for (const device of ['cpu', 'gpu']) await check(device);
} finally {
  await browser.close();
  await server.stop();
}

async function check(device) {
  const page = await emptyPage(browser, server.url);
  const work = { device, model: `${MODEL}.h5`, images: IMAGES, header: IMAGES_HEADER };
  const answer = await page.evaluate(classify, work).catch((error) => ({ error: error.message.split('\n')[0] }));
  await page.close();
  if (answer.error) return fail(device, answer.error);

  const { report, outputs, milliseconds } = answer;
  const labels = testLabels();
  const correct = labels.filter((label, i) => argMax(outputs.slice(i * 10, i * 10 + 10)) === label).length;
  const difference = largestDifference(kerasOutputs(), outputs);
  const name = [report.adapter ?? `${report.simd}`, report.reason].join('; ');
  console.log(`${device}: ${name}`);
  console.log(`  ${correct} of ${labels.length} correct, largest difference from Keras ${difference.toExponential(1)}`);
  console.log(`  ${milliseconds.toFixed(0)} ms, ${((milliseconds / labels.length) * 1000).toFixed(1)} µs an image`);
  if (report.kind !== device) fail(device, `the model ran on the ${report.kind}`);
  if (correct !== CORRECT) fail(device, `Keras has ${CORRECT} correct`);
  if (!(difference <= TOLERANCE)) fail(device, `the difference is above ${TOLERANCE}`);
}

/** Runs in the page. */
async function classify({ device, model: url, images, header }) {
  const { load } = await import('./nearside.js');
  const bytes = await fetch(images).then((response) => response.arrayBuffer());
  const pixels = Float32Array.from(new Uint8Array(bytes, header), (pixel) => pixel / 255);
  const model = await load(url, { device });
  await model.predict(pixels.subarray(0, 784)); // prepares what the first prediction prepares
  const start = performance.now();
  const { data } = await model.predict(pixels);
  return { milliseconds: performance.now() - start, report: model.device, outputs: [...data] };
}

function argMax(row) {
  return row.indexOf(Math.max(...row));
}

/** NaN when any of `actual` is NaN or missing. */
function largestDifference(expected, actual) {
  return Math.max(...expected.map((value, i) => Math.abs(value - actual[i])));
}

function fail(device, reason) {
  console.error(`${device}: ${reason}`);
  process.exitCode = 1;
}
