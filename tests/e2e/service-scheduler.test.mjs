// Many callers at once: how the service gathers what they ask, bounds what waits, and counts how it ends.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { load } from '../../pkg/node.js';
import { DRESS, ask, assertRefused, drain, echo, gate, infer, message, numbers, one, pause, random, serve, settled, statistics, until, values } from './ask.mjs';

describe('batches', () => {
  test('what arrives while a batch is computed is the next, up to maxBatchSize', async (t) => {
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: { source: '', maxBatchSize: 4 } } });
    const requests = Array.from({ length: 7 }, (_, i) => one(service, i));
    await settled();
    for (const wanted of [1, 4, 2]) {
      await until(() => batches.length);
      assert.equal(batches[0].samples, wanted);
      batches.shift().answer();
    }
    const answers = await Promise.all(requests);
    answers.forEach((answer, i) => assert.deepEqual(values(answer, 'y'), [i]));
    const { batchSizes, samples, requests: ended } = statistics(service);
    assert.deepEqual([batchSizes, samples, ended.success], [{ 1: 1, 2: 1, 4: 1 }, 7, 7]);
  });

  test('a request of more than maxBatchSize is computed by itself, and samples of others are not torn apart', async (t) => {
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: { source: '', maxBatchSize: 4 } } });
    const sizes = [1, 2, 9, 1, 3, 3];
    const requests = [];
    for (const size of sizes) {
      requests.push(infer(service, 'a', message(...Array.from({ length: size }, (_, i) => 10 * requests.length + i))));
      await settled();
    }
    const seen = [];
    await until(() => batches.length);
    for (let done = 0; done < sizes.length; ) {
      await until(() => batches.length);
      const batch = batches.shift();
      seen.push(batch.samples);
      done += { 1: 1, 2: 1, 9: 1, 4: 2, 3: 1 }[batch.samples];
      batch.answer();
    }
    assert.deepEqual(seen, [1, 2, 9, 4, 3]);
    (await Promise.all(requests)).forEach((answer, i) => assert.deepEqual(values(answer, 'y'), Array.from({ length: sizes[i] }, (_, k) => 10 * i + k)));
  });

  test('with maxDelay a request waits for others, and no longer than until the batch is full', async (t) => {
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: { source: '', maxBatchSize: 3, maxDelay: 1e7 } } });
    const requests = [one(service, 1), one(service, 2)];
    await settled();
    assert.equal(batches.length, 0);
    requests.push(one(service, 3));
    await until(() => batches.length);
    assert.equal(batches[0].samples, 3);
    await drain(batches, requests);
    // One alone is computed when its time has come.
    await service.add('a', { source: '', version: '2', maxBatchSize: 3, maxDelay: 5 });
    const alone = one(service, 4);
    await drain(batches, [alone]);
    assert.deepEqual(values(await alone, 'y'), [4]);
  });

  test('answers are never mixed up: 400 requests of random sizes by 64 callers, each its own prediction', async (t) => {
    const service = serve(t, { models: { dress: { source: DRESS, maxBatchSize: 16 }, pair: { source: 'tests/fixtures/dictionaries.h5', maxBatchSize: 16, maxDelay: 1 } } });
    const [dress, pair] = await Promise.all([load(DRESS), load('tests/fixtures/dictionaries.h5')]);
    const next = random(7);
    const jobs = Array.from({ length: 400 }, (_, i) => ({ samples: 1 + Math.floor(5 * next()), several: i % 3 === 0, seed: i }));
    let batches = 0;
    await concurrently(64, jobs, async ({ samples, several, seed }) => {
      const input = (name, width) => ({ name, shape: [samples, width], datatype: 'FP32', data: numbers(samples * width, seed * 10 + width) });
      const inputs = several ? [input('b', 3), input('a', 2)] : [input('input_layer_2', 20)];
      const answer = await infer(service, several ? 'pair' : 'dress', { id: String(seed), inputs }, { caller: { client: String(seed % 64) } });
      assert.equal(answer.json.id, String(seed));
      const x = Object.fromEntries(inputs.map(({ name, data }) => [name, Float32Array.from(data)]));
      const right = several ? await pair.predict(x) : { dense_4: await dress.predict(x) };
      for (const [name, { data, shape }] of Object.entries(right)) {
        assert.deepEqual(answer.json.outputs.find((output) => output.name === name).shape, shape);
        values(answer, name).forEach((value, k) => assert.ok(Math.abs(value - data[k]) <= 1e-6, `${seed}: ${value} for ${data[k]}`));
      }
    });
    for (const { statistics: report } of service.models()) {
      batches += report.batches;
      assert.equal(Object.entries(report.batchSizes).reduce((sum, [size, count]) => sum + size * count, 0), report.samples);
    }
    assert.ok(batches < 400, `${batches} batches: some requests were gathered`);
    for (const one of [dress, pair]) one.dispose();
  });

  test('a request that fails to compute spoils no other of its batch', async (t) => {
    const predict = async ([x]) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (x.includes(13)) throw new Error('unlucky');
      return [x];
    };
    const service = serve(t, { computer: echo({ predict }), models: { a: '' } });
    const answers = await Promise.all([1, 2, 13, 4, 13, 6].map((x) => one(service, x)));
    answers.forEach((answer, i) => (i === 2 || i === 4 ? assertRefused(answer, 500, 'internal', /unlucky/) : assert.deepEqual(values(answer, 'y'), [[1, 2, 13, 4, 13, 6][i]])));
    const { success, fail } = statistics(service).requests;
    assert.deepEqual([success, fail], [4, 2]);
  });
});

