// Times nearside on WebGPU beside ONNX Runtime Web, TensorFlow.js and jax-js in one headless Chromium, checks all of their
// outputs, and writes a table:
// node bench-gpu.mjs [--rounds N] [--models small,mnist] [--only nearside,ort] [--out FOLDER] [--pkg FOLDER OF THE PACKAGE]
//
// A whole run goes to docs/, a part of one to target/bench-results/.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { GPU_FAMILIES, gpuContenders, roundTrip } from './benchmark/contenders.mjs';
import { gpuMarkdown } from './benchmark/gpu-report.mjs';
import { MODELS } from './benchmark/models.mjs';
import { firstAnswers, sideBySide } from './benchmark/rounds.mjs';
import { makeSite } from './benchmark/site.mjs';
import { launch } from './browser.mjs';
import { serve } from './serve.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    models: { type: 'string', default: Object.keys(MODELS).join() },
    only: { type: 'string', default: Object.keys(GPU_FAMILIES).join() },
    out: { type: 'string' },
    pkg: { type: 'string', default: 'pkg' },
  },
});
const rounds = Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds is ${options.rounds}; give a whole number from 1`);
const names = chosen('models', MODELS);
const only = chosen('only', GPU_FAMILIES);
const whole = names.length === Object.keys(MODELS).length && only.length === Object.keys(GPU_FAMILIES).length;
const out = options.out ?? (whole ? 'docs' : 'target/bench-results');

const { models, folders } = await makeSite({ site: 'target/bench', pkg: options.pkg, names });
const server = await serve(folders);
const browser = await launch({ webgpu: true });
try {
  const contenders = gpuContenders(only);
  const mnist = models.find(({ name }) => name === 'mnist');
  const first = mnist ? await firstAnswers({ browser, url: server.url, contenders, model: mnist, rounds }) : [];
  const measured = [];
  for (const model of models) {
    measured.push(...(await sideBySide({ browser, url: server.url, where: 'on WebGPU', contenders, probes: [roundTrip()], model, rounds })));
  }
  write(first, measured);
} finally {
  await browser.close();
  await server.stop();
}

/** The names that an option lists. */
function chosen(option, known) {
  const names = options[option].split(',');
  const unknown = names.find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return names;
  throw new Error(`--${option} does not take '${unknown}'; it takes ${Object.keys(known).join(', ')}`);
}

function write(first, measured) {
  mkdirSync(out, { recursive: true });
  const command = ['npm run bench:gpu', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ');
  const date = new Date().toISOString().slice(0, 10);
  const machine = `${cpus()[0].model.trim()}, ${cpus().length} cores`;
  const text = gpuMarkdown({ machine, browser: `Chromium ${browser.version()}`, command, date, rounds, first, measured });
  writeFileSync(`${out}/bench-gpu.md`, text);
  console.log(`\n${text}\nWritten to ${out}/bench-gpu.md`);
}
