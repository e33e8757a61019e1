// Whatever is given, the answer is a NearsideError that says what is wrong and where, and the package works on.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterEach, test } from 'node:test';
import { TOLERANCE, answer, assertRefused, inBrowser } from './support.mjs';

inBrowser('bad input, on the CPU', { webgpu: false }, (context) => {
  worksOn(context, 'cpu');
  files(context);
  addresses(context);
  options(context);
  inputs(context, 'cpu');

  test('a GPU asked for by name where there is none', async () => {
    const errors = await context.page.evaluate(async () => {
      const model = await load('dress.h5', { device: 'cpu' });
      return [await caught(() => load('dress.h5', { device: 'gpu' })), await caught(() => model.predict(new Float32Array(20), { device: 'gpu' }))];
    });
    for (const error of errors) assertRefused(error, 'device', /no adapter.*use the CPU|no WebGPU.*the CPU/s);
  });
});

inBrowser('bad input, on the GPU', { webgpu: true }, (context) => {
  worksOn(context, 'gpu');
  inputs(context, 'gpu');
});

/** After each test a model loaded before all of them and one loaded now give Keras's answers. */
function worksOn(context, device) {
  afterEach(async () => {
    const distances = await context.page.evaluate(async (device) => {
      globalThis.recorded ??= readNpz(await bytes('dress.io.npz'));
      globalThis.veteran ??= await load('dress.h5', { device });
      const old = distance(await veteran.predict(given(recorded)), recorded);
      return [old, (await check('dress.h5', 'dress.io.npz', { device })).distance];
    }, device);
    assert.ok(Math.max(...distances) <= TOLERANCE, `distances ${distances} after this`);
  });
}