describe('a full queue', () => {
  test('refuses with 503 and when to try again, and nothing is lost or answered twice', async (t) => {
    const computed = [];
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: { source: '', maxBatchSize: 2, maxQueue: 10 } } });
    const requests = Array.from({ length: 50 }, (_, i) => one(service, i, { caller: { client: String(i) } }));
    await until(() => statistics(service).requests.rejected === 39);
    let open = requests.length;
    for (const request of requests) request.finally(() => open--);
    while (open) {
      for (const batch of batches.splice(0)) {
        computed.push(...batch.inputs[0]);
        batch.answer();
      }
      await pause();
    }
    const answers = await Promise.all(requests);
    const done = answers.flatMap((answer, i) => (answer.status === 200 ? [i] : []));
    assert.deepEqual(done, Array.from({ length: 11 }, (_, i) => i));
    assert.deepEqual(computed.sort((a, b) => a - b), done);
    for (const answer of answers.slice(11)) {
      assertRefused(answer, 503, 'busy', /10 requests wait already: try again in 1 s/);
      assert.equal(answer.headers.get('retry-after'), '1');
    }
    const after = one(service, 99);
    await drain(batches, [after]);
    assert.deepEqual(values(await after, 'y'), [99]);
    assert.equal(statistics(service).requests.success, 12);
  });

  test('has room for others however much one caller asks, and they take turns', async (t) => {
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: { source: '', maxBatchSize: 1, maxQueue: 64 } } });
    const flood = Array.from({ length: 500 }, () => one(service, 0, { caller: { client: 'flood' } }));
    await until(() => statistics(service).requests.rejected === 500 - 33);
    const others = [1, 2, 3].map((x) => one(service, x, { caller: { client: `other ${x}` } }));
    const order = [];
    let open = 503;
    for (const request of [...flood, ...others]) request.finally(() => open--);
    await settled();
    while (open) {
      for (const batch of batches.splice(0)) {
        order.push(batch.inputs[0][0]);
        batch.answer();
      }
      await pause();
    }
    assert.deepEqual(order.slice(0, 6).filter(Boolean), [1, 2, 3]);
    for (const answer of await Promise.all(others)) assert.equal(answer.status, 200);
  });
});

