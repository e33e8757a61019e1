// One handler in every runtime, from the tarball: each is asked the same, and must answer the same.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { distance, readNpz } from './keras.mjs';
import { ask } from './runtimes/requests.mjs';
import { TOLERANCE, answer, inBrowser, installPackage } from './support.mjs';

const FILES = { 'mnist.h5': 'mnist_784_128_128_10.h5', 'branches.h5': 'branches.h5', 'mnist.npz': 'mnist_784_128_128_10.io.npz', 'branches.npz': 'branches.io.npz' };

let project, folder, remove, recorded, keras;

before(() => {
  ({ project, remove } = installPackage());
  folder = join(project, 'service');
  mkdirSync(folder);
  copyFileSync('tests/e2e/keras.mjs', join(project, 'keras.mjs'));
  for (const file of readdirSync('tests/e2e/runtimes')) copyFileSync(`tests/e2e/runtimes/${file}`, join(folder, file));
  for (const [name, file] of Object.entries(FILES)) copyFileSync(`tests/fixtures/${file}`, join(folder, name));
  recorded = { mnist: readFileSync(join(folder, 'mnist.npz')), branches: readFileSync(join(folder, 'branches.npz')) };
  keras = { mnist: readNpz(recorded.mnist), branches: readNpz(recorded.branches) };
});
after(() => remove());

/** What each runtime answered, by its name. */
const answered = {};

test('in Node', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['node.mjs'], { cwd: folder, timeout: 60_000, maxBuffer: 1e9 });
  answered['Node'] = JSON.parse(stdout);
});

test('in Node, by nearside serve', (t) =>
  askServer(t, 'nearside serve', [join(project, 'node_modules/.bin/nearside'), 'serve', 'mnist.h5', 'branches.h5', '--port', '0']));

test('in Deno, which need not be allowed more than to read', (t) =>
  askServer(t, 'Deno', [resolve('node_modules/.bin/deno'), 'serve', '--no-prompt', '--allow-read', '--host', '127.0.0.1', '--port', '0', 'service.mjs']));

test('in Bun', (t) => askServer(t, 'Bun', [resolve('node_modules/.bin/bun'), '--port=0', 'service.mjs']));

/** Starts a server, which says where it listens, and asks it. */
async function askServer(t, runtime, [command, ...args]) {
  // A group: npm's command for a runtime may be a script that starts it.
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  t.after(() => process.kill(-child.pid, 'SIGKILL'));
  let said = '';
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`it ended with ${code}:\n${said}`)));
  ended.catch(() => undefined);
  const address = new Promise((resolve) => {
    const look = (text) => {
      said += text;
      const [, url] = /(http:\/\/[\w.:]+)[^]*\n/.exec(said) ?? [];
      if (url) resolve(url);
    };
    for (const output of [child.stdout, child.stderr]) output.on('data', look);
  });
  answered[runtime] = await Promise.race([address.then(askAt), ended]);
}

/** Asks the service at an address. What is not compressed says its length. */
function askAt(url) {
  return ask((path, init) => fetch(new URL(path, url), { ...init, headers: { 'accept-encoding': 'identity', ...init?.headers } }), recorded);
}

/** As wrangler bundles a worker: what is no JavaScript stays a module of its own. */
async function bundleWorker(entry, outfile) {
  const loader = { '.wasm': 'copy', '.h5': 'copy' };
  const options = { bundle: true, format: 'esm', target: 'es2022', conditions: ['workerd', 'worker', 'browser'], external: ['cloudflare:workers'], loader };
  const { warnings } = await build({ ...options, absWorkingDir: folder, entryPoints: [entry], outfile, logLevel: 'silent' });
  assert.deepEqual(warnings, []);
}

const RULES = [
  { type: 'CompiledWasm', include: ['**/*.wasm'] },
  { type: 'Data', include: ['**/*.h5'] },
  { type: 'ESModule', include: ['**/*.js', '**/*.mjs'] },
];

/** A worker in workerd, for the test `t`. */
function openWorker(t, scriptPath) {
  const miniflare = new Miniflare({ modules: true, modulesRoot: project, modulesRules: RULES, scriptPath: join(folder, scriptPath), compatibilityDate: '2026-01-01' });
  t.after(() => miniflare.dispose());
  return miniflare;
}

