/** The network as a function of jax-js, compiled by its `jit`, with its weights; `jax` is the module, started. */
export async function network({ jit, nn, numpy, tree }, { name, layers }) {
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
  // A call takes its arguments: `ref` keeps the weights for the next one.
  return (input, samples) => forward(numpy.array(input, { shape: [samples, layers[0].from] }), tree.ref(weights)).data();
}
