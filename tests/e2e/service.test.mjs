// The service in this process: what it answers to each request of the Open Inference Protocol, right or wrong.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { load } from '../../pkg/node.js';
import { createService } from '../../pkg/service.js';
import { DRESS, ask, assertRefused, echo, infer, numbers, onnxCase, policy, serve, values } from './ask.mjs';

const MODELS = {
  dress: DRESS,
  pair: 'tests/fixtures/dictionaries.h5',
  digits: [{ source: DRESS, version: '2' }, { source: DRESS, version: '10' }],
};
let service, model, pair, wine, fixed;
const X = numbers(40, 1);
const INPUT = { name: 'input_layer_2', shape: [2, 20], datatype: 'FP32', data: X };
const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

before(async () => {
  [model, pair, wine, fixed] = await Promise.all([load(DRESS), load(MODELS.pair), onnxCase('sklearn_cases', 'three_classes_of_strings'), onnxCase('graph_cases', 'gemm_matrix_bias')]);
  service = createService({ policy, models: { ...MODELS, wine, fixed } });
  await service.ready();
});
after(async () => {
  await service.dispose();
  for (const one of [model, pair, wine, fixed]) one.dispose();
});

/** A right request is answered, whatever came before it. */
async function assertServes() {
  const answer = await infer(service, 'dress', { inputs: [INPUT] });
  assert.deepEqual(values(answer, 'dense_4'), Array.from((await model.predict(Float32Array.from(X))).data));
}

