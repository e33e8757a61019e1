// Training on a GPU, in a browser: the same losses as on the CPU, what is refused, and what a lost device leaves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, inBrowser } from './support.mjs';

inBrowser('training on a GPU', { webgpu: true }, (context) => {
  test('the losses, the metrics and the model are those of the CPU', async () => {
    const { cpu, gpu, files } = await context.page.evaluate(async () => {
      const train = async (device) => {
        const layers = [dense(17, { activation: 'relu', inputShape: [5] }), dropout(0.2), dense(3, { activation: 'softmax' })];
        const model = sequential(layers, { seed: 3 });
        const x = Float32Array.from({ length: 5 * 70 }, (_, i) => Math.sin(i * 1.7));
        const y = Float32Array.from({ length: 70 }, (_, i) => (x[i * 5] > 0.3 ? 2 : x[i * 5 + 1] > 0 ? 1 : 0));
        const losses = [];
        const onBatchEnd = (_, { loss }) => losses.push(loss);
        const how = { loss: 'sparse_categorical_crossentropy', optimizer: 'adam', metrics: ['accuracy'] };
        const { history } = await model.fit(x, y, { ...how, epochs: 4, batchSize: 16, seed: 1, validationSplit: 0.2, device, callbacks: [{ onBatchEnd }] });
        return { losses, history, after: await model.evaluate(x, y), predicted: Array.from((await model.predict(x)).data) };
      };
      const [cpu, gpu] = [await train('cpu'), await train('gpu')];
      return { cpu, gpu, files: performance.getEntriesByType('resource').map(({ name }) => name.split('/').pop()) };
    });
    assert.equal(gpu.losses.length, 4 * 4);
    const close = (own, expected, what) => assert.ok(Math.abs(own - expected) <= 1e-4 * Math.max(1, Math.abs(expected)), `${what}: ${own}, ${expected} wanted`);
    gpu.losses.forEach((loss, step) => close(loss, cpu.losses[step], `step ${step}`));
    for (const [name, values] of Object.entries(cpu.history)) values.forEach((value, epoch) => close(gpu.history[name][epoch], value, `${name}, epoch ${epoch}`));
    close(gpu.after.loss, cpu.after.loss, 'evaluation');
    gpu.predicted.forEach((value, i) => close(value, cpu.predicted[i], `prediction ${i}`));
    assert.ok(files.includes('train-gpu.wasm'), `${files}`);
  });

  test('what only the CPU trains is refused by name, and a device that is not known', async () => {
    const [layer, device] = await context.page.evaluate(async () => {
      const model = sequential([dense(4, { inputShape: [2] }), batchNormalization({ name: 'norm' }), dense(1)]);
      const how = { loss: 'mse', optimizer: 'sgd' };
      return [await caught(() => model.fit([1, 2], [1], { ...how, device: 'gpu' })), await caught(() => model.fit([1, 2], [1], { ...how, device: 'npu' }))];
    });
    assertRefused(layer, 'unsupported', /train it on the CPU/, { layer: 'norm' });
    assertRefused(device, 'value', /no device 'npu'/);
  });

  test('a loss that is not finite ends the training, and the model keeps what it had learnt', async () => {
    const { error, finite } = await context.page.evaluate(async () => {
      const model = sequential([dense(1, { inputShape: [2] })], { seed: 1 });
      const error = await caught(() => model.fit([1, 2, 3, Infinity], [1, 2], { loss: 'mse', optimizer: 'sgd', batchSize: 1, shuffle: false, device: 'gpu' }));
      return { error, finite: (await model.predict([1, 2])).data.every(Number.isFinite) };
    });
    assertRefused(error, 'value', /samples hold values that are not finite/);
    assert.ok(finite);
  });

  test('a GPU that is lost in the second epoch leaves what was learnt in the first', async () => {
    // The worker's device is destroyed where its second epoch begins.
    const lose = () => {
      const ask = GPUAdapter.prototype.requestDevice;
      let device;
      GPUAdapter.prototype.requestDevice = async function (...how) {
        return (device = await ask.apply(this, how));
      };
      let epochs = 0;
      addEventListener('message', ({ data }) => data.act === 'train' && ++epochs === 2 && device.destroy());
    };
    await context.page.route('**/browser-gpu-trainer.js', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: `(${lose})();${await response.text()}` });
    });
    const { error, lost, once } = await context.page.evaluate(async () => {
      const x = Float32Array.from({ length: 40 }, (_, i) => Math.sin(i * 1.7));
      const y = Float32Array.from({ length: 20 }, (_, i) => x[2 * i] - x[2 * i + 1]);
      const make = () => sequential([dense(7, { activation: 'tanh', inputShape: [2] }), dense(1)], { seed: 4 });
      const how = { loss: 'mse', optimizer: 'adam', shuffle: false, batchSize: 20 };
      const [own, other] = [make(), make()];
      const error = await caught(() => own.fit(x, y, { ...how, epochs: 9, device: 'gpu' }));
      await other.fit(x, y, { ...how, epochs: 1 });
      const predicted = async (model) => Array.from((await model.predict(x)).data);
      return { error, lost: await predicted(own), once: await predicted(other) };
    });
    await context.page.unroute('**/browser-gpu-trainer.js');
    assertRefused(error, 'device', /^epoch 1, batch 0?1?: .*lost/);
    lost.forEach((value, i) => assert.ok(Math.abs(value - once[i]) <= 1e-4, `${value}, ${once[i]} wanted`));
  });
});
