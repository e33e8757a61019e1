// Training in a browser: the textbook program on MNIST, what Keras makes of its result, and everything that may go wrong.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DATA } from '../../pkg-scripts/mnist.mjs';
import { inBrowser } from './support.mjs';

const FOLDERS = ['pkg', 'tests/e2e', 'tests/fixtures', DATA];

inBrowser('training', { webgpu: false, folders: FOLDERS }, (context) => {
  const evaluate = async (act, argument) => {
    context.trainer ??= await openTrainer(context);
    return context.trainer.evaluate(act, argument);
  };

  test('the textbook program on MNIST is right for more than 97.3 % of the test images, in the median of 3 seeds', async () => {
    const { accuracies, loss, accuracy, file } = await evaluate(async () => {
      const { x, y, xTest, yTest } = await mnist();
      const accuracies = [];
      for (const seed of [1, 2, 3]) {
        const layers = [dense(128, { activation: 'relu', inputShape: [784] }), dense(128, { activation: 'relu' }), dense(10, { activation: 'softmax' })];
        globalThis.textbook = sequential(layers, { seed });
        await textbook.fit(x, y, { loss: 'sparse_categorical_crossentropy', optimizer: adam(), metrics: ['accuracy'], epochs: 10, batchSize: 32, seed });
        accuracies.push((await textbook.evaluate(xTest, yTest)).accuracy);
      }
      const file = Array.from(await textbook.save('h5'));
      return { accuracies, ...(await textbook.evaluate(xTest, yTest)), file };
    });
    console.log(`MNIST after 10 epochs: ${accuracies.map((share) => `${(100 * share).toFixed(2)} %`).join(', ')}`);
    const [, median] = accuracies.toSorted((a, b) => a - b);
    assert.ok(median >= 0.973, `${accuracies}`);
    const { x, y } = testSet();
    const keras = inKeras(file, x, 784, y);
    assert.ok(Math.abs(keras.accuracy - accuracy) <= 1e-5, `${keras.accuracy} in Keras, ${accuracy} here`);
    assert.ok(Math.abs(keras.loss - loss) <= 1e-5 * Math.max(1, loss), `${keras.loss} in Keras, ${loss} here`);
  });

  test('a functional model of 100, 64 and 10 with the categorical crossentropy likewise', async () => {
    const { before, after, file, x, y } = await evaluate(async () => {
      const { x, y } = clusters(1000, 100, 10);
      const oneHot = Float32Array.from({ length: 10_000 }, (_, i) => Number(y[Math.floor(i / 10)] === i % 10));
      const from = input([100], { name: 'samples' });
      const own = model({ inputs: from, outputs: dense(10, { activation: 'softmax' })(dense(64, { activation: 'relu' })(from)), seed: 5 });
      const how = { loss: 'categorical_crossentropy', metrics: ['accuracy'] };
      const before = await own.evaluate(x, oneHot, how);
      await own.fit(x, oneHot, { ...how, optimizer: 'adam', epochs: 5, seed: 1 });
      const after = await own.evaluate(x, oneHot);
      return { before, after, file: Array.from(await own.save('h5')), x: Array.from(x), y: Array.from(oneHot) };
    });
    assert.ok(after.loss < before.loss / 2 && after.accuracy > 0.9, JSON.stringify({ before, after }));
    const keras = inKeras(file, Float32Array.from(x), 100, Float32Array.from(y), 10);
    assert.ok(Math.abs(keras.loss - after.loss) <= 1e-5 && Math.abs(keras.accuracy - after.accuracy) <= 1e-5, JSON.stringify({ keras, after }));
  });

  test('what Keras has trained goes on here as it does there', async () => {
    const cases = JSON.parse(readFileSync('tests/fixtures/training/resume.json', 'utf8'));
    const files = cases.flatMap(({ name, after }) => (name.startsWith('keras2') ? ['h5'] : ['h5', 'keras']).map((format) => [`${name}.${format}`, after]));
    for (const [file, after] of files) {
      const losses = await evaluate(async (file) => {
        const { x, y } = readNpz(await bytes('training/curves/data.npz'));
        const own = await load(`training/resume/${file}`, { compile: true });
        const losses = [];
        const onBatchEnd = (_, { loss }) => losses.push(loss);
        await own.fit(x.data, y.data, { epochs: 3, batchSize: 16, shuffle: false, callbacks: [{ onBatchEnd }] });
        own.dispose();
        return losses;
      }, file);
      assert.equal(losses.length, after.length);
      losses.forEach((loss, step) => assert.ok(Math.abs(loss - after[step]) <= 1e-4 * after[step], `${file}: step ${step}: ${loss}, Keras has ${after[step]}`));
    }
  });

  test('a training that was saved goes on as if it had not stopped', async () => {
    const { whole, halves } = await evaluate(async () => {
      const { x, y } = clusters(200, 8, 3);
      const make = () => sequential([dense(8, { activation: 'tanh', inputShape: [8] }), dense(3, { activation: 'softmax' })], { seed: 3 });
      const how = { loss: 'sparse_categorical_crossentropy', optimizer: rmsprop({ momentum: 0.5 }), metrics: ['accuracy'] };
      const rest = { batchSize: 20, shuffle: false };
      const whole = (await make().fit(x, y, { ...how, ...rest, epochs: 6 })).history.loss;
      const halves = {};
      for (const format of ['h5', 'keras', 'safetensors']) {
        const first = make();
        const { history } = await first.fit(x, y, { ...how, ...rest, epochs: 3 });
        const second = await load(await first.save(format), { compile: true });
        const more = await second.fit(x, y, { ...rest, epochs: 3 });
        halves[format] = [...history.loss, ...more.history.loss];
      }
      return { whole, halves };
    });
    for (const losses of Object.values(halves)) assert.deepEqual(losses, whole);
  });

  test('the page stays free', async () => {
    const { ticks, longest } = await evaluate(async () => {
      const { x, y } = await mnist();
      let [ticks, longest, last, done] = [0, 0, performance.now(), false];
      const tick = () => {
        const now = performance.now();
        [ticks, longest, last] = [ticks + 1, Math.max(longest, now - last), now];
        if (!done) setTimeout(tick);
      };
      const layers = [dense(512, { activation: 'relu', inputShape: [784] }), dense(512, { activation: 'relu' }), dense(10, { activation: 'softmax' })];
      const own = sequential(layers, { seed: 1 });
      await own.predict(x.subarray(0, 784));
      tick();
      await own.fit(x.subarray(0, 6000 * 784), y.subarray(0, 6000), { loss: 'sparse_categorical_crossentropy', optimizer: 'sgd' });
      done = true;
      return { ticks, longest };
    });
    console.log(`${ticks} turns of the page during a training, the longest ${longest.toFixed(0)} ms`);
    assert.ok(ticks > 20, `${ticks} turns`);
  });

  test('callbacks hear of every epoch and batch; validation is told apart', async () => {
    const { heard, history, shares } = await evaluate(async () => {
      const { x, y } = clusters(100, 4, 2);
      const heard = [];
      const own = small();
      const callback = {
        onTrainBegin: () => void heard.push('begin'),
        onEpochBegin: (epoch) => void heard.push(`epoch ${epoch}`),
        onBatchEnd: (batch) => void heard.push(batch),
        onEpochEnd: (epoch, logs) => void heard.push(Object.keys(logs).join()),
        onTrainEnd: () => void heard.push('end'),
      };
      const { history } = await own.fit(x, y, { ...HOW, metrics: ['accuracy'], epochs: 2, batchSize: 40, validationSplit: 0.2, callbacks: [callback] });
      const shares = await own.evaluate(x.subarray(320), y.subarray(80));
      return { heard, history, shares };
    });
    const logs = 'loss,accuracy,val_loss,val_accuracy';
    assert.deepEqual(heard, ['begin', 'epoch 0', 0, 1, logs, 'epoch 1', 0, 1, logs, 'end']);
    assert.equal(history.val_loss.length, 2);
    assert.ok(Math.abs(history.val_loss[1] - shares.loss) < 1e-9, 'the last samples are those of the validation');
  });

  test('early stopping leaves the best weights, a plateau lowers the learning rate, checkpoints are models', async () => {
    const { epochs, best, now, rates, saved } = await evaluate(async () => {
      const { x, y } = clusters(100, 4, 2);
      const own = small();
      // So high a rate that the loss soon rises.
      const { epoch, history } = await own.fit(x, y, { ...HOW, optimizer: sgd({ learningRate: 30 }), epochs: 50, batchSize: 100, shuffle: false, validationData: { x, y }, callbacks: [earlyStopping({ patience: 3, restoreBestWeights: true })] });
      const now = (await own.evaluate(x, y)).loss;
      const other = small();
      const slow = await other.fit(x, y, { ...HOW, optimizer: sgd({ learningRate: 1e-9 }), epochs: 6, callbacks: [reduceLROnPlateau({ patience: 2, factor: 0.5 })] });
      const saved = [];
      await other.fit(x, y, { ...HOW, epochs: 2, callbacks: [modelCheckpoint(async (file, epoch) => void saved.push([epoch, (await load(file)).parameterCount]))] });
      return { epochs: epoch.length, best: Math.min(...history.val_loss), now, rates: slow.history.learning_rate, saved };
    });
    assert.ok(epochs < 50, `${epochs} epochs`);
    assert.ok(Math.abs(best - now) <= 1e-6 * Math.max(1, best), `${best} was the best, ${now} is left`);
    assert.ok(rates.at(-1) < rates[0], `${rates}`);
    assert.deepEqual(saved, [[0, 46], [1, 46]]);
  });

  test('batches may come from an iterator, with weights of samples and of classes', async () => {
    const found = await evaluate(async () => {
      const { x, y } = clusters(60, 4, 2);
      const part = (from) => ({ x: x.subarray(from * 4, (from + 20) * 4), y: y.subarray(from, from + 20) });
      async function* batches() {
        for (let from = 0; from < 60; from += 20) yield part(from);
      }
      const losses = async (...given) => (await small().fit(...given)).history.loss;
      const rest = { ...HOW, epochs: 2, batchSize: 20, shuffle: false };
      return {
        whole: await losses(x, y, rest),
        streamed: await losses(batches, undefined, rest),
        classes: await losses(x, y, { ...rest, classWeight: { 0: 2, 1: 0.5 } }),
        samples: await losses(x, y, { ...rest, sampleWeight: Float32Array.from(y, (label) => (label ? 0.5 : 2)) }),
        once: await caught(() => small().fit(batches(), undefined, rest)),
      };
    });
    assert.deepEqual(found.streamed, found.whole);
    assert.deepEqual(found.classes, found.samples);
    assert.notDeepEqual(found.classes, found.whole);
    assert.equal(found.once.kind, 'shape');
    assert.match(found.once.message, /epoch 1.*a second time/);
  });

  test('a model of several inputs and outputs is trained by their names', async () => {
    const { losses, one, unknown, logs } = await evaluate(async () => {
      const { x, y } = clusters(60, 4, 2);
      const [left, right] = [input([4], { name: 'left' }), input([4], { name: 'right' })];
      const both = concatenate()(dense(6, { activation: 'tanh' })(left), right);
      const outputs = [dense(2, { activation: 'softmax', name: 'kind' })(both), dense(1, { name: 'size' })(both)];
      const own = model({ inputs: [left, right], outputs, seed: 1 });
      const size = Float32Array.from(y, (label) => label * 3 - 1);
      const how = { loss: { kind: 'sparse_categorical_crossentropy', size: 'mse' }, lossWeights: { size: 0.1 }, metrics: { kind: ['accuracy'] }, optimizer: adam({ learningRate: 0.02 }) };
      const { history } = await own.fit({ left: x, right: x }, { kind: y, size }, { ...how, epochs: 20, seed: 1 });
      const one = await caught(() => own.fit({ left: x, right: x }, y, how));
      const unknown = await caught(() => own.fit({ left: x, right: x }, { kind: y, size }, { ...how, loss: { type: 'mse' } }));
      return { losses: history.loss, one, unknown, logs: await own.evaluate({ left: x, right: x }, { kind: y, size }) };
    });
    assert.ok(losses.at(-1) < losses[0] / 2, `${losses}`);
    assert.match(one.message, /one array given, and the model has 2 outputs; give { kind: …, size: … }/);
    assert.match(unknown.message, /no output 'type'; it has kind, size/);
    assert.deepEqual(Object.keys(logs), ['loss', 'kind_loss', 'kind_accuracy', 'size_loss']);
    assert.ok(Math.abs(logs.loss - logs.kind_loss - 0.1 * logs.size_loss) < 1e-6);
  });

  test('an aborted training leaves what was learnt', async () => {
    const { error, before, after, again } = await evaluate(async () => {
      const { x, y } = clusters(2000, 4, 2);
      const own = small();
      const before = (await own.evaluate(x, y, { loss: HOW.loss })).loss;
      const controller = new AbortController();
      const onBatchEnd = (batch) => batch === 30 && controller.abort();
      const error = await caught(() => own.fit(x, y, { ...HOW, batchSize: 10, epochs: 1000, signal: controller.signal, callbacks: [{ onBatchEnd }] }));
      const after = (await own.evaluate(x, y)).loss;
      await own.fit(x, y); // goes on
      return { error, before, after, again: (await own.evaluate(x, y)).loss };
    });
    assert.equal(error.kind, 'aborted');
    assert.ok(after < before && again < after, `${before}, ${after}, ${again}`);
  });

  test('a loss that is not finite names the layer, and leaves the weights of the step before', async () => {
    const { error, finite, input } = await evaluate(async () => {
      const { x, y } = clusters(100, 4, 2);
      const own = sequential([dense(8, { name: 'hidden', inputShape: [4] }), dense(1, { name: 'out' })], { seed: 1 });
      const error = await caught(() => own.fit(x, y, { loss: 'mse', optimizer: sgd({ learningRate: 1e12 }), epochs: 50, batchSize: 10 }));
      const { data } = await own.predict(x);
      const wrong = x.slice();
      wrong[17] = NaN;
      const input = await caught(() => small().fit(wrong, y, HOW));
      return { error, finite: data.every(Number.isFinite), input };
    });
    assert.equal(error.kind, 'value');
    assert.match(error.message, /epoch \d+, batch \d+: .*not finite/);
    assert.ok(['hidden', 'out'].includes(error.context.layer), JSON.stringify(error));
    assert.ok(finite);
    assert.equal(input.kind, 'value');
    assert.match(input.message, /samples hold values that are not finite/);
  });

  test('what does not fit is refused with what is wrong, and the model stays as it was', async () => {
    const { errors, same } = await evaluate(async () => {
      const { x, y } = clusters(20, 4, 2);
      const own = small();
      const before = (await own.predict(x)).data.slice();
      const fit = (x, y, options) => caught(() => own.fit(x, y, { ...HOW, ...options }));
      const errors = {
        'the samples': await fit(x.subarray(1), y),
        'the targets': await fit(x, y.subarray(1)),
        'no samples': await fit(new Float32Array(), new Float32Array()),
        'a label': await fit(x, y.map((label) => label + 1)),
        'a label that is not whole': await fit(x, Float32Array.from(y, (label) => label / 2)),
        'no targets': await fit(x),
        'an unknown loss': await fit(x, y, { loss: 'surprise' }),
        'an unknown optimizer': await fit(x, y, { optimizer: 'lion' }),
        'an unknown metric': await fit(x, y, { metrics: ['vibes'] }),
        'an unknown option': await fit(x, y, { epoch: 3 }),
        'a batch size': await fit(x, y, { batchSize: 0 }),
        'a learning rate': await fit(x, y, { optimizer: sgd({ learningRate: -1 }) }),
        'a validation split': await fit(x, y, { validationSplit: 1 }),
        'weights of samples': await fit(x, y, { sampleWeight: [1, 2] }),
        'no loss': await caught(() => small().fit(x, y, { optimizer: 'adam' })),
        'not compiled': await caught(async () => (await load('dress.h5')).fit(new Float32Array(20), [0])),
        'nothing to train': await caught(() => sequential([dense(2, { inputShape: [4], trainable: false })]).fit(x, y, { loss: 'mse' })),
        'a list of losses': await fit(x, y, { loss: ['mse', 'mse'] }),
      };
      const after = (await own.predict(x)).data;
      return { errors, same: before.every((value, i) => value === after[i]) };
    });
    const expected = {
      'the samples': ['shape', /79 values given, a multiple of 4 needed/],
      'the targets': ['shape', /19 values given for 20 samples, 20 needed/],
      'no samples': ['shape', /the dataset is empty/],
      'a label': ['value', /epoch 0, batch 0: .*label 2 of sample \d+ is no whole number from 0 to 1/],
      'a label that is not whole': ['value', /the label of sample \d+ is no whole number/],
      'no targets': ['value', /targets are missing/],
      'an unknown loss': ['unsupported', /'surprise' is not known; use one of/],
      'an unknown optimizer': ['unsupported', /'lion' is not known; use/],
      'an unknown metric': ['unsupported', /'vibes' is not known/],
      'an unknown option': ['value', /no option 'epoch'/],
      'a batch size': ['value', /batchSize is 0/],
      'a learning rate': ['value', /learning_rate is not a number from 0/],
      'a validation split': ['value', /validationSplit is 1/],
      'weights of samples': ['shape', /sampleWeight.*2 values given for 20 samples/],
      'no loss': ['value', /'loss' is missing/],
      'not compiled': ['value', /not compiled/],
      'nothing to train': ['value', /no weights to train/],
      'a list of losses': ['value', /2 values given as 'loss', the model has 1 outputs/],
    };
    for (const [what, [kind, message]] of Object.entries(expected)) {
      assert.ok(errors[what]?.ours, `${what}: ${JSON.stringify(errors[what])}`);
      assert.equal(errors[what].kind, kind, `${what}: ${errors[what].message}`);
      assert.match(errors[what].message, message, what);
    }
    assert.ok(same);
  });

  test('two trainings of a model at once are refused, and one that is disposed of ends with an error', async () => {
    const { second, disposed, fresh } = await evaluate(async () => {
      const { x, y } = clusters(500, 4, 2);
      const own = small();
      const first = own.fit(x, y, { ...HOW, epochs: 20 });
      const second = await caught(() => own.fit(x, y, HOW));
      await first;
      const other = small();
      const running = caught(() => other.fit(x, y, { ...HOW, epochs: 50 }));
      other.dispose();
      const never = small();
      never.dispose();
      return { second, disposed: await running, fresh: await caught(() => never.predict(x)) };
    });
    assert.match(second.message, /is being trained/);
    assert.equal(disposed.kind, 'disposed');
    assert.equal(fresh.kind, 'disposed');
  });

  test('a new model answers what it is before it has weights, and the same seed gives the same ones', async () => {
    const found = await evaluate(async () => {
      const { x } = clusters(3, 4, 2);
      const own = small();
      const { name, inputs, outputs, layers, parameterCount } = own;
      const early = await caught(() => own.predictSync(x));
      const values = Array.from((await own.predict(x)).data);
      const loaded = await load(await own.save('safetensors'));
      const same = Array.from((await small().predict(x)).data);
      return { name, inputs, outputs, layers, parameterCount, early, values, same, loaded: { layers: loaded.layers, parameterCount: loaded.parameterCount, inputs: loaded.inputs }, summary: own.summary() };
    });
    assert.equal(found.parameterCount, 46);
    assert.deepEqual(found.loaded.layers, found.layers);
    assert.deepEqual(found.loaded.inputs, found.inputs);
    assert.deepEqual(found.values, found.same);
    assert.match(found.early.message, /has no weights yet/);
    assert.match(found.summary, /Total parameters: 46/);
  });

  test('ten epochs leave the memory flat after the first', async () => {
    const sizes = await evaluate(async () => {
      const { x, y } = clusters(2000, 50, 4);
      const own = sequential([dense(64, { activation: 'relu', inputShape: [50] }), dropout(0.2), dense(4, { activation: 'softmax' })], { seed: 1 });
      const sizes = [];
      await own.fit(x, y, { ...HOW, epochs: 10, callbacks: [{ onEpochEnd: (_, logs, training) => void sizes.push(training.memory) }] });
      return sizes;
    });
    assert.equal(sizes.length, 10);
    assert.ok(sizes[0] > 0);
    assert.deepEqual(new Set(sizes.slice(1)), new Set([sizes[1]]), `${sizes}`);
    assert.equal(sizes[1], sizes[0]);
  });
});

