// The package as users install it: `npm pack`, then `npm install` of the tarball, in Node, by a bundler and by TypeScript.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { serve } from '../../pkg-scripts/serve.mjs';
import { TOLERANCE, assertRefused, fixtures, inBrowser, installPackage } from './support.mjs';

const FIXTURES = resolve('tests/fixtures');
let project, installed, packed, remove;

before(() => {
  ({ project, installed, packed, remove } = installPackage());
  for (const file of ['keras.mjs', 'in-node.mjs']) copyFileSync(`tests/e2e/${file}`, join(project, file));
});
after(() => remove());

/** Runs in-node.mjs in the project, in a process of its own, which must end by itself. */
async function inNode(...args) {
  const { stdout } = await promisify(execFile)(process.execPath, ['in-node.mjs', ...args], { cwd: project, timeout: 60_000 });
  return JSON.parse(stdout);
}

/** Declarations of the service, and of who asks it. */
const SERVICE = [
  ...['client', 'connect', 'expose', 'frame', 'register', 'remove'].map((name) => `client/${name}`),
  ...['access', 'audit', 'audit-file', 'backup', 'indexed-db', 'models', 'policy', 'rate', 'scheduler', 'scopes', 'service', 'statistics', 'store', 'tokens'].map((name) => `service/${name}`),
  'engine-worker/engine-worker',
  'service-worker/service-worker',
];