test('in workerd, bundled', async (t) => {
  await bundleWorker('workerd.mjs', 'bundled/worker.js');
  answered['workerd'] = await askAt(await openWorker(t, 'bundled/worker.js').ready);
});

test('in workerd, as files', async (t) => {
  writeFileSync(join(folder, 'files.mjs'), readFileSync(join(folder, 'workerd.mjs'), 'utf8').replace("'nearside/service'", "'../node_modules/nearside/workerd-service.js'"));
  answered['workerd, files'] = await askAt(await openWorker(t, 'files.mjs').ready);
});

test('in workerd a model that is fetched arrives, though the request that began it was answered before', async (t) => {
  const address = await answer(t, (_, response) => setTimeout(() => response.end(readFileSync(join(folder, 'branches.h5'))), 500));
  const script = `import { createService } from 'nearside/service';
    export default createService({ models: { branches: '${address}branches.h5' } });`;
  writeFileSync(join(folder, 'fetched.mjs'), script);
  await bundleWorker('fetched.mjs', 'fetched/worker.js');
  const url = await openWorker(t, 'fetched/worker.js').ready;
  assert.deepEqual(await (await fetch(new URL('v2/health/live', url))).json(), { live: true });
  const response = await fetch(new URL('v2/models/branches', url), { signal: AbortSignal.timeout(20_000) });
  assert.equal(response.status, 200, await response.text());
});

inBrowser('in Chromium, without a bundler', { webgpu: false }, (context) => {
  test('in a page', async () => {
    answered['page'] = await context.page.evaluate(async () => (await import('./runtimes/browser.mjs')).run());
  });

  test('in a worker', async () => {
    answered['worker'] = await context.page.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const worker = new Worker('runtimes/browser.mjs', { type: 'module' });
          worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
          worker.onerror = ({ message }) => reject(new Error(message));
        }),
    );
  });
});

test('all answer the same', (t) => {
  const runtimes = ['Node', 'nearside serve', 'Deno', 'Bun', 'workerd', 'workerd, files', 'page', 'worker'];
  assert.deepEqual(Object.keys(answered), runtimes);
  const names = Object.keys(answered['Node']);
  const rows = [['', ...runtimes]];
  for (const name of names) {
    const cells = runtimes.map((runtime) => compare(answered[runtime][name], answered['Node'][name], `${runtime}: ${name}`));
    rows.push([name, ...cells]);
  }
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  t.diagnostic(`status, and the distance from Keras's answers\n${rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i])).join('  ').trimEnd()).join('\n')}`);
});

/** Holds an answer to Node's, and its values to Keras's, too. What there is to say of it in the table. */
function compare(answer, expected, where) {
  assert.equal(answer.status, expected.status, `${where}: ${JSON.stringify(answer.json)}`);
  assert.deepEqual(answer.headers, expected.headers, where);
  assert.deepEqual(withoutEngine(answer.json), withoutEngine(expected.json), where);
  // An answer to HEAD says the length of one to GET, where the runtime lets it.
  if (answer.json !== '') assert.equal(answer.said, String(answer.length), where);
  if (!Object.keys(answer.values).length) return String(answer.status);
  const { model_name: model, outputs } = answer.json;
  const rows = outputs[0].shape[0];
  const tensors = Object.fromEntries(outputs.map(({ name, shape }) => [name, { shape, data: answer.values[name] }]));
  const record = Object.fromEntries(
    Object.entries(keras[model]).map(([name, { data, shape }]) => [name, { data: data.subarray(0, (data.length / shape[0]) * rows), shape: [rows, ...shape.slice(1)] }]),
  );
  const off = distance(outputs.length === 1 ? tensors[outputs[0].name] : tensors, record);
  assert.ok(off <= TOLERANCE, `${where}: ${off} from Keras`);
  for (const [name, values] of Object.entries(answer.values)) {
    values.forEach((value, i) => assert.ok(Math.abs(value - expected.values[name][i]) <= TOLERANCE * Math.max(1, Math.abs(value)), `${where}: ${name}`));
  }
  return `${answer.status} ${off.toExponential(1)}`;
}

/** What is wrong with a JSON text, each JavaScript engine says in its own words. */
function withoutEngine(json) {
  return json?.error ? { ...json, error: json.error.replace(/(no JSON in UTF-8:).*/, '$1') } : json;
}