/** A page with the package, the data and a few helpers. */
async function openTrainer({ browser, url }) {
  const page = await browser.newPage();
  await page.goto(`${url}page.html`);
  await page.locator('[data-state=ready]').waitFor({ state: 'attached' });
  await page.evaluate(() => {
    globalThis.HOW = { loss: 'sparse_categorical_crossentropy', optimizer: 'adam' };
    globalThis.small = () => {
      const layers = [dense(5, { activation: 'relu', inputShape: [4] }), dense(3, { activation: 'tanh', useBias: false }), dense(2, { activation: 'softmax', useBias: false })];
      return sequential(layers, { seed: 2 });
    };
    /** Samples about as many centres as there are classes: the same ones each time. */
    globalThis.clusters = (samples, features, classes) => {
      let state = 1;
      const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32) * 2 - 1;
      const centres = Array.from({ length: classes * features }, random);
      const y = Float32Array.from({ length: samples }, (_, i) => i % classes);
      const x = Float32Array.from({ length: samples * features }, (_, i) => centres[y[Math.floor(i / features)] * features + (i % features)] + 0.4 * random());
      return { x, y };
    };
    let data;
    globalThis.mnist = async () => {
      const read = async (name, header) => (await bytes(name)).subarray(header);
      const pixels = async (name) => Float32Array.from(await read(name, 16), (pixel) => pixel / 255);
      data ??= { x: await pixels('train-images-idx3-ubyte'), y: await read('train-labels-idx1-ubyte', 8), xTest: await pixels('t10k-images-idx3-ubyte'), yTest: await read('t10k-labels-idx1-ubyte', 8) };
      return data;
    };
  });
  return page;
}