test('the tarball holds what is needed and nothing else', () => {
  const own = ['callbacks', 'data', 'device', 'errors', 'fit', 'input', 'layers', 'model', 'nearside', 'seal/header', 'seal/keys', 'seal/seal', 'source', 'tensor', ...SERVICE];
  const types = own.map((name) => `types/${name}.d.ts`);
  const scripts = ['browser-gpu-trainer', 'browser-trainer', 'browser-worker', 'cli/main', 'client', 'data', 'formats', 'gpu', 'nearside', 'node', 'node-service', 'node-trainer', 'node-worker', 'pool', 'seal', 'service', 'service-worker', 'train', 'worker', 'workerd', 'workerd-service'];
  const compiled = ['engine', 'engine-relaxed', 'formats', 'gpu', 'train', 'train-gpu', 'train-relaxed'];
  const modules = [...scripts.map((name) => `${name}.js`), ...compiled.map((name) => `${name}.wasm`)];
  assert.deepEqual(packed, ['LICENSE-APACHE', 'LICENSE-MIT', 'LICENSES-BUNDLED.txt', 'README.md', ...modules, 'package.json', ...types].sort());
  const { exports, dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  const targets = Object.values(exports).flatMap((target) => Object.values(typeof target === 'string' ? [target] : target));
  for (const target of targets) assert.ok(existsSync(join(installed, target)), target);
  assert.equal(dependencies, undefined);
});

test('in Node every model gives the answers that Keras gave', async () => {
  const all = fixtures();
  const files = all.map(({ file, recorded }) => [join(FIXTURES, file), join(FIXTURES, recorded)]);
  const distances = await inNode('distances', JSON.stringify(files));
  assert.equal(distances.length, all.length);
  distances.forEach((distance, i) => assert.ok(distance <= all[i].tolerance, `${all[i].file}: ${distance}`));
});

test('in Node a model comes from a path, an address or bytes', async () => {
  copyFileSync(join(FIXTURES, 'dress.h5'), join(project, 'with space #1.h5'));
  const { url, stop } = await serve([FIXTURES]);
  const found = await inNode('sources', join(FIXTURES, 'dress.h5'), url);
  await stop();
  const names = ['relative path', 'absolute path', 'file address', 'file URL', 'address', 'URL', 'Buffer', 'Uint8Array', 'ArrayBuffer', 'Blob', 'Response'];
  assert.deepEqual(Object.keys(found), names);
  for (const [name, distance] of Object.entries(found)) assert.ok(distance <= TOLERANCE, `${name}: ${distance}`);
});

test('in Node workers compute, which do not keep it alive', async () => {
  const { device, same } = await inNode('threads', join(FIXTURES, 'mnist_784_128_128_10.h5'));
  assert.equal(device.threads, 2);
  assert.match(device.reason, /large batches in 2 threads, that share memory/);
  assert.ok(same);
});

test('in Node the files beside a path or a file address are read, and a missing one is named', async () => {
  const { distances, missing } = await inNode('several', FIXTURES);
  assert.equal(Object.keys(distances).length, 5);
  for (const [name, distance] of Object.entries(distances)) assert.ok(distance <= TOLERANCE, `${name}: ${distance}`);
  assertRefused(missing, 'network', /weights-1of4\.bin could not be read.*ENOENT/);
});

test('in Node errors have their kind, and the package works on', async () => {
  const { device, errors, distance } = await inNode('failures', join(FIXTURES, 'dress.h5'));
  assert.equal(device.kind, 'cpu');
  assert.match(device.reason, /no WebGPU/);
  assert.equal(device.simd, 'simd128');
  assertRefused(errors.path, 'network', /nowhere\.h5 could not be read.*ENOENT/, { url: 'nowhere.h5' });
  assertRefused(errors.file, 'network', /nowhere\.h5 could not be read.*ENOENT/, { url: 'file:///nowhere.h5' });
  assertRefused(errors.folder, 'network', /could not be read/);
  assertRefused(errors.empty, 'network', /could not be read/);
  assertRefused(errors.address, 'network', /could not be fetched/);
  assertRefused(errors.gpu, 'device', /no WebGPU.*CPU/);
  assertRefused(errors.laterGpu, 'device', /no WebGPU.*CPU/);
  assertRefused(errors.bytes, 'format', /not a model file/);
  assertRefused(errors.integrity, 'integrity', /not the one expected/);
  assertRefused(errors.aborted, 'aborted', /aborted/);
  assertRefused(errors.fault, 'internal', /load the model again/);
  assert.ok(distance <= TOLERANCE);
});

test('CommonJS imports it', () => {
  const script = `import('nearside').then(async ({ load }) => console.log((await load(process.argv[2])).name))`;
  writeFileSync(join(project, 'common.cjs'), script);
  const name = execFileSync(process.execPath, ['common.cjs', join(FIXTURES, 'dress.h5')], { cwd: project, encoding: 'utf8' });
  assert.equal(name, 'dress\n');
});

/** What a bundler's user writes. */
const APP = `
import { load } from 'nearside';
import { distance, given, readNpz } from './keras.mjs';
const arrays = readNpz(new Uint8Array(await (await fetch('dress.io.npz')).arrayBuffer()));
const model = await load('dress.h5');
document.title = String(distance(await model.predict(given(arrays)), arrays));
document.documentElement.dataset.state = 'done';
`;

inBrowser('esbuild', { webgpu: false, folders: [] }, (context) => {
  for (const splitting of [false, true]) {
    test(`bundles it ${splitting ? 'in parts' : 'into one file'}`, async (t) => {
      const outdir = join(project, splitting ? 'parts' : 'one');
      writeFileSync(join(project, 'app.js'), APP);
      const options = { bundle: true, splitting, format: 'esm', target: 'es2022', outdir, logLevel: 'silent' };
      const { errors, warnings } = await build({ ...options, absWorkingDir: project, entryPoints: ['app.js'] });
      assert.deepEqual([errors, warnings], [[], []]);
      assert.doesNotMatch(readFileSync(join(outdir, 'app.js'), 'utf8'), /node:/);
      // esbuild does not follow new URL('engine.wasm', import.meta.url): the README has them copied.
      for (const file of ['engine.wasm', 'engine-relaxed.wasm', 'formats.wasm', 'gpu.wasm']) copyFileSync(join(installed, file), join(outdir, file));
      writeFileSync(join(outdir, 'index.html'), '<!doctype html><link rel="icon" href="data:,"><script type="module" src="app.js"></script>');
      const { url, stop } = await serve([outdir, FIXTURES]);
      t.after(stop);
      const page = await context.browser.newPage();
      page.on('pageerror', (error) => t.diagnostic(String(error)));
      await page.goto(url);
      await page.locator('[data-state=done]').waitFor({ state: 'attached', timeout: 10_000 });
      assert.ok(Number(await page.title()) <= TOLERANCE);
      await page.close();
    });
  }
});

/** Projects that users have: in a browser by a bundler, and in Node. None may have to skip the check of libraries. */
const PROJECTS = {
  bundler: { module: 'esnext', moduleResolution: 'bundler', lib: ['es2022', 'dom', 'dom.iterable'], types: [] },
  'node16, with the types of the DOM': { module: 'node16', moduleResolution: 'node16', lib: ['es2022', 'dom', 'dom.iterable'], types: [] },
  'node16, with the types of Node': { module: 'node16', moduleResolution: 'node16', lib: ['es2022'], types: ['node'] },
};

for (const [name, compilerOptions] of Object.entries(PROJECTS)) {
  test(`TypeScript, ${name}: right uses compile, wrong ones do not`, () => {
    const folder = join(project, 'types');
    mkdirSync(folder, { recursive: true });
    for (const file of readdirSync('tests/e2e/types')) copyFileSync(`tests/e2e/types/${file}`, join(folder, file));
    // Frames are of browsers alone.
    const exclude = compilerOptions.lib.includes('dom') ? [] : ['client.ts'];
    const typeRoots = [resolve('node_modules/@types')];
    const strict = { target: 'es2022', strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...strict, ...compilerOptions, typeRoots }, exclude }));
    assert.equal(tsc('-p', folder), '');
  });
}

function tsc(...args) {
  try {
    return execFileSync(resolve('node_modules/.bin/tsc'), args, { encoding: 'utf8' });
  } catch ({ stdout }) {
    return stdout;
  }
}

test('the types hold nothing private, and document every export', () => {
  const folder = join(installed, 'types');
  const reached = new Set();
  const reach = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    const text = readFileSync(join(folder, file), 'utf8');
    assert.doesNotMatch(text, /generated|__wbg|@internal|\bEngine\b/, file);
    for (const [, name] of text.matchAll(/from '(\.[^']+)\.js'/g)) reach(join(dirname(file), `${name}.d.ts`));
    for (const [, before, name] of text.matchAll(/(.*)\nexport (?:declare )?(?:class|function|interface|type|const) (\w+)/g)) {
      assert.match(before, /\*\/$/, `${file}: ${name} has no comment`);
    }
    // Methods; fields are named for what they hold.
    for (const [, before, name] of text.matchAll(/(.*)\n {4}(?!constructor)(?:get )?(\w+)[(<]/g)) assert.match(before, /\*\/$/, `${file}: ${name} has no comment`);
  };
  const { exports } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const { types } of Object.values(exports)) if (types) reach(relative('types', types));
  const there = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.d.ts'));
  assert.deepEqual([...reached].sort(), there.sort());
});
