// WebAssembly memory cannot shrink: what is not given back within it is lost until the page is closed.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inBrowser } from './support.mjs';

inBrowser('the memory of the CPU', { webgpu: false }, (context) => {
  before(async () => {
    await context.page.addInitScript(() => {
      const { instantiateStreaming } = WebAssembly;
      globalThis.memories = [];
      WebAssembly.instantiateStreaming = async (...given) => {
        const result = await instantiateStreaming(...given);
        memories.push(Object.values(result.instance.exports).find((value) => value instanceof WebAssembly.Memory));
        return result;
      };
      globalThis.occupied = () => memories[0].buffer.byteLength;
    });
    await context.page.reload();
    await context.page.locator('[data-state=ready]').waitFor({ state: 'attached' });
  });

  test('stays as it is over 10,000 predictions of changing batches', async () => {
    const [first, last] = await context.page.evaluate(async () => {
      const model = await load('mnist_784_128_128_10.h5', { device: 'cpu' });
      const values = Float32Array.from({ length: 300 * 784 }, (_, i) => (i % 17) / 16);
      const sizes = (round) => 1 + ((round * 7919) % 40) * (round % 100 ? 1 : 7);
      model.predictSync(values);
      const first = occupied();
      for (let round = 0; round < 10_000; round++) {
        const x = values.subarray(0, sizes(round) * 784);
        const answer = round % 2 ? model.predictSync(x) : await model.predict(x);
        if (!(answer.data[0] > 0) || answer.shape[0] !== sizes(round)) throw new Error(`prediction ${round}: ${answer.data}`);
      }
      model.dispose();
      return [first, occupied()];
    });
    assert.equal(last, first);
  });

  test('stays as it is over 1,000 models that are loaded and disposed of', async () => {
    const [first, last] = await context.page.evaluate(async () => {
      const file = await (await load('mnist_784_128_128_10.h5', { device: 'cpu' })).save('safetensors');
      const cycle = async () => {
        const model = await load(file, { device: 'cpu' });
        model.predictSync(new Float32Array(2 * 784));
        model.dispose();
      };
      for (let i = 0; i < 10; i++) await cycle();
      const first = occupied();
      for (let i = 0; i < 1000; i++) await cycle();
      return [first, occupied()];
    });
    assert.equal(last, first);
  });
});