function files(context) {
  const refused = (file) => context.page.evaluate((file) => caught(() => load(file, { device: 'cpu' })), file);
  const refusedText = (text) => context.page.evaluate((text) => caught(() => load(new TextEncoder().encode(text))), text);

  test('random bytes', async () => {
    const errors = await context.page.evaluate(async () => {
      const random = crypto.getRandomValues(new Uint8Array(4096));
      random.set([0x42, 1, 2, 3, 4, 5, 6, 7, 8]); // no signature
      return [await caught(() => load(random)), await caught(() => load(random.slice(0, 1)))];
    });
    for (const error of errors) assertRefused(error, 'format', /not a model file: it starts with 42.*model\.save\('model\.h5'\)/, { offset: 0 });
  });

  test('an empty file', async () => {
    const errors = await context.page.evaluate(async () => [
      await caught(() => load(new Uint8Array())),
      await caught(() => load(new Blob([]))),
      await caught(() => load(new Response(null))),
    ]);
    for (const error of errors) assertRefused(error, 'format', /the file is empty/, { offset: 0 });
  });

  test('text', async () => assertRefused(await refusedText('epochs: 20\n'), 'format', /not a model file/, { offset: 0 }));

  test('a web page', async () => {
    for (const text of ['<!DOCTYPE html><title>404</title>', '\n\n  <html lang="en">', '<!-- moved --><p>']) {
      assertRefused(await refusedText(text), 'format', /web page, not a model file/);
    }
  });

  test('the files of other tools', async () => {
    assertRefused(await refused('dress.io.npz'), 'unsupported', /NumPy file.*model\.save\('model\.keras'\)/);
    assertRefused(await refusedText('PK\x03\x04'), 'format', /zip archive is damaged/);
    assertRefused(await refusedText('{"format":"graph-model","modelTopology":{}}'), 'unsupported', /graph model.*tfjs_layers_model/);
    assertRefused(await refusedText('{"class_name":"Sequential","config":{}}'), 'unsupported', /architecture without weights/);
    assertRefused(await refusedText('{"name":"package"}'), 'format', /JSON, but neither/);
  });

  for (const name of ['dress.h5', 'dress_latest_gzip.h5']) {
    test(`every 97th prefix of ${name}`, async () => assertPrefixesRefused(context, name));
  }

  test('every 97th prefix of a saved model', async () => {
    await context.page.evaluate(async () => {
      const saved = await (await load('dress.h5', { device: 'cpu' })).save('safetensors');
      globalThis.saved = URL.createObjectURL(new Blob([saved]));
    });
    await assertPrefixesRefused(context, await context.page.evaluate(() => saved));
  });

  test('a layer that is not supported', async () => {
    assertRefused(await refused('conv2d.h5'), 'unsupported', /layer 'conv2d': Conv2D.*not supported.*Dense/, { layer: 'conv2d' });
  });

  test('weights that are missing', async () => {
    const tensor = 'model_weights/answer/small/answer/kernel';
    assertRefused(await refused('missing_weights.h5'), 'format', /'answer'.*kernel/, { layer: 'answer', tensor });
  });

  test('weights of another shape', async () => {
    const error = await refused('wrong_shape.h5');
    assertRefused(error, 'shape', /'answer'.*kernel.*\[3, 5\].*\[3, 2\]/, { layer: 'answer' });
  });

  test('weights of more elements than 32 bits count', async () => {
    assertRefused(await refused('unwritten.h5'), 'shape', /'hidden'.*\[100000, 100000\]/, { layer: 'hidden' });
  });

  test('weights without an architecture', async () => {
    for (const file of ['weights_only.weights.h5', 'keras2_weights_only.h5']) {
      assertRefused(await refused(file), 'unsupported', /no architecture.*'config'.*model\.save\('model\.h5'\)/);
    }
    const plain = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  ';
    const error = await context.page.evaluate((header) => {
      const length = new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer);
      return caught(() => load(new Uint8Array([...length, ...new TextEncoder().encode(header), 0, 0, 0, 0])));
    }, plain);
    assertRefused(error, 'unsupported', /without an architecture: w \[1\]/);
  });

  test('a file beyond all memory', async () => {
    const errors = await context.page.evaluate(async () => {
      const large = async (bytes) => Object.defineProperty(await bytes, 'length', { value: 2 ** 32 - 1 });
      // A container whose last tensor has a thousand million values.
      const saved = await (await load('dress.h5')).save('safetensors');
      const size = Number(new DataView(saved.buffer).getBigUint64(0, true));
      const { __metadata__, ...tensors } = JSON.parse(new TextDecoder().decode(saved.subarray(8, 8 + size)));
      const last = Object.values(tensors).reduce((a, b) => (a.data_offsets[1] > b.data_offsets[1] ? a : b));
      last.shape = [1e9];
      last.data_offsets[1] = last.data_offsets[0] + 4e9;
      const header = new TextEncoder().encode(JSON.stringify({ __metadata__, ...tensors }));
      const container = new Uint8Array(8 + header.length + saved.length);
      new DataView(container.buffer).setBigUint64(0, BigInt(header.length), true);
      container.set(header, 8);
      Object.defineProperty(container, 'length', { value: 8 + header.length + last.data_offsets[1] });
      return [await caught(async () => load(await large(bytes('dress.h5')))), await caught(() => load(container))];
    });
    assertRefused(errors[0], 'memory', /4294 MB could not be allocated/);
    assertRefused(errors[1], 'memory', /4000 MB could not be allocated/);
  });

  test('no source at all', async () => {
    const errors = await context.page.evaluate(async () => {
      const errors = [];
      for (const source of [undefined, null, 5, true, {}, [], new Float32Array(4), Symbol('x'), () => 'dress.h5']) errors.push(await caught(() => load(source)));
      return errors;
    });
    for (const error of errors) assertRefused(error, 'value', /the source is not an address/);
  });
}

