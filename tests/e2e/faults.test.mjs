// When the package itself fails, or a part of it is missing: the error says so, and it can be loaded again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TOLERANCE, assertRefused, inBrowser, openPage } from './support.mjs';

inBrowser('the package itself is incomplete', { webgpu: false }, (context) => missingParts(context));

inBrowser('the GPU\'s part of the package is incomplete', { webgpu: true }, (context) => missingGpu(context));

inBrowser('a fault in the engine, on the CPU', { webgpu: false }, (context) => faults(context, 'cpu'));
inBrowser('a fault in the engine, on the GPU', { webgpu: true }, (context) => faults(context, 'gpu'));

function missingParts(context) {
  const html = { contentType: 'text/html', body: '<!doctype html>' };
  const failures = {
    'is not there': (route) => route.fulfill({ status: 404, body: 'not found' }),
    'cannot be reached': (route) => route.abort('connectionrefused'),
    'is a web page instead': (route) => route.fulfill(html),
    'is damaged': async (route) => route.fulfill({ contentType: 'application/wasm', body: '\0asm\x01\0\0\0garbage' }),
  };
  for (const part of ['engine-relaxed.wasm', 'formats.wasm', 'formats.js']) {
    for (const [failure, handler] of Object.entries(failures)) {
      test(`${part} ${failure}`, async () => {
        const page = await openPage(context);
        await page.route(`**/${part}`, handler);
        const error = await page.evaluate(() => caught(() => load('dress.h5')));
        assertRefused(error, 'network', new RegExp(`${part.replace('.', '\\.')}.*must lie beside`));
        // As soon as it is there, all is well.
        await page.unroute(`**/${part}`);
        const { distance } = await page.evaluate(() => check('dress.h5', 'dress.io.npz'));
        assert.ok(distance <= TOLERANCE);
        await page.close();
      });
    }
  }
}

function missingGpu(context) {
  for (const part of ['gpu.js', 'gpu.wasm']) {
    test(`${part} is not there`, async () => {
      const page = await openPage(context);
      await page.route(`**/${part}`, (route) => route.fulfill({ status: 404, body: 'not found' }));
      const error = await page.evaluate(() => caught(() => load('dress.h5', { device: 'gpu' })));
      assertRefused(error, 'network', new RegExp(`${part.replace('.', '\\.')}.*must lie beside`));
      const onCpu = await page.evaluate(() => check('dress.h5', 'dress.io.npz'));
      assert.ok(onCpu.distance <= TOLERANCE);
      await page.unroute(`**/${part}`);
      const { distance, device } = await page.evaluate(() => check('dress.h5', 'dress.io.npz', { device: 'gpu' }));
      assert.deepEqual([device, distance <= TOLERANCE], ['gpu', true]);
      await page.close();
    });
  }
}

function faults(context, device) {
  /** Runs `act` on a page of its own, where `trap(model)` ends the engine in a trap and resolves to the error. */
  async function onFreshPage(act) {
    const page = await openPage(context);
    await page.evaluate(() => (globalThis.trap = (model) => caught(async () => load(lyingContainer(await model.save('safetensors'))))));
    const found = await page.evaluate(act, device);
    await page.close();
    return found;
  }

  test('is an internal error, after which models can be loaded again', async () => {
    const found = await onFreshPage(async (device) => {
      const found = [];
      for (let i = 0; i < 3; i++) {
        found.push(await trap(await load('dress.h5', { device })));
        found.push((await check('dress.h5', 'dress.io.npz', { device })).distance);
      }
      return found;
    });
    for (let i = 0; i < found.length; i += 2) {
      assertRefused(found[i], 'internal', /nearside failed.*load the model again/);
      assert.ok(found[i + 1] <= TOLERANCE);
    }
  });

  test('makes models loaded before it say so, and leaves those loaded since alone', async () => {
    const found = await onFreshPage(async (device) => {
      const [failed, bystander] = [await load('dress.h5', { device }), await load('rank3.h5', { device })];
      await trap(failed);
      const arrays = readNpz(await bytes('dress.io.npz'));
      const since = await load('dress.h5', { device });
      const errors = [
        await caught(() => failed.predict(new Float32Array(20))),
        await caught(() => bystander.predict(new Float32Array(6))),
        await caught(() => bystander.predictSync(new Float32Array(6))),
        await caught(() => bystander.summary()),
        await caught(() => bystander.save('safetensors')),
      ];
      const before = distance(await since.predict(given(arrays)), arrays);
      failed.dispose();
      bystander.dispose();
      const after = [distance(await since.predict(given(arrays)), arrays), distance(since.predictSync(given(arrays)), arrays)];
      since.dispose();
      return { errors, distances: [before, ...after, (await check('dress.h5', 'dress.io.npz', { device })).distance] };
    });
    for (const error of found.errors) assertRefused(error, 'internal', /load the model again/);
    assert.ok(Math.max(...found.distances) <= TOLERANCE, `${found.distances}`);
  });

  test('ends what is in flight, which never waits for ever', async () => {
    const found = await onFreshPage(async (device) => {
      const arrays = readNpz(await bytes('dress.io.npz'));
      const [failing, other] = [await load('dress.h5', { device }), await load('dress.h5', { device })];
      const inFlight = [1, 2, 3].map(() => other.predict(given(arrays)).then((answer) => distance(answer, arrays), ({ kind }) => kind));
      const [fault, ...ends] = await Promise.all([trap(failing), ...inFlight]);
      return { fault, ends };
    });
    assertRefused(found.fault, 'internal', /load the model again/);
    for (const end of found.ends) assert.ok(end === 'internal' || end <= TOLERANCE, `${end}`);
  });

  test('in the reader of other formats is a damaged file, and nothing else is touched', async () => {
    const found = await onFreshPage(async (device) => {
      const arrays = readNpz(await bytes('dress.io.npz'));
      const model = await load('dress.h5', { device });
      const file = await bytes('dress.h5');
      const error = await caught(() => load(lying(file), { device }));
      return { error, distances: [distance(await model.predict(given(arrays)), arrays), (await check('dress.h5', 'dress.io.npz', { device })).distance] };
    });
    assertRefused(found.error, 'format', /damaged in a way that stopped the reader/);
    assert.ok(Math.max(...found.distances) <= TOLERANCE);
  });

  if (device === 'cpu') return;

  test('a browser whose WebGPU throws ends in an error, and the CPU goes on', async () => {
    const found = await onFreshPage(async (device) => {
      const arrays = readNpz(await bytes('dress.io.npz'));
      const model = await load('dress.h5', { device });
      const { submit } = GPUQueue.prototype;
      GPUQueue.prototype.submit = () => { throw new Error('provoked'); };
      const error = await caught(() => model.predict(given(arrays)));
      const onCpu = distance(await model.predict(given(arrays), { device: 'cpu' }), arrays);
      GPUQueue.prototype.submit = submit;
      return { error, distances: [onCpu, distance(await model.predict(given(arrays)), arrays)] };
    });
    assertRefused(found.error, 'device', /the GPU's module failed: .*provoked/);
    assert.ok(Math.max(...found.distances) <= TOLERANCE);
  });
}
