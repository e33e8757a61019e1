// Times nearside beside ONNX Runtime Web, TensorFlow.js and jax-js in one headless Chromium, checks all of their outputs,
// and writes a table and a chart:
// node bench.mjs [--rounds N] [--models small,mnist] [--only nearside,ort] [--out FOLDER] [--pkg FOLDER OF THE PACKAGE]
//
// A whole run goes to docs/, a part of one to target/bench-results/.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { chart } from './benchmark/chart.mjs';
import { coldStarts, withNearside, withOnnxRuntime } from './benchmark/cold.mjs';
import { FAMILIES } from './benchmark/contenders.mjs';
import { MODELS, makeInput, shapeOf } from './benchmark/models.mjs';
import { markdown } from './benchmark/report.mjs';
import { sideBySide } from './benchmark/rounds.mjs';
import { makeSite } from './benchmark/site.mjs';
import { launch, pause } from './browser.mjs';
import { ISOLATION, serve } from './serve.mjs';

const site = 'target/bench';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    models: { type: 'string', default: Object.keys(MODELS).join() },
    only: { type: 'string', default: Object.keys(FAMILIES).join() },
    out: { type: 'string' },
    pkg: { type: 'string', default: 'pkg' },
  },
});
const rounds = Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds is ${options.rounds}; give a whole number from 1`);
const names = chosen('models', MODELS);
const only = chosen('only', FAMILIES);
const whole = names.length === Object.keys(MODELS).length && only.length === Object.keys(FAMILIES).length;
const out = options.out ?? (whole ? 'docs' : 'target/bench-results');

const machine = { processor: cpus()[0].model.trim(), cores: cpus().length, busy: await busyPart() };
if (machine.busy > 0.05) console.warn(`${(100 * machine.busy).toFixed(0)} % of the processors are busy: the times will be wrong`);
const { models, folders } = await makeSite({ site, pkg: options.pkg, names });
const cold = names.includes('mnist') ? await timeColdStarts() : null;
const { isolated, plain, browser } = await timePages();
write();

/** The names that an option lists. */
function chosen(option, known) {
  const names = options[option].split(',');
  const unknown = names.find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return names;
  throw new Error(`--${option} does not take '${unknown}'; it takes ${Object.keys(known).join(', ')}`);
}

/** How much of all processors others use, over two seconds. */
async function busyPart() {
  const sum = () => {
    const times = cpus().map(({ times }) => times);
    const total = (kinds) => times.reduce((sum, time) => kinds.reduce((sum, kind) => sum + time[kind], sum), 0);
    return { idle: total(['idle']), all: total(Object.keys(times[0])) };
  };
  const before = sum();
  await pause(2000);
  const after = sum();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}

/** Every model in a page with shared memory, and in one without. */
async function timePages() {
  const servers = [await serve(folders, 0, ISOLATION), await serve(folders)];
  const browser = await launch();
  try {
    const timed = [[], []];
    for (const model of models) {
      for (const [i, { url }] of servers.entries()) {
        timed[i].push(...(await sideBySide({ browser, url, isolated: i === 0, only, model, rounds })));
      }
    }
    const [isolated, plain] = timed;
    return { isolated, plain, browser: `Chromium ${browser.version()}` };
  } finally {
    await browser.close();
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function timeColdStarts() {
  console.log('timing the cold start');
  const mnist = models.find(({ name }) => name === 'mnist');
  const adaptor = (name) => `
  const { open } = await import('./with-${name}.js');
  const { predict } = await open(${JSON.stringify(shapeOf(mnist))}, { threads: 1 });
  const data = await predict(input, 1);`;
  const scripts = {
    nearside: withNearside('mnist.safetensors'),
    ort: withOnnxRuntime('mnist.onnx'),
    tfjs: adaptor('tfjs'),
    jax: adaptor('jax'),
  };
  const contenders = only.map((family) => ({ name: FAMILIES[family], script: scripts[family] }));
  const expected = new Float64Array(Uint8Array.from(readFileSync(`${site}/mnist-1.expected.bin`)).buffer);
  const isRight = (outputs) => expected.every((value, i) => Math.abs(value - outputs[i]) <= 1e-4);
  const input = `Float32Array.of(${makeInput(mnist, 1).join()})`;
  return (await coldStarts({ site, folders, contenders, input, rounds, isRight })).measured;
}

function write() {
  mkdirSync(out, { recursive: true });
  const command = ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ');
  const date = new Date().toISOString().slice(0, 10);
  const text = markdown({ machine, browser, command, date, rounds, isolated, plain, cold, chart: 'bench.svg' });
  writeFileSync(`${out}/bench.md`, text);
  writeFileSync(`${out}/bench.svg`, chart(isolated));
  console.log(`\n${text}\nWritten to ${out}/bench.md and ${out}/bench.svg`);
}