/** Every prefix is refused as damaged, with the place where it ends or fails. */
async function assertPrefixesRefused({ page }, url) {
  const found = await page.evaluate(async (url) => {
    const whole = await bytes(url);
    const wrong = [];
    let count = 0;
    for (let length = 0; length < whole.length; length += 97, count++) {
      const error = await caught(() => load(whole.slice(0, length), { device: 'cpu' }));
      if (!error?.ours || error.kind !== 'format' || !Number.isInteger(error.context.offset)) wrong.push([length, error]);
    }
    return { count, wrong };
  }, url);
  assert.ok(found.count > 10, `${found.count}`);
  assert.deepEqual(found.wrong, []);
}

function addresses(context) {
  const refused = (url, options) => context.page.evaluate(({ url, options }) => caught(() => load(url, options)), { url, options });

  test('an address that answers 404', async () => {
    const error = await refused('nowhere.h5');
    assertRefused(error, 'network', /nowhere\.h5 answered 404.*check the address/, { url: 'nowhere.h5' });
  });

  test('an address that answers with a web page', async (t) => {
    const html = '<!doctype html><title>Sign in</title>';
    const typed = await answer(t, (request, response) => response.setHeader('content-type', 'text/html; charset=utf-8').end(html));
    assertRefused(await refused(typed), 'network', /web page, not a model file.*check the address/, { url: typed });
    const untyped = await answer(t, (request, response) => response.end(html));
    assertRefused(await refused(untyped), 'format', /web page, not a model file/);
  });

  test('a Response that has failed', async () => {
    const errors = await context.page.evaluate(async () => {
      const used = await fetch('dress.h5');
      await used.arrayBuffer();
      return [await caught(async () => load(await fetch('nowhere.h5'))), await caught(() => load(used))];
    });
    assertRefused(errors[0], 'network', /answered 404/);
    assertRefused(errors[1], 'value', /read before.*clone/);
  });

  test('a server that is down', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://localhost:${server.address().port}/model.h5`;
    await new Promise((resolve) => server.close(resolve));
    assertRefused(await refused(url), 'network', /could not be fetched/, { url });
  });

  test('a server that breaks off', async (t) => {
    const url = await answer(t, (request, response) => {
      response.writeHead(200, { 'content-length': 5000 }).write('x'.repeat(1000), () => response.destroy());
    });
    assertRefused(await refused(url), 'network', /broke off/, { url });
  });

  test('a server that does not let this page read', async (t) => {
    const url = await answer(t, (request, response) => {
      response.removeHeader('access-control-allow-origin');
      response.end('secret');
    });
    assertRefused(await refused(url), 'network', /could not be fetched/, { url });
  });

  test('an address that is none', async () => {
    for (const url of ['http://', 'gopher://old/model.h5']) assertRefused(await refused(url), 'network', /could not be fetched/, { url });
  });
}

