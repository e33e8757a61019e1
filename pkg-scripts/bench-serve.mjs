// Load: requests a second and their times at 1, 8 and 64 callers at once, with batches and without, in a service worker, on the
// CPU and on WebGPU, and over HTTP from `nearside serve`; and what happens beyond the queue's bound.
// node bench-serve.mjs [--seconds N] [--rounds N] [--out FOLDER]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { commandLine, describeMachine } from './benchmark/options.mjs';
import { drive } from './benchmark/page/drive.mjs';
import { digits, median } from './benchmark/statistics.mjs';
import { launch } from './browser.mjs';
import { serve } from './serve.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    out: { type: 'string', default: 'docs' },
  },
});
const milliseconds = 1000 * Number(values.seconds);
const rounds = Number(values.rounds);

const MODEL = 'mnist_784_128_128_10.h5';
const CALLERS = [1, 8, 64];
/** How requests are gathered. */
const BATCHING = { 'one by one': { maxBatchSize: 1 }, 'in batches': {} };

const PLACES = [
  { title: 'Service worker, CPU', open: (batching) => inBrowser('cpu', batching) },
  { title: 'Service worker, WebGPU', open: (batching) => inBrowser('gpu', batching) },
  { title: '`nearside serve`, HTTP, JSON', open: (batching) => overHttp(batching, false) },
  { title: '`nearside serve`, HTTP, binary', open: (batching) => overHttp(batching, true) },
];

