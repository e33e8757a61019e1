// How files and modules come in: from where, how often, watched, stopped and checked.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { TOLERANCE, answer, assertRefused, inBrowser, openPage } from './support.mjs';

const DRESS = readFileSync('tests/fixtures/dress.h5');

inBrowser('loading', { webgpu: false }, (context) => {
  const evaluate = (act, argument) => context.page.evaluate(act, argument);

  test('every source gives the same model', async () => {
    const found = await evaluate(async () => {
      const arrays = readNpz(await bytes('dress.io.npz'));
      const file = await bytes('dress.h5');
      const sources = {
        string: 'dress.h5',
        address: new URL('dress.h5', document.baseURI).href,
        URL: new URL('dress.h5', document.baseURI),
        Response: await fetch('dress.h5'),
        'Response made here': new Response(file),
        Blob: new Blob([file]),
        File: new File([file], 'anything.txt'),
        'object URL': URL.createObjectURL(new Blob([file])),
        ArrayBuffer: file.buffer,
        Uint8Array: file,
        'part of a buffer': new Uint8Array([1, 2, 3, ...file, 4]).subarray(3, 3 + file.length),
      };
      const found = {};
      for (const [name, source] of Object.entries(sources)) found[name] = distance(await (await load(source)).predict(given(arrays)), arrays);
      return found;
    });
    assert.equal(Object.keys(found).length, 11);
    for (const [name, distance] of Object.entries(found)) assert.ok(distance <= TOLERANCE, `${name}: ${distance}`);
  });

  test('the reader of other formats is fetched when a file needs it, once', async () => {
    const page = await openPage(context);
    const saved = await evaluate(async () => Array.from(await (await load('dress.h5')).save('safetensors')));
    await page.route('**/model.safetensors', (route) => route.fulfill({ body: Buffer.from(saved) }));
    const since = () => page.requests.splice(0).sort();
    assert.deepEqual(since(), ['keras.mjs', 'nearside.js', 'page.html'], 'importing the package fetches nothing else');
    await page.evaluate(() => load('model.safetensors'));
    assert.deepEqual(since(), ['engine-relaxed.wasm', 'model.safetensors'], 'a container needs the engine alone');
    await page.evaluate(() => load('dress.h5'));
    assert.deepEqual(since(), ['dress.h5', 'formats.js', 'formats.wasm']);
    await page.evaluate(() => Promise.all([load('dress.h5'), load('rank3.h5')]));
    assert.deepEqual(since(), ['dress.h5', 'rank3.h5']);
    await page.close();
  });

  test('predictions fetch nothing', async () => {
    await evaluate(async () => (globalThis.model = await load('dress.h5')));
    context.page.requests.length = 0;
    await evaluate(async () => void (await model.predict(new Float32Array(40), { batchSize: 1 }), model.predictSync(new Float32Array(20)), await model.save('safetensors')));
    assert.deepEqual(context.page.requests, []);
  });

  test('onProgress counts up to the size of the file', async () => {
    const { size, events } = await evaluate(async () => {
      const events = [];
      await load('deep300.h5', { onProgress: (progress) => events.push(progress) });
      return { size: (await bytes('deep300.h5')).length, events };
    });
    assert.ok(events.length > 0);
    assert.deepEqual(events.at(-1), { loaded: size, total: size });
    events.reduce((before, { loaded, total }) => (assert.ok(loaded > before && total === size), loaded), 0);
  });

  test('onProgress does not take the length of a compressed answer for that of the file', async (t) => {
    const url = await answer(t, (request, response) => {
      const body = gzipSync(DRESS);
      // Without leave, the page of another origin sees the length but not that it is compressed.
      const leave = request.url === '/seen' ? { 'access-control-expose-headers': 'content-encoding' } : {};
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': body.length, ...leave }).end(body);
    });
    for (const name of ['seen', 'hidden']) {
      const last = await evaluate(async (url) => {
        let last;
        await load(url, { onProgress: (progress) => (last = progress) });
        return last;
      }, url + name);
      assert.deepEqual(last, { loaded: DRESS.length, total: 0 }, name);
    }
  });

  test('what onProgress throws reaches the caller as it is', async () => {
    const error = await evaluate(() => caught(() => load('dress.h5', { onProgress: () => { throw new RangeError('mine'); } })));
    assert.deepEqual([error.name, error.message], ['RangeError', 'mine']);
  });

  test('a signal aborted before stops everything', async () => {
    context.page.requests.length = 0;
    const errors = await evaluate(async () => {
      const signal = AbortSignal.abort();
      const model = await load('dress.h5');
      return [
        await caught(() => load('rank3.h5', { signal })),
        await caught(() => load(new Blob([]), { signal })),
        await caught(() => model.predict(new Float32Array(20), { signal })),
      ];
    });
    for (const error of errors) assertRefused(error, 'aborted', /aborted/);
    assert.ok(!context.page.requests.includes('rank3.h5'));
  });

  test('a signal aborted during the download ends it', async (t) => {
    let closed;
    const ended = new Promise((resolve) => (closed = resolve));
    const url = await answer(t, (request, response) => {
      response.writeHead(200, { 'content-length': DRESS.length });
      response.write(DRESS.subarray(0, 1000)); // and no more
      response.on('close', closed);
    });
    const error = await evaluate(async (url) => {
      const controller = new AbortController();
      return caught(() => load(url, { signal: controller.signal, onProgress: () => controller.abort() }));
    }, url);
    assertRefused(error, 'aborted', /aborted/);
    await ended;
  });

  test('a signal aborted between two batches ends the prediction', async () => {
    const error = await evaluate(async () => {
      const controller = new AbortController();
      const model = await load('dress.h5');
      const prediction = caught(() => model.predict(new Float32Array(20 * 1000), { batchSize: 1, signal: controller.signal }));
      controller.abort();
      return prediction;
    });
    assertRefused(error, 'aborted', /aborted/);
  });

  test('integrity admits the file it describes, and no other', async () => {
    const hash = (algorithm, bytes = DRESS) => `${algorithm}-${createHash(algorithm).update(bytes).digest('base64')}`;
    const other = (algorithm) => hash(algorithm, Buffer.from('another file'));
    const refusal = (integrity, source = 'dress.h5') =>
      evaluate(async ({ integrity, source }) => caught(async () => load(source ?? (await bytes('dress.h5')), { integrity })), { integrity, source });
    for (const algorithm of ['sha256', 'sha384', 'sha512']) {
      assert.equal(await refusal(hash(algorithm)), null, algorithm);
      assertRefused(await refusal(other(algorithm)), 'integrity', new RegExp(`${algorithm}-`));
    }
    assert.equal(await refusal(hash('sha384'), null), null, 'of bytes');
    assertRefused(await refusal(other('sha384'), null), 'integrity', /not the one expected/);
    assert.equal(await refusal(`${other('sha384')} ${hash('sha384')}`), null, 'one of several');
    assert.equal(await refusal(` ${other('sha256')}\n${hash('sha512')} `), null, 'the strongest counts');
    assertRefused(await refusal(`${hash('sha256')} ${other('sha512')}`), 'integrity', /not the one expected/);
    assert.equal(await refusal(`${hash('sha384')}?option`), null, 'with an option');
    for (const malformed of ['', 'sha384', 'md5-rL0Y20zC+Fzt72VPzMSk2A==', hash('sha384').replace('-', '_'), 'sha384-%%%']) {
      assertRefused(await refusal(malformed), 'value', /sha384-BASE64/);
    }
  });

  test('integrity is checked before a file is parsed', async () => {
    const error = await evaluate(() => caught(() => load('dress.io.npz', { integrity: `sha256-${btoa('0'.repeat(32))}` })));
    assertRefused(error, 'integrity', /not the one expected/);
  });

  test('requestInit reaches the server', async (t) => {
    let method, header;
    const url = await answer(t, (request, response) => {
      ({ method } = request);
      header = request.headers['x-key'];
      response.writeHead(200, { 'access-control-allow-headers': 'x-key' }).end(method === 'OPTIONS' ? '' : DRESS);
    });
    await evaluate((url) => load(url, { requestInit: { headers: { 'x-key': 'open' } } }), url);
    assert.deepEqual([method, header], ['GET', 'open']);
  });

  test('a server that does not know .wasm is good enough', async () => {
    const page = await openPage(context);
    await page.route('**/*.wasm', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, headers: { 'content-type': 'application/octet-stream' } });
    });
    const { distance } = await page.evaluate(() => check('dress.h5', 'dress.io.npz'));
    assert.ok(distance <= TOLERANCE);
    await page.close();
  });
});