function options(context) {
  const refused = (options) => context.page.evaluate((options) => caught(() => load('dress.h5', options)), options);

  test('options that do not exist', async () => {
    assertRefused(await refused({ batchSize: 3 }), 'value', /no option 'batchSize'.*device, onProgress, signal, integrity, requestInit/);
    const error = await context.page.evaluate(async () => caught(async () => (await load('dress.h5')).predict(new Float32Array(20), { batchsize: 2 })));
    assertRefused(error, 'value', /no option 'batchsize'.*batchSize/);
  });

  test('devices that do not exist', async () => {
    for (const device of ['tpu', 'GPU', '', 7]) assertRefused(await refused({ device }), 'value', /no device '.*'; use 'auto', 'cpu' or 'gpu'/);
    const errors = await context.page.evaluate(async () => {
      const model = await load('dress.h5');
      return [await caught(() => model.predict(new Float32Array(20), { device: 'tpu' })), await caught(() => model.predict(new Float32Array(20), { device: 'auto' }))];
    });
    for (const error of errors) assertRefused(error, 'value', /no device '.*'; use 'cpu' or 'gpu'/);
  });

  test('batch sizes that are none', async () => {
    const errors = await context.page.evaluate(async () => {
      const model = await load('dress.h5');
      const errors = [];
      for (const batchSize of [0, -1, 1.5, NaN, Infinity, '2', null]) errors.push(await caught(() => model.predict(new Float32Array(20), { batchSize })));
      return errors;
    });
    for (const error of errors) assertRefused(error, 'value', /batchSize is .*; give a whole number from 1/);
  });

  test('formats and events that do not exist', async () => {
    const errors = await context.page.evaluate(async () => {
      const model = await load('dress.h5');
      const saves = [['pb'], [], ['onnx', { dtype: 'f8' }], ['h5', { dtype: 'int8' }], ['onnx', { type: 'f16' }]];
      const errors = [];
      for (const given of saves) errors.push(await caught(() => model.save(...given)));
      return [...errors, await caught(() => model.on('loss', () => {}))];
    });
    assertRefused(errors[0], 'unsupported', /'pb' is not written; use 'h5', 'keras', 'onnx' or 'safetensors'/);
    assertRefused(errors[1], 'unsupported', /'undefined' is not written/);
    assertRefused(errors[2], 'value', /no dtype 'f8'; use 'f32', 'f16' or 'int8'/);
    assertRefused(errors[3], 'unsupported', /no int8 weights; save as 'onnx' or 'safetensors'/);
    assertRefused(errors[4], 'value', /no option 'type'/);
    assertRefused(errors[5], 'value', /no event 'loss'; use 'device'/);
  });

  test('a Tensor whose shape does not fit its values', async () => {
    const error = await context.page.evaluate(() => caught(() => new Tensor(new Float32Array(5), [2, 3])));
    assertRefused(error, 'shape', /\[2,3\] needs 6 values, 5 given/);
  });
}

