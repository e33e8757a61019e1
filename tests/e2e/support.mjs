// What the browser tests share: a browser, a server, a page that holds the package.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, afterEach, before, describe } from 'node:test';
import { launch } from '../../pkg-scripts/browser.mjs';
import { serve } from '../../pkg-scripts/serve.mjs';

/** Error allowed of a value, in proportion to it or to 1 where it is smaller. */
export const TOLERANCE = 1e-5;

/** The package as it is published, what these tests need, and the fixtures. */
const FOLDERS = ['pkg', 'tests/e2e', 'tests/fixtures'];

/**
 * A suite that shares one browser, with or without WebGPU, and one server. `tests` gets an object that holds them and,
 * unless other folders are served, a page with the package and page.html's helpers as globals.
 */
export function inBrowser(name, { webgpu, folders = FOLDERS, headers }, tests) {
  describe(name, () => {
    const context = {};
    let server;
    before(async () => {
      context.browser = await openBrowser(webgpu);
      server = await serve(folders, 0, headers);
      context.url = server.url;
      if (folders === FOLDERS) context.page = await openPage(context);
    });
    after(async () => {
      await context.browser?.close();
      await server?.stop();
    });
    // An error that no promise delivers is one that no caller can catch.
    afterEach(() => assert.deepEqual(context.page?.faults.splice(0) ?? [], []));
    tests(context);
  });
}

/** Starts a browser. One that should have WebGPU and has none is an error, for it must not pass. */
async function openBrowser(webgpu) {
  const browser = await launch({ webgpu });
  const page = await browser.newPage();
  // Answered by Playwright: there is no server yet, and WebGPU needs a secure context.
  await page.route('http://localhost/', (route) => route.fulfill({ contentType: 'text/html', body: '' }));
  await page.goto('http://localhost/');
  const adapter = await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter()));
  await page.close();
  if (adapter === webgpu) return browser;
  await browser.close();
  const problem = webgpu
    ? 'has no WebGPU adapter; Chromium brings one in software: --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader'
    : 'has a WebGPU adapter, and these tests are about a machine without';
  throw new Error(`${process.env.CHROMIUM}, version ${browser.version()}, ${problem}`);
}

/** A page that records its uncaught errors and its requests. */
export async function openPage({ browser, url }, file = 'page.html') {
  const page = await browser.newPage();
  page.faults = [];
  page.requests = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('request', (request) => page.requests.push(new URL(request.url()).pathname.slice(1)));
  await page.goto(url + file);
  await page.locator('[data-state=ready]').waitFor({ state: 'attached' });
  return page;
}

/** A server on another origin, which the page may read, for the test `t`. Its address. */
export async function answer(t, handler) {
  const server = createServer((request, response) => {
    response.setHeader('access-control-allow-origin', '*');
    handler(request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))));
  return `http://localhost:${server.address().port}/`;
}

/** Holds what `caught` gave to the contract: a NearsideError of this kind, whose message and context say where. */
export function assertRefused(error, kind, message, context = {}) {
  assert.ok(error, 'nothing was thrown');
  assert.ok(error.ours && error.name === 'NearsideError', `not a NearsideError: ${error.name}: ${error.message}`);
  assert.equal(error.kind, kind, error.message);
  assert.match(error.message, message);
  for (const [name, value] of Object.entries(context)) assert.deepEqual(error.context[name], value, error.message);
}

/** A project that has installed the package as its users do, from the tarball. `remove` deletes it. */
export function installPackage() {
  const project = mkdtempSync(join(tmpdir(), 'nearside-'));
  const [tarball] = JSON.parse(npm('.', 'pack', './pkg', '--json', '--pack-destination', project));
  writeFileSync(join(project, 'package.json'), '{ "name": "user", "private": true, "type": "module" }');
  npm(project, 'install', '--offline', '--no-audit', '--no-fund', `./${basename(tarball.filename)}`);
  return {
    project,
    installed: join(project, 'node_modules/nearside'),
    /** Files of the tarball. */
    packed: tarball.files.map(({ path }) => path).sort(),
    remove: () => rmSync(project, { recursive: true, force: true }),
  };
}

function npm(cwd, ...args) {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Every model file that Keras's answers are recorded for, and the name of the record. */
export function fixtures() {
  const names = new Set(readdirSync('tests/fixtures', { recursive: true }));
  return [...names].sort().flatMap((file) => {
    const stem = file.replace(/\.(h5|keras)$|\/model\.json$/, '').replace('pytorch_style.onnx', 'pytorch_style');
    // Weights alone need their architecture.
    if (stem === file || stem.endsWith('.weights')) return [];
    // dress_latest.h5 is dress.h5 in another form.
    const candidates = [`${stem}.io.npz`, `${stem.split('_')[0]}.io.npz`, join(dirname(file), 'io.npz')];
    const recorded = candidates.find((name) => names.has(name));
    return recorded ? [{ file, recorded, tolerance: stem.endsWith('dress_f16') ? 2e-3 : TOLERANCE }] : [];
  });
}
