// Cold start: how long an empty page takes to its first prediction on the CPU, for nearside and for ONNX Runtime Web
// with the same network. node bench-cold.mjs [FOLDER OF THE PACKAGE [ROUNDS]]
//
// Each round is a host name that the browser has not seen, so that no cache holds anything: an empty page of that
// host navigates to a page with nothing but the script. Time runs inside that page, until the numbers are there.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { brotliCompressSync } from 'node:zlib';
import { InferenceSession, Tensor } from 'onnxruntime-web';
import { launchUnwatched, pause } from './browser.mjs';
import { FIXTURES, MODEL, PIXELS, differenceFromKeras, testPixels } from './mnist.mjs';
import { serve } from './serve.mjs';

const [, , pkg = 'pkg', rounds = 15] = process.argv;
const site = 'target/bench-cold';
const folders = [site, pkg, 'node_modules/onnxruntime-web/dist'];
/** The most that a probability may differ from Keras's. */
const TOLERANCE = 1e-5;

const nearside = (model) => `
  const { load } = await import('./nearside.js');
  const model = await load('${model}', { device: 'cpu' });
  const { data } = await model.predict(input);`;

// The build for WebAssembly alone, in as few files as it comes in; on one thread, which for one image is the faster.
const onnxruntime = (graphOptimizationLevel) => `
  const { InferenceSession, Tensor, env } = await import('./ort.wasm.bundle.min.mjs');
  env.wasm.numThreads = 1;
  env.wasm.proxy = false;
  const options = { executionProviders: ['wasm'], graphOptimizationLevel: '${graphOptimizationLevel}' };
  const session = await InferenceSession.create('mnist.onnx', options);
  const answer = await session.run({ [session.inputNames[0]]: new Tensor('float32', input, [1, ${PIXELS}]) });
  const { data } = answer[session.outputNames[0]];`;

const CONTENDERS = [
  { name: 'nearside, .h5', page: 'h5.html', script: nearside('mnist.h5'), target: 1 / 5 },
  { name: 'nearside, .safetensors', page: 'container.html', script: nearside('mnist.safetensors'), target: 1 / 10 },
  { name: 'ORT Web, default', page: 'ort.html', script: onnxruntime('all') },
  { name: 'ORT Web, graph as it is', page: 'ort-plain.html', script: onnxruntime('disabled') },
];

