// Models as a service inside the browser: what the pages of a site are answered, and what leaves them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launchUnwatched, launchWithProfile } from '../../pkg-scripts/browser.mjs';
import { serve } from '../../pkg-scripts/serve.mjs';
import { dense, sequential } from '../../pkg/node.js';
import { verifyAudit } from '../../pkg/service.js';

const MNIST = 'mnist_784_128_128_10.h5';
/** What a site answers while its server is stopped. */
const OFFLINE = ['/service/page.html', '/service/page.js', '/client.js', '/nearside.js', '/keras.mjs'];

describe('a service worker', { timeout: 600_000 }, () => {
  let server, folder, profile, context, page;
  /** Paths that the server was asked for. */
  const asked = [];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nearside-site-'));
    copyFileSync(`tests/fixtures/${MNIST}`, join(folder, 'model.h5'));
    profile = mkdtempSync(join(tmpdir(), 'nearside-profile-'));
    await startServer();
    await startBrowser();
  });
  after(async () => {
    await context?.close();
    await server?.stop();
    for (const path of [folder, profile]) rmSync(path, { recursive: true, force: true });
  });

  async function startServer(port = 0) {
    const headers = { 'service-worker-allowed': '/' };
    server = await serve([folder, 'pkg', 'tests/e2e', 'tests/fixtures'], port, headers, ({ url }) => asked.push(url));
  }

  async function startBrowser() {
    context = await launchWithProfile(profile);
    page = await openPage();
  }

  async function openPage() {
    const opened = await context.newPage();
    opened.faults = [];
    opened.on('pageerror', (error) => opened.faults.push(String(error)));
    await opened.goto(`${server.url}service/page.html`);
    await opened.locator('[data-state=ready]').waitFor({ state: 'attached' });
    return opened;
  }

  /** Writes the site's service worker. */
  function script(name, options) {
    writeFileSync(join(folder, name), `import { serve } from '/service-worker.js';\nserve(${JSON.stringify(options)});\n`);
  }

  /** Stops all service workers of the browser. */
  async function stopWorkers() {
    const session = await context.newCDPSession(page);
    await session.send('ServiceWorker.enable');
    await session.send('ServiceWorker.stopAllWorkers');
    await session.detach();
  }

  const start = (name, options) => page.evaluate(([name, options]) => globalThis.start(name, options), [name, options]);

  test('answers what predict does, and no request of 1,000 leaves the page', async () => {
    script('sw.js', { models: { mnist: '/model.h5' }, offline: OFFLINE });
    const expected = await page.evaluate(async () => {
      globalThis.pixels = await images();
      const model = await load('/model.h5', { device: 'cpu', threads: 1 });
      globalThis.expected = Array.from({ length: 256 }, (_, row) => Array.from(model.predictSync(pixels.subarray(784 * row, 784 * (row + 1))).data));
      return expected.length;
    });
    assert.equal(expected, 256);
    await start('/sw.js');
    // The browser's own account, of the page and of its service worker.
    const network = await watchNetwork();
    asked.length = 0;
    const wrong = await page.evaluate(async () => {
      let wrong = 0;
      for (let i = 0; i < 1000; i++) {
        const row = i % 256;
        const answer = await infer(pixels.subarray(784 * row, 784 * (row + 1)));
        if (String(answer) !== String(expected[row])) wrong++;
      }
      return wrong;
    });
    assert.equal(wrong, 0);
    assert.deepEqual(asked, []);
    assert.equal(network.answered, 1000);
    assert.deepEqual(network.left, []);
    await network.stop();
  });

  /** Counts the page's requests: those that the service worker answered, and those that went to the network. */
  async function watchNetwork() {
    const found = { answered: 0, left: [] };
    const session = await context.newCDPSession(page);
    await session.send('Network.enable');
    session.on('Network.responseReceived', ({ response }) => {
      if (response.fromServiceWorker && response.serviceWorkerResponseSource !== 'network') found.answered++;
      else found.left.push(response.url);
    });
    session.on('Network.loadingFailed', ({ errorText }) => found.left.push(errorText));
    return Object.assign(found, { stop: () => session.detach() });
  }

  test('is stopped again and again during 1,000 requests, and all are answered right', async () => {
    asked.length = 0;
    const answers = page.evaluate(async () => {
      const times = [];
      let wrong = 0;
      for (let i = 0; i < 1000; i += 8) {
        const begun = performance.now();
        const rows = Array.from({ length: 8 }, (_, k) => (i + k) % 256);
        const answers = await Promise.all(rows.map((row) => infer(pixels.subarray(784 * row, 784 * (row + 1)), { ask: service.fetch })));
        answers.forEach((answer, k) => (wrong += String(answer) !== String(expected[rows[k]])));
        times.push(performance.now() - begun);
      }
      globalThis.finished = true;
      return { wrong, asked: 8 * times.length };
    });
    let stops = 0;
    while (!(await page.evaluate(() => globalThis.finished))) {
      await stopWorkers();
      await page.waitForTimeout(30); // so that some requests are answered between two
      stops++;
    }
    const { wrong, asked: requests } = await answers;
    assert.equal(requests, 1000);
    assert.equal(wrong, 0);
    assert.deepEqual(asked.filter((url) => url.startsWith('/v2')), []);
    assert.ok(stops >= 10, `it was stopped only ${stops} times`);
    console.log(`stopped ${stops} times during 1,000 requests, all answered right`);
  });

  test('is back after it was stopped', async () => {
    const times = [];
    for (let i = 0; i < 21; i++) {
      await stopWorkers();
      times.push(
        await page.evaluate(async () => {
          const begun = performance.now();
          await infer(pixels.subarray(0, 784));
          return performance.now() - begun;
        }),
      );
    }
    times.sort((a, b) => a - b);
    console.log(`from stopped to the first answer: median ${times[10].toFixed(0)} ms, ${times[0].toFixed(0)} to ${times[20].toFixed(0)}`);
  });

  test('answers without the server, and after the browser was started again', async () => {
    const { port } = new URL(server.url);
    await server.stop();
    const infers = () => page.evaluate(async () => String(await infer((globalThis.pixels ??= Float32Array.from({ length: 784 }, (_, i) => (i % 28) / 28)).subarray(0, 784))));
    const offline = await infers();
    assert.match(offline, /^[\d.e-]+(,[\d.e-]+){9}$/);
    const own = page;
    await context.close();
    await startBrowser(); // the page comes out of the cache
    assert.notEqual(page, own);
    assert.match(await infers(), /^[\d.e-]+(,[\d.e-]+){9}$/);
    await startServer(Number(port));
  });

  test('answers with the version before until the new one is ready', async () => {
    const small = sequential([dense(10, { activation: 'softmax', inputShape: [784] })], { seed: 1 });
    writeFileSync(join(folder, 'new.h5'), await small.save('h5'));
    const versions = { old: { source: '/model.h5' }, new: { source: '/new.h5', version: '2' } };
    const publish = (which) => script('updated.js', { models: { mnist: versions[which] } });
    publish('old');
    // Without a debugger, which would keep the browser from stopping the one before.
    const unwatched = await launchUnwatched();
    const site = await serve([folder, 'pkg', 'tests/e2e'], 0, {}, ({ url }) => url === '/publish' && publish('new'));
    try {
      await unwatched.titleOf(`${site.url}service/update.html?visit=1`);
      const { seen, failed, kept, error } = await unwatched.titleOf(`${site.url}service/update.html?visit=2`);
      assert.equal(error, undefined);
      assert.equal(failed, 0);
      assert.equal(seen[0], '1');
      assert.equal(seen.at(-1), '2');
      assert.deepEqual(seen, [...seen].sort());
      // What only the version before used is gone from the cache.
      assert.equal(kept.length, 1);
      assert.match(kept[0], /mnist\/2/);
    } finally {
      await unwatched.close();
      await site.stop();
    }
  });

  const version = (tab) => tab.evaluate(async () => (await (await fetch('/v2/models/mnist')).json()).versions[0]);

  test('a file that is not the one expected is refused before it is parsed, and the service before it goes on', async () => {
    page = await openPage();
    const digest = createHash('sha384').update(readFileSync(`tests/fixtures/${MNIST}`)).digest('base64');
    for (const [name, integrity, refusal] of [
      ['right.js', `sha384-${digest}`, null],
      ['wrong.js', `sha384-${digest.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))}`, /integrity: .*not the one expected/],
    ]) {
      script(name, { models: { mnist: { source: '/model.h5', version: '3', options: { integrity } } } });
      const error = await page.evaluate((name) => globalThis.start(`/${name}`).then(() => null, ({ name, kind, message }) => `${name} ${kind}: ${message}`), name);
      if (refusal) assert.match(error, refusal);
      else assert.equal(error, null);
      assert.equal(await version(page), '3');
    }
  });

  test('what is missing or no model is told to the page that registers it', async () => {
    for (const [source, refusal] of [['/none.h5', /network: .*404/], ['/page.html', /format|network/]]) {
      script('bad.js', { models: { broken: source } });
      const error = await page.evaluate(() => globalThis.start('/bad.js').then(() => null, ({ kind, message }) => `${kind}: ${message}`));
      assert.match(error, refusal);
      assert.match(error, /'broken'/);
    }
    const error = await page.evaluate(() => globalThis.start('/none.js').then(() => null, ({ kind, message }) => `${kind}: ${message}`));
    assert.match(error, /network: .*none\.js could not be registered/);
  });

  test('a large model stays open in one worker for all tabs, and goes on here when that ends', async () => {
    const large = sequential([dense(2048, { activation: 'relu', inputShape: [784] }), dense(2048, { activation: 'relu' }), dense(10, { activation: 'softmax' })], { seed: 1 });
    writeFileSync(join(folder, 'large.safetensors'), await large.save('safetensors'));
    script('large.js', { models: { large: '/large.safetensors' }, offline: OFFLINE });
    await start('/large.js');
    const other = await openPage();
    const [first, second] = await Promise.all([page, other].map((tab) => tab.evaluate(() => globalThis.start('/large.js'))).map(async (started, i) => {
      await started;
      return [page, other][i].evaluate(async () => infer(await images().then((all) => all.subarray(0, 784)), { model: 'large' }));
    }));
    assert.deepEqual(first, second);
    assert.equal((await workers()).length, 1);
    // A service worker that comes back finds the model where it was.
    await stopWorkers();
    assert.deepEqual(await page.evaluate(async () => infer((await images()).subarray(0, 784), { model: 'large' })), first);
    // The worker ends with the tabs that have it: a page without one is still answered.
    await other.close();
    const only = await context.newPage();
    await only.goto(`${server.url}service/page.html`);
    await page.close();
    page = only;
    await page.locator('[data-state=ready]').waitFor({ state: 'attached' });
    const alone = await page.evaluate(async () => infer((await images()).subarray(0, 784), { model: 'large' }));
    assert.deepEqual(alone, first);
  });

  /** The shared workers that there are. */
  async function workers() {
    const session = await context.browser()?.newBrowserCDPSession() ?? await context.newCDPSession(page);
    const { targetInfos } = await session.send('Target.getTargets');
    return targetInfos.filter(({ type }) => type === 'shared_worker');
  }

  test('asks nobody but the service: other addresses and pages without a service are refused', async () => {
    const refused = await page.evaluate(async () => {
      await globalThis.start('/large.js');
      const kinds = [];
      for (const address of ['/other', 'http://127.0.0.1:9/v2/models', '/v2x']) kinds.push(await service.fetch(address).then(() => null, ({ kind }) => kind));
      return kinds;
    });
    assert.deepEqual(refused, ['value', 'value', 'value']);
    // Reloaded past the service worker, a page is served again before anything is asked.
    asked.length = 0;
    const session = await context.newCDPSession(page);
    await session.send('Page.enable');
    await Promise.all([page.waitForEvent('load'), session.send('Page.reload', { ignoreCache: true })]);
    await page.locator('[data-state=ready]').waitFor({ state: 'attached' });
    await start('/large.js');
    const answer = await page.evaluate(async () => infer((await images()).subarray(0, 784), { model: 'large', ask: service.fetch }));
    assert.equal(answer.length, 10);
    assert.deepEqual(asked.filter((url) => url.startsWith('/v2')), []);
    assert.deepEqual(page.faults ?? [], []);
  });

  test('the log tells who asked what, however often the service worker was stopped', async () => {
    script('log.js', { models: { mnist: '/model.h5' }, policy: { grants: { self: ['infer', 'manage'] } } });
    await start('/log.js');
    for (let i = 0; i < 10; i++) {
      await page.evaluate(async () => infer((await images()).subarray(0, 784), { ask: service.fetch }));
      await page.evaluate(() => fetch('/v2/models/mnist/infer', { method: 'POST', body: 'nothing' }));
      if (i % 3 === 0) await stopWorkers();
    }
    const file = await page.evaluate(async () => (await service.fetch('/v2/audit')).json());
    const report = await verifyAudit(file);
    assert.deepEqual(report.faults, []);
    const infers = file.entries.filter(({ action, model }) => action === 'infer' && model === 'mnist');
    // What was answered in the moment before a stop may be missing, and nothing else.
    assert.ok(infers.length >= 16, `${infers.length} of 20 entries`);
    assert.deepEqual([...new Set(infers.map(({ outcome, status }) => `${outcome} ${status}`))].sort(), ['ok 200', 'value 400']);
    const edited = structuredClone(file);
    edited.entries[3].model = 'another';
    assert.equal((await verifyAudit(edited)).ok, false);
  });

  test("a site's page asks another's service in a frame, as far as it is granted", async () => {
    writeFileSync(join(folder, 'embedding.html'), '<!doctype html><title>A page of another site</title>');
    const others = await serve([folder, 'pkg'], 0);
    try {
      const listed = new URL(others.url).origin;
      script('embedded-sw.js', { models: { mnist: '/model.h5' }, policy: { grants: { [listed]: ['infer'] } } });
      const embedding = await context.newPage();
      await embedding.goto(`${listed}/embedding.html`);
      const told = encodeURIComponent(JSON.stringify({ script: '/embedded-sw.js', origins: [listed] }));
      const found = await embedding.evaluate(
        async ([address, origin]) => {
          const { connectService } = await import('/client.js');
          const frame = Object.assign(document.createElement('iframe'), { src: address });
          document.body.append(frame);
          const service = await connectService(frame, { origin });
          const body = JSON.stringify({ inputs: [{ name: 'input_layer', shape: [1, 784], datatype: 'FP32', data: Array(784).fill(0.5) }] });
          const asked = async (path, init) => {
            const response = await service.fetch(path, init);
            return [response.status, await response.json()];
          };
          return [await asked('/v2/models/mnist/infer', { method: 'POST', body }), await asked('/v2/audit'), await asked('/v2/repository/models/mnist/unload', { method: 'POST' })];
        },
        [`${server.url}service/embedded.html#${told}`, new URL(server.url).origin],
      );
      assert.equal(found[0][0], 200);
      assert.equal(found[0][1].outputs[0].data.length, 10);
      for (const [status, { kind, error }] of found.slice(1)) {
        assert.deepEqual([status, kind], [403, 'denied']);
        assert.match(error, new RegExp(listed));
      }
      await embedding.close();
    } finally {
      await others.stop();
    }
  });
});
