// Models that come and go while the service runs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { load } from '../../pkg/node.js';
import { memoryStore } from '../../pkg/service.js';
import { DRESS, ask, assertRefused, drain, echo, gate, infer, numbers, one, pause, serve, settled, until, values } from './ask.mjs';

describe('versions', () => {
  test('a new version takes over while requests run, and none of them fails', async (t) => {
    const service = serve(t, { models: { dress: DRESS } });
    const model = await load(DRESS);
    const x = numbers(20, 3);
    const right = Array.from((await model.predict(Float32Array.from(x))).data);
    const body = { inputs: [{ name: 'input_layer_2', shape: [1, 20], datatype: 'FP32', data: x }] };
    let stop = false;
    const versions = new Set();
    const callers = Array.from({ length: 8 }, async () => {
      while (!stop) {
        const answer = await infer(service, 'dress', body);
        values(answer, 'dense_4').forEach((value, i) => assert.ok(Math.abs(value - right[i]) < 1e-6));
        versions.add(answer.json.model_version);
        await pause(); // as a network does
      }
    });
    for (const version of ['2', '3', '1', '3', '3', '10', '9']) await service.add('dress', { source: DRESS, version, maxDelay: version === '3' ? 1 : 0 });
    for (const version of ['10', '3', '2']) await service.remove('dress', version);
    stop = true;
    await Promise.all(callers);
    assert.ok(versions.has('10'), [...versions].join());
    assert.deepEqual(service.models().map(({ version }) => version), ['9', '1']);
    assert.equal((await infer(service, 'dress', body)).json.model_version, '9');
    model.dispose();
  });

  test('a model is given back only once all that use it are done', async (t) => {
    let isDisposed = false;
    const { batches, computer } = gate({ dispose: () => (isDisposed = true) });
    const service = serve(t, { computer, models: { a: { source: '', maxDelay: 1e7 } } });
    const requests = [one(service, 1), one(service, 2)];
    await settled();
    const removed = service.remove('a');
    assertRefused(await one(service, 3), 404, 'value');
    await until(() => batches.length);
    assert.ok(!isDisposed);
    await drain(batches, requests);
    await removed;
    assert.ok(isDisposed);
    for (const request of requests) assert.equal((await request).status, 200);
  });

  test('a request that waits for its model to be opened is answered, even if that is taken away meanwhile', async (t) => {
    for (const takeAway of ['remove', 'unload', 'dispose']) {
      const opening = [];
      let isDisposed = false;
      const predict = async (inputs) => {
        await settled();
        if (isDisposed) throw new Error('disposed');
        return inputs;
      };
      const open = () => new Promise((resolve) => opening.push(() => resolve(echo({ predict, dispose: () => (isDisposed = true) }))));
      const service = serve(t, { open, models: { a: '' } });
      const request = one(service, 1);
      await settled();
      const gone = takeAway === 'unload' ? ask(service, 'POST', '/v2/repository/models/a/unload') : service[takeAway]('a');
      await settled();
      opening.shift()();
      assert.deepEqual(values(await request, 'y'), [1], takeAway);
      await gone;
      assert.ok(isDisposed);
    }
  });

  test('dispose answers what was asked, and refuses what comes after it', async (t) => {
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: '', b: '' } });
    const requests = Array.from({ length: 5 }, (_, i) => one(service, i));
    await until(() => batches.length);
    const disposed = service.dispose();
    assertRefused(await one(service, 9), 503, 'disposed');
    for (const answer of await drain(batches, requests)) assert.equal(answer.status, 200);
    await disposed;
    await assert.rejects(service.add('c', { source: '' }), { kind: 'disposed' });
    assert.deepEqual(service.models(), []);
  });

  test('a model that fails to open is not ready, and is tried again', async (t) => {
    let problem = new Error('no network');
    const open = async () => {
      if (problem) throw problem;
      return echo();
    };
    const service = serve(t, { open, models: { a: '' } });
    await service.ready();
    for (const path of ['/v2/health/ready', '/v2/models/a/ready', '/v2/models/a']) assertRefused(await ask(service, 'GET', path), 503, path.endsWith('a') ? 'internal' : 'busy', /no network/);
    assertRefused(await one(service, 1), 503, 'internal', /could not be opened: .*no network/);
    assert.deepEqual((await ask(service, 'POST', '/v2/repository/index')).json, [{ name: 'a', version: '1', state: 'UNAVAILABLE', reason: 'no network' }]);
    problem = undefined;
    assert.deepEqual(values(await one(service, 1), 'y'), [1]);
    assert.deepEqual((await ask(service, 'GET', '/v2/health/ready')).json, { ready: true });
    assert.deepEqual(service.models().map(({ state, reason }) => [state, reason]), [['ready', '']]);
  });

  test('a model that is unloaded stays so until it is told to load, even if it was still loading', async (t) => {
    const opening = [];
    const service = serve(t, { open: () => new Promise((resolve) => opening.push(() => resolve(echo()))), models: { a: '' } });
    await until(() => opening.length);
    const unloaded = ask(service, 'POST', '/v2/repository/models/a/unload');
    await until(() => service.models()[0].state === 'unloaded');
    opening.shift()();
    assert.equal((await unloaded).status, 200);
    await service.ready();
    assert.equal(service.models()[0].state, 'unloaded');
    assertRefused(await one(service, 1), 503, 'busy', /not ready: it was unloaded/);
    const loaded = ask(service, 'POST', '/v2/repository/models/a/load');
    await until(() => opening.length);
    opening.shift()();
    assert.equal((await loaded).status, 200);
    assert.deepEqual(values(await one(service, 1), 'y'), [1]);
    for (const body of ['{"ready":true}', '']) assert.equal((await ask(service, 'POST', '/v2/repository/index', { body })).json.length, 1);
    await ask(service, 'POST', '/v2/repository/models/a/unload');
    assert.deepEqual((await ask(service, 'POST', '/v2/repository/index', { body: '{"ready":true}' })).json, []);
    assertRefused(await ask(service, 'POST', '/v2/repository/index', { body: '{"ready":1}' }), 400, 'value');
  });
});