await makeSite();
const server = await serve(folders);
const browser = await launchUnwatched();
try {
  // The first round warms the browser and the server up.
  for (let round = 0; round <= rounds; round++) {
    for (let turn = 0; turn < CONTENDERS.length; turn++) {
      const contender = CONTENDERS[(turn + round) % CONTENDERS.length];
      const run = await measure(contender, `round-${round}-${turn}`);
      if (round > 0) (contender.runs ??= []).push(run);
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
report();

/** The same network in three files, a page for each contender, and an empty one. */
async function makeSite() {
  mkdirSync(site, { recursive: true });
  const { load } = await import(pathToFileURL(resolve(pkg, 'node.js')));
  const model = await load(`${FIXTURES}/${MODEL}`, { device: 'cpu' });
  const container = Buffer.from(await model.save('safetensors'));
  const onnx = Buffer.from(await model.save('onnx'));
  copyFileSync(`${FIXTURES}/${MODEL}`, `${site}/mnist.h5`);
  writeFileSync(`${site}/mnist.safetensors`, container);
  writeFileSync(`${site}/mnist.onnx`, onnx);
  await compareNetworks(model, onnx);

  for (const { page, script } of CONTENDERS) writeFileSync(`${site}/${page}`, html(measured(script)));
  // Waits until the browser has nothing left to do with opening the tab.
  writeFileSync(`${site}/empty.html`, html('setTimeout(() => location.replace(location.hash.slice(1)), 500);'));
}

/** Fails unless both runtimes give Keras's outputs for its 256 reference images. */
async function compareNetworks(model, onnx) {
  const images = Float32Array.from(testPixels(256), (pixel) => pixel / 255);
  const session = await InferenceSession.create(onnx);
  const ort = await session.run({ [session.inputNames[0]]: new Tensor('float32', images, [256, PIXELS]) });
  const outputs = { nearside: (await model.predict(images)).data, 'ORT Web': ort[session.outputNames[0]].data };
  for (const [name, data] of Object.entries(outputs)) {
    const difference = differenceFromKeras(data);
    console.log(`${name}: largest difference from Keras ${difference.toExponential(1)} on 256 images`);
    if (!(difference <= TOLERANCE)) throw new Error(`${name} runs another network`);
  }
}

function html(script) {
  return `<!doctype html>\n<meta charset="utf-8">\n<title>cold start</title>\n<script type="module">\n${script}\n</script>\n`;
}

/** `script` finds one image in `input`, and leaves its outputs in `data`. */
function measured(script) {
  return `
const input = Float32Array.of(${testPixels(1).join()}).map((pixel) => pixel / 255);
try {${script}
  const time = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 50)); // the list of requests is filled by then
  const requests = performance.getEntriesByType('resource');
  const [start] = requests.map((request) => request.startTime).sort((a, b) => a - b);
  const files = requests.map((request) => new URL(request.name).pathname.slice(1));
  document.title = JSON.stringify({ time, start, files, outputs: [...data] });
} catch (error) {
  document.title = JSON.stringify({ error: String(error) });
}`;
}

async function measure({ name, page }, host) {
  const url = new URL(`empty.html#${page}`, server.url);
  url.hostname = `${host}.localhost`;
  const run = await browser.titleOf(url.href);
  if (run.error) throw new Error(`${name}: ${run.error}`);
  if (!(differenceFromKeras(run.outputs, 1) <= TOLERANCE)) throw new Error(`${name}: wrong outputs ${run.outputs}`);
  await pause(200);
  return run;
}

function report() {
  const columns = [
    { title: 'from navigation, ms', time: ({ time }) => time },
    { title: 'from the first request, ms', time: ({ time, start }) => time - start },
  ];
  const ort = CONTENDERS.filter(({ target }) => !target);
  const best = columns.map(({ time }) => Math.min(...ort.map(({ runs }) => quantile(runs.map(time), 0.5))));

  console.log(`\n${browser.version}, ${cpus().length} × ${cpus()[0].model.trim()}; medians of ${rounds} rounds, quartiles, least`);
  console.log('Files come plain from a local server; the last column is what brotli would make of them.\n');
  row('', [...columns.map(({ title }) => title), 'KB', 'KB brotli']);
  for (const { name, runs } of CONTENDERS) {
    const files = runs[0].files.map(readServed);
    const compressed = files.map((file) => brotliCompressSync(file));
    row(name, [...columns.map(({ time }) => spread(runs.map(time))), kilobytes(files), kilobytes(compressed)]);
  }

  console.log("\nPart of the faster ORT Web's time; until the first request, all wait for the browser alone.");
  for (const { name, runs, target } of CONTENDERS.filter(({ target }) => target)) {
    const ratios = columns.map(({ time }, i) => quantile(runs.map(time), 0.5) / best[i]);
    row(name, [...ratios.map((ratio) => ratio.toFixed(3)), `target ${target}`]);
  }
}

function readServed(file) {
  return readFileSync(folders.map((folder) => `${folder}/${file}`).find((path) => existsSync(path)));
}

function spread(times) {
  const [median, lower, upper, least] = [0.5, 0.25, 0.75, 0].map((part) => quantile(times, part));
  return `${median.toFixed(1)}  ${lower.toFixed(0)}–${upper.toFixed(0)}  ${least.toFixed(1)}`;
}

function quantile(values, part) {
  return values.toSorted((a, b) => a - b)[Math.round((values.length - 1) * part)];
}

function kilobytes(files) {
  return (files.reduce((sum, { length }) => sum + length, 0) / 1000).toFixed(0);
}

function row(name, cells) {
  const widths = [28, 28, 14, 14];
  console.log(name.padEnd(24) + cells.map((cell, i) => cell.padStart(widths[i])).join(''));
}
