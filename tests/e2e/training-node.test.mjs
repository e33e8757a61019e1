// Training in Node, where the build without relaxed SIMD runs: steps as Keras makes them, datasets, the command line.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { oneHot, readCsv, readIdx } from '../../pkg/data.js';
import { NearsideError, adam, dense, load, loss, metric, normalization, sequential } from '../../pkg/node.js';
import { DATA } from '../../pkg-scripts/mnist.mjs';
import { readNpz } from './keras.mjs';

const FIXTURES = 'tests/fixtures/training';
const DATASET = readNpz(readFileSync(`${FIXTURES}/curves/data.npz`));
const [X, Y] = [DATASET.x.data, DATASET.y.data];

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), 'nearside-'))));
after(() => rmSync(folder, { recursive: true }));

function nearside(args) {
  return promisify(execFile)(process.execPath, ['pkg/cli/main.js', ...args], { timeout: 60_000 });
}

test('two hundred steps with each optimizer lose what they lose in Keras', async () => {
  const curves = JSON.parse(readFileSync(`${FIXTURES}/curves.json`, 'utf8'));
  for (const { name, start, optimizer, losses, class_weight: classWeight } of curves) {
    const model = await load(`${FIXTURES}/curves/${start}`);
    const { class_name, ...config } = optimizer;
    const found = [];
    const onBatchEnd = (_, { loss }) => found.push(loss);
    const how = { loss: 'sparse_categorical_crossentropy', optimizer: { class_name, config }, epochs: 20, batchSize: 16, shuffle: false };
    await model.fit(X, Y, { ...how, callbacks: [{ onBatchEnd }], ...(classWeight && { classWeight }) });
    assert.equal(found.length, losses.length);
    found.forEach((loss, step) => assert.ok(Math.abs(loss - losses[step]) <= 1e-4 * Math.abs(losses[step]), `${name}, step ${step}: ${loss}, Keras has ${losses[step]}`));
    model.dispose();
  }
});

test('losses and metrics with options, a fitted normalisation, and what is saved of it', async () => {
  const layers = [normalization({ fit: { data: X, features: 12 }, inputShape: [12] }), dense(16, { activation: 'gelu', kernelInitializer: 'he_normal', kernelRegularizer: { l2: 1e-4 } }), dense(5)];
  const model = sequential(layers, { seed: 4 });
  const how = { loss: loss('sparse_categorical_crossentropy', { fromLogits: true }), metrics: ['accuracy', metric('SparseTopKCategoricalAccuracy', { k: 2, name: 'top2' })] };
  const { history } = await model.fit(X, Y, { ...how, optimizer: adam({ learningRate: 0.01 }), epochs: 30, seed: 2 });
  assert.ok(history.loss.at(-1) < history.loss[0] / 2, `${history.loss}`);
  const { accuracy, top2 } = await model.evaluate(X, Y);
  assert.ok(top2 >= accuracy && accuracy > 0.6, `${accuracy}, ${top2}`);
  const again = await load(await model.save('keras'), { compile: true });
  assert.deepEqual(await again.evaluate(X, Y), await model.evaluate(X, Y));
  const expected = (await model.predict(X)).data;
  assert.ok((await again.predict(X)).data.every((value, i) => Math.abs(value - expected[i]) <= 1e-5 * Math.max(1, Math.abs(expected[i]))));
});

test('a prediction while a model is trained has the weights before', async () => {
  const model = await load(`${FIXTURES}/curves/start.h5`);
  const before = (await model.predict(X)).data.slice();
  const fit = model.fit(X, Y, { loss: 'sparse_categorical_crossentropy', optimizer: 'adam', epochs: 3 });
  assert.deepEqual((await model.predict(X)).data, before);
  await fit;
  assert.notDeepEqual((await model.predict(X)).data, before);
});

test('the command line evaluates', async () => {
  const [x, y] = ['x', 'y'].map((name) => join(folder, `${name}.csv`));
  writeFileSync(x, Array.from({ length: 160 }, (_, i) => Array.from(X.subarray(12 * i, 12 * i + 12)).join()).join('\n'));
  writeFileSync(y, Array.from(Y).join('\n'));
  const file = `${FIXTURES}/resume/adam.keras`;
  const model = await load(file, { compile: true });
  const expected = await model.evaluate(X, Y);
  const { stdout } = await nearside(['evaluate', file, '--x', x, '--y', y]);
  const found = JSON.parse(stdout);
  assert.deepEqual(Object.keys(found), ['loss', 'accuracy']);
  assert.ok(Math.abs(found.loss - expected.loss) < 1e-6 && found.accuracy === expected.accuracy, stdout);
  const other = JSON.parse((await nearside(['evaluate', file, '--x', x, '--y', y, '--loss', 'sparse_categorical_crossentropy', '--metrics', 'accuracy,SparseTopKCategoricalAccuracy', '--batch-size', '7'])).stdout);
  assert.equal(other.accuracy, expected.accuracy);
  await assert.rejects(nearside(['evaluate', file, '--x', x]), /code|--x and --y/);
  await assert.rejects(nearside(['evaluate', `${FIXTURES}/curves/start.h5`, '--x', x, '--y', y]), /not compiled/);
});

test('IDX files are read, and damaged ones refused', () => {
  const labels = readIdx(readFileSync(`${DATA}/t10k-labels-idx1-ubyte`));
  assert.deepEqual([labels.shape, labels.data.length, labels.data[0]], [[10_000], 10_000, 7]);
  const images = readIdx(readFileSync(`${DATA}/t10k-images-idx3-ubyte`));
  assert.deepEqual(images.shape, [10_000, 28, 28]);
  assert.deepEqual(readIdx(Uint8Array.of(0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0)), { data: Float32Array.of(1.5), shape: [1] });
  for (const bytes of [[], [0, 0, 8], [1, 0, 8, 0, 5], [0, 0, 7, 1, 0, 0, 0, 0], [0, 0, 8, 2, 0, 0], [0, 0, 8, 1, 255, 255, 255, 255, 1], [0, 0, 8, 1, 0, 0, 0, 1, 1, 1]]) {
    assert.throws(() => readIdx(Uint8Array.from(bytes)), (error) => error instanceof NearsideError && error.kind === 'format', String(bytes));
  }
});

test('tables are read with their classes, and faults named by line and column', () => {
  const { features, x, y, classes } = readCsv('a;b;kind\n1;2,5e0;"x;y"\n'.replace('2,5e0', '2.5') + '3;-4;plain\n');
  assert.deepEqual([features, Array.from(x.data), Array.from(y), classes], [['a', 'b'], [1, 2.5, 3, -4], [1, 0], ['plain', 'x;y']]);
  assert.deepEqual(Array.from(readCsv('y,a\n0.5,1\n2,3\n', { target: 'y' }).y), [0.5, 2]);
  assert.throws(() => readCsv('a,b\n1,2\nz,3\n'), /line 3, column 'a': 'z' is not a number/);
  assert.throws(() => readCsv('a,b\n1\n'), /line 2: 1 fields, and there are 2 columns/);
  assert.throws(() => readCsv('a,b\n1,2\n', { target: 'c' }), /no column 'c'; it has a, b/);
  assert.throws(() => readCsv(''), /empty/);
  assert.deepEqual(Array.from(oneHot([2, 0], 3)), [0, 0, 1, 1, 0, 0]);
  assert.throws(() => oneHot([3], 3), /label 3 of sample 0/);
});
