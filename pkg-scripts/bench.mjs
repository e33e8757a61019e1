// Times nearside beside ONNX Runtime Web, TensorFlow.js and jax-js in one headless Chromium, checks all of their outputs,
// and writes a table and a chart:
// node bench.mjs [--rounds N] [--models small,mnist] [--only nearside,ort] [--out FOLDER] [--pkg FOLDER OF THE PACKAGE]
//
// A whole run goes to docs/, a part of one to target/bench-results/.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { chart } from './benchmark/chart.mjs';
import { coldStarts, withNearside, withOnnxRuntime } from './benchmark/cold.mjs';
import { FAMILIES, contenders, probes } from './benchmark/contenders.mjs';
import { makeInput, shapeOf } from './benchmark/models.mjs';
import { commandLine, describeMachine, readOptions } from './benchmark/options.mjs';
import { markdown } from './benchmark/report.mjs';
import { sideBySide } from './benchmark/rounds.mjs';
import { makeSite } from './benchmark/site.mjs';
import { launch } from './browser.mjs';
import { ISOLATION, serve } from './serve.mjs';

const site = 'target/bench';

const { rounds, names, only, pkg, out } = readOptions({ families: FAMILIES, rounds: 15 });
const machine = await describeMachine();
const { models, folders } = await makeSite({ site, pkg, names, peers: ['tfjs', 'jax'] });
const cold = names.includes('mnist') ? await timeColdStarts() : null;
const { isolated, plain, browser } = await timePages();
write();

/** Every model in a page with shared memory, and in one without. */
async function timePages() {
  const servers = [await serve(folders, 0, ISOLATION), await serve(folders)];
  const browser = await launch();
  try {
    const timed = [[], []];
    for (const model of models) {
      for (const [i, { url }] of servers.entries()) {
        const isolated = i === 0;
        const where = isolated ? 'isolated page' : 'page without isolation';
        const entrants = { contenders: contenders({ isolated, only }), probes: isolated ? probes() : [] };
        timed[i].push(...(await sideBySide({ browser, url, where, ...entrants, model, rounds })));
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
  const date = new Date().toISOString().slice(0, 10);
  const text = markdown({ machine, browser, command: commandLine('bench'), date, rounds, isolated, plain, cold, chart: 'bench.svg' });
  writeFileSync(`${out}/bench.md`, text);
  writeFileSync(`${out}/bench.svg`, chart(isolated));
  console.log(`\n${text}\nWritten to ${out}/bench.md and ${out}/bench.svg`);
}
