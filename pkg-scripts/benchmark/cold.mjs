// Cold start: how long an empty page takes to its first prediction, and what it downloads for it.
//
// Unless another host is asked for, each time it is one that the browser has not seen, so that no cache holds anything: an
// empty page of that host navigates to a page with nothing but the script. Time runs inside that page, until the numbers
// are there.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync } from 'node:zlib';
import { launchUnwatched, pause } from '../browser.mjs';
import { serve } from '../serve.mjs';
import { answered } from './patience.mjs';
import { median } from './statistics.mjs';

/** The two times of a run that are of interest. */
export const COLD_TIMES = [
  { title: 'from navigation, ms', time: ({ time }) => time },
  { title: 'from the first request, ms', time: ({ time, start }) => time - start },
];

/** The two parts of a run of which the script marks the middle, `imported`. */
export const LOAD_TIMES = [
  { title: 'import, ms', time: ({ importing, imported }) => imported - importing },
  { title: 'load to first answer, ms', time: ({ imported, time }) => time - imported },
];

/** A script that predicts with the adaptor of that name, and marks when its runtime had been imported. */
export function withAdaptor(adaptor, shape) {
  return `
  performance.mark('importing');
  const { open } = await import('./${adaptor}.js');
  performance.mark('imported');
  const { predict, check } = await open(${JSON.stringify(shape)}, {});
  const data = await predict(input, 1);
  check?.();`;
}

/** A script that predicts with nearside, from the file `model`. */
export function withNearside(model) {
  return `
  const { load } = await import('./nearside.js');
  const model = await load('${model}', { device: 'cpu' });
  const { data } = await model.predict(input);`;
}

/** A script for ONNX Runtime Web: its build for WebAssembly alone; on one thread, which for one sample is the faster. */
export function withOnnxRuntime(model, graphOptimizationLevel = 'all') {
  return `
  const { InferenceSession, Tensor, env } = await import('./ort.wasm.bundle.min.mjs');
  env.wasm.numThreads = 1;
  env.wasm.proxy = false;
  const options = { executionProviders: ['wasm'], graphOptimizationLevel: '${graphOptimizationLevel}' };
  const session = await InferenceSession.create('${model}', options);
  const answer = await session.run({ [session.inputNames[0]]: new Tensor('float32', input, [1, input.length]) });
  const { data } = answer[session.outputNames[0]];`;
}

/**
 * Times contenders, each a `name` and a `script` that finds one sample in `input`, an expression, and leaves its outputs
 * in `data`. `site` is where their pages are written, the first of the `folders` that are served. `host` names the host of
 * a run, `warmUps` is how many rounds do not count, `compress` whether files are compressed for their size. Resolves to
 * the contenders, each with its `runs` and the `files` it fetched, and to the browser's version.
 */
export async function coldStarts({ site, folders, contenders, input, rounds, isRight, webgpu, host = newHost, warmUps = 1, compress = true }) {
  const measured = contenders.map((contender, i) => ({ ...contender, page: `cold-${i}.html`, runs: [] }));
  for (const { page, script } of measured) writeFileSync(`${site}/${page}`, html(timed(script, input)));
  // Waits until the browser has nothing left to do with opening the tab.
  writeFileSync(`${site}/empty.html`, html('setTimeout(() => location.replace(location.hash.slice(1)), 500);'));

  const server = await serve(folders);
  const browser = await launchUnwatched({ webgpu });
  try {
    // The first rounds warm the browser and the server up.
    for (let round = 0; round < warmUps + rounds; round++) {
      for (let turn = 0; turn < measured.length; turn++) {
        const contender = measured[(turn + round) % measured.length];
        const run = await answered(contender.name, coldStart(browser, server.url, contender.page, host(round, turn)));
        if (!isRight(run.outputs)) throw new Error(`${contender.name}: wrong outputs ${run.outputs}`);
        if (round >= warmUps) contender.runs.push(run);
      }
    }
  } finally {
    await browser.close();
    await server.stop();
  }
  for (const contender of measured) contender.files = contender.runs[0].files.map((file) => weigh(folders, file, compress));
  return { measured, version: browser.version };
}

function newHost(round, turn) {
  return `round-${round}-${turn}`;
}

/** The medians of a contender's two times. */
export function coldMedians({ runs }) {
  return COLD_TIMES.map(({ time }) => median(runs.map(time)));
}

async function coldStart(browser, address, page, host) {
  const url = new URL(`empty.html#${page}`, address);
  url.hostname = `${host}.localhost`;
  const run = await browser.titleOf(url.href);
  if (run.error) throw new Error(run.error);
  await pause(200);
  return run;
}

function html(script) {
  return `<!doctype html>\n<meta charset="utf-8">\n<title>cold start</title>\n<script type="module">\n${script}\n</script>\n`;
}

function timed(script, input) {
  return `
const input = ${input};
try {${script}
  const time = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 50)); // the list of requests is filled by then
  const requests = performance.getEntriesByType('resource');
  const [start] = requests.map((request) => request.startTime).sort((a, b) => a - b);
  const files = requests.map((request) => new URL(request.name).pathname.slice(1));
  const [importing, imported] = ['importing', 'imported'].map((mark) => performance.getEntriesByName(mark)[0]?.startTime);
  document.title = JSON.stringify({ time, start, importing, imported, files, outputs: [...data] });
} catch (error) {
  document.title = JSON.stringify({ error: String(error) });
}`;
}

const compressed = new Map();

/** A file's bytes, plain and, where asked for, after brotli. */
function weigh(folders, name, compress) {
  const path = folders.map((folder) => `${folder}/${name}`).find((path) => existsSync(path));
  const bytes = readFileSync(path);
  if (!compress) return { name, raw: bytes.length };
  if (!compressed.has(path)) compressed.set(path, brotliCompressSync(bytes).length);
  return { name, raw: bytes.length, brotli: compressed.get(path) };
}
