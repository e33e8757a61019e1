// Models in several files, weights whose architecture is given, and formats asked for.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TOLERANCE, answer, assertRefused, inBrowser, openPage } from './support.mjs';

const CHAIN = 'tests/fixtures/tfjs/chain';
const SHARDS = [1, 2, 3, 4].map((i) => `weights-${i}of4.bin`);

inBrowser('a model in several files', { webgpu: false }, (context) => {
  const evaluate = (act, argument) => context.page.evaluate(act, argument);
  const distanceOf = (file, recorded, options) =>
    evaluate(async ([file, recorded, options]) => (await check(file, recorded, options)).distance, [file, recorded, options]);

  /** A server of the files in a folder, at `/deep/NAME`, which records what is asked of it. */
  async function folder(t, path, change = () => {}) {
    const asked = [];
    const url = await answer(t, (request, response) => {
      const { pathname, search } = new URL(request.url, 'http://localhost');
      response.setHeader('access-control-allow-headers', 'authorization, x-key');
      if (request.method === 'OPTIONS') return response.end();
      asked.push({ path: decodeURIComponent(pathname), search, ...request.headers });
      if (change(request, response)) return;
      const name = decodeURIComponent(pathname).replace('/deep/', '');
      try {
        const body = readFileSync(join(path, name));
        response.writeHead(200, { 'content-length': body.length }).end(body);
      } catch {
        response.writeHead(404).end('not found');
      }
    });
    return { url: `${url}deep/`, asked };
  }

  test('those beside an address are fetched, once, and with the engine and the reader nothing else', async () => {
    const page = await openPage(context);
    page.requests.length = 0;
    const { distance } = await page.evaluate(() => check('tfjs/chain/model.json', 'tfjs/chain.io.npz'));
    assert.ok(distance <= TOLERANCE, `${distance}`);
    const expected = ['engine-relaxed.wasm', 'formats.js', 'formats.wasm', 'tfjs/chain.io.npz', 'tfjs/chain/model.json', ...SHARDS.map((name) => `tfjs/chain/${name}`)];
    assert.deepEqual(page.requests.sort(), expected.sort());
    await page.close();
  });

  test('every model in several files gives the answers recorded for it', async () => {
    const files = {
      'tfjs/mixed/model.json': 'tfjs/mixed.io.npz',
      'tfjs/branches/model.json': 'tfjs/branches.io.npz',
      'tfjs/quantized_uint8/model.json': 'tfjs/quantized_uint8.io.npz',
      'tfjs/quantized_float16/model.json': 'tfjs/quantized_float16.io.npz',
      'tfjs/converted_keras3/model.json': 'dress.io.npz',
      'onnx_external/model.onnx': 'onnx_external.io.npz',
    };
    for (const [file, recorded] of Object.entries(files)) {
      const distance = await distanceOf(file, recorded);
      assert.ok(distance <= TOLERANCE, `${file}: ${distance}`);
    }
  });

  test('a Response has files beside it, too, but none that was made here', async () => {
    const [fetched, made, blob] = await evaluate(async () => {
      const blob = await (await fetch('tfjs/chain/model.json')).blob();
      return [
        await caught(async () => load(await fetch('tfjs/chain/model.json'))),
        await caught(async () => load(new Response(blob))),
        await caught(() => load(URL.createObjectURL(blob))),
      ];
    });
    assert.equal(fetched, null);
    for (const error of [made, blob]) assertRefused(error, 'format', /'weights-1of4\.bin', which is missing; give it as well/);
  });

  test('they lie beside where the address led at last, and get its query', async (t) => {
    const { url, asked } = await folder(t, CHAIN, (request, response) => {
      if (!request.url.startsWith('/start')) return false;
      return response.writeHead(302, { location: '/deep/model.json?v=3#x' }).end();
    });
    const distance = await distanceOf(`${new URL('/start', url)}`, 'tfjs/chain.io.npz');
    assert.ok(distance <= TOLERANCE);
    assert.deepEqual(asked.map(({ path, search }) => path + search), ['/start', '/deep/model.json?v=3', ...SHARDS.map((name) => `/deep/${name}?v=3`)]);
  });

  test('requestInit reaches each, but for what is meant for another origin', async (t) => {
    const { url, asked } = await folder(t, CHAIN);
    const requestInit = { headers: { 'x-key': 'open', authorization: 'secret' } };
    await evaluate(([url, requestInit]) => load(url, { requestInit }), [`${url}model.json`, requestInit]);
    assert.deepEqual(asked.map((request) => [request['x-key'], request.authorization]), Array(5).fill(['open', 'secret']));
    asked.length = 0;
    const elsewhere = await answer(t, (request, response) => {
      response.setHeader('access-control-allow-headers', 'authorization, x-key');
      response.writeHead(request.method === 'OPTIONS' ? 200 : 302, { location: `${url}model.json` }).end();
    });
    await evaluate(([url, requestInit]) => load(url, { requestInit }), [elsewhere, requestInit]);
    assert.deepEqual(asked.slice(1).map((request) => [request['x-key'], request.authorization]), Array(4).fill(['open', undefined]));
  });

  test('names are names, not addresses', async (t) => {
    const name = 'a b#c?d%2e%.bin';
    const json = readFileSync(`${CHAIN}/model.json`, 'utf8').replace(/\["weights-1.*?\]/, JSON.stringify([name]));
    const weights = Buffer.concat(SHARDS.map((shard) => readFileSync(`${CHAIN}/${shard}`)));
    const asked = [];
    const url = await answer(t, (request, response) => {
      asked.push(request.url);
      response.end(request.url.endsWith('model.json') ? json : weights);
    });
    assert.ok((await distanceOf(`${url}model.json`, 'tfjs/chain.io.npz')) <= TOLERANCE);
    assert.deepEqual(asked, ['/model.json', `/${encodeURIComponent(name)}`]);
  });

  test('names that lead elsewhere are never fetched', async (t) => {
    for (const name of ['../secret.bin', '/secret.bin', 'https://example.com/x.bin', '//example.com/x.bin', '.\t./x.bin', 'x/..', '']) {
      const json = readFileSync(`${CHAIN}/model.json`, 'utf8').replace('weights-2of4.bin', JSON.stringify(name).slice(1, -1));
      const asked = [];
      const url = await answer(t, (request, response) => (asked.push(request.url), response.end(json)));
      const error = await evaluate((url) => caught(() => load(url)), `${url}deep/model.json`);
      assertRefused(error, 'format', /does not lie in its folder/);
      assert.deepEqual(asked, ['/deep/model.json'], name);
    }
  });

  test('one that is not there is named, with its address', async (t) => {
    const { url } = await folder(t, CHAIN, (request, response) => request.url.includes('3of4') && response.writeHead(404).end());
    const error = await evaluate((url) => caught(() => load(url)), `${url}model.json`);
    assertRefused(error, 'network', /weights-3of4\.bin answered 404/, { url: `${url}weights-3of4.bin` });
  });

  test('one that is too short says so', async (t) => {
    const { url } = await folder(t, CHAIN, (request, response) => request.url.includes('4of4') && response.end('x'));
    assertRefused(await evaluate((url) => caught(() => load(url)), `${url}model.json`), 'format', /does not fit/);
  });

  test('onProgress counts all of them', async () => {
    const events = await evaluate(async () => {
      const events = [];
      await load('tfjs/chain/model.json', { onProgress: (progress) => events.push(progress) });
      return events;
    });
    const size = readdirSync(CHAIN).reduce((sum, name) => sum + readFileSync(join(CHAIN, name)).length, 0);
    assert.deepEqual(events.at(-1), { loaded: size, total: size });
    events.reduce((before, { loaded, total }) => (assert.ok(loaded > before && total >= loaded), loaded), 0);
  });

  test('onProgress tells once of what is here', async () => {
    const found = await evaluate(async () => {
      const file = await bytes('dress.h5');
      const found = [];
      for (const source of [file, file.buffer, new Blob([file]), { 'dress.h5': file, 'README': new Uint8Array(5) }]) {
        const events = [];
        await load(source, { onProgress: (progress) => events.push(progress) });
        found.push(events);
      }
      return { found, size: file.length };
    });
    const sizes = [found.size, found.size, found.size, found.size + 5];
    assert.deepEqual(found.found, sizes.map((size) => [{ loaded: size, total: size }]));
  });

  test('what onProgress throws reaches the caller as it is', async () => {
    const errors = await evaluate(async () => {
      let count = 0;
      const onProgress = () => { if (count++ > 1) throw new RangeError('mine'); };
      return [await caught(() => load('tfjs/chain/model.json', { onProgress }))];
    });
    for (const error of errors) assert.deepEqual([error.name, error.message], ['RangeError', 'mine']);
  });

  test('a signal ends them all', async (t) => {
    const ended = [];
    const { url } = await folder(t, CHAIN, (request, response) => {
      if (!request.url.endsWith('.bin')) return false;
      response.writeHead(200, { 'content-length': 70 }).write('x');
      ended.push(new Promise((resolve) => response.on('close', resolve)));
      return true;
    });
    const error = await evaluate(async (url) => {
      const controller = new AbortController();
      let files = 0;
      return caught(() => load(url, { signal: controller.signal, onProgress: () => { if (++files === 5) controller.abort(); } }));
    }, `${url}model.json`);
    assertRefused(error, 'aborted', /aborted/);
    assert.equal(ended.length, 4);
    await Promise.all(ended);
  });

  test('given by name, as bytes, Blobs, a list of files or a folder', async () => {
    const found = await evaluate(async (shards) => {
      const names = ['model.json', ...shards];
      const contents = await Promise.all(names.map((name) => bytes(`tfjs/chain/${name}`)));
      const named = (make) => Object.fromEntries(names.map((name, i) => [name, make(contents[i])]));
      const files = names.map((name, i) => new File([contents[i]], name));
      const transfer = new DataTransfer();
      for (const file of files) transfer.items.add(file);
      const inFolder = files.map((file) => {
        return Object.defineProperty(new File([file], file.name), 'webkitRelativePath', { value: `dropped/${file.name}` });
      });
      const sources = {
        bytes: named((content) => content),
        buffers: named((content) => content.buffer),
        blobs: named((content) => new Blob([content])),
        files,
        reversed: [...files].reverse(),
        FileList: transfer.files,
        folder: [...inFolder, new File(['# about'], 'README.md'), new File([], '.DS_Store')],
        'other folders': Object.fromEntries(names.map((name, i) => [i ? `weights/${name}` : `topology/${name}`, contents[i]])),
        'one file': { 'anything.json': await bytes('dress.h5') },
      };
      const found = {};
      for (const [name, source] of Object.entries(sources)) {
        const arrays = readNpz(await bytes(name === 'one file' ? 'dress.io.npz' : 'tfjs/chain.io.npz'));
        found[name] = distance(await (await load(source)).predict(given(arrays)), arrays);
      }
      return found;
    }, SHARDS);
    assert.equal(Object.keys(found).length, 9);
    for (const [name, distance] of Object.entries(found)) assert.ok(distance <= TOLERANCE, `${name}: ${distance}`);
  });

  test('given without one that is needed, or with two models', async () => {
    const [missing, two, none, text, nothing] = await evaluate(async () => {
      const [json, h5] = [await bytes('tfjs/chain/model.json'), await bytes('dress.h5')];
      return [
        await caught(() => load({ 'model.json': json })),
        await caught(() => load({ 'a.h5': h5, 'b.h5': h5 })),
        await caught(() => load([new File(['x'], 'a.txt'), new File(['y'], 'b.txt')])),
        await caught(() => load({ 'model.json': 'tfjs/chain/model.json' })),
        await caught(() => load([])),
      ];
    });
    assertRefused(missing, 'format', /'weights-1of4\.bin', which is missing; give it as well/);
    assertRefused(two, 'format', /'a\.h5' and 'b\.h5' are both models/);
    assertRefused(none, 'format', /none of the files is a model; 'a\.txt'/);
    for (const error of [text, nothing]) assertRefused(error, 'value', /the source is not an address.*by name/);
  });

  test('integrity, which describes one file, is refused for several', async () => {
    const errors = await evaluate(async () => {
      const json = await bytes('tfjs/chain/model.json');
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', json));
      const integrity = `sha256-${btoa(String.fromCharCode(...digest))}`;
      return [
        await caught(() => load('tfjs/chain/model.json', { integrity })),
        await caught(() => load({ 'model.json': json }, { integrity })),
        await caught(() => load('tfjs/chain/model.json', { integrity: `sha256-${btoa('0'.repeat(32))}` })),
      ];
    });
    for (const error of errors.slice(0, 2)) assertRefused(error, 'value', /'integrity' describes one file/);
    assertRefused(errors[2], 'integrity', /not the one expected/);
  });
});

inBrowser('an architecture or a format given', { webgpu: false }, (context) => {
  const evaluate = (act, argument) => context.page.evaluate(act, argument);

  test('weights with their architecture, as an object, as text or as a file beside them', async () => {
    for (const name of ['sequential', 'prefixed_f16', 'named', 'keras_paths']) {
      const distances = await evaluate(async (name) => {
        const [weights, recorded] = [`torch/${name}.safetensors`, `torch/${name}.io.npz`];
        const text = await (await fetch(`torch/${name}.config.json`)).text();
        const files = { 'config.json': new Blob([text]), 'weights.safetensors': await bytes(weights) };
        const found = [
          await check(weights, recorded, { config: text }),
          await check(weights, recorded, { config: JSON.parse(text), format: 'safetensors' }),
          await check(files, recorded),
        ];
        return found.map(({ distance }) => distance);
      }, name);
      assert.ok(Math.max(...distances) <= TOLERANCE, `${name}: ${distances}`);
    }
  });

  test('weights without one are answered with one that fits', async () => {
    const error = await evaluate(() => caught(() => load('torch/prefixed_f16.safetensors')));
    assertRefused(error, 'unsupported', /net\.1\.weight \[5, 6\].*the option 'config'.*Flatten/);
    const config = error.message.slice(error.message.indexOf('{'));
    const count = await evaluate(async (config) => (await load('torch/prefixed_f16.safetensors', { config })).parameterCount, config);
    assert.equal(count, 6 * 5 + 5 + 5 * 2 + 2);
  });

  test('an architecture that is none, or not needed', async () => {
    const errors = await evaluate(async () => {
      const circle = {};
      circle.circle = circle;
      const saved = await (await load('dress.h5')).save('safetensors');
      const errors = [];
      for (const config of ['no JSON', 5, circle, { layers: 5 }]) errors.push(await caught(() => load('torch/named.safetensors', { config })));
      for (const source of [saved, 'dress.h5', 'tfjs/chain/model.json']) errors.push(await caught(() => load(source, { config: {} })));
      return errors;
    });
    assertRefused(errors[0], 'format', /'config' is not JSON/);
    assertRefused(errors[1], 'format', /'config' is not a JSON object/);
    assertRefused(errors[2], 'value', /'config' is no JSON/);
    assertRefused(errors[3], 'format', /'layers' is not a list/);
    for (const error of errors.slice(4)) assertRefused(error, 'value', /architecture of its own; leave out the option 'config'/);
  });

  test('a format that is asked for is the only one read', async () => {
    const { right, wrong, none } = await evaluate(async () => {
      const saved = await (await load('dress.h5')).save('safetensors');
      const load1 = (source, format) => caught(() => load(source, { format }));
      return {
        right: [await load1(saved, 'safetensors'), await load1('dress.h5', 'h5'), await load1('tfjs/chain/model.json', 'tfjs')],
        wrong: [await load1(saved, 'h5'), await load1('dress.h5', 'safetensors'), await load1('tfjs/chain/model.json', 'onnx')],
        none: [await load1('dress.h5', 'hdf5'), await load1(saved, '')],
      };
    });
    assert.deepEqual(right, [null, null, null]);
    for (const error of wrong) assertRefused(error, 'format', /this is (safetensors|h5|tfjs), and the option 'format' says/);
    for (const error of none) assertRefused(error, 'value', /there is no format '.*'; use 'h5', 'keras', 'onnx', 'safetensors' or 'tfjs'/);
  });

  test('options that are no object', async () => {
    const errors = await evaluate(async () => {
      const model = await load('dress.h5');
      return [await caught(() => load('dress.h5', null)), await caught(() => load('dress.h5', 'cpu')), await caught(() => model.predict(new Float32Array(20), null))];
    });
    for (const error of errors) assertRefused(error, 'value', /the options are no object/);
  });
});