describe('addresses', () => {
  const get = (path) => ask(service, 'GET', path);

  test('health, server and model metadata have what the protocol says, with and without a version', async () => {
    assert.deepEqual((await get('/v2/health/live')).json, { live: true });
    assert.deepEqual((await get('/v2/health/ready')).json, { ready: true });
    for (const path of ['/v2', '/v2/']) {
      const { json } = await get(path);
      assert.equal(json.name, 'nearside');
      assert.match(json.version, /^\d+\.\d+\.\d+/);
      assert.ok(json.extensions.includes('binary_tensor_data'));
    }
    const described = {
      name: 'dress',
      versions: ['1'],
      platform: 'keras_h5',
      inputs: [{ name: 'input_layer_2', datatype: 'FP32', shape: [-1, 20] }],
      outputs: [{ name: 'dense_4', datatype: 'FP32', shape: [-1, 3] }],
    };
    for (const path of ['/v2/models/dress', '/v2/models/dress/', '/v2/models/dress/versions/1']) assert.deepEqual((await get(path)).json, described);
    for (const path of ['/v2/models/dress/ready', '/v2/models/dress/versions/1/ready']) assert.deepEqual((await get(path)).json, { name: 'dress', ready: true });
    assert.deepEqual((await get('/v2/models/wine')).json.outputs, [
      { name: 'output_label', datatype: 'BYTES', shape: [-1] },
      { name: 'output_probability', datatype: 'FP32', shape: [-1, 3] },
    ]);
  });

  test('the newest version answers where none is named', async () => {
    assert.deepEqual((await get('/v2/models/digits')).json.versions, ['10', '2']);
    const message = { inputs: [INPUT] };
    assert.equal((await infer(service, 'digits', message)).json.model_version, '10');
    assert.equal((await infer(service, 'digits/versions/2', message)).json.model_version, '2');
    assertRefused(await infer(service, 'digits/versions/3', message), 404, 'value', /no version '3'; it has 10, 2/);
  });

  test('the configuration has dimensions of a sample, or of a batch that the file fixes', async () => {
    const { json } = await get('/v2/models/dress/config');
    assert.deepEqual([json.name, json.max_batch_size, json.input], ['dress', 64, [{ name: 'input_layer_2', data_type: 'TYPE_FP32', dims: [20] }]]);
    const { json: whole } = await get('/v2/models/fixed/versions/1/config');
    assert.deepEqual([whole.max_batch_size, whole.input[0].dims, whole.output[0].dims], [0, [3, 4], [3, 2]]);
  });

  test('HEAD answers as GET, without the body', async () => {
    for (const path of ['/v2', '/v2/health/live', '/v2/models/dress', '/v2/models/nothing']) {
      const [got, head] = [await get(path), await ask(service, 'HEAD', path)];
      assert.equal(head.status, got.status);
      assert.equal(head.body.length, 0);
      assert.equal(head.headers.get('content-length'), String(got.body.length));
    }
  });

  test('another method is refused with those that are right', async () => {
    const allowed = [
      ['POST', '/v2', 'GET, HEAD'],
      ['DELETE', '/v2/models/dress', 'GET, HEAD'],
      ['GET', '/v2/models/dress/infer', 'POST'],
      ['HEAD', '/v2/models/dress/infer', 'POST'],
      ['PUT', '/v2/models/dress/versions/1/infer', 'POST'],
      ['PATCH', '/v2/repository/models/dress/load', 'POST'],
      ['POST', '/v2/backup', 'GET, HEAD, PUT'],
      ['POST', '/v2/models/stats', 'GET, HEAD'],
    ];
    for (const [method, path, methods] of allowed) {
      const answer = await ask(service, method, path);
      assert.equal(answer.status, 405, `${method} ${path}`);
      assert.equal(answer.headers.get('allow'), methods, `${method} ${path}`);
      if (method !== 'HEAD') assertRefused(answer, 405, 'value', /which takes/);
    }
  });

  test('unknown addresses and tricks with them find nothing', async () => {
    const nothing = ['/', '/v1', '/v2x', '/v2/health', '/v2/models', '/v2/models/dress/versions', '/v2/models/dress/versions/1/x', '/v2//health/live', '//localhost/v2', '/v2//', '/V2/health/live', '/v2/models/dress/infer/infer'];
    for (const path of nothing) assertRefused(await get(path), 404, 'value');
    const names = ['__proto__', 'constructor', 'toString', 'versions', 'NAME', 'd%72ess2', 'dress%00', 'dress%2Fready', '..%2Fdress', '%2e%2e%2fdress', 'dress%20', 'Dress', '%zz', '%', '%ff', '%ed%a0%80', 'x'.repeat(5000)];
    for (const name of names) {
      for (const path of ['', '/ready', '/config', '/stats', '/versions/1', '/versions/__proto__/stats']) assertRefused(await get(`/v2/models/${name}${path}`), 404, 'value');
      assertRefused(await infer(service, name, { inputs: [INPUT] }), 404, 'value');
      assertRefused(await ask(service, 'POST', `/v2/repository/models/${name}/unload`), 404, 'value');
    }
    // Dots are resolved before anything else, as everywhere.
    assert.equal((await get('/v2/../v2/health/live')).status, 200);
    assert.equal((await get('/v2/models/%2e%2e/health/live?a=b#c')).status, 200);
    assert.equal((await get('/v2/models/d%72ess')).json.name, 'dress');
    await assertServes();
  });

  test('models with names that cannot be addressed are refused', async (t) => {
    for (const name of ['', '.', '..', 'a/b', 'a b', 'ä', 'stats', 'x'.repeat(129)]) {
      assert.throws(() => createService({ models: { [name]: DRESS } }), { kind: 'value' }, name);
    }
    // As names of objects' own properties they are names like any other.
    const odd = serve(t, { models: { ['__proto__']: DRESS, constructor: DRESS, versions: DRESS } });
    for (const name of ['__proto__', 'constructor', 'versions']) assert.equal((await infer(odd, name, { inputs: [INPUT] })).json.model_name, name);
  });

  test('options that cannot be are refused', () => {
    assert.throws(() => createService({}), { kind: 'value' });
    assert.throws(() => createService({ models: {}, modles: {} }), { kind: 'value' });
    const served = [{ maxBatchSize: 0 }, { maxBatchSize: 1.5 }, { maxBatchSize: '8' }, { maxQueue: 0 }, { maxQueue: NaN }, { maxDelay: -1 }, { maxDelay: Infinity }, { verison: '2' }, { version: 2 }];
    for (const odd of served) assert.throws(() => createService({ models: { a: { source: DRESS, ...odd } } }), { kind: 'value' }, JSON.stringify(odd));
    const twice = [{ source: DRESS }, { source: DRESS, version: '1' }];
    assert.throws(() => createService({ models: { a: twice } }), { kind: 'value', message: /twice/ });
  });
});