function testSet() {
  const x = Float32Array.from(readFileSync(`${DATA}/t10k-images-idx3-ubyte`).subarray(16), (pixel) => pixel / 255);
  return { x, y: Float32Array.from(readFileSync(`${DATA}/t10k-labels-idx1-ubyte`).subarray(8)) };
}

/** What real Keras says of a model on these samples. */
function inKeras(file, x, features, y, targets) {
  const folder = mkdtempSync(join(tmpdir(), 'nearside-'));
  try {
    const path = (name) => join(folder, name);
    writeFileSync(path('model.h5'), Uint8Array.from(file));
    writeFileSync(path('x.npy'), npy(x, [x.length / features, features]));
    writeFileSync(path('y.npy'), npy(y, targets ? [y.length / targets, targets] : [y.length]));
    const python = `${process.env.NEARSIDE_PYTHON}/bin/python`;
    const said = execFileSync(python, ['tests/python/evaluate.py', path('model.h5'), path('x.npy'), path('y.npy')], { stdio: ['ignore', 'pipe', 'ignore'] });
    return JSON.parse(String(said).trim().split('\n').at(-1));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
function npy(values, shape) {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const header = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + '\n';
  const start = Buffer.alloc(10);
  start.write('\x93NUMPY\x01\x00', 'latin1');
  start.writeUInt16LE(header.length, 8);
  return Buffer.concat([start, Buffer.from(header), Buffer.from(values.buffer, values.byteOffset, values.byteLength)]);
}
