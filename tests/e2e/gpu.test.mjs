// The GPU: chosen where it is measured to be faster, held to the CPU's answers, and lost without losing an answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TOLERANCE, assertRefused, inBrowser, openPage } from './support.mjs';

const MNIST = 'mnist_784_128_128_10.h5';

inBrowser('the GPU', { webgpu: true }, (context) => {
  /** Runs `act` on a page of its own, with tools as globals. */
  async function onFreshPage(act, argument) {
    const page = await openPage(context);
    await page.evaluate(tools);
    const found = await page.evaluate(act, argument);
    const { faults, requests } = page;
    await page.close();
    assert.deepEqual(faults, []);
    return { ...found, requests };
  }

  test('is not asked for by predictions that the CPU answers in less than a millisecond', async () => {
    const found = await onFreshPage(async (file) => {
      const model = await load(file);
      for (let i = 0; i < 100; i++) await model.predict(new Float32Array(784).fill(i / 100));
      await new Promise((resolve) => setTimeout(resolve, 100));
      return { device: model.device };
    }, MNIST);
    assert.equal(found.device.kind, 'cpu');
    assert.match(found.device.reason, /the GPU is asked for behind the first prediction that takes the CPU a millisecond/);
    assert.ok(!found.requests.some((file) => file.startsWith('gpu')), `${found.requests}`);
  });

  test('loses on auto where it is measured to be the slower, as a processor that passes for one is', async () => {
    const found = await onFreshPage(async (file) => {
      const model = await load(file, { threads: 1 });
      const heard = [];
      model.on('device', ({ reason }) => heard.push(reason));
      const x = ramp(512 * 784);
      const right = model.predictSync(x).data;
      const same = [];
      const ask = async () => same.push((await model.predict(x)).data.every((value, i) => value === right[i]));
      await ask();
      await until(() => model.device.calibration);
      await ask();
      return { same, heard, device: model.device, live: gpuBytes() };
    }, MNIST);
    assert.deepEqual(found.same, [true, true]);
    const { kind, reason, adapter, calibration } = found.device;
    assert.equal(kind, 'cpu');
    assert.match(adapter, /swiftshader/i);
    assert.match(reason, /^the CPU was measured to be faster for any number of samples: the CPU takes .* ms a sample, the GPU \(google swiftshader\) .* ms a sample$/);
    assert.equal(calibration.crossover, undefined);
    assert.ok(calibration.gpu.perSample > calibration.cpu.perSample && calibration.cpu.perSample > 0, JSON.stringify(calibration));
    assert.match(found.heard[0], /being made ready and measured/);
    assert.equal(found.live, 0, 'a GPU that is never faster need not hold the model');
  });

  test('answers on auto where it is measured to be the faster', async () => {
    const found = await onFreshPage(async (file) => {
      await slowCpu();
      const model = await load(file, { threads: 1 });
      const x = ramp(64 * 784 * 8);
      const right = model.predictSync(x).data;
      await model.predict(x);
      await until(() => model.device.calibration);
      const before = model.device.kind;
      const answer = await model.predict(x);
      return { before, device: model.device, distance: furthest(answer.data, right) };
    }, MNIST);
    assert.equal(found.before, 'cpu');
    assert.equal(found.device.kind, 'gpu');
    assert.match(found.device.reason, /^the GPU was measured to be faster from 1 sample on: /);
    assert.equal(found.device.calibration.crossover, 1);
    assert.ok(found.distance <= TOLERANCE, `${found.distance}`);
  });

  test('is measured when that is asked for', async () => {
    const found = await onFreshPage(async (file) => {
      const model = await load(file, { device: 'cpu', threads: 1 });
      const { calibration, adapter, kind, reason } = await model.calibrate(ramp(32 * 784));
      return { calibration, adapter, kind, reason };
    }, MNIST);
    assert.deepEqual([found.kind, found.reason], ['cpu', 'asked for by name']);
    assert.match(found.adapter, /swiftshader/i);
    for (const { overhead, perSample } of [found.calibration.cpu, found.calibration.gpu]) assert.ok(overhead >= 0 && perSample >= 0 && overhead + perSample > 0);
  });

  test('whose kernel is broken is found out before it answers', async () => {
    const found = await onFreshPage(async (file) => {
      breakShaders('scaled + bias[unit]', 'scaled - bias[unit]');
      const named = await caughtWhole(() => load(file, { device: 'gpu' }));
      await slowCpu();
      const model = await load(file, { threads: 1 });
      const x = ramp(512 * 784);
      const right = model.predictSync(x).data;
      await model.predict(x);
      await until(() => model.device.evidence);
      const answer = await model.predict(x);
      return { named, device: model.device, distance: furthest(answer.data, right), live: gpuBytes() };
    }, MNIST);
    assertRefused(found.named, 'device', /the GPU computes wrong answers: of 1 samples, value \d+ of output 0 is .*, the CPU has .*; use the CPU/);
    const { evidence, kind, reason } = found.device;
    assert.equal(kind, 'cpu');
    assert.match(reason, /wrong answers/);
    assert.match(evidence.adapter, /swiftshader/i);
    assert.notEqual(evidence.cpu, evidence.gpu);
    assert.equal(found.distance, 0);
    assert.equal(found.live, 0);
  });

  test('whose kernel for many samples alone is broken is found out by the first batch of them', async () => {
    const found = await onFreshPage(async (file) => {
      breakShaders('s3 += input[starts_0.w + i] * w;', '');
      const model = await load(file, { device: 'gpu' });
      const one = await caughtWhole(() => model.predict(ramp(784)));
      const many = await caughtWhole(() => model.predict(ramp(784 * 20)));
      return { one, many };
    }, MNIST);
    assert.equal(found.one, null);
    assertRefused(found.many, 'device', /wrong answers: of 17 samples/);
  });

  for (const device of ['gpu', 'auto']) {
    test(`destroyed in the middle of 1,000 predictions at a time, on ${device}, leaves 1,000 right answers`, async () => {
      const found = await onFreshPage(async (device) => {
        const arrays = readNpz(await bytes('dress.io.npz'));
        const x = given(arrays);
        if (device === 'auto') await slowCpu();
        const model = await load('dress.h5', { device, threads: 1 });
        if (device === 'auto') {
          // A batch large enough to be measured.
          const many = new Float32Array(20 * Math.ceil(2.1e7 / model.parameterCount)).fill(0.5);
          await model.predict(many);
          await until(() => model.device.calibration);
        }
        await model.predict(x);
        const before = model.device.kind;
        const heard = [];
        model.on('device', ({ kind, reason }) => heard.push(`${kind}: ${reason}`));
        const answers = Array.from({ length: 1000 }, () => model.predict(x));
        setTimeout(() => lastDevice.destroy(), 5);
        const distances = (await Promise.all(answers)).map((answer) => distance(answer, arrays));
        await until(() => device === 'gpu' || heard.some((said) => /back after it failed/.test(said)));
        const after = distance(await model.predict(x), arrays);
        return { before, count: distances.length, furthest: Math.max(...distances, after), kind: model.device.kind, heard, devices };
      }, device);
      assert.equal(found.before, 'gpu');
      assert.equal(found.count, 1000);
      assert.ok(found.furthest <= TOLERANCE, `${found.furthest}`);
      assert.equal(found.kind, 'gpu', `${found.heard}`);
      assert.equal(found.devices, 2, 'one was lost, and one more was asked for');
    });
  }

  test('that cannot be had again is an error by name, and the CPU on auto', async () => {
    const found = await onFreshPage(async () => {
      const arrays = readNpz(await bytes('dress.io.npz'));
      const model = await load('dress.h5', { device: 'gpu' });
      GPU.prototype.requestAdapter = async () => null;
      lastDevice.destroy();
      await lastDevice.lost;
      const error = await caughtWhole(() => model.predict(given(arrays)));
      const onCpu = distance(await model.predict(given(arrays), { device: 'cpu' }), arrays);
      return { error, onCpu };
    });
    assertRefused(found.error, 'device', /no adapter/);
    assert.ok(found.onCpu <= TOLERANCE);
  });

  test('without memory for a batch leaves it to the CPU on auto', async () => {
    const found = await onFreshPage(async (file) => {
      await slowCpu();
      const model = await load(file, { threads: 1 });
      const x = ramp(512 * 784);
      await model.predict(x);
      await until(() => model.device.calibration);
      await model.predict(x);
      const before = model.device.kind;
      // Every buffer of more than a megabyte is one that there is no memory for.
      const { createBuffer } = GPUDevice.prototype;
      GPUDevice.prototype.createBuffer = function (descriptor) {
        return createBuffer.call(this, descriptor.size > 1e6 ? { ...descriptor, size: 2 ** 50 } : descriptor);
      };
      const large = ramp(2048 * 784);
      const distance = furthest((await model.predict(large)).data, model.predictSync(large).data);
      return { before, distance };
    }, MNIST);
    assert.equal(found.before, 'gpu');
    assert.ok(found.distance <= TOLERANCE);
  });

  test('holds as much memory after 10,000 predictions as before, and none once the model is disposed of', async () => {
    const found = await onFreshPage(async () => {
      const model = await load('dress.h5', { device: 'gpu' });
      const x = new Float32Array(20).fill(0.25);
      const live = [];
      for (let round = 0; round < 10; round++) {
        for (let i = 0; i < 100; i++) await Promise.all(Array.from({ length: 10 }, () => model.predict(x)));
        live.push(gpuBytes());
      }
      model.dispose();
      await new Promise((resolve) => setTimeout(resolve));
      return { live, after: gpuBytes() };
    });
    assert.ok(found.live[0] > 0 && new Set(found.live.slice(1)).size === 1, `${found.live}`);
    assert.equal(found.after, 0);
  });

  test('says how long each step takes, and how much it has to do', async () => {
    const found = await onFreshPage(async (file) => {
      const model = await load(file, { device: 'gpu' });
      const x = ramp(64 * 784);
      return { gpu: await model.profile(x), cpu: await model.profile(x, { device: 'cpu' }) };
    }, MNIST);
    for (const steps of [found.gpu, found.cpu]) {
      assert.deepEqual(steps.map(({ layer }) => layer), ['dense', 'dense_1', 'dense_2', 'dense_2']);
      for (const { time, kernel } of steps) assert.ok(time > 0 && kernel.length > 0);
      assert.equal(steps[0].flop, 2 * 64 * 784 * 128);
      assert.equal(steps[0].bytes, 4 * (64 * (784 + 128) + 784 * 128 + 128));
      assert.ok(steps[0].time > steps[3].time);
    }
  });

  test('takes the kernels that it timed to be the fastest, and remembers them', async () => {
    const found = await onFreshPage(async (file) => {
      const model = await load(file, { device: 'gpu' });
      const x = ramp(64 * 784);
      const before = (await model.predict(x)).data;
      await model.tune();
      const after = (await model.predict(x)).data;
      const [entry] = await (await caches.open('nearside-gpu-1')).keys();
      const stored = await (await (await caches.open('nearside-gpu-1')).match(entry)).json();
      await caches.delete('nearside-gpu-1');
      return { distance: furthest(before, after), stored };
    }, MNIST);
    assert.ok(found.distance <= TOLERANCE);
    assert.equal(found.stored.kernels.length, 3);
  });

  test('keeps weights as small as the CPU', async () => {
    for (const dtype of ['f16', 'int8']) {
      const found = await onFreshPage(async ([file, dtype]) => {
        const own = await load(file, { device: 'gpu', dtype });
        const bytes = gpuBytes();
        const f32 = await load(file, { device: 'gpu' });
        const x = ramp(64 * 784);
        const cpu = await own.predict(x, { device: 'cpu' });
        const [many, few, one] = [64, 5, 1].map((samples) => own.predict(x.subarray(0, 784 * samples)));
        const distances = [furthest((await many).data, cpu.data), furthest((await few).data, cpu.data.subarray(0, 50)), furthest((await one).data, cpu.data.subarray(0, 10))];
        const exact = furthest((await own.predict(x)).data, (await f32.predict(x)).data);
        return { distances, exact, bytes, more: gpuBytes() - bytes };
      }, [MNIST, dtype]);
      assert.ok(Math.max(...found.distances) <= TOLERANCE, `${dtype}: ${found.distances}`);
      assert.ok(found.exact > 0 && found.exact < 0.05, `${dtype}: ${found.exact} from f32`);
      assert.ok(found.bytes < found.more * (dtype === 'f16' ? 0.75 : 0.5), `${dtype}: ${found.bytes} of ${found.more}`);
    }
  });
});

