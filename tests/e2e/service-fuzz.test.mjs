// Thousands of requests that were right before they were mutated, the same ones each time. FUZZ_SEED and FUZZ_CASES ask for
// others, and for more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { load } from '../../pkg/node.js';
import { DRESS, HEADER_LENGTH, ask, numbers, onnxCase, random, serve } from './ask.mjs';

const SEED = Number(process.env.FUZZ_SEED ?? 1);
const CASES = Number(process.env.FUZZ_CASES ?? 20_000);

const ODD = [
  null, true, false, 0, -0, 1, -1, 0.5, 2, 20, 4294967296, 1e15, 2 ** 53 - 1, 2 ** 53, -(2 ** 63), 1e39, 1e300, 5e-324, '', 'x', '0', '__proto__', 'constructor', 'toString', '\ud800', '\u0000', 'NaN',
  [], {}, [[]], [[1]], [null], [1, 2], ['x'], { length: 1 }, { __proto__: null, ['__proto__']: { shape: [1] } }, 'BOOL', 'INT64', 'FP16', 'BYTES', 'x'.repeat(2000), Array(500).fill(0), [1, 20], [0, 20], [2, 20],
]; // prettier-ignore
const KEYS = ['name', 'shape', 'datatype', 'data', 'parameters', 'inputs', 'outputs', 'id', 'binary_data_size', 'binary_data', 'binary_data_output', 'classification', 'timeout', 'shared_memory_region', 'priority', '__proto__', 'constructor', 'x'];
const METHODS = ['POST', 'POST', 'POST', 'POST', 'GET', 'PUT', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS', 'QUERY'];

/** A source of mutations. */
function mutator(seed) {
  const next = random(seed);
  const below = (count) => Math.floor(next() * count);
  const pick = (list) => list[below(list.length)];
  const maybe = (share) => next() < share;

  /** Changes something in a value, at any depth. */
  function mutate(value) {
    if (typeof value !== 'object' || value === null || maybe(0.15)) return pick(ODD);
    const copy = Array.isArray(value) ? [...value] : { ...value };
    const keys = Object.keys(copy);
    const key = pick(keys);
    const how = below(6);
    if (how === 0 && key !== undefined) Array.isArray(copy) ? copy.splice(Number(key), 1) : delete copy[key];
    else if (how === 1) Array.isArray(copy) ? copy.push(pick([pick(ODD), copy[0]])) : define(copy, pick(KEYS), pick(ODD));
    else if (how === 2 && Array.isArray(copy) && copy.length) copy.splice(below(copy.length), 0, copy[below(copy.length)]);
    else if (key !== undefined) define(copy, key, mutate(copy[key]));
    return copy;
  }

  /** Changes bytes, whatever they stand for. */
  function damage(bytes) {
    const copy = Array.from(bytes);
    for (let times = 1 + below(4); times > 0; times--) {
      const at = below(copy.length + 1);
      const how = below(5);
      if (how === 0) copy[Math.min(at, copy.length - 1)] ^= 1 << below(8);
      else if (how === 1) copy.splice(at, 1 + below(16));
      else if (how === 2) copy.splice(at, 0, ...Array.from({ length: 1 + below(8) }, () => below(256)));
      else if (how === 3) copy.splice(at, 0, ...copy.slice(below(copy.length + 1)).slice(0, 40));
      else copy.splice(at, 1, ...Buffer.from(pick(['"', '{', '}', '[', ']', ',', ':', '\\', '-', 'e', '9', '\\ud800', 'null', '\ufeff'])));
    }
    return Uint8Array.from(copy);
  }

  const oddLength = (length) => pick([length - 1, length + 1, 0, -1, 1e300, 2 ** 53, `${length}, ${length}`, `${length}.5`, 'x', '', ' ', below(2 * length)]);
  return { below, pick, maybe, mutate, damage, oddLength };
}

function define(object, key, value) {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

/** A right request for a model, in JSON or with some of its inputs and outputs in bytes. */
function rightRequest({ below, pick, maybe }, name, { inputs, outputs }) {
  const samples = 1 + below(3);
  const binaries = [];
  const given = inputs.map((spec, i) => {
    const shape = spec.shape.map((axis) => axis ?? samples);
    const data = numbers(shape.reduce((a, b) => a * b, 1), below(1e6) + i);
    const head = { name: spec.name, shape, datatype: 'FP32' };
    if (maybe(0.6)) return { ...head, data };
    binaries.push(new Uint8Array(Float32Array.from(data).buffer));
    return { ...head, parameters: { binary_data_size: 4 * data.length } };
  });
  const message = { inputs: given };
  if (maybe(0.5)) message.id = String(below(1e6));
  if (maybe(0.3)) message.parameters = { binary_data_output: maybe(0.5), timeout: 1e9 };
  if (maybe(0.4)) message.outputs = outputs.map(({ name }) => ({ name, parameters: pick([{ binary_data: true }, { binary_data: false }, { classification: 2 }, {}]) }));
  return { path: `/v2/models/${name}/infer`, message, binaries };
}

/** What an answer says of its tensors is what it holds. */
function assertConsistent({ json, binary, headers }) {
  if (!json?.outputs) return;
  let bytes = 0;
  for (const { name, datatype, shape, data, parameters } of json.outputs) {
    const count = shape.reduce((a, b) => a * b, 1);
    assert.ok(['FP32', 'BYTES'].includes(datatype), name);
    if (data) assert.equal(data.length, count, name);
    else if (datatype === 'FP32') assert.equal(parameters.binary_data_size, 4 * count, name);
    bytes += parameters?.binary_data_size ?? 0;
  }
  assert.equal(binary.length, bytes);
  assert.equal(headers.has(HEADER_LENGTH), bytes > 0);
}

test(`${CASES} mutated requests are each answered, and never with a fault of the service`, async (t) => {
  const models = { dress: await load(DRESS), pair: await load('tests/fixtures/dictionaries.h5'), wine: await onnxCase('sklearn_cases', 'three_classes_of_strings'), fixed: await onnxCase('graph_cases', 'gemm_matrix_bias') };
  const service = serve(t, { models, maxBody: 2 ** 16 });
  const specs = new Map(Object.entries(models));
  const mutation = mutator(SEED);
  const { below, pick, maybe, mutate, damage, oddLength } = mutation;
  const counts = {};
  const x = numbers(20, 1);
  const right = Array.from((await models.dress.predict(Float32Array.from(x))).data);

  for (let i = 0; i < CASES; i++) {
    const name = pick([...specs.keys()]);
    let { path, message, binaries } = rightRequest(mutation, name, specs.get(name));
    for (let times = below(3); times > 0; times--) message = mutate(message);
    const json = Buffer.from(JSON.stringify(message) ?? '');
    let body = Buffer.concat([json, ...binaries]);
    const headers = binaries.length ? { [HEADER_LENGTH]: String(json.length) } : {};
    if (maybe(0.1)) headers[HEADER_LENGTH] = String(oddLength(json.length));
    if (maybe(0.3)) body = damage(body);
    if (maybe(0.1)) {
      headers['content-encoding'] = pick(['gzip', 'deflate']);
      body = pick([gzipSync, deflateSync])(body);
      if (maybe(0.5)) body = damage(body);
    }
    if (maybe(0.05)) headers['content-length'] = String(below(2 ** 17));
    if (maybe(0.05)) path = Buffer.from(damage(Buffer.from(path))).toString('latin1').replace(/[^\x21-\x7e]|^\/\//g, '%');
    const method = maybe(0.1) ? pick(METHODS) : 'POST';
    const takesBody = !['GET', 'HEAD'].includes(method);
    const answer = await ask(service, method, path.startsWith('/') ? path : `/${path}`, { ...(takesBody && { body }), headers }).catch((error) => {
      throw new Error(`case ${i} of seed ${SEED}: ${method} ${path} ${body.toString('latin1').slice(0, 300)}`, { cause: error });
    });
    const { status } = answer;
    counts[status] = (counts[status] ?? 0) + 1;
    const told = `case ${i} of seed ${SEED}: ${status} ${JSON.stringify(answer.json)} to ${method} ${path} ${body.toString('latin1').slice(0, 300)}`;
    // 504: the mutation was a deadline.
    assert.ok(status === 200 || (status >= 400 && status < 500) || (status === 504 && answer.json.kind === 'timeout'), told);
    if (status === 200) assertConsistent(answer);
    else if (answer.json) assert.deepEqual(Object.keys(answer.json), ['error', 'kind', 'context'], told);
    if (i % 100) continue;
    const { outputs } = (await ask(service, 'POST', '/v2/models/dress/infer', { body: JSON.stringify({ inputs: [{ name: 'input_layer_2', shape: [1, 20], datatype: 'FP32', data: x }] }) })).json;
    assert.deepEqual(outputs[0].data, right, told);
  }
  assert.equal({}.shape, undefined);
  for (const status of [200, 400, 404, 405, 413]) assert.ok(counts[status] > 5, JSON.stringify(counts));
  t.diagnostic(JSON.stringify(counts));
  for (const model of Object.values(models)) model.dispose();
});
