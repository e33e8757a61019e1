// What the tests of the service share: services, requests, and what every answer must be.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { load } from '../../pkg/node.js';
import { createService } from '../../pkg/service.js';
import { readCases } from './keras.mjs';

export const DRESS = 'tests/fixtures/dress.h5';
export const HEADER_LENGTH = 'inference-header-content-length';

/** Whoever asks may do everything. */
export const policy = { grants: { self: ['infer', 'manage'] } };

/** A service for the test `t`. `computer` computes for all its models, unless they are real. */
export function serve(t, { computer, ...options }) {
  const service = createService({ policy, ...(computer && { open: async () => computer }), ...options });
  t.after(() => service.dispose());
  return service;
}

/** A model that answers its input, unless `predict` does otherwise. */
export function echo({ width = 1, shape = [null, width], ...own } = {}) {
  return {
    format: 'safetensors',
    inputs: [{ name: 'x', shape, dtype: 'float32' }],
    outputs: [{ name: 'y', shape, dtype: 'float32' }],
    parameterCount: 0,
    device: () => ({ kind: 'cpu', reason: '', simd: 'none', threads: 1 }),
    cost: (samples) => ({ flop: samples, bytes: 8 * samples }),
    predict: async (inputs) => inputs,
    save: async () => new Uint8Array(),
    dispose: () => undefined,
    ...own,
  };
}

/** A model of onnx/NAME.npz. */
export function onnxCase(archive, name) {
  const cases = readCases(readFileSync(`tests/fixtures/onnx/${archive}.npz`), inflateRawSync);
  return load(cases.find((one) => one.name === name).model.slice());
}

/** Sends a request, and takes the answer apart. Whatever it is, it is one. */
export async function ask(service, method, path, { body, headers, signal, caller } = {}) {
  const init = { method, headers, signal, ...(body !== undefined && { body, duplex: 'half' }) };
  return read(await service.fetch(new Request(`http://localhost${path}`, init), caller));
}

/** Asks for an inference with a message of the protocol, and bytes behind it if there are any. */
export function infer(service, model, message, { bytes, headers, ...rest } = {}) {
  const json = new TextEncoder().encode(typeof message === 'string' ? message : JSON.stringify(message));
  const length = bytes && { [HEADER_LENGTH]: String(json.length) };
  const body = bytes ? new Uint8Array([...json, ...bytes]) : json;
  return ask(service, 'POST', `/v2/models/${model}/infer`, { body, headers: { ...length, ...headers }, ...rest });
}

async function read(response) {
  const { status, headers } = response;
  const body = new Uint8Array(await response.arrayBuffer());
  const length = Number(headers.get(HEADER_LENGTH) ?? body.length);
  const json = body.length ? JSON.parse(new TextDecoder().decode(body.subarray(0, length))) : undefined;
  return { status, headers, body, json, binary: body.subarray(length) };
}

/** The values of the answer's tensor of that name, wherever they are. */
export function values({ status, json, binary }, name) {
  assert.equal(status, 200, JSON.stringify(json));
  let offset = 0;
  for (const output of json.outputs) {
    const { binary_data_size: size = 0 } = output.parameters ?? {};
    if (output.name === name) return output.data ?? Array.from(new Float32Array(binary.slice(offset, offset + size).buffer));
    offset += size;
  }
  throw new Error(`no output '${name}'`);
}

/** Holds an answer to how the protocol refuses: a status and an object that says why, with the kind and place for programs. */
export function assertRefused({ status, headers, json }, wanted, kind, message = /./) {
  assert.equal(status, wanted, JSON.stringify(json));
  assert.deepEqual(Object.keys(json), ['error', 'kind', 'context']);
  assert.equal(json.kind, kind, json.error);
  assert.match(json.error, message);
  assert.ok(json.error.length < 1000, 'a message that people can read');
  assert.equal(headers.get('content-type'), 'application/json');
}

/** Lets whatever can go on do so. */
export const pause = () => new Promise((resolve) => setImmediate(resolve));

/** Resolves when `isSo` is. */
export async function until(isSo) {
  while (!isSo()) await pause();
}

/** A computer whose batches end when the test says so. `batches` has those that are computed. */
export function gate(own) {
  const batches = [];
  const predict = (inputs, samples) => new Promise((resolve, reject) => batches.push({ inputs, samples, answer: () => resolve(inputs.map((values) => values.slice())), reject }));
  return { batches, computer: echo({ predict, ...own }) };
}

/** A request for the model that echoes. */
export const message = (...x) => ({ inputs: [{ name: 'x', shape: [x.length, 1], datatype: 'FP32', data: x }] });
export const one = (service, x, options) => infer(service, 'a', message(x), options);
export const statistics = (service, version = 0) => service.models()[version].statistics;

/** Resolves when requests that were sent are read and wait. */
export async function settled() {
  for (let i = 0; i < 20; i++) await pause();
}

/** Ends every batch as it comes, until so many requests are settled. */
export async function drain(batches, requests) {
  let open = requests.length;
  for (const request of requests) request.finally(() => open--);
  while (open) {
    for (const batch of batches.splice(0)) batch.answer();
    await pause();
  }
  return Promise.all(requests);
}

/** `N` numbers in [-1, 1), the same for the same seed (mulberry32). */
export function numbers(count, seed) {
  const next = random(seed);
  return Array.from({ length: count }, () => Math.fround(2 * next() - 1));
}

export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