const folder = mkdtempSync(join(tmpdir(), 'nearside-bench-'));
const machine = await describeMachine();
const server = await serve([folder, 'pkg', 'pkg-scripts/benchmark/page', 'tests/fixtures'], 0, { 'service-worker-allowed': '/' });
const browser = await launch({ webgpu: true });
let report = `# The service, measured

${new Date().toISOString().slice(0, 10)}, ${machine.processor}, ${machine.cores} cores, Chromium ${browser.version()}, Node ${process.versions.node}: \`${commandLine('bench:serve')}\`.
784 → 128 → 128 → 10, a sample a request, no two inputs alike. Medians of ${rounds} rounds of ${values.seconds} s; callers and service share the
cores, and WebGPU computes on them, too. "Computing" is what the model alone took of a request's time, as the service's
statistics have it.
`;
try {
  for (const place of PLACES) report += await compare(place);
  report += await overload();
} finally {
  await browser.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
mkdirSync(values.out, { recursive: true });
writeFileSync(`${values.out}/bench-serve.md`, report);
console.log(report);

async function compare({ title, open }) {
  const rows = [];
  const contenders = [];
  for (const [name, batching] of Object.entries(BATCHING)) contenders.push({ name, ...(await open(batching)) });
  for (const callers of CALLERS) {
    const measured = contenders.map((contender) => ({ contender, runs: [] }));
    for (let round = 0; round < rounds; round++) {
      for (const { contender, runs } of measured) runs.push(await measure(contender, callers));
    }
    const of = (runs, part) => median(runs.map((run) => run[part]));
    const [alone] = measured;
    for (const { contender, runs } of measured) {
      const gain = of(runs, 'rate') / of(alone.runs, 'rate');
      const computing = of(alone.runs, 'computing') / of(runs, 'computing');
      rows.push([callers, contender.name, digits(of(runs, 'rate')), ...(contender.name === alone.contender.name ? [''] : [`${gain.toFixed(2)}×`]), digits(of(runs, 'p50')), digits(of(runs, 'p99')), of(runs, 'batch').toFixed(1), `${digits(1000 * of(runs, 'computing'))}${contender.name === alone.contender.name ? '' : ` (${computing.toFixed(1)}×)`}`]);
    }
  }
  for (const { close } of contenders) await close();
  const header = ['callers', '', 'requests/s', 'gain', 'p50, ms', 'p99, ms', 'mean batch', 'computing, µs a request'];
  const table = [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
  console.log(title, '\n', table);
  return `\n## ${title}\n\n${table}\n`;
}

/** Asks for a while, and looks at what the statistics say of it. */
async function measure({ ask, statistics }, callers) {
  const before = await statistics();
  const { rate, p50, p99, failed } = await ask(callers);
  if (failed) throw new Error(`${failed} requests failed`);
  const after = await statistics();
  const samples = after.samples - before.samples;
  return { rate, p50, p99, batch: samples / (after.batches - before.batches), computing: (after.compute.total - before.compute.total) / samples };
}

async function inBrowser(device, batching) {
  // A context of its own, so that each has its service worker.
  const context = await browser.newContext();
  const page = await context.newPage();
  const script = `sw-${device}-${batching.maxBatchSize ?? 'all'}.js`;
  const models = { mnist: { source: `/${MODEL}`, options: { device }, ...batching } };
  writeFileSync(join(folder, script), `import { serve } from '/service-worker.js';\nserve(${JSON.stringify({ models })});\n`);
  await page.route(`${server.url}empty.html`, (route) => route.fulfill({ contentType: 'text/html', body: '' }));
  await page.goto(`${server.url}empty.html`);
  await page.evaluate(async (script) => {
    const { registerService } = await import('/client.js');
    const { drive } = await import('/drive.mjs');
    Object.assign(globalThis, { drive, service: await registerService(script, { scope: '/' }) });
  }, `/${script}`);
  return {
    ask: (callers) => page.evaluate(([callers, milliseconds]) => drive(callers, milliseconds, (body) => fetch('/v2/models/mnist/infer', { method: 'POST', body }).then((response) => response.arrayBuffer().then(() => response.status))), [callers, milliseconds]),
    statistics: () => page.evaluate(async () => (await (await fetch('/v2/models/mnist/stats')).json()).model_stats[0].nearside),
    close: () => context.close(),
  };
}

async function overHttp({ maxBatchSize }, binary, more = []) {
  const batching = maxBatchSize === undefined ? [] : ['--max-batch-size', String(maxBatchSize)];
  const child = spawn(process.execPath, ['pkg/cli/main.js', 'serve', `mnist=tests/fixtures/${MODEL}`, '--port', '0', '--device', 'cpu', ...batching, ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await once(child.stdout, 'data');
  const { port } = new URL(/http:\S+/.exec(said)[0]);
  const agent = new Agent({ keepAlive: true, maxSockets: 128 });
  const send = (method, path, body = '', headers = {}) =>
    new Promise((resolve, reject) => {
      const length = { 'content-length': String(body.length) };
      const sent = request({ port, method, path, agent, headers: { ...headers, ...length } }, (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part)).on('end', () => resolve({ status: response.statusCode, headers: response.headers, text: () => Buffer.concat(parts).toString() }));
      });
      sent.once('error', reject).end(body);
    });
  return {
    send,
    ask: (callers) => drive(callers, milliseconds, (body, header) => send('POST', '/v2/models/mnist/infer', body, header).then(({ status }) => status), binary),
    statistics: async () => JSON.parse((await send('GET', '/v2/models/mnist/stats')).text()).model_stats[0].nearside,
    close: async () => {
      agent.destroy();
      child.kill();
      await once(child, 'exit');
    },
  };
}

/** Asks more at once than may wait. */
async function overload() {
  const { send, statistics, close } = await overHttp({}, false, ['--max-queue', '32', '--max-delay', '20']);
  const ids = Array.from({ length: 512 }, (_, i) => String(i));
  const pixels = Array.from({ length: 784 }, (_, i) => (i % 29) / 29);
  const ask = (id) => send('POST', '/v2/models/mnist/infer', JSON.stringify({ id, inputs: [{ name: 'input_layer', shape: [1, 784], datatype: 'FP32', data: pixels }] }));
  const count = { answered: 0, refused: 0, retryAfter: 0, rounds: 0 };
  const seen = new Map();
  let waiting = ids;
  while (waiting.length) {
    count.rounds++;
    const answers = await Promise.all(waiting.map(async (id) => [id, await ask(id)]));
    const again = [];
    for (const [id, { status, headers, text }] of answers) {
      if (status === 200) {
        if (JSON.parse(text()).id !== id) throw new Error('an answer of another request');
        seen.set(id, (seen.get(id) ?? 0) + 1);
        count.answered++;
      } else if (status === 503) {
        count.refused++;
        count.retryAfter += headers['retry-after'] !== undefined;
        again.push(id);
      } else throw new Error(`${status}: ${text()}`);
    }
    waiting = again;
  }
  const after = await statistics();
  await close();
  if (after.samples !== ids.length || [...seen.values()].some((times) => times !== 1)) throw new Error('a request was lost, or computed twice');
  return `\n## Beyond the queue's bound\n\n512 requests at once to \`nearside serve --max-queue 32\`, each asked again where it was refused: ${count.answered} answered once each, ${count.refused} refusals with 503, ${count.retryAfter} of them with Retry-After, ${count.rounds} rounds until the last; ${after.samples} samples computed.\n`;
}