function inputs(context, device) {
  /** What `predict` and `predictSync` say to each of `make`'s inputs; the two must agree. */
  async function refusals(file, make) {
    const found = await context.page.evaluate(
      async ({ file, make, device }) => {
        const model = await load(file, { device });
        const found = [];
        for (const [name, x] of Object.entries(new Function(`return (${make})()`)())) {
          found.push([name, await caught(() => model.predict(x)), await caught(() => model.predictSync(x))]);
        }
        return found;
      },
      { file, make: String(make), device },
    );
    assert.ok(found.length > 0);
    return found.map(([name, error, sync]) => (assert.deepEqual(sync, error, `${name}: predictSync differs`), [name, error]));
  }

  test('an input of the wrong length', async () => {
    for (const [, error] of await refusals('dress.h5', () => ({
      short: new Float32Array(19),
      long: new Float32Array(21),
      'as an array': Array(39).fill(0),
      'of a type': new Uint8Array(10),
    }))) assertRefused(error, 'shape', /'input_layer_2'.*values given, a multiple of 20 needed/, { tensor: 'input_layer_2' });
  });

  test('rows of the wrong length that add up', async () => {
    for (const [name, error] of await refusals('dress.h5', () => ({
      rows: [Array(10).fill(0), Array(10).fill(0)],
      deeper: [[Array(20).fill(0)]],
      Tensor: new Tensor(new Float32Array(20), [2, 10]),
    }))) assertRefused(error, 'shape', /'input_layer_2'.*\[.*\] given, \[samples, 20\] needed/, { tensor: 'input_layer_2' }, name);
  });

  test('an empty batch', async () => {
    for (const [, error] of await refusals('dress.h5', () => ({
      array: [],
      'typed array': new Float32Array(),
      Tensor: new Tensor(new Float32Array(), [0, 20]),
      'by name': { input_layer_2: [] },
    }))) assertRefused(error, 'shape', /the batch is empty/, { tensor: 'input_layer_2' });
    for (const [, error] of await refusals('dress.h5', () => ({ 'no rows': [[]] }))) assertRefused(error, 'shape', /\[1, 0\] given/);
  });

  test('what is not a number', async () => {
    for (const [name, error] of await refusals('dress.h5', () => ({
      string: '1 2 3',
      null: null,
      undefined: undefined,
      number: 5,
      boolean: true,
      function: () => {},
      'array of strings': Array(20).fill('0'),
      'one string': [...Array(19).fill(0), '0'],
      'array of null': Array(20).fill(null),
      holes: Array(20),
      objects: Array(20).fill({}),
      bigints: new BigInt64Array(20),
      'bigint in an array': Array(20).fill(0n),
      DataView: new DataView(new ArrayBuffer(80)),
      ArrayBuffer: new ArrayBuffer(80),
      Map: new Map(),
      'null by name': { input_layer_2: null },
      'string by name': { input_layer_2: '5' },
    }))) {
      assert.equal(error?.kind, 'value', `${name}: ${error?.message}`);
      assertRefused(error, 'value', /^(the input is |tensor 'input_layer_2': )|no input '/);
    }
  });

  test('rows of several lengths, and numbers beside rows', async () => {
    const ragged = await refusals('dress.h5', () => ({ shorter: [Array(20).fill(0), Array(19).fill(0)], longer: [[1], [1, 2]] }));
    for (const [, error] of ragged) assertRefused(error, 'shape', /rows of \d+ and of \d+ values/, { tensor: 'input_layer_2' });
    const mixed = await refusals('dress.h5', () => ({ 'number last': [Array(20).fill(0), 0], 'number first': [0, Array(20).fill(0)] }));
    for (const [, error] of mixed) assertRefused(error, 'value', /beside/, { tensor: 'input_layer_2' });
  });

  test('several inputs, of which some are wrong', async () => {
    const values = () => ({
      alone: new Float32Array(6),
      missing: { a: new Float32Array(6) },
      unknown: { a: new Float32Array(6), b: new Float32Array(6), c: new Float32Array(6) },
      length: { a: new Float32Array(6), b: new Float32Array(5) },
      samples: { a: new Float32Array(12), b: new Float32Array(6) },
      empty: {},
    });
    const errors = Object.fromEntries(await refusals('branches.h5', values));
    assertRefused(errors.alone, 'shape', /1 inputs? given, the model has 2/);
    assertRefused(errors.missing, 'value', /'b'.*missing/, { tensor: 'b' });
    assertRefused(errors.unknown, 'value', /no input 'c'; it has a, b/, { tensor: 'c' });
    assertRefused(errors.length, 'shape', /'b'.*5 values given, a multiple of 6/, { tensor: 'b' });
    assertRefused(errors.samples, 'shape', /'b'.*1 samples? given, and 2/, { tensor: 'b' });
    assertRefused(errors.empty, 'value', /'a'.*missing/, { tensor: 'a' });
  });

  // The CPU takes a batch block by block, and needs no more memory for a larger one.
  if (device === 'gpu') {
    test('a batch beyond all memory', async () => {
      // What says to be so large need not be: WebAssembly memory ends at 4 GB.
      const error = await context.page.evaluate(async () => {
        const model = await load('dress.h5', { device: 'gpu' });
        return caught(() => model.predict(Object.defineProperty(new Float32Array(20), 'length', { value: 20 * 54_000_000 })));
      });
      assertRefused(error, 'memory', /4320 MB could not be allocated; use a smaller batch/);
    });
  }

  test('a model that was disposed of', async () => {
    const errors = await context.page.evaluate(async (device) => {
      const model = await load('dress.h5', { device });
      model.dispose();
      model.dispose();
      return [
        await caught(() => model.predict(new Float32Array(20))),
        await caught(() => model.predictSync(new Float32Array(20))),
        await caught(() => model.summary()),
        await caught(() => model.save('safetensors')),
      ];
    }, device);
    for (const error of errors) assertRefused(error, 'disposed', /'dress' was disposed of; load it again/);
  });

}