describe('deadlines and cancellation', () => {
  const within = (microseconds, x) => ({ ...message(x), parameters: { timeout: microseconds } });

  test('what waits longer than its timeout is refused with 504, and is not computed', async (t) => {
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: '' } });
    const first = one(service, 1);
    await until(() => batches.length);
    const late = infer(service, 'a', within(2000, 2));
    const patient = infer(service, 'a', within(3.6e9, 3));
    assertRefused(await late, 504, 'timeout', /timeout passed/);
    batches.shift().answer();
    await until(() => batches.length);
    assert.deepEqual(Array.from(batches[0].inputs[0]), [3]);
    await drain(batches, [first, patient]);
    assert.deepEqual([(await first).status, (await patient).status], [200, 200]);
    assert.deepEqual(statistics(service).requests, { success: 2, fail: 0, rejected: 0, cancelled: 0, expired: 1 });
  });

  test('what is computed for longer than its timeout is refused, too, and the rest of its batch is answered', async (t) => {
    t.mock.method(performance, 'now', () => 0);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: { source: '', maxBatchSize: 2, maxDelay: 1e7 } } });
    const requests = [infer(service, 'a', within(30_000, 1)), one(service, 2)];
    await until(() => batches.length);
    assert.equal(batches[0].samples, 2);
    t.mock.timers.tick(29);
    await settled();
    assert.equal(statistics(service).requests.expired, 0);
    t.mock.timers.tick(1);
    assertRefused(await requests[0], 504, 'timeout');
    batches.shift().answer();
    assert.deepEqual(values(await requests[1], 'y'), [2]);
    assert.deepEqual(statistics(service).requests, { success: 1, fail: 0, rejected: 0, cancelled: 0, expired: 1 });
  });

  test('a timeout may be as long as one likes, and must be a number of microseconds', async (t) => {
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: '' } });
    const first = one(service, 1);
    await until(() => batches.length);
    const requests = [2 ** 31 * 1000, 2 ** 53 - 1, 0].map((timeout, i) => infer(service, 'a', within(timeout, i)));
    await settled();
    for (const answer of await drain(batches, [first, ...requests])) assert.equal(answer.status, 200);
    for (const timeout of [-1, 0.5, '5', true, 1e300]) assertRefused(await infer(service, 'a', within(timeout, 1)), 400, 'value', /'timeout'/);
    assertRefused(await infer(service, 'a', within(1, 1)), 504, 'timeout');
  });

  test('who gives up before, while waiting or while computed is told so, and costs the others nothing', async (t) => {
    const { batches, computer } = gate();
    const service = serve(t, { computer, models: { a: '' } });
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const ask = (i) => one(service, i, { signal: controllers[i].signal });
    controllers[0].abort();
    assert.equal((await ask(0)).status, 499);
    const computed = ask(1);
    await until(() => batches.length);
    const [waiting, other] = [ask(2), ask(3)];
    await settled();
    controllers[2].abort();
    assertRefused(await waiting, 499, 'aborted');
    controllers[1].abort();
    assertRefused(await computed, 499, 'aborted');
    batches.shift().answer();
    await until(() => batches.length);
    assert.deepEqual(Array.from(batches[0].inputs[0]), [3]);
    batches.shift().answer();
    assert.deepEqual(values(await other, 'y'), [3]);
    const { success, cancelled, fail } = statistics(service).requests;
    assert.equal(success + fail, 1);
    assert.ok(cancelled >= 2);
    controllers[3].abort(); // nothing is left to stop
  });
});

