// jax-js on its WebAssembly backend, compiled by its `jit`.

export async function open({ name, layers }, { threads }) {
  // It takes as many workers as there are processors; without shared memory none, and computes on the page's thread.
  if (threads === 1) delete globalThis.SharedArrayBuffer;
  else Object.defineProperty(navigator, 'hardwareConcurrency', { value: threads });
  const { defaultDevice, init, jit, nn, numpy, tree } = await import('./jax.js');
  await init('wasm');
  defaultDevice('wasm');

  const activations = { relu: nn.relu, softmax: nn.softmax, linear: (x) => x };
  const forward = jit((x, weights) => {
    return weights.reduce((x, { kernel, bias }, i) => activations[layers[i].activation](numpy.matmul(x, kernel).add(bias)), x);
  });
  const file = await (await fetch(`${name}.weights.bin`)).arrayBuffer();
  let offset = 0;
  const take = (shape) => {
    const length = shape.reduce((product, axis) => product * axis);
    const values = new Float32Array(file.slice(offset, (offset += length * 4)));
    return numpy.array(values, { shape });
  };
  const weights = layers.map(({ from, to }) => ({ kernel: take([from, to]), bias: take([to]) }));
  return {
    // A call takes its arguments: `ref` keeps the weights for the next one.
    predict: (input, samples) => forward(numpy.array(input, { shape: [samples, layers[0].from] }), tree.ref(weights)).data(),
  };
}
