// The networks that the contenders run: random weights and inputs, the same in every run, and what comes out of them.

/** Units of each layer, the input's first, and the activation of each layer but the input. */
export const MODELS = {
  small: { units: [100, 64, 10], activations: ['relu', 'softmax'], batches: [1, 1024] },
  mnist: { units: [784, 128, 128, 10], activations: ['relu', 'relu', 'softmax'], batches: [1, 32, 1024] },
  deep: { units: [784, ...Array(6).fill(512), 10], activations: [...Array(6).fill('relu'), 'softmax'], batches: [1, 256] },
  wide: { units: [1024, 4096, 4096, 1024], activations: ['relu', 'relu', 'linear'], batches: [1, 128] },
};

/** The model of that name: layers with shapes and weights. Kernels are Keras's, inputs × units. */
export function makeModel(name) {
  const { units, activations } = MODELS[name];
  const random = gaussian(`weights of ${name}`);
  const layers = activations.map((activation, i) => {
    const [from, to] = [units[i], units[i + 1]];
    // He's scale keeps the values' size from layer to layer, so that none vanish on the way.
    const kernel = Float32Array.from({ length: from * to }, () => random() * Math.sqrt(2 / from));
    const bias = Float32Array.from({ length: to }, () => random() * 0.1);
    return { name: `dense_${i}`, from, to, activation, kernel, bias };
  });
  return { name, layers };
}

/** Samples × features. None is zero: a runtime that leaves zeros out gains nothing. */
export function makeInput(model, batch) {
  const random = gaussian(`input of ${model.name}, ${batch}`);
  const value = () => random() || value();
  return Float32Array.from({ length: batch * model.layers[0].from }, value);
}

/** The model without its weights. */
export function shapeOf({ name, layers }) {
  return { name, layers: layers.map(({ from, to, activation }) => ({ from, to, activation })) };
}

/** Multiplications and additions for one sample. */
export function operations({ layers }) {
  return layers.reduce((sum, { from, to }) => sum + 2 * from * to, 0);
}

/** Bytes of the kernels and biases, the kernels with `size` bytes a weight. */
export function weightBytes({ layers }, size = 4) {
  return layers.reduce((sum, { from, to }) => sum + from * to * size + to * 4, 0);
}

/** The outputs for every sample, in double precision and plain loops. */
export function reference({ layers }, input) {
  const width = layers[0].from;
  const rows = Array.from({ length: input.length / width }, (_, row) => {
    let values = Float64Array.from(input.subarray(row * width, (row + 1) * width));
    for (const { kernel, bias, activation } of layers) values = activate(dense(values, kernel, bias), activation);
    return values;
  });
  return Float64Array.from(rows.flatMap((row) => [...row]));
}

function dense(values, kernel, bias) {
  const sums = Float64Array.from(bias);
  for (let i = 0; i < values.length; i++) {
    const [value, start] = [values[i], i * sums.length];
    for (let j = 0; j < sums.length; j++) sums[j] += value * kernel[start + j];
  }
  return sums;
}

function activate(values, activation) {
  if (activation === 'relu') return values.map((value) => Math.max(0, value));
  if (activation === 'linear') return values;
  const largest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** All weights in one piece: each layer's kernel, then its bias. */
export function weightsFile({ layers }) {
  return Buffer.concat(layers.flatMap(({ kernel, bias }) => [kernel, bias]).map((values) => Buffer.from(values.buffer)));
}

/** The weights in `weightsFile`, in its order. */
function tensors({ layers }) {
  return layers.flatMap(({ name, from, to }) => [
    { name: `${name}/kernel`, shape: [from, to] },
    { name: `${name}/bias`, shape: [to] },
  ]);
}

/** nearside's own format: safetensors with the architecture in its metadata. */
export function container(model) {
  const { name, layers } = model;
  const weights = weightsFile(model);
  const input = { name: 'input', type: 'InputLayer', weights: [], shape: [layers[0].from] };
  const dense = layers.map(({ name, activation }) => {
    return { name, type: 'Dense', weights: ['kernel', 'bias'], activation: { name: activation } };
  });
  const nodes = [input, ...dense].map((_, i) => ({ layer: i, inputs: i > 0 ? [i - 1] : [] }));
  const architecture = { version: 1, name, batched: true, layers: [input, ...dense], nodes, outputs: [layers.length] };

  const header = { __metadata__: { nearside: JSON.stringify(architecture) } };
  let offset = 0;
  for (const { name, shape } of tensors(model)) {
    const end = offset + 4 * shape.reduce((product, axis) => product * axis);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, weights]);
}

/** TensorFlow.js's format: the `model.json` that belongs to the weights in `weights`, a file's name. */
export function tfjsModel(model, weights) {
  const layers = model.layers.map(({ name, from, to, activation }, i) => {
    const config = { name, units: to, activation, use_bias: true, ...(i === 0 && { batch_input_shape: [null, from] }) };
    return { class_name: 'Dense', config };
  });
  return JSON.stringify({
    format: 'layers-model',
    modelTopology: { class_name: 'Sequential', config: { name: model.name, layers } },
    weightsManifest: [{ paths: [weights], weights: tensors(model).map((tensor) => ({ ...tensor, dtype: 'float32' })) }],
  });
}

/** Normally distributed numbers (Box and Muller's), the same ones for the same seed. */
function gaussian(seed) {
  const random = mulberry32([...seed].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 16777619), 2166136261));
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** T. Ettinger's generator: from 0 to 1, without 1. */
function mulberry32(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