describe('inference', () => {
  test('the id comes back as it was', async () => {
    for (const id of ['42', '', '\ud800', 'ä "\\\u0000', 'x'.repeat(10_000), '__proto__']) {
      const { json } = await infer(service, 'dress', { id, inputs: [INPUT] });
      assert.deepEqual(Object.keys(json), ['model_name', 'model_version', 'id', 'outputs']);
      assert.equal(json.id, id);
    }
    assert.ok(!('id' in (await infer(service, 'dress', { inputs: [INPUT] })).json));
    for (const id of [42, null, ['a'], {}]) assertRefused(await infer(service, 'dress', { id, inputs: [INPUT] }), 400, 'value', /'id'/);
  });

  test('data are flat or nested, and the answer has the shape of the output', async () => {
    const rows = [X.slice(0, 20), X.slice(20)];
    const answers = await Promise.all([X, rows].map((data) => infer(service, 'dress', { inputs: [{ ...INPUT, data }] })));
    assert.deepEqual(answers[0].json, answers[1].json);
    const [output] = answers[0].json.outputs;
    assert.deepEqual([output.name, output.datatype, output.shape, output.data.length], ['dense_4', 'FP32', [2, 3], 6]);
    await assertServes();
  });

  test('several inputs and outputs come in any order, some as JSON and some as bytes', async () => {
    const [a, b] = [numbers(4, 2), numbers(6, 3)];
    const right = await pair.predict({ a: Float32Array.from(a), b: Float32Array.from(b) });
    const json = (name, data) => ({ name, shape: [2, data.length / 2], datatype: 'FP32', data });
    const binary = (name, data) => ({ name, shape: [2, data.length / 2], datatype: 'FP32', parameters: { binary_data_size: 4 * data.length } });
    const bytes = (...arrays) => bytesOf(Float32Array.from(arrays.flat()));
    const forms = [
      [[json('a', a), json('b', b)]],
      [[json('b', b), json('a', a)], new Uint8Array()],
      [[binary('a', a), json('b', b)], bytes(a)],
      [[binary('b', b), binary('a', a)], bytes(b, a)],
      [[binary('a', a), binary('b', b)], bytes(a, b)],
    ];
    // The JSON's length decides where the bytes lie: aligned or not, they are the same.
    for (const [inputs, more] of forms) {
      for (const id of ['', 'a', 'ab', 'abc']) {
        for (const outputs of [undefined, [], [{ name: 'first', parameters: { binary_data: true } }, { name: 'second' }], [{ name: 'second', parameters: { binary_data: true } }, { name: 'first', parameters: { binary_data: true } }]]) {
          const answer = await infer(service, 'pair', { id, inputs, ...(outputs && { outputs }) }, { bytes: more });
          for (const name of ['first', 'second']) assert.deepEqual(values(answer, name), Array.from(right[name].data));
          const order = outputs?.length ? outputs.map(({ name }) => name) : ['second', 'first'];
          assert.deepEqual(answer.json.outputs.map(({ name }) => name), order);
        }
      }
    }
    const one = await infer(service, 'pair', { inputs: forms[0][0], outputs: [{ name: 'first' }] });
    assert.deepEqual(one.json.outputs.map(({ name }) => name), ['first']);
  });

  test('binary_data_output asks for bytes of all outputs that do not say otherwise', async () => {
    const message = { inputs: [INPUT], parameters: { binary_data_output: true } };
    const answer = await infer(service, 'dress', message);
    assert.equal(answer.headers.get('content-type'), 'application/octet-stream');
    assert.deepEqual(answer.json.outputs, [{ name: 'dense_4', datatype: 'FP32', shape: [2, 3], parameters: { binary_data_size: 24 } }]);
    assert.equal(answer.binary.length, 24);
    assert.deepEqual(values(answer, 'dense_4'), Array.from((await model.predict(Float32Array.from(X))).data));
    const json = await infer(service, 'dress', { ...message, outputs: [{ name: 'dense_4', parameters: { binary_data: false } }] });
    assert.equal(json.headers.get('content-type'), 'application/json');
    assert.equal(json.json.outputs[0].data.length, 6);
  });

  test('class labels are texts, in JSON and in bytes', async () => {
    const x = numbers(26, 4);
    const right = await wine.predict(Float32Array.from(x));
    const { labels } = right.output_label;
    const input = { name: 'X', shape: [2, 13], datatype: 'FP32', data: x };
    const { json } = await infer(service, 'wine', { inputs: [input] });
    assert.deepEqual(json.outputs[0], { name: 'output_label', datatype: 'BYTES', shape: [2], data: labels });
    const { json: head, binary } = await infer(service, 'wine', { inputs: [input], outputs: [{ name: 'output_label', parameters: { binary_data: true } }] });
    assert.equal(head.outputs[0].parameters.binary_data_size, binary.length);
    const texts = [];
    for (let at = 0, view = new DataView(binary.slice().buffer); at < binary.length; at += 4 + view.getUint32(at, true)) {
      texts.push(new TextDecoder().decode(binary.subarray(at + 4, at + 4 + view.getUint32(at, true))));
    }
    assert.deepEqual(texts, labels);
  });

  test('classification answers the best classes of each row, with their labels', async () => {
    const x = numbers(26, 5);
    const { output_probability: right } = await wine.predict(Float32Array.from(x));
    const message = (name, classification) => ({ inputs: [{ name: 'X', shape: [2, 13], datatype: 'FP32', data: x }], outputs: [{ name, parameters: { classification } }] });
    const classes = ['barbera', 'barolo', 'grignolino'];
    const ranked = [0, 1].flatMap((row) => {
      const rest = Array.from(right.data.subarray(3 * row, 3 * row + 3), (value, i) => [value, i]).sort(([a], [b]) => b - a);
      return rest.slice(0, 2).map(([value, i]) => `${value.toFixed(6)}:${i}:${classes[i]}`);
    });
    const { json } = await infer(service, 'wine', message('output_probability', 2));
    assert.deepEqual(json.outputs, [{ name: 'output_probability', datatype: 'BYTES', shape: [2, 2], data: ranked }]);
    assert.deepEqual((await infer(service, 'wine', message('output_probability', 99))).json.outputs[0].shape, [2, 3]);
    for (const odd of [0, -1, 1.5, '2', null, true]) assertRefused(await infer(service, 'wine', message('output_probability', odd)), 400, 'value', /classification/);
    // Labels are classified already, and have one for each sample.
    assertRefused(await infer(service, 'wine', message('output_label', 1)), 400, 'unsupported', /classification/);
  });

  test('classification puts what is no number last', async (t) => {
    const odd = serve(t, { computer: echo({ width: 4 }), models: { a: DRESS } });
    const bytes = bytesOf(Float32Array.of(NaN, 1, Infinity, -Infinity));
    const message = { inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', parameters: { binary_data_size: 16 } }], outputs: [{ name: 'y', parameters: { classification: 2 } }] };
    assert.deepEqual((await infer(odd, 'a', message, { bytes })).json.outputs[0].data, ['Infinity:2', '1.000000:1']);
  });

  test('a model whose file fixes its batch takes just that', async () => {
    const x = numbers(12, 6);
    const right = Array.from((await fixed.predict(Float32Array.from(x))).data);
    const input = { name: 'x', shape: [3, 4], datatype: 'FP32', data: x };
    const answers = await Promise.all(Array.from({ length: 5 }, () => infer(service, 'fixed', { inputs: [input] })));
    for (const answer of answers) assert.deepEqual(values(answer, 'y'), right);
    assertRefused(await infer(service, 'fixed', { inputs: [{ ...input, shape: [6, 4], data: [...x, ...x] }] }), 400, 'shape', /\[3,4\] needed/);
  });

  test('what JSON cannot hold is refused in it, and answered in bytes', async () => {
    const x = new Float32Array(20).fill(NaN);
    const message = { inputs: [{ ...INPUT, shape: [1, 20], data: undefined, parameters: { binary_data_size: 80 } }] };
    assertRefused(await infer(service, 'dress', message, { bytes: bytesOf(x) }), 400, 'value', /element 0 is NaN.*'binary_data'/);
    const answer = await infer(service, 'dress', { ...message, parameters: { binary_data_output: true } }, { bytes: bytesOf(x) });
    assert.deepEqual(values(answer, 'dense_4'), [NaN, NaN, NaN]);
    for (const word of ['NaN', 'Infinity', '1e400', '-1e400', '1e39']) {
      assertRefused(await infer(service, 'dress', JSON.stringify({ inputs: [INPUT] }).replace(/"data":\[[^,]*/, `"data":[${word}`)), 400, 'value');
    }
    await assertServes();
  });
});