describe('statistics', () => {
  test('add up to what was asked, in the words of Triton', async (t) => {
    const service = serve(t, { computer: echo(), models: { a: { source: '', watts: 20 }, b: '' } });
    const sizes = [1, 2, 3, 1, 8];
    for (const size of sizes) assert.equal((await infer(service, 'a', message(...Array(size).fill(1)))).status, 200);
    for (const bad of ['x', '{}', { inputs: [] }]) assert.equal((await infer(service, 'a', bad)).status, 400);
    const { json } = await ask(service, 'GET', '/v2/models/a/stats');
    const [{ nearside: report, ...triton }] = json.model_stats;
    assert.deepEqual(report.requests, { success: 5, fail: 3, rejected: 0, cancelled: 0, expired: 0 });
    assert.deepEqual([triton.name, triton.version, triton.inference_count, triton.execution_count], ['a', '1', 15, 5]);
    assert.ok(triton.last_inference > 1.7e12);
    assert.deepEqual(Object.keys(triton.inference_stats), ['success', 'fail', 'queue', 'compute_input', 'compute_infer', 'compute_output', 'cache_hit', 'cache_miss']);
    for (const { count, ns } of Object.values(triton.inference_stats)) assert.ok(Number.isInteger(count) && Number.isInteger(ns) && ns >= 0);
    const { success, fail, queue, compute_infer } = triton.inference_stats;
    assert.deepEqual([success.count, fail.count, queue.count, compute_infer.count], [5, 3, 5, 5]);
    assert.ok(success.ns >= queue.ns + compute_infer.ns && fail.ns > 0);
    assert.deepEqual(triton.batch_stats.map(({ batch_size, compute_infer: { count } }) => [batch_size, count]), [[1, 2], [2, 1], [3, 1], [8, 1]]);
    assert.equal(triton.batch_stats.reduce((sum, { compute_infer: { ns } }) => sum + ns, 0).toPrecision(3), compute_infer.ns.toPrecision(3));
    assert.deepEqual([report.flop, report.bytes.compute, report.energy.watts], [15, 120, 20]);
    assert.ok(Math.abs(report.energy.joules - (20 * report.compute.total) / 1000) < 1e-9);
    const all = (await ask(service, 'GET', '/v2/models/stats')).json.model_stats;
    assert.deepEqual(all.map(({ name }) => name), ['a', 'b']);
    assert.deepEqual((await ask(service, 'GET', '/v2/models/b/versions/1/stats')).json.model_stats[0].nearside.requests.success, 0);
  });

  test('percentiles rise, and are no further from the times than the histogram says', async (t) => {
    // The clock is the test's own: each prediction takes what is next.
    const times = Array.from({ length: 200 }, (_, i) => 0.0005 * 1.09 ** i).concat(0, 5e6);
    let now = 1000;
    t.mock.method(performance, 'now', () => now);
    const pending = [...times];
    const predict = async (inputs) => ((now += pending.shift()), inputs);
    const service = serve(t, { computer: echo({ predict }), models: { a: '' } });
    for (const _ of times) await one(service, 1);
    const { compute, latency, queue } = statistics(service);
    const sorted = times.sort((a, b) => a - b);
    for (const [name, share] of [['p50', 0.5], ['p90', 0.9], ['p99', 0.99]]) {
      const right = sorted[Math.ceil(share * sorted.length) - 1];
      assert.ok(compute[name] >= right * (1 - 1e-9) && compute[name] <= right * 2 ** (1 / 8) * (1 + 1e-9), `${name}: ${compute[name]} for ${right}`);
    }
    assert.equal(compute.max, 5e6);
    assert.ok(Math.abs(compute.total / sorted.reduce((a, b) => a + b) - 1) < 1e-9);
    assert.deepEqual([compute.count, latency.count, queue.count, queue.p99], [202, 202, 202, 0]);
    for (const { p50, p90, p99, max } of [compute, latency]) assert.ok(p50 <= p90 && p90 <= p99 && p99 <= max);
  });

  test('a listener that throws costs nobody an answer', async (t) => {
    const logged = t.mock.method(console, 'error', () => undefined);
    const records = [];
    const onRequest = (record) => {
      records.push(record);
      throw new Error('mine');
    };
    const service = serve(t, { computer: echo(), models: { a: '' }, onRequest });
    assert.equal((await one(service, 1)).status, 200);
    assert.equal((await one(service, 'x')).status, 400);
    assert.equal((await ask(service, 'GET', '/nowhere')).status, 404);
    assert.deepEqual(records.map(({ action, status, outcome, samples }) => [action, status, outcome, samples]), [['infer', 200, 'ok', 1], ['infer', 400, 'value', undefined], ['unknown', 404, 'value', undefined]]);
    assert.equal(logged.mock.callCount(), 3);
  });
});

/** Does all jobs, so many at a time. */
async function concurrently(count, jobs, act) {
  const rest = jobs.values();
  await Promise.all(Array.from({ length: count }, async () => {
    for (const job of rest) await act(job);
  }));
}
