// What the package promises, in a browser with WebGPU and in one without.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { TOLERANCE, assertRefused, inBrowser, openPage } from './support.mjs';

const MNIST = 'mnist_784_128_128_10.h5';

inBrowser('with WebGPU', { webgpu: true }, (context) => {
  // What is promised holds on the GPU as well, where it is not asked for by name in each test.
  before(() =>
    context.page.evaluate(() => {
      const own = load;
      globalThis.load = (source, options) => own(source, { device: 'gpu', ...options });
    }),
  );
  promises(context, 'gpu');

  test('a worker computes on the GPU', () => assertWorks(context, 'gpu'));
});

inBrowser('without WebGPU', { webgpu: false }, (context) => {
  promises(context, 'cpu');

  test('auto takes the CPU and says why', async () => {
    const device = await context.page.evaluate(async () => (await load('dress.h5')).device);
    assert.equal(device.kind, 'cpu');
    assert.match(device.reason, /no WebGPU|the GPU is asked for behind the first prediction/);
    assert.equal(device.simd, 'relaxed-simd');
    assert.ok(!('adapter' in device));
  });

  test('a worker computes on the CPU', () => assertWorks(context, 'cpu'));
});

/** What holds on either device; `usual` is the one that answers here unless another is asked for. */
function promises(context, usual) {
  const evaluate = (act, argument) => context.page.evaluate(act, argument);
  const devices = [...new Set(['cpu', usual])];

  test('a device asked for by name is the one reported', async () => {
    for (const device of devices) {
      const report = await evaluate(async (device) => (await load('dress.h5', { device })).device, device);
      assert.deepEqual([report.kind, report.reason], [device, 'asked for by name']);
    }
  });

  test('a device asked for in predict serves that call alone', async () => {
    const kinds = await evaluate(async (devices) => {
      const arrays = readNpz(await bytes('dress.io.npz'));
      const model = await load('dress.h5');
      const found = [];
      for (const device of devices) found.push(distance(await model.predict(given(arrays), { device }), arrays), model.device.kind);
      return found;
    }, devices);
    for (let i = 0; i < kinds.length; i += 2) {
      assert.ok(kinds[i] <= TOLERANCE);
      assert.equal(kinds[i + 1], usual);
    }
  });

  test('one sample gives the row it gives in a batch', async () => {
    const furthest = await evaluate(async (file) => {
      const x = given(readNpz(await bytes(file.replace('.h5', '.io.npz')))).subarray(0, 10 * 784);
      const model = await load(file);
      const whole = await model.predict(x);
      let furthest = 0;
      for (let row = 0; row < 10; row++) {
        const { data, shape } = await model.predict(x.subarray(784 * row, 784 * (row + 1)));
        if (String(shape) !== '1,10') throw new Error(`shape ${shape}`);
        data.forEach((value, i) => (furthest = Math.max(furthest, Math.abs(value - whole.data[10 * row + i]))));
      }
      return furthest;
    }, MNIST);
    assert.ok(furthest <= TOLERANCE, `${furthest}`);
  });

  test('batchSize splits any batch without changing its answers', async () => {
    const found = await evaluate(async () => {
      const found = {};
      for (const [file, sizes] of [['dress.h5', [1, 2, 4, 8, 9, 100]], ['branches.h5', [1, 3, 4]], ['rank3.h5', [1, 2]]]) {
        const arrays = readNpz(await bytes(file.replace('.h5', '.io.npz')));
        const model = await load(file);
        for (const batchSize of sizes) found[`${file} by ${batchSize}`] = distance(await model.predict(given(arrays), { batchSize }), arrays);
      }
      return found;
    });
    assert.equal(Object.keys(found).length, 11);
    for (const [what, distance] of Object.entries(found)) assert.ok(distance <= TOLERANCE, `${what}: ${distance}`);
  });

  test('every form of input means the same', async () => {
    const found = await evaluate(async () => {
      const arrays = readNpz(await bytes('dress.io.npz'));
      const x = given(arrays);
      const model = await load('dress.h5');
      const rows = Array.from({ length: 9 }, (_, row) => [...x.subarray(20 * row, 20 * (row + 1))]);
      const forms = {
        Float32Array: x,
        Float64Array: Float64Array.from(x),
        'array of numbers': [...x],
        'nested arrays': rows,
        Tensor: new Tensor(x, [9, 20]),
        'flat Tensor': new Tensor(x, [180]),
        'by name': { [model.inputs[0].name]: x },
        'nested by name': { [model.inputs[0].name]: rows },
        'part of a buffer': new Float32Array([7, ...x, 7]).subarray(1, 181),
      };
      const found = {};
      for (const [form, x] of Object.entries(forms)) found[form] = distance(await model.predict(x), arrays);
      const rank3 = readNpz(await bytes('rank3.io.npz'));
      const values = new Tensor(given(rank3), [3, 2, 3]);
      const deep = await load('rank3.h5');
      found['Tensor of rank 3'] = distance(await deep.predict(values), rank3);
      found['arrays of rank 3'] = distance(await deep.predict(values.toArray()), rank3);
      return found;
    });
    for (const [form, distance] of Object.entries(found)) assert.ok(distance <= TOLERANCE, `${form}: ${distance}`);
  });

  test('integers of every type are taken as numbers', async () => {
    const different = await evaluate(async () => {
      const numbers = Array.from({ length: 40 }, (_, i) => (i * 7) % 128);
      const model = await load('dress.h5');
      const want = await model.predict(Float32Array.from(numbers));
      const types = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array];
      const different = [];
      for (const type of types) {
        const got = await model.predict(type.from(numbers));
        if (String(got.data) !== String(want.data)) different.push(type.name);
      }
      return different;
    });
    assert.deepEqual(different, []);
  });

  test('the caller keeps its input', async () => {
    const kept = await evaluate(async () => {
      const file = await bytes('dress.h5');
      const copy = file.slice();
      const model = await load(file);
      const x = new Float32Array(40).fill(0.5);
      await model.predict(x);
      return file.every((byte, i) => byte === copy[i]) && x.length === 40 && x.every((value) => value === 0.5);
    });
    assert.ok(kept);
  });

  test('NaN in one sample gives NaN there and nowhere else', async () => {
    for (const device of devices) {
      const wrong = await evaluate(async (device) => {
        const wrong = [];
        // Classes, a linear answer, and functions of each kind; one row, few and many take different kernels.
        for (const [file, rows] of [['dress.h5', [1, 9, 70]], ['rank3.h5', [3]], ['mnist_784_128_128_10.h5', [1, 64]]]) {
          const model = await load(file, { device });
          const width = model.inputs[0].shape.slice(1).reduce((a, b) => a * b, 1);
          const units = model.outputs[0].shape[1];
          for (const count of rows) {
            const clean = Float32Array.from({ length: count * width }, (_, i) => Math.sin(i));
            const want = await model.predict(clean);
            for (const bad of new Set([0, count >> 1, count - 1])) {
              const x = clean.slice();
              x[bad * width + (width >> 1)] = NaN;
              const { data } = await model.predict(x);
              const right = data.every((value, i) => (Math.floor(i / units) === bad ? Number.isNaN(value) : value === want.data[i]));
              if (!right || !want.data.every(Number.isFinite)) wrong.push(`${file}, row ${bad} of ${count}`);
            }
          }
        }
        return wrong;
      }, device);
      assert.deepEqual(wrong, [], device);
    }
  });

  test('predictSync answers at once, on the CPU', async () => {
    const found = await evaluate(async () => {
      const arrays = readNpz(await bytes('branches.io.npz'));
      return distance((await load('branches.h5')).predictSync(given(arrays)), arrays);
    });
    assert.ok(found <= TOLERANCE, `${found}`);
  });

  test('a Tensor gives its classes and nested arrays', async () => {
    const found = await evaluate(async () => {
      const arrays = readNpz(await bytes('dress.io.npz'));
      const answer = await (await load('dress.h5')).predict(given(arrays));
      const expected = arrays['out:'].data;
      const classes = Array.from({ length: 9 }, (_, row) => {
        const values = [...expected.subarray(3 * row, 3 * row + 3)];
        return values.indexOf(Math.max(...values));
      });
      const nested = answer.toArray();
      return { tensor: answer instanceof Tensor, same: String(answer.argMax()) === String(classes), rows: nested.length, row: nested[8], flat: [...answer.data.subarray(24)] };
    });
    assert.ok(found.tensor && found.same);
    assert.equal(found.rows, 9);
    assert.deepEqual(found.row, found.flat);
  });

  test('the model describes itself', async () => {
    const describe = async (file) => {
      const { name, inputs, outputs, layers, parameterCount } = await load(file);
      return { name, inputs, outputs, layers, parameterCount };
    };
    assert.deepEqual(await evaluate(describe, 'dress.h5'), {
      name: 'dress',
      inputs: [{ name: 'input_layer_2', shape: [null, 20], dtype: 'float32' }],
      outputs: [{ name: 'dense_4', shape: [null, 3], dtype: 'float32' }],
      layers: [
        { name: 'input_layer_2', type: 'InputLayer', outputShape: [null, 20], parameterCount: 0 },
        { name: 'dense_3', type: 'Dense', outputShape: [null, 16], parameterCount: 336, activation: 'relu' },
        { name: 'dense_4', type: 'Dense', outputShape: [null, 3], parameterCount: 51, activation: 'softmax' },
      ],
      parameterCount: 387,
    });
    const branches = await evaluate(describe, 'branches.h5');
    assert.deepEqual(branches.inputs, [
      { name: 'a', shape: [null, 2, 3], dtype: 'float32' },
      { name: 'b', shape: [null, 6], dtype: 'float32' },
    ]);
    assert.deepEqual(branches.outputs.map(({ name, shape }) => [name, shape]), [['second', [null, 2]], ['first', [null, 3]]]);
    assert.equal(branches.parameterCount, 6 * 5 + 5 + (5 * 2 + 2) + (5 * 3 + 3));
  });

  test('the summary names every layer, its type, and the number of parameters', async () => {
    const { summary, layers } = await evaluate(async (file) => {
      const model = await load(file);
      return { summary: model.summary(), layers: model.layers };
    }, MNIST);
    for (const { name, type } of layers) assert.ok(summary.includes(name) && summary.includes(type), summary);
    assert.match(summary, /118[,\u202f]?282/);
  });

  test('what save writes loads again as the same model', async () => {
    for (const file of ['dress.h5', 'branches.h5', 'all_activations.h5', 'activation_layers.h5', 'rank3.h5', 'keras2_slash.h5', MNIST]) {
      const found = await evaluate(async (file) => {
        const arrays = readNpz(await bytes(file.replace('.h5', '.io.npz')));
        const first = await load(file, { device: 'cpu' });
        const saved = await first.save('safetensors');
        const second = await load(saved, { device: 'cpu' });
        const flat = (answer) => String(answer instanceof Tensor ? answer.data : Object.entries(answer).map(([name, { data }]) => [name, data]));
        const facts = ({ name, inputs, outputs, layers, parameterCount }) => JSON.stringify({ name, inputs, outputs, layers, parameterCount });
        return {
          bytes: String(await second.save('safetensors')) === String(saved),
          answers: flat(await second.predict(given(arrays))) === flat(await first.predict(given(arrays))),
          facts: facts(first) === facts(second),
        };
      }, file);
      assert.deepEqual(found, { bytes: true, answers: true, facts: true }, file);
    }
  });

  test('every format and type of weights that save writes loads again', async () => {
    const found = await evaluate(async () => {
      const found = {};
      for (const file of ['dress', 'branches']) {
        const arrays = readNpz(await bytes(`${file}.io.npz`));
        const model = await load(`${file}.h5`, { device: 'cpu' });
        for (const format of ['h5', 'keras', 'onnx', 'safetensors']) {
          for (const dtype of ['f32', 'f16', 'int8']) {
            if (dtype === 'int8' && ['h5', 'keras'].includes(format)) continue;
            const saved = await model.save(format, { dtype });
            const again = await load(saved, { device: 'cpu' });
            found[`${file} ${format} ${dtype}`] = [saved.length, distance(await again.predict(given(arrays)), arrays)];
          }
        }
      }
      return found;
    });
    assert.equal(Object.keys(found).length, 20);
    const most = { f32: TOLERANCE, f16: 5e-3, int8: 0.1 };
    for (const [what, [, distance]] of Object.entries(found)) assert.ok(distance <= most[what.split(' ').at(-1)], `${what}: ${distance}`);
    assert.ok(found['dress safetensors f32'][0] > found['dress safetensors f16'][0]);
    assert.ok(found['dress safetensors f16'][0] > found['dress safetensors int8'][0]);
  });

  test('a saved model is a safetensors file that others can read', async () => {
    const saved = await evaluate(async () => Array.from(await (await load('dress.h5')).save('safetensors')));
    const file = Buffer.from(saved);
    const start = 8 + Number(file.readBigUInt64LE(0));
    const { __metadata__, ...tensors } = JSON.parse(file.toString('utf8', 8, start));
    assert.ok(Object.values(__metadata__).every((value) => typeof value === 'string'));
    assert.deepEqual(Object.keys(tensors).sort(), ['dense_3/bias', 'dense_3/kernel', 'dense_4/bias', 'dense_4/kernel']);
    assert.deepEqual(tensors['dense_3/kernel'].shape, [20, 16]);
    const ranges = Object.values(tensors).map(({ dtype, data_offsets }) => (assert.equal(dtype, 'F32'), data_offsets));
    const end = ranges.sort(([a], [b]) => a - b).reduce((end, [from, to]) => (assert.equal(from, end), to), 0);
    assert.equal(start + end, file.length);
  });

  test('predictions in flight together do not mix', async () => {
    const furthest = await evaluate(async (devices) => {
      const [x, y] = [given(readNpz(await bytes('dress.io.npz'))), given(readNpz(await bytes('mnist_784_128_128_10.io.npz')))];
      const [small, large] = await Promise.all([load('dress.h5'), load('mnist_784_128_128_10.h5')]);
      const calls = devices.flatMap((device) => [
        ...[1, 9, 3, 9, 1, 5].map((rows) => [small, x.subarray(0, rows * 20), { device }]),
        ...[1, 256, 17, 256].map((rows) => [large, y.subarray(0, rows * 784), { device }]),
        [small, x, { device, batchSize: 2 }],
      ]);
      const together = await Promise.all(calls.map(([model, ...call]) => model.predict(...call)));
      let furthest = 0;
      for (const [i, [model, rows]] of calls.entries()) {
        const alone = model.predictSync(rows);
        if (alone.data.length !== together[i].data.length) throw new Error(`call ${i} has ${together[i].data.length} values`);
        alone.data.forEach((value, k) => (furthest = Math.max(furthest, Math.abs(value - together[i].data[k]))));
      }
      return furthest;
    }, devices);
    assert.ok(furthest <= TOLERANCE, `${furthest}`);
  });

  test('a model disposed of answers what is in flight, and nothing after', async () => {
    for (const device of devices) {
      const found = await evaluate(async (device) => {
        const arrays = readNpz(await bytes('dress.io.npz'));
        const [model, other] = [await load('dress.h5', { device }), await load('dress.h5', { device })];
        const inFlight = [1, 2, 3].map(() => model.predict(given(arrays)));
        const inBatches = model.predict(given(arrays), { batchSize: 2 }).then(() => null, ({ kind }) => kind);
        model.dispose();
        model[Symbol.dispose]();
        const answers = await Promise.all(inFlight);
        return {
          distances: answers.map((answer) => distance(answer, arrays)),
          inBatches: await inBatches,
          after: await caught(() => model.predict(given(arrays))),
          other: distance(await other.predict(given(arrays)), arrays),
        };
      }, device);
      assert.ok(Math.max(...found.distances, found.other) <= TOLERANCE, JSON.stringify(found));
      assert.equal(found.inBatches, 'disposed');
      assertRefused(found.after, 'disposed', /'dress'/);
    }
  });

  test('models loaded at the same time all work', async () => {
    const found = await evaluate(() => {
      const files = ['dress', 'rank3', 'no_bias', 'split_names', 'keras1', 'branches', 'deferred'];
      return Promise.all(files.map((name) => check(`${name}.h5`, `${name}.io.npz`)));
    });
    assert.ok(Math.max(...found.map(({ distance }) => distance)) <= TOLERANCE, JSON.stringify(found));
  });
}

async function assertWorks({ page }, device) {
  const found = await page.evaluate(
    (device) =>
      new Promise((resolve, reject) => {
        const worker = new Worker('worker.mjs', { type: 'module' });
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage(device);
      }),
    device,
  );
  assert.equal(found.device, device);
  assert.ok(found.distance <= TOLERANCE, `${found.distance}`);
}
