// TensorFlow.js on its WebAssembly backend: the network on MNIST, epoch by epoch.
import * as tf from './tfjs-train.js';

export async function open({ x, y, xTest, yTest, batchSize, threads }) {
  if (threads > 1) Object.defineProperty(navigator, 'hardwareConcurrency', { value: Math.max(navigator.hardwareConcurrency, 2 * threads) });
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
  tf.setWasmPaths(new URL('./', import.meta.url).href);
  tf.setThreadsCount(threads);
  if (!(await tf.setBackend('wasm'))) throw new Error('its WebAssembly backend does not start');
  const dense = (units, activation, more) => tf.layers.dense({ units, activation, ...more });
  const model = tf.sequential({ layers: [dense(128, 'relu', { inputShape: [784] }), dense(128, 'relu'), dense(10, 'softmax')] });
  // Its gradient of the sparse loss runs on no WebAssembly kernel: it is given the labels one-hot, as its examples are.
  model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
  const data = (x, y) => [tf.tensor2d(x, [y.length, 784]), tf.oneHot(tf.tensor1d(Int32Array.from(y), 'int32'), 10)];
  const [xs, ys] = data(x, y);
  const [xt, yt] = data(xTest, yTest);
  const [few, fewLabels] = data(x.subarray(0, 10 * batchSize * 784), y.subarray(0, 10 * batchSize));
  await model.fit(few, fewLabels, { epochs: 1, batchSize, verbose: 0 });
  return {
    async epoch() {
      const { history } = await model.fit(xs, ys, { epochs: 1, batchSize, shuffle: true, yieldEvery: 'never' });
      return history.loss[0];
    },
    async accuracy() {
      const [, accuracy] = model.evaluate(xt, yt, { batchSize: 256 });
      return (await accuracy.data())[0];
    },
  };
}
