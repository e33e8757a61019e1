// Cold start: how long an empty page takes to its first prediction on the CPU, for nearside and for ONNX Runtime Web
// with the same network. node bench-cold.mjs [FOLDER OF THE PACKAGE [ROUNDS]]
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-web';
import { COLD_TIMES, coldMedians, coldStarts, withNearside, withOnnxRuntime } from './benchmark/cold.mjs';
import { quantile } from './benchmark/statistics.mjs';
import { FIXTURES, MODEL, PIXELS, differenceFromKeras, testPixels } from './mnist.mjs';

const [, , pkg = 'pkg', rounds = 15] = process.argv;
const site = 'target/bench-cold';
/** The most that a probability may differ from Keras's. */
const TOLERANCE = 1e-5;

const contenders = [
  { name: 'nearside, .h5', script: withNearside('mnist.h5'), target: 1 / 5 },
  { name: 'nearside, .safetensors', script: withNearside('mnist.safetensors'), target: 1 / 10 },
  { name: 'ORT Web, default', script: withOnnxRuntime('mnist.onnx') },
  { name: 'ORT Web, graph as it is', script: withOnnxRuntime('mnist.onnx', 'disabled') },
];

await makeSite();
const { measured, version } = await coldStarts({
  site,
  folders: [site, pkg, 'node_modules/onnxruntime-web/dist'],
  contenders,
  input: `Float32Array.of(${testPixels(1).join()}).map((pixel) => pixel / 255)`,
  rounds: Number(rounds),
  isRight: (outputs) => differenceFromKeras(outputs, 1) <= TOLERANCE,
});
report();

/** The same network in three files. */
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

function report() {
  const ort = measured.filter(({ target }) => !target).map(coldMedians);
  const best = COLD_TIMES.map((_, i) => Math.min(...ort.map((medians) => medians[i])));

  console.log(`\n${version}, ${cpus().length} × ${cpus()[0].model.trim()}; medians of ${rounds} rounds, quartiles, least`);
  console.log('Files come plain from a local server; the last column is what brotli would make of them.\n');
  row('', [...COLD_TIMES.map(({ title }) => title), 'KB', 'KB brotli']);
  for (const { name, runs, files } of measured) {
    const sizes = ['raw', 'brotli'].map((form) => files.reduce((sum, file) => sum + file[form], 0));
    row(name, [...COLD_TIMES.map(({ time }) => spread(runs.map(time))), ...sizes.map((size) => (size / 1000).toFixed(0))]);
  }

  console.log("\nPart of the faster ORT Web's time; until the first request, all wait for the browser alone.");
  for (const contender of measured.filter(({ target }) => target)) {
    const ratios = coldMedians(contender).map((time, i) => time / best[i]);
    row(contender.name, [...ratios.map((ratio) => ratio.toFixed(3)), `target ${contender.target}`]);
  }
}

function spread(times) {
  const [median, lower, upper, least] = [0.5, 0.25, 0.75, 0].map((part) => quantile(times, part));
  return `${median.toFixed(1)}  ${lower.toFixed(0)}–${upper.toFixed(0)}  ${least.toFixed(1)}`;
}

function row(name, cells) {
  const widths = [28, 28, 14, 14];
  console.log(name.padEnd(24) + cells.map((cell, i) => cell.padStart(widths[i])).join(''));
}
