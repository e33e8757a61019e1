// The page's tab of the service: a service worker that answers on the device, what it shows, and what leaves the device.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import sirv from 'sirv';
import * as nearside from '../../pkg/node.js';
import { verifyAudit } from '../../pkg/service.js';
import { inBrowser } from './support.mjs';

const SCREENSHOTS = 'target/e2e';
const DIGITS = 'tests/fixtures/mnist_784_128_128_10.h5';
mkdirSync(SCREENSHOTS, { recursive: true });

inBrowser('the page that serves', { webgpu: false, folders: ['target/site'] }, (context) => {
  test('opens by its address and by keyboard, and installs nothing by itself', async (t) => {
    const { page, server } = await open(t, context, '');
    assert.ok(!server.asked.includes('/service/service.js'), 'the tab was fetched before it was opened');
    await page.focus('#tab-predict');
    await page.keyboard.press('End');
    await page.locator('#tab-service[aria-selected=true]:focus').waitFor();
    await state(page, 'idle');
    assert.equal(new URL(page.url()).hash, '#service');
    assert.deepEqual(await kept(page), { workers: 0, caches: [], databases: [] });
    await page.reload();
    await state(page, 'idle');
    assert.deepEqual(await kept(page), { workers: 0, caches: [], databases: [] });
    assert.ok(await page.isHidden('#call-title'));
  });

  test('is used by keyboard alone', async (t) => {
    const { page } = await open(t, context);
    await page.focus('#tab-service');
    await page.keyboard.press('Tab'); // the protocol's address
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await state(page, 'running');
    const reached = [];
    await page.focus('#service-remove');
    for (let i = 0; i < 17; i++) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.tagName));
    }
    assert.deepEqual(reached, [
      'DIV', 'upload-name', 'upload-file', 'upload-own', 'service-model', 'Example call', 'service-copy', 'service-digit',
      'service-send', 'service-send-row', 'service-send-together', 'live-region', 'live-pause', 'audit-verify', 'audit-tamper', 'audit-download', 'SUMMARY',
    ]);
  });

  test('answers as the model does, by its buttons, by the code it shows, and to any fetch of the page', async (t) => {
    const { page } = await start(t, context);
    const model = await nearside.load(DIGITS);
    const images = readFileSync('target/site/samples.bin');
    const expected = async (i) => (await model.predict(Float32Array.from(images.subarray(i * 784, (i + 1) * 784), (byte) => byte / 255))).data;
    for (const i of [3, 7, 10]) {
      await page.selectOption('#service-digit', { index: i });
      await page.click('#service-send');
      const best = Array.from(await expected(i));
      await page.locator('#service-answer', { hasText: new RegExp(`^${best.indexOf(Math.max(...best))}, .*%, in`) }).waitFor();
      close(JSON.parse(await page.getAttribute('#service-answer', 'data-outputs')), best);
    }
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.click('#service-copy');
    await page.locator('#service-copied', { hasText: 'Copied' }).waitFor();
    const code = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(code, await page.innerText('#service-code'));
    const said = await page.evaluate(`(async () => { ${code}; return outputs[0].data; })()`); // as the console does
    close(said, (await model.predict(new Float32Array(784))).data);
    assert.deepEqual(await page.$$eval('#service-models tr', (rows) => rows.map((row) => row.innerText.split('\t'))), [
      ['mnist', '1', 'ready', 'CPU, relaxed-simd', 'up to 64', '118,282 parameters, 473\u202fKB'],
    ]);
  });

  test('lists requests as they are answered, and counts them', async (t) => {
    const { page } = await start(t, context, { expected: [/400/] });
    await page.click('#service-send');
    await page.locator('#live-requests tr').first().waitFor();
    const cells = await page.$$eval('#live-requests tr:first-child td', (cells) => cells.map((cell) => cell.textContent));
    assert.deepEqual(cells.slice(1, 5), ['mnist', 'infer', '1', '200']);
    assert.match(cells[0], /^\d\d:\d\d:\d\d$/);
    assert.match(cells[5], /(ms|µs)$/);
    await page.click('#service-send-row');
    await figure(page, 'Answered', '101');
    assert.equal(await page.locator('#live-requests tr').count(), 50);
    await page.click('#live-pause');
    await page.click('#service-send-together');
    await figure(page, 'Answered', '201');
    await page.locator('#live-count', { hasText: 'not shown while paused' }).waitFor();
    // What the service tells besides is as it is shown.
    const { nearside: report } = (await page.evaluate(async () => (await fetch('/v2/models/mnist/stats')).json())).model_stats[0];
    assert.equal(report.requests.success, 201);
    assert.equal(report.samples, 201);
    await figure(page, 'Batches', String(report.batches));
    const energy = await page.innerText('#statistics-facts div:last-child dd');
    assert.match(energy, /^about [\d.]+\u202fm?J: .* of computing × 15 W, which is assumed of the device$/);
    // A request that fails is one of them.
    await page.click('#live-pause');
    await page.evaluate(async () => {
      await fetch('/v2/models/mnist/infer', { method: 'POST', body: '{}' });
    });
    await page.locator('#live-requests tr[data-outcome="value"]', { hasText: '400' }).waitFor();
    await figure(page, 'Not answered', '1 failed');
  });

  test('verifies the log, names an entry that was changed in a copy, and gives it away', async (t) => {
    const { page } = await start(t, context);
    await page.click('#service-send-row');
    await page.locator('#service-answer', { hasText: '100 of 100' }).waitFor();
    await page.click('#audit-verify');
    await page.locator('#audit-result[data-sound=true]', { hasText: /^Sound: entries 1 to \d+ are complete and unchanged/ }).waitFor();
    await page.click('#audit-tamper');
    const said = await page.locator('#audit-result[data-sound=false]').innerText();
    const [, changed] = /In a copy, entry (\d+) now has 2 samples instead of 1/.exec(said);
    assert.match(said, new RegExp(`not sound: entry ${changed} is not the one that`));
    const [file] = await Promise.all([page.waitForEvent('download'), page.click('#audit-download')]);
    assert.equal(file.suggestedFilename(), 'nearside-audit.json');
    const log = JSON.parse(readFileSync(await file.path(), 'utf8'));
    const report = await verifyAudit(log);
    assert.ok(report.ok, JSON.stringify(report.faults));
    assert.equal(log.entries.filter(({ action, model, outcome }) => action === 'infer' && model === 'mnist' && outcome === 'ok').length, 100);
    await page.locator('#audit-entries', { hasText: String(log.entries.length) }).waitFor();
    await page.locator('#audit-head', { hasText: report.head.hash }).waitFor({ state: 'attached' });
  });

  test('sends nothing over the network once it is started, as the server says too', async (t) => {
    const { page, server } = await start(t, context);
    await page.locator('#privacy[data-count="0"]').waitFor();
    const before = server.asked.length;
    await page.click('#service-send-row');
    await page.locator('#service-answer', { hasText: 'one after the other' }).waitFor();
    await page.click('#service-send-together');
    await page.locator('#service-answer', { hasText: 'at once' }).waitFor();
    await page.click('#audit-verify');
    await page.locator('#audit-result').filter({ hasText: 'Sound' }).waitFor();
    await page.waitForFunction(() => Number(document.getElementById('privacy').dataset.served) > 200);
    assert.equal(await page.getAttribute('#privacy', 'data-count'), '0');
    assert.deepEqual(server.asked.slice(before), []);
    assert.ok(!server.asked.some((path) => path.startsWith('/v2')), 'the server was asked what the service answers');
    // Each file of the page is on the list.
    await page.click('#panel-service summary');
    const listed = await page.$$eval('#privacy-list tr', (rows) => rows.map((row) => row.cells[0].textContent));
    // All that the server was asked but the service worker's own script, which browsers fetch by themselves.
    const missing = server.asked.filter((path) => !listed.includes(path) && !['/sw.js', '/nearside/service-worker.js'].includes(path));
    assert.deepEqual(missing, []);
    // And the panel counts what does leave.
    await page.evaluate(() => fetch('data/digits-test.bin').then((response) => response.arrayBuffer()));
    await page.locator('#privacy[data-count="1"]', { hasText: 'digits-test.bin' }).waitFor();
  });

  test('is there again after a reload, and what it answers is no request of the Predict tab’s', async (t) => {
    const { page } = await start(t, context);
    await page.reload();
    await state(page, 'running');
    await page.click('#service-send');
    await page.locator('#service-answer', { hasText: /, in / }).waitFor();
    await page.locator('#privacy[data-count="0"]').waitFor();
    await page.click('#tab-predict');
    await page.evaluate(() => fetch('/v2/models/mnist/stats').then((response) => response.json()));
    await page.evaluate(() => fetch('icon.svg')); // which is one
    await page.locator('#requests-names', { hasText: 'icon.svg' }).waitFor();
    assert.doesNotMatch(await page.innerText('#requests-names'), /infer|stats/);
    // What was asked before the reload is in the log still.
    await page.click('#tab-service');
    await page.click('#audit-verify');
    await page.locator('#audit-result[data-sound=true]').waitFor();
  });

  test('loads and answers with the server stopped, in every tab', async (t) => {
    const { page, server } = await start(t, context, { expected: [/ERR_CONNECTION_REFUSED/, /Failed to fetch/] });
    await server.stop();
    await page.reload();
    await page.locator('html[data-state="ready"]').waitFor({ state: 'attached' });
    await state(page, 'running');
    await page.click('#service-send');
    await page.locator('#service-answer', { hasText: /%, in / }).waitFor();
    await page.locator('#privacy[data-count="0"]').waitFor();
    await page.locator('#privacy-list tr', { hasText: /page\.js.*no network/ }).waitFor({ state: 'attached' });
    await page.click('#tab-predict');
    await page.click('#samples button');
    await page.locator('#truth', { hasText: 'labelled' }).waitFor();
    await page.click('#tab-train');
    await page.locator('#panel-train[data-state=idle]').waitFor();
    await page.setInputFiles('#csv-file', { name: 'line.csv', mimeType: 'text/csv', buffer: Buffer.from(`x,y\n${Array.from({ length: 60 }, (_, i) => `${i},${2 * i + 1}`).join('\n')}`) });
    await page.fill('#epochs', '2');
    await page.click('#train-start');
    await page.locator('#panel-train[data-state=trained]').waitFor();
  });

  test('is removed without a trace, and can be started again', async (t) => {
    const { page } = await start(t, context);
    await page.click('#service-send');
    await page.locator('#service-answer', { hasText: /%, in / }).waitFor();
    const there = await kept(page);
    assert.equal(there.workers, 1);
    assert.equal(there.caches.length, 1);
    assert.equal(there.databases.length, 1);
    await page.click('#service-remove');
    await page.locator('#service-state', { hasText: 'was removed' }).waitFor();
    await state(page, 'idle');
    assert.deepEqual(await kept(page), { workers: 0, caches: [], databases: [] });
    assert.equal(await page.evaluate(() => navigator.serviceWorker.controller), null);
    await page.click('#service-start');
    await state(page, 'running');
    await page.click('#service-send');
    await page.locator('#service-answer', { hasText: /%, in / }).waitFor();
    await figure(page, 'Answered', '1');
  });

  test('serves a model of the user: a file, and the one that the page has', async (t) => {
    const { page } = await start(t, context, { expected: [/400/] });
    await page.click('#upload-own');
    await page.locator('#error[data-kind="value"]:visible', { hasText: 'Predict tab has no model of yours' }).waitFor();
    await page.setInputFiles('#upload-file', 'tests/fixtures/functional_100_64_10.h5');
    await page.locator('#upload-state', { hasText: 'functional_100_64_10 is served' }).waitFor();
    assert.equal(await page.inputValue('#service-model'), 'functional_100_64_10');
    assert.match(await page.innerText('#service-code'), /models\/functional_100_64_10\/infer.*shape: \[1, 100\]/s);
    await page.click('#service-send'); // random numbers
    await page.locator('#service-answer', { hasText: /, in / }).waitFor();
    await figure(page, 'Answered', '1');
    await page.setInputFiles('#upload-file', { name: 'broken.h5', mimeType: '', buffer: readFileSync(DIGITS).subarray(0, 5000) });
    await page.locator('#error[data-kind="format"]:visible', { hasText: 'truncated' }).waitFor();

    await page.click('#tab-predict');
    await page.setInputFiles('#file', DIGITS);
    await page.locator('html[data-model="own-digits"]').waitFor();
    await page.click('#tab-service');
    await page.fill('#upload-name', 'mine');
    await page.click('#upload-own');
    await page.locator('#upload-state', { hasText: 'mine is served' }).waitFor();
    await page.click('#service-send');
    await page.locator('#service-answer', { hasText: /%, in / }).waitFor();
    // They are kept.
    await page.reload();
    await state(page, 'running');
    await page.selectOption('#service-model', 'mine');
    await page.locator('#service-code', { hasText: 'models/mine/infer' }).waitFor();
    await page.click('#service-send');
    await page.locator('#service-answer', { hasText: /%, in / }).waitFor();
  });

  test('says why it cannot be started, and starts when it can', async (t) => {
    const { page, server } = await open(t, context, '#service', { expected: [/404/] });
    server.missing = '/models/mnist_784_128_128_10.h5';
    await page.click('#service-start');
    await page.locator('#service-errors #error[data-kind="network"]:visible', { hasText: /could not be installed/ }).waitFor();
    await state(page, 'idle');
    server.missing = '/sw.js';
    await page.click('#service-start');
    await page.locator('#service-errors #error[data-kind="network"]:visible', { hasText: /could not be registered/ }).waitFor();
    server.missing = '';
    await page.click('#service-start');
    await state(page, 'running');
    await page.locator('#error').waitFor({ state: 'hidden' });
  });

  test('says that this browser has no service workers', async (t) => {
    const { page } = await open(t, context, '#service', { before: (page) => page.addInitScript(() => delete Navigator.prototype.serviceWorker) });
    await page.click('#service-start');
    await page.locator('#service-errors #error[data-kind="unsupported"]:visible', { hasText: /no service workers here/ }).waitFor();
    await state(page, 'idle');
  });

  test('says that the service was removed from outside, and starts it anew', async (t) => {
    const { page } = await start(t, context);
    const browser = await page.context().newCDPSession(page);
    await browser.send('Storage.clearDataForOrigin', { origin: new URL(page.url()).origin, storageTypes: 'service_workers,cache_storage,indexeddb' });
    await page.waitForFunction(() => navigator.serviceWorker.controller === null);
    await page.click('#service-send');
    await page.locator('#call-errors #error[data-kind="network"]:visible', { hasText: /was removed/ }).waitFor();
    await state(page, 'stopped');
    await page.click('#service-start');
    await state(page, 'running');
    await page.click('#service-send');
    await page.locator('#service-answer', { hasText: /%, in / }).waitFor();
  });

  test('fits every width', async (t) => {
    const { page } = await start(t, context);
    await busy(page);
    await page.click('#panel-service summary');
    for (const width of [320, 360, 600, 768, 1024, 1280, 1920]) {
      await page.setViewportSize({ width, height: 800 });
      await page.waitForFunction(() => document.documentElement.scrollWidth <= innerWidth, undefined, { timeout: 5000 }).catch(() => assert.fail(`at ${width} pixels the page is too wide`));
    }
  });

  test('can be looked at', async (t) => {
    for (const width of [360, 1280]) for (const colorScheme of ['light', 'dark']) {
      const { page } = await start(t, context, { options: { colorScheme, viewport: { width, height: 900 } } });
      await busy(page);
      await page.screenshot({ path: `${SCREENSHOTS}/service-${colorScheme}-${width}.png`, fullPage: true });
    }
  });
});

