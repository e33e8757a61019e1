// Training: an epoch of MNIST in nearside and TensorFlow.js, in one browser, and in Keras on the same processors, in turns.
// node bench-train.mjs [--rounds N] [--only nearside,tfjs,keras] [--batches 32,256] [--pkg FOLDER] [--out FOLDER]
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { commandLine, describeMachine } from './benchmark/options.mjs';
import { bundlePeers } from './benchmark/site.mjs';
import { digits, median } from './benchmark/statistics.mjs';
import { section, spread } from './benchmark/tables.mjs';
import { launch } from './browser.mjs';
import { DATA } from './mnist.mjs';
import { ISOLATION, serve } from './serve.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: 'nearside,tfjs,tfjs-threads,keras' },
    batches: { type: 'string', default: '32,256' },
    pkg: { type: 'string', default: 'pkg' },
    out: { type: 'string', default: 'docs' },
  },
});
const rounds = Number(values.rounds);
const only = values.only.split(',');

const CONTENDERS = {
  nearside: { title: 'nearside, 1 thread', open: (batch) => inPage('train-nearside', batch, 1) },
  tfjs: { title: 'TensorFlow.js, WebAssembly, 1 thread', open: (batch) => inPage('train-tfjs', batch, 1) },
  'tfjs-threads': { title: 'TensorFlow.js, WebAssembly, 2 threads', open: (batch) => inPage('train-tfjs', batch, 2) },
  keras: { title: 'Keras 3 on TensorFlow, all cores', open: (batch) => inPython(batch) },
};

const TEXT = "Whole epochs: batches are made and the accuracy is counted in them, and nearside's worker is started.";
const site = 'target/bench-train';
mkdirSync(site, { recursive: true });
await bundlePeers(site, ['tfjs-train']);
const machine = await describeMachine();
const folders = [site, 'pkg-scripts/benchmark/page', values.pkg, DATA, 'node_modules/@tensorflow/tfjs-backend-wasm/wasm-out'];
const server = await serve(folders, 0, ISOLATION);
const browser = await launch();
let report = `# Training, measured

${new Date().toISOString().slice(0, 10)}, ${machine.processor}, ${machine.cores} cores, Chromium ${browser.version()}: \`${commandLine('bench:train')}\`.
An epoch is 60,000 images of MNIST through 784 → 128 (relu) → 128 (relu) → 10 (softmax), with Adam and the crossentropy of the
classes, shuffled. Medians of ${rounds} rounds, in which the contenders take turns; in brackets the quartiles.
`;
try {
  for (const batch of values.batches.split(',').map(Number)) report += await compare(batch);
} finally {
  await browser.close();
  await server.stop();
}
mkdirSync(values.out, { recursive: true });
writeFileSync(`${values.out}/bench-train.md`, report);
console.log(report);

async function compare(batch) {
  const rows = [];
  for (const name of only) rows.push({ ...CONTENDERS[name], times: [], ...(await CONTENDERS[name].open(batch)) });
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      const { time, loss } = await row.epoch();
      row.times.push(time);
      console.log(`batch ${batch}, round ${round + 1}: ${row.title}: ${digits(time / 1000)} s, loss ${digits(loss)}`);
    }
  }
  const own = rows[0].times;
  const cells = [];
  for (const { title, times, accuracy } of rows) {
    const ratios = times.map((time, round) => time / own[round]);
    cells.push([title, spread(times.map((time) => time / 1000)), digits(median(ratios)), `${(100 * (await accuracy())).toFixed(2)} %`]);
  }
  for (const { close } of rows) await close();
  return section(`Batches of ${batch}`, TEXT, ['', 'Seconds an epoch', 'of nearside’s time', `right after ${rounds} epochs`], cells);
}

async function inPage(adaptor, batchSize, threads) {
  const page = await browser.newPage();
  await page.goto(`${server.url}frame.html`);
  await page.evaluate(
    async ({ adaptor, batchSize, threads }) => {
      const read = async (name, header) => new Uint8Array(await (await fetch(name)).arrayBuffer()).subarray(header);
      const pixels = async (name) => Float32Array.from(await read(name, 16), (pixel) => pixel / 255);
      const [x, xTest] = [await pixels('train-images-idx3-ubyte'), await pixels('t10k-images-idx3-ubyte')];
      const [y, yTest] = [await read('train-labels-idx1-ubyte', 8), await read('t10k-labels-idx1-ubyte', 8)];
      const { open } = await import(`./${adaptor}.js`);
      globalThis.contender = await open({ x, y, xTest, yTest, batchSize, threads });
    },
    { adaptor, batchSize, threads },
  );
  return {
    epoch: () =>
      page.evaluate(async () => {
        const start = performance.now();
        const loss = await globalThis.contender.epoch();
        return { time: performance.now() - start, loss };
      }),
    accuracy: () => page.evaluate(() => globalThis.contender.accuracy()),
    close: () => page.close(),
  };
}

async function inPython(batch) {
  const python = spawn(`${process.env.NEARSIDE_PYTHON}/bin/python`, ['pkg-scripts/benchmark/train-keras.py', DATA, String(batch)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
  let last;
  return {
    async epoch() {
      python.stdin.write('\n');
      const { value, done } = await lines.next();
      if (done) throw new Error('Keras ended');
      return (last = JSON.parse(value));
    },
    accuracy: async () => last.accuracy,
    close: async () => void python.stdin.end(),
  };
}