describe('uploads', () => {
  const file = readFileSync(DRESS).toString('base64');
  const upload = (service, parameters, name = 'mine') => ask(service, 'POST', `/v2/repository/models/${name}/load`, { body: JSON.stringify({ parameters }) });
  const body = { inputs: [{ name: 'input_layer_2', shape: [1, 20], datatype: 'FP32', data: numbers(20, 1) }] };

  test('are kept, and are there again in another service on the same store', async (t) => {
    const store = memoryStore();
    const service = serve(t, { models: { dress: DRESS }, store });
    const config = JSON.stringify({ max_batch_size: 7, dynamic_batching: { max_queue_delay_microseconds: 500 } });
    assert.equal((await upload(service, { config, 'file:3/model.h5': file })).status, 200);
    const right = values(await infer(service, 'dress', body), 'dense_4');
    for (const one of [service, serve(t, { models: { dress: DRESS }, store })]) {
      assert.deepEqual(values(await infer(one, 'mine/versions/3', body), 'dense_4'), right);
      assert.equal((await ask(one, 'GET', '/v2/models/mine/config')).json.max_batch_size, 7);
    }
    await service.remove('mine');
    assertRefused(await infer(serve(t, { models: {}, store }), 'mine', body), 404, 'value');
  });

  test('take the place of a version that requests run on', async (t) => {
    const service = serve(t, { models: { mine: DRESS } });
    const requests = Array.from({ length: 30 }, () => infer(service, 'mine', body));
    assert.equal((await upload(service, { 'file:1/model.h5': file })).status, 200);
    for (const answer of await Promise.all([...requests, infer(service, 'mine', body)])) assert.equal(answer.status, 200);
  });

  test('that are no models are refused, and leave what is there', async (t) => {
    const service = serve(t, { models: { mine: DRESS } });
    const odd = [
      [{ 'file:1/model.h5': 'AAAA' }, 'format'], [{ 'file:1/model.h5': '' }, 'format'], [{ 'file:1/model.h5': '§' }, 'value'], [{ 'file:1/model.h5': null }, 'value'], [{ 'file:1/model.h5': [file] }, 'value'],
      [{ 'file:../model.h5': file }, 'value'], [{ 'file:a b/model.h5': file }, 'value'], [{ 'file:1': file }, 'unsupported'], [{ other: file }, 'unsupported'], [{ __proto__: null, ['__proto__']: file }, 'unsupported'],
      [{ config: '{}' }, 'unsupported'], ...['x', '5', 'null', '[]', 5, null, {}].map((config) => [{ config, 'file:1/model.h5': file }, 'value']),
      ...[{ max_batch_size: -1 }, { max_batch_size: '8' }, { dynamic_batching: null }, { dynamic_batching: 5 }, { dynamic_batching: { max_queue_delay_microseconds: 0.5 } }].map((config) => [{ config: JSON.stringify(config), 'file:1/model.h5': file }, 'value']),
      ...[{ instance_group: [] }, { dynamic_batching: { preferred_batch_size: [4] } }].map((config) => [{ config: JSON.stringify(config), 'file:1/model.h5': file }, 'unsupported']),
    ]; // prettier-ignore
    for (const [parameters, kind] of odd) assertRefused(await upload(service, parameters), 400, kind);
    for (const parameters of [null, [], 'a']) assertRefused(await upload(service, parameters), 400, 'value', /parameters/);
    assertRefused(await ask(service, 'POST', '/v2/repository/models/mine/load', { body: '{"files":[]}' }), 400, 'unsupported', /'files'/);
    assertRefused(await upload(service, { 'file:1/model.h5': file }, 'stats'), 400, 'value');
    assert.equal((await infer(service, 'mine', body)).status, 200);
    assert.equal(service.models().length, 1);
  });

  test('a store that fails is told to every request, and to nobody else', async (t) => {
    const store = { ...memoryStore(), list: async () => Promise.reject(new Error('disk')) };
    const service = serve(t, { models: { a: '' }, computer: echo(), store });
    assertRefused(await one(service, 1), 500, 'internal', /disk/);
    await assert.rejects(service.ready(), /disk/);
  });
});