/** A server of the site that remembers what it was asked. */
async function serveSite() {
  const files = sirv('target/site', { dev: true, etag: true });
  const site = { asked: [], missing: '' };
  const server = createServer((request, response) => {
    const [path] = request.url.split('?');
    site.asked.push(path);
    const none = () => response.writeHead(404).end('not found');
    if (path === site.missing) none();
    else files(request, response, none);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  site.url = `http://localhost:${server.address().port}/`;
  site.stop = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)));
  return site;
}

/** The page, at this part of it. At the end of the test it has logged no error but those expected, and broken no policy. */
async function open(t, { browser }, at = '#service', { expected = [], options = {}, before } = {}) {
  const server = await serveSite();
  const page = await browser.newPage(options);
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && faults.push(`${message.text()} ${message.location().url}`));
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
  });
  await before?.(page);
  t.after(async () => {
    faults.push(...(await page.evaluate(() => violations)));
    await page.context().close();
    await server.stop();
    assert.deepEqual(faults.filter((fault) => !expected.some((pattern) => pattern.test(fault))), []);
  });
  await page.goto(server.url + at);
  await page.locator('html[data-state="ready"]').waitFor({ state: 'attached' });
  if (at) await state(page, 'idle');
  return { page, server };
}

/** The same, with the service running. */
async function start(t, context, how) {
  const opened = await open(t, context, '#service', how);
  await opened.page.click('#service-start');
  await state(opened.page, 'running');
  return opened;
}

function state(page, name) {
  return page.locator(`#panel-service[data-state=${name}]`).waitFor({ state: 'attached' });
}

function figure(page, term, text) {
  return page.locator('#statistics-figures div', { has: page.locator(`dt:text-is("${term}")`) }).locator(`dd:text-is("${text}")`).waitFor();
}

/** What the site has left in the browser. */
function kept(page) {
  return page.evaluate(async () => ({
    workers: (await navigator.serviceWorker.getRegistrations()).length,
    caches: (await caches.keys()).filter((name) => name.startsWith('nearside http')),
    databases: (await indexedDB.databases()).map(({ name }) => name),
  }));
}

function close(actual, expected) {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6, `${value} instead of ${expected[i]}`));
}

/** The tab with everything in it. */
async function busy(page) {
  await page.click('#service-send-row');
  await page.locator('#service-answer', { hasText: 'one after the other' }).waitFor();
  await page.click('#audit-verify');
  await page.locator('#audit-result[data-sound]').waitFor();
  await page.click('#service-send');
  await page.locator('#service-answer', { hasText: /%, in / }).waitFor();
  await figure(page, 'Answered', '101');
}
