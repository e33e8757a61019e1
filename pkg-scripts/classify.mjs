// Classifies MNIST's 10,000 test images in headless Chromium, on the CPU and on WebGPU, and compares the answers with
// the labels and with Keras's. Fails when either device is off. node classify.mjs [FOLDER OF THE PACKAGE]
import { emptyPage, launch } from './browser.mjs';
import { DATA, FIXTURES, IMAGES, IMAGES_HEADER, MODEL, PIXELS, differenceFromKeras, testLabels } from './mnist.mjs';
import { serve } from './serve.mjs';

/** How many Keras itself has right. */
const CORRECT = 9707;
/** The most that a probability may differ from Keras's. */
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
  const work = { device, model: MODEL, images: IMAGES, header: IMAGES_HEADER, pixels: PIXELS };
  const answer = await page.evaluate(classify, work).catch((error) => ({ error: error.message.split('\n')[0] }));
  await page.close();
  if (answer.error) return fail(device, answer.error);

  const { report, outputs, milliseconds } = answer;
  const labels = testLabels();
  const correct = labels.filter((label, i) => argMax(outputs.slice(i * 10, i * 10 + 10)) === label).length;
  const difference = differenceFromKeras(outputs);
  const each = ((milliseconds / labels.length) * 1000).toFixed(1);
  console.log(`${device}: ${report.adapter ?? report.simd}`);
  console.log(`  ${correct} of ${labels.length} correct, largest difference from Keras ${difference.toExponential(1)}`);
  console.log(`  ${milliseconds.toFixed(0)} ms, ${each} µs an image`);
  if (report.kind !== device) fail(device, `the model ran on the ${report.kind}: ${report.reason}`);
  if (correct !== CORRECT) fail(device, `Keras has ${CORRECT} correct`);
  if (!(difference <= TOLERANCE)) fail(device, `the difference is above ${TOLERANCE}`);
}

/** Runs in the page. */
async function classify({ device, model: url, images, header, pixels }) {
  const { load } = await import('./nearside.js');
  const bytes = await fetch(images).then((response) => response.arrayBuffer());
  const inputs = Float32Array.from(new Uint8Array(bytes, header), (pixel) => pixel / 255);
  const model = await load(url, { device });
  await model.predict(inputs.subarray(0, pixels)); // prepares what the first prediction prepares
  const start = performance.now();
  const { data } = await model.predict(inputs);
  return { milliseconds: performance.now() - start, report: model.device, outputs: [...data] };
}

function argMax(row) {
  return row.indexOf(Math.max(...row));
}

function fail(device, reason) {
  console.error(`${device}: ${reason}`);
  process.exitCode = 1;
}
