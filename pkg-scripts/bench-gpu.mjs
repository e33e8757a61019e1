// Times nearside on WebGPU beside ONNX Runtime Web, TensorFlow.js and jax-js on WebGPU in one headless Chromium, checks all
// of their outputs, and writes tables:
// node bench-gpu.mjs [--rounds N] [--models small,mnist] [--only nearside,ort] [--out FOLDER] [--pkg FOLDER OF THE PACKAGE]
//
// A whole run goes to docs/, a part of one to target/bench-results/.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { coldStarts, withAdaptor } from './benchmark/cold.mjs';
import { GPU_FAMILIES, adaptorOf, gpuContenders, gpuProbe } from './benchmark/gpu-contenders.mjs';
import { gpuMarkdown } from './benchmark/gpu-report.mjs';
import { makeInput, shapeOf } from './benchmark/models.mjs';
import { busyPart, commandLine, describeMachine, readOptions } from './benchmark/options.mjs';
import { GPU_PACE, sideBySide } from './benchmark/rounds.mjs';
import { makeSite } from './benchmark/site.mjs';
import { launch } from './browser.mjs';
import { ISOLATION, serve } from './serve.mjs';

const site = 'target/bench-gpu';
/** The most that outputs may be off, as a part of the largest. */
const TOLERANCE = 1e-4;

const { rounds, names, only, pkg, out } = readOptions({ families: GPU_FAMILIES, rounds: 5 });
const machine = await describeMachine();
const { models, folders } = await makeSite({ site, pkg, names, peers: ['tfjs-webgpu', 'jax'] });
const first = names.includes('mnist') ? await timeFirstAnswers() : null;
const { measured, browser } = await timeModels();
machine.busyAfter = await busyPart();
write();

/** Every model in a page of its own. All pages share their storage: what a contender has learnt in one it knows in the next. */
async function timeModels() {
  const server = await serve(folders, 0, ISOLATION);
  const browser = await launch({ webgpu: true });
  try {
    const context = await browser.newContext();
    const entrants = { contenders: gpuContenders(only), probes: [gpuProbe()] };
    const measured = [];
    for (const model of models) {
      const where = 'page with WebGPU';
      measured.push(...(await sideBySide({ browser: context, url: server.url, where, ...entrants, model, rounds, pace: GPU_PACE })));
    }
    return { measured, browser: `Chromium ${browser.version()}` };
  } finally {
    await browser.close();
    await server.stop();
  }
}

/** The first answers with nothing in the browser's caches, and with everything. */
async function timeFirstAnswers() {
  const mnist = models.find(({ name }) => name === 'mnist');
  const contenders = only.map((family) => ({ name: GPU_FAMILIES[family], script: withAdaptor(adaptorOf(family), shapeOf(mnist)) }));
  const expected = new Float64Array(Uint8Array.from(readFileSync(`${site}/mnist-1.expected.bin`)).buffer);
  const allowed = TOLERANCE * Math.max(...expected.map(Math.abs));
  const isRight = (outputs) => expected.every((value, i) => Math.abs(value - outputs[i]) <= allowed);
  const input = `Float32Array.of(${makeInput(mnist, 1).join()})`;
  const given = { site, folders, contenders, input, rounds, isRight, webgpu: true, compress: false };
  console.log('timing first answers with empty caches');
  const cold = await coldStarts(given);
  console.log('timing first answers with full caches');
  // A script's compiled code is kept from its second time on.
  const warm = await coldStarts({ ...given, host: () => 'same', warmUps: 3 });
  return { cold: cold.measured, warm: warm.measured };
}

function write() {
  mkdirSync(out, { recursive: true });
  const date = new Date().toISOString().slice(0, 10);
  const text = gpuMarkdown({ machine, browser, command: commandLine('bench:gpu'), date, rounds, measured, first });
  writeFileSync(`${out}/bench-gpu.md`, text);
  console.log(`\n${text}\nWritten to ${out}/bench-gpu.md`);
}
