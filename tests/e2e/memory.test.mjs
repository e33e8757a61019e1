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

  test('of a container being loaded is at most 2.2 times the weights', async () => {
    const [weights, atRelease, after, answer] = await context.page.evaluate(async () => {
      const sizes = [1024, 2048, 2048, 1024];
      const file = makeSafetensors(sizes.slice(1).flatMap((units, i) => [
        { name: `${2 * i}.weight`, shape: [units, sizes[i]] },
        { name: `${2 * i}.bias`, shape: [units] },
      ]));
      const config = { layers: ['Linear', 'ReLU', 'Linear', 'ReLU', 'Linear'] };
      const container = await (await load(file, { device: 'cpu', config })).save('safetensors');
      const url = URL.createObjectURL(new Blob([container]));
      const { transfer } = ArrayBuffer.prototype;
      // A page of its own has a memory of its own: what the conversion above took is not counted.
      const page = document.createElement('iframe');
      page.src = 'page.html';
      document.body.append(page);
      await new Promise((resolve) => (page.onload = resolve));
      const own = page.contentWindow;
      const memories = [];
      const { instantiateStreaming } = own.WebAssembly;
      own.WebAssembly.instantiateStreaming = async (...given) => {
        const result = await instantiateStreaming(...given);
        memories.push(Object.values(result.instance.exports).find((value) => value instanceof own.WebAssembly.Memory));
        return result;
      };
      const occupied = () => memories[0].buffer.byteLength;
      let atRelease = 0;
      own.ArrayBuffer.prototype.transfer = function (length) {
        if (this.byteLength >= container.length) atRelease += occupied() + this.byteLength;
        return transfer.call(this, length);
      };
      const model = await own.load(url, { device: 'cpu', threads: 1 });
      const answer = model.predictSync(new own.Float32Array(1024).fill(1)).data.some((value) => value !== 0);
      return [4 * model.parameterCount, atRelease, occupied(), answer];
    });
    assert.ok(answer);
    // The file, and the weights as they were read; then these, and the weights as the kernels read them.
    assert.ok(atRelease > 2 * weights && atRelease <= 2.2 * weights, `${atRelease / weights} times the weights when the file is freed`);
    assert.ok(after > 2 * weights && after <= 2.2 * weights, `${after / weights} times the weights behind it`);
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
