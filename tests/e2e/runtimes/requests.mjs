// What every runtime is asked, and what it answers in a form that can be compared. Runs in all of them.
import { readNpz } from '../keras.mjs';

/** Headers that mean something to the protocol's clients. */
const HEADERS = ['content-type', 'inference-header-content-length', 'cache-control', 'x-content-type-options', 'allow', 'content-encoding', 'www-authenticate', 'vary'];

/** The requests, in their order: name, path, what `fetch` takes besides. `mnist` and `branches` are what Keras recorded. */
export async function requests({ mnist, branches }) {
  const [x] = inputsOf(mnist);
  const row = { ...x, shape: [1, 784], data: x.data.subarray(0, 784) };
  const [, ...rest] = inputsOf(branches);
  const json = (message) => post(JSON.stringify(message));
  return [
    ['live', '/health/live'],
    ['HEAD live', '/health/live', { method: 'HEAD' }],
    ['ready', '/health/ready'],
    ['server', ''],
    ['index', '/repository/index', { method: 'POST' }],
    ['model', '/models/mnist'],
    ['model of two outputs', '/models/branches/versions/1'],
    ['model ready', '/models/mnist/ready'],
    ['infer, JSON', '/models/mnist/infer', json({ id: 'a', inputs: [inJson(x)] })],
    ['infer, JSON in gzip', '/models/mnist/infer', await gzip(JSON.stringify({ inputs: [inJson(x)] }))],
    ['infer, binary', '/models/mnist/infer', inBinary([x])],
    ['infer, one row', '/models/mnist/infer', json({ inputs: [inJson(row)] })],
    ['infer, classes', '/models/mnist/infer', json({ inputs: [inJson(row)], outputs: [{ name: 'dense_2', parameters: { classification: 1 } }] })],
    ['infer, two outputs', '/models/branches/infer', json({ inputs: inputsOf(branches).map(inJson) })],
    ['infer, two outputs, binary', '/models/branches/infer', inBinary(inputsOf(branches))],
    ['not granted', '/audit'],
    ['no such model', '/models/nobody/infer', json({ inputs: [] })],
    ['no such path', '/model'],
    ['no such method', '/models/mnist/infer'],
    ['no JSON', '/models/mnist/infer', post('{"inputs":[')],
    ['no UTF-8', '/models/mnist/infer', post(Uint8Array.of(0x22, 0xff, 0x22))],
    ['wrong shape', '/models/mnist/infer', json({ inputs: [{ ...inJson(row), shape: [1, 783] }] })],
    ['missing input', '/models/branches/infer', json({ inputs: rest.map(inJson) })],
    ['too large', '/models/mnist/infer', post(new Uint8Array(2 ** 26 + 1))],
    ['live after all', '/health/live'],
  ];
}

function post(body, headers = { 'content-type': 'application/json' }) {
  return { method: 'POST', body, headers };
}

/** The inputs that Keras was given. */
function inputsOf(arrays) {
  const inputs = Object.entries(arrays).filter(([name]) => name.startsWith('in:'));
  return inputs.map(([name, { data, shape }]) => ({ name: name.slice(3) || 'input_layer', datatype: 'FP32', shape, data }));
}

function inJson(input) {
  return { ...input, data: [...input.data] };
}

/** Tensors as bytes, which are answered in bytes. */
function inBinary(inputs) {
  const heads = inputs.map(({ data, ...head }) => ({ ...head, parameters: { binary_data_size: data.byteLength } }));
  const header = new TextEncoder().encode(JSON.stringify({ inputs: heads, parameters: { binary_data_output: true } }));
  const body = new Uint8Array(inputs.reduce((length, { data }) => length + data.byteLength, header.length));
  body.set(header);
  let offset = header.length;
  for (const { data } of inputs) {
    body.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return post(body, { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(header.length) });
}

async function gzip(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'));
  return post(await new Response(stream).arrayBuffer(), { 'content-type': 'application/json', 'content-encoding': 'gzip' });
}

/** All answers, by name. `send` takes an address and what `fetch` takes; `recorded` has the bytes of Keras's records. */
export async function ask(send, recorded) {
  const arrays = Object.fromEntries(Object.entries(recorded).map(([name, bytes]) => [name, readNpz(bytes)]));
  await readiness(send);
  const answers = {};
  for (const [name, path, init] of await requests(arrays)) answers[name] = await read(await send(`/v2${path}`, init));
  return answers;
}

async function readiness(send) {
  for (let left = 500; left > 0; left--) {
    const response = await send('/v2/health/ready');
    if (response.ok) return response.arrayBuffer();
    await response.arrayBuffer();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('the service does not become ready');
}

/** An answer: its status, headers and JSON, and apart from these the values of its tensors by name. */
async function read(response) {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const header = response.headers.get('inference-header-content-length');
  const length = header === null ? bytes.length : Number(header);
  const text = new TextDecoder().decode(bytes.subarray(0, length));
  const json = text && JSON.parse(text);
  const values = {};
  let offset = length;
  const tensors = json.model_name === undefined ? [] : json.outputs;
  for (const output of tensors.filter(({ datatype }) => datatype === 'FP32')) {
    const size = output.parameters?.binary_data_size;
    values[output.name] = output.data ?? [...new Float32Array(bytes.slice(offset, offset + size).buffer)];
    offset += size ?? 0;
    delete output.data;
  }
  const headers = Object.fromEntries(HEADERS.map((name) => [name, response.headers.get(name)]));
  return { status: response.status, headers, length: bytes.length, said: response.headers.get('content-length'), json, values };
}