/** What the tests use in the page. Runs there. */
function tools() {
  const live = new Map();
  const { createBuffer, createShaderModule } = GPUDevice.prototype;
  const { destroy } = GPUBuffer.prototype;
  const { requestDevice } = GPUAdapter.prototype;
  globalThis.devices = 0;
  GPUAdapter.prototype.requestDevice = async function (...given) {
    globalThis.lastDevice = await requestDevice.apply(this, given);
    globalThis.devices++;
    return globalThis.lastDevice;
  };
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    live.set(buffer, descriptor.size);
    return buffer;
  };
  GPUBuffer.prototype.destroy = function () {
    live.delete(this);
    destroy.call(this);
  };
  /** Bytes of the buffers that were made and not destroyed. */
  globalThis.gpuBytes = () => [...live.values()].reduce((sum, size) => sum + size, 0);
  /** Changes what every shader says. */
  globalThis.breakShaders = (sound, broken) => {
    GPUDevice.prototype.createShaderModule = function ({ code, ...rest }) {
      const squeezed = (text) => text.replaceAll(/\s+/g, '');
      const at = new RegExp([...squeezed(sound)].map((c) => c.replace(/[^a-z0-9]/gi, '\\$&')).join('\\s*'), 'g');
      return createShaderModule.call(this, { ...rest, code: code.replaceAll(at, broken) });
    };
  };
  /** From now on the GPU takes a millisecond, and the CPU twenty. Kernels are not timed by that clock. */
  globalThis.slowCpu = async () => {
    const cache = await caches.open('nearside-gpu-1');
    await cache.put('/nearside-gpu?google%20swiftshader', Response.json({ kernels: ['direct 4×128', 'direct 4×128', 'direct 1×128'] }));
    let clock = 0;
    let submitted = false;
    const { submit } = GPUQueue.prototype;
    GPUQueue.prototype.submit = function (commands) {
      submitted = true;
      submit.call(this, commands);
    };
    performance.now = () => {
      clock += submitted ? 1 : 20;
      submitted = false;
      return clock;
    };
  };
  globalThis.ramp = (length) => Float32Array.from({ length }, (_, i) => ((i * 7919) % 251) / 251);
  globalThis.furthest = (a, b) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
  globalThis.caughtWhole = caught;
  globalThis.until = async (condition) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
  };
}
