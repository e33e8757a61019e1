// What the browser tests share: a browser, a server, a page that holds the package.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { launch } from '../../pkg-scripts/browser.mjs';
import { serve } from '../../pkg-scripts/serve.mjs';

/** What `npm test` uses and no bundler made: the package as it is published, these tests' own files, and the fixtures. */
const FOLDERS = ['tests/e2e', 'pkg', 'tests/fixtures'];

/** Error allowed of a value, in proportion to it or to 1 where it is smaller. */
export const TOLERANCE = 1e-5;

/** A browser for the tests of this file, closed after them. One that should have WebGPU and has none is an error. */
export async function openBrowser({ webgpu }) {
  const browser = await launch({ webgpu });
  after(() => browser.close());
  const page = await browser.newPage();
  // Answered by Playwright: there is no server yet, and WebGPU needs a secure context.
  await page.route('http://localhost/', (route) => route.fulfill({ contentType: 'text/html', body: '' }));
  await page.goto('http://localhost/');
  const adapter = await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter()));
  await page.close();
  if (adapter !== webgpu) {
    const advice = webgpu
      ? 'these tests need a WebGPU adapter, and Chromium brings a software one: --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader'
      : 'it has a WebGPU adapter where these tests need one that has none';
    throw new Error(`${browser.browserType().name()} ${browser.version()}, ${process.env.CHROMIUM}: ${advice}`);
  }
  return browser;
}

/** Serves folders for the tests of this file. */
export async function openServer(folders = FOLDERS) {
  const { url, stop } = await serve(folders);
  after(stop);
  return url;
}

/** A page that holds the package's exports and page.html's helpers as globals. Nothing may go wrong on it unnoticed. */
export async function openPage(browser, url) {
  const page = await browser.newPage();
  page.faults = [];
  page.requests = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('request', (request) => page.requests.push(new URL(request.url()).pathname.slice(1)));
  await page.goto(`${url}page.html`);
  await page.locator('[data-state=ready]').waitFor({ state: 'attached' });
  return page;
}

/** Holds what `caught` gave to the contract: a NearsideError of this kind, whose message and context say where. */
export function assertRefused(error, kind, message, context = {}) {
  assert.ok(error, 'nothing was thrown');
  assert.ok(error.ours && error.name === 'NearsideError', `not a NearsideError: ${error.name}: ${error.message}`);
  assert.equal(error.kind, kind, error.message);
  assert.match(error.message, message);
  for (const [name, value] of Object.entries(context)) assert.deepEqual(error.context[name], value, error.message);
}
