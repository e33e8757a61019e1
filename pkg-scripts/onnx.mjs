// Writes a network of dense layers as .onnx, for runtimes that read nothing else.

/** nearside's container, a chain of Dense layers, as an ONNX model: Gemm, Relu, Softmax. */
export function toOnnx(container) {
  const headerLength = Number(container.readBigUInt64LE(0));
  const { __metadata__, ...tensors } = JSON.parse(container.toString('utf8', 8, 8 + headerLength));
  const { layers } = JSON.parse(__metadata__.nearside);
  const initializers = Object.entries(tensors).map(([name, { shape, data_offsets: [start, end] }]) =>
    message(
      ...shape.map((length) => field(1, length)),
      field(2, FLOAT),
      field(8, name),
      field(9, container.subarray(8 + headerLength + start, 8 + headerLength + end)),
    ),
  );

  const nodes = [];
  let value = layers[0].name;
  const add = (operator, inputs) => {
    const output = `${operator}_${nodes.length}`;
    nodes.push(message(...inputs.map((input) => field(1, input)), field(2, output), field(4, operator)));
    value = output;
  };
  for (const { name, type, activation } of layers.slice(1)) {
    const operator = { linear: null, relu: 'Relu', softmax: 'Softmax' }[activation?.name];
    if (type !== 'dense' || operator === undefined) throw new Error(`${name}: no ${type} ${activation?.name} here`);
    add('Gemm', [value, `${name}/kernel`, `${name}/bias`]);
    if (operator) add(operator, [value]);
  }

  const graph = message(
    ...nodes.map((node) => field(1, node)),
    field(2, 'graph'),
    ...initializers.map((initializer) => field(5, initializer)),
    field(11, valueInfo(layers[0].name, layers[0].shape[0])),
    field(12, valueInfo(value, tensors[`${layers.at(-1).name}/bias`].shape[0])),
  );
  return message(field(1, IR_VERSION), field(7, graph), field(8, message(field(2, OPSET))));
}

const FLOAT = 1;
const IR_VERSION = 8;
const OPSET = 17;

/** A float tensor of any number of rows. */
function valueInfo(name, width) {
  const shape = message(field(1, message(field(2, 'batch'))), field(1, message(field(1, width))));
  return message(field(1, name), field(2, message(field(1, message(field(1, FLOAT), field(2, shape))))));
}

// Protocol buffers: a field is its number and wire type, then an integer or a length and bytes.

const message = (...fields) => Buffer.concat(fields);

function field(number, value) {
  if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)]);
  const bytes = Buffer.from(value);
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value) {
  const bytes = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return Buffer.from([...bytes, value]);
}
