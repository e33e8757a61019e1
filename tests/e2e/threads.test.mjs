// Workers that compute for the page: with shared memory and without, the same answers; and nothing lost when they fail.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { ISOLATION } from '../../pkg-scripts/serve.mjs';
import { assertRefused, inBrowser } from './support.mjs';

const MNIST = 'mnist_784_128_128_10.h5';

for (const isolated of [true, false]) {
  inBrowser(`threads, ${isolated ? 'that share memory' : 'each by itself'}`, { webgpu: false, headers: isolated ? ISOLATION : {} }, (context) => {
    before(async () => assert.equal(await context.page.evaluate(() => crossOriginIsolated), isolated));

    for (const dtype of ['f32', 'f16', 'int8']) {
      test(`a batch has the answers of one thread, ${dtype}`, async () => {
        const [one, three, report] = await context.page.evaluate(
          async ([file, dtype]) => {
            const x = Float32Array.from({ length: 301 * 784 }, (_, i) => ((i * 7919) % 256) / 255);
            const options = { device: 'cpu', dtype };
            const [single, shared] = [await load(file, { ...options, threads: 1 }), await load(file, { ...options, threads: 3 })];
            const answers = [await single.predict(x), await shared.predict(x)].map(({ data }) => [...data]);
            const together = await Promise.all(Array.from({ length: 10 }, () => shared.predict(x)));
            if (together.some(({ data }) => data.some((value, i) => value !== answers[1][i]))) throw new Error('answers differ');
            const report = shared.device;
            shared.dispose();
            single.dispose();
            return [...answers, report];
          },
          [MNIST, dtype],
        );
        assert.deepEqual(three, one);
        assert.equal(report.threads, 3);
        assert.match(report.reason, isolated ? /large batches in 3 threads, that share memory/ : /each by itself, because .*not cross-origin isolated/);
      });
    }

    test('parts are equal, so that none is of few samples, int8', async () => {
      const same = await context.page.evaluate(async (file) => {
        const x = Float32Array.from({ length: 196 * 784 }, (_, i) => ((i * 7919) % 256) / 255);
        const options = { device: 'cpu', dtype: 'int8' };
        const [one, three] = [await load(file, { ...options, threads: 1 }), await load(file, { ...options, threads: 3 })];
        const [right, answer] = [await one.predict(x), await three.predict(x)];
        return answer.data.every((value, i) => value === right.data[i]);
      }, MNIST);
      assert.ok(same);
    });

    test('a fault in the engine while they start leaves the model to say so, and the page to go on', async () => {
      const [error, report, shape] = await context.page.evaluate(async (file) => {
        const model = await load(file, { device: 'cpu' });
        const container = await model.save('safetensors');
        await model.predict(new Float32Array(256 * 784)); // starts them
        await caught(() => load(lyingContainer(container), { device: 'cpu' })); // a trap
        const error = await caught(() => model.predict(new Float32Array(256 * 784)));
        await new Promise((resolve) => setTimeout(resolve, 300));
        const again = await load(file, { device: 'cpu', threads: 2 });
        return [error, again.device, (await again.predict(new Float32Array(256 * 784))).shape];
      }, MNIST);
      assertRefused(error, 'internal', /load the model again/);
      assert.equal(report.threads, 2);
      assert.deepEqual(shape, [256, 10]);
    });

    test('are started behind the first prediction that is worth it, and the model says so', async () => {
      const [before, after, same] = await context.page.evaluate(async (file) => {
        Object.defineProperty(navigator, 'hardwareConcurrency', { value: 2 });
        const model = await load(file, { device: 'cpu' });
        const started = new Promise((resolve) => model.on('device', resolve));
        await model.predict(new Float32Array(784));
        const before = model.device.threads;
        const x = Float32Array.from({ length: 256 * 784 }, (_, i) => (i % 255) / 255);
        const first = await model.predict(x);
        const after = await started;
        const second = await model.predict(x);
        model.dispose();
        return [before, after.threads, second.data.every((value, i) => value === first.data[i])];
      }, MNIST);
      assert.deepEqual([before, after, same], [1, 2, true]);
    });

    test('a model disposed of while they start, or compute, leaves nothing behind', async () => {
      const answered = await context.page.evaluate(async (file) => {
        const options = { device: 'cpu' };
        const x = new Float32Array(256 * 784);
        const early = await load(file, options);
        await early.predict(x);
        early.dispose();
        const model = await load(file, { ...options, threads: 2 });
        const answer = model.predict(x);
        model.dispose();
        return (await answer).shape;
      }, MNIST);
      assert.deepEqual(answered, [256, 10]);
    });

    test('a page that may start no workers computes by itself, and says why', async () => {
      const [report, shape] = await context.page.evaluate(async (file) => {
        const { Worker } = globalThis;
        globalThis.Worker = class {
          constructor() {
            throw new Error('no workers here');
          }
        };
        try {
          const model = await load(file, { device: 'cpu', threads: 5 }); // more than there are already
          return [model.device, (await model.predict(new Float32Array(256 * 784))).shape];
        } finally {
          globalThis.Worker = Worker;
        }
      }, MNIST);
      assert.equal(report.threads, 1);
      assert.match(report.reason, /one thread, because workers failed: .*no workers here/);
      assert.deepEqual(shape, [256, 10]);
    });

    test('workers that end in the middle lose no prediction', async () => {
      const found = await context.page.evaluate(async (file) => {
        const { Worker } = globalThis;
        const workers = [];
        globalThis.Worker = class extends Worker {
          constructor(...given) {
            super(...given);
            workers.push(this);
          }
        };
        const model = await load(file, { device: 'cpu', threads: 6 }); // more than there are already
        globalThis.Worker = Worker;
        const other = await load(file, { device: 'cpu', threads: 6 });
        const x = Float32Array.from({ length: 256 * 784 }, (_, i) => (i % 255) / 255);
        const right = (await model.predict(x)).data;
        const answers = Array.from({ length: 20 }, () => model.predict(x));
        workers.at(-1).dispatchEvent(new ErrorEvent('error', { message: 'out of memory' }));
        const same = (await Promise.all(answers)).every(({ data }) => data.every((value, i) => value === right[i]));
        const { threads, reason } = model.device;
        const [later, bystander] = [await model.predict(x), await other.predict(x)];
        return [same, threads, reason, [later, bystander].every(({ data }) => data.every((value, i) => value === right[i]))];
      }, MNIST);
      assert.deepEqual([found[0], found[1], found[3]], [true, 1, true]);
      assert.match(found[2], /workers failed: .*out of memory/);
    });

    test('an index outside its table is refused as on the page', async () => {
      const [first, second] = await context.page.evaluate(async () => {
        const model = await load('keras2_embeddings.h5', { device: 'cpu', threads: 2 });
        const x = Object.fromEntries(model.inputs.map(({ name, shape }) => [name, new Float32Array(1e6 * shape.slice(1).reduce((a, b) => a * b, 1)).fill(1e6)]));
        return [await caught(() => model.predict(x)), await caught(async () => model.predictSync(x))];
      });
      assert.ok(first);
      assertRefused(first, second.kind, /index/);
      assert.equal(first.message, second.message);
    });

    test('a number of threads that is none is refused', async () => {
      for (const threads of [0, 1.5, -1, '2', null]) {
        const error = await context.page.evaluate((threads) => caught(() => load('dress.h5', { threads })), threads);
        assertRefused(error, 'value', /threads is .*; give a whole number from 1/);
      }
    });

    if (isolated) {
      test('a single sample of a large model has the answer of one thread', async () => {
        const found = await context.page.evaluate(async () => {
          // 1024-1100-1100-10, in PyTorch's names.
          const sizes = [1024, 1100, 1100, 10];
          const file = makeSafetensors(sizes.slice(1).flatMap((units, i) => [
            { name: `${2 * i}.weight`, shape: [units, sizes[i]] },
            { name: `${2 * i}.bias`, shape: [units] },
          ]));
          const config = { layers: ['Linear', 'ReLU', 'Linear', 'Sigmoid', 'Linear'] };
          const found = [];
          for (const dtype of ['f32', 'f16', 'int8']) {
            const options = { device: 'cpu', config, dtype };
            const [one, three] = [await load(file, { ...options, threads: 1 }), await load(file, { ...options, threads: 3 })];
            for (const samples of [1, 2, 5, 40]) {
              const x = Float32Array.from({ length: samples * 1024 }, (_, i) => ((i * 7919) % 256) / 255 - 0.5);
              const right = one.predictSync(x).data;
              const answers = await Promise.all(Array.from({ length: 5 }, () => three.predict(x)));
              const same = answers.every(({ data }) => data.every((value, i) => value === right[i]));
              found.push([dtype, samples, same, right.some((value) => value !== 0)]);
            }
            one.dispose();
            three.dispose();
          }
          return found;
        });
        assert.equal(found.length, 12);
        for (const [dtype, samples, same, some] of found) assert.ok(same && some, `${dtype}, ${samples} samples`);
      });
    }
  });
}
