/** Messages of the Open Inference Protocol, version 2: what is asked, and how it is answered. */
import { NearsideError, type Tensor, type TensorSpec } from '../nearside.js';
import { concatenate, datatypeOf, excerpt, fromBytes, fromJson, refusal, shapeOf, textToBytes } from './tensors.js';

/** Says how long the JSON is that binary tensors follow. */
export const HEADER_LENGTH = 'inference-header-content-length';

/** What is asked of a model. */
export interface InferRequest {
  id?: string;
  /** One flat array for each input of the model, in its order. */
  inputs: Float32Array[];
  samples: number;
  outputs: RequestedOutput[];
  /** Milliseconds until it is of no use. */
  timeout?: number;
}

interface RequestedOutput {
  spec: TensorSpec;
  binary: boolean;
  /** How many of the best classes are asked for, instead of the values. */
  classes?: number;
}

type Json = Record<string, unknown>;

/** Reads the body of a request. @throws `value`, `shape`, `unsupported`. */
export function readInfer(body: Uint8Array, headerLength: string | null, inputs: TensorSpec[], outputs: TensorSpec[]): InferRequest {
  const [message, binary] = split(body, headerLength);
  const parameters = parametersOf(message, 'request');
  const unsupported = ['sequence_id', 'sequence_start', 'sequence_end', 'priority'].find((name) => parameters.has(name));
  if (unsupported) throw new NearsideError('unsupported', `the parameter '${unsupported}' is not acted on here; leave it out`);
  const tensors = readInputs(message, binary, inputs);
  return {
    ...(message['id'] !== undefined && { id: textOf(message, 'id') }),
    inputs: tensors.map(({ values }) => values),
    samples: samplesOf(tensors, inputs),
    outputs: readOutputs(message, isWanted(parameters, 'binary_data_output') ?? false, outputs),
    ...timeoutOf(parameters),
  };
}

/** The JSON, and the bytes of binary tensors behind it. */
function split(body: Uint8Array, headerLength: string | null): [Json, Uint8Array] {
  const length = headerLength === null ? body.length : Number(headerLength);
  if (!/^\d+$/.test(headerLength ?? '0') || length > body.length) {
    throw new NearsideError('value', `the header Inference-Header-Content-Length is '${excerpt(headerLength!)}', the body has ${body.length} bytes`);
  }
  return [parseObject(body.subarray(0, length)), body.subarray(length)];
}

/** A JSON object in UTF-8. */
export function parseObject(bytes: Uint8Array): Json {
  let message: unknown;
  try {
    message = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new NearsideError('value', `the body is no JSON in UTF-8: ${(cause as Error).message}`, {}, { cause });
  }
  if (!isObject(message)) throw new NearsideError('value', 'the body is no JSON object');
  return message;
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A list of objects. */
function listOf(message: Json, field: string): Json[] {
  const list = message[field];
  if (Array.isArray(list) && list.every(isObject)) return list;
  throw new NearsideError('value', `'${field}' is no array of objects`);
}

function textOf(message: Json, field: string): string {
  const text = message[field];
  if (typeof text === 'string') return text;
  throw new NearsideError('value', `'${field}' is no string`);
}

function parametersOf(message: Json, where: string): Map<string, unknown> {
  const { parameters = {} } = message;
  if (isObject(parameters)) return new Map(Object.entries(parameters));
  throw new NearsideError('value', `the 'parameters' of the ${where} are no object`);
}

/** A parameter that is `true`, `false` or not given. */
function isWanted(parameters: Map<string, unknown>, name: string): boolean | undefined {
  const wanted = parameters.get(name);
  if (wanted === undefined || typeof wanted === 'boolean') return wanted;
  throw new NearsideError('value', `the parameter '${name}' is neither true nor false`);
}

function assertNotShared(parameters: Map<string, unknown>, tensor: string): void {
  const shared = [...parameters.keys()].find((key) => key.startsWith('shared_memory'));
  if (shared) throw refusal('unsupported', tensor, `shared memory is not used here; leave '${excerpt(shared)}' out`);
}

/** Triton's `timeout`: microseconds. */
function timeoutOf(parameters: Map<string, unknown>): { timeout?: number } {
  const timeout = parameters.get('timeout') ?? 0;
  if (!isWhole(timeout)) throw new NearsideError('value', "the parameter 'timeout' is no whole number of microseconds");
  return timeout === 0 ? {} : { timeout: timeout / 1000 };
}

export function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

interface Given {
  shape: number[];
  values: Float32Array;
}

/** The model's inputs, in its order. Bytes are taken in the order of the request. */
function readInputs(message: Json, binary: Uint8Array, inputs: TensorSpec[]): Given[] {
  const given = new Map<string, Given>();
  let rest = binary;
  for (const input of listOf(message, 'inputs')) {
    const spec = namedBy(input, inputs, 'input');
    const { name } = spec;
    if (given.has(name)) throw refusal('value', name, 'it is given twice');
    const [shape, datatype] = [shapeOf(input['shape'], name), datatypeOf(input['datatype'], name)];
    assertFits(shape, spec);
    const parameters = parametersOf(input, `input '${name}'`);
    assertNotShared(parameters, name);
    const length = parameters.get('binary_data_size');
    if (length === undefined) {
      given.set(name, { shape, values: fromJson(input['data'], shape, datatype, name) });
      continue;
    }
    if (input['data'] !== undefined) throw refusal('value', name, "it has both 'data' and 'binary_data_size'");
    if (!isWhole(length) || length > rest.length) {
      throw refusal('value', name, `its 'binary_data_size' is ${excerpt(JSON.stringify(length))}, and ${rest.length} bytes are left of the body`);
    }
    given.set(name, { shape, values: fromBytes(rest.subarray(0, length), shape, datatype, name) });
    rest = rest.subarray(length);
  }
  if (rest.length) throw new NearsideError('value', `${rest.length} bytes behind the last tensor belong to none`);
  return inputs.map(({ name }) => {
    const tensor = given.get(name);
    if (!tensor) throw refusal('value', name, 'it is missing');
    return tensor;
  });
}

/** The model's input or output that an object names. */
function namedBy(object: Json, specs: TensorSpec[], what: 'input' | 'output'): TensorSpec {
  const name = textOf(object, 'name');
  const found = specs.find((spec) => spec.name === name);
  if (found) return found;
  const names = specs.map((spec) => spec.name).join(', ');
  throw new NearsideError('value', `the model has no ${what} '${excerpt(name)}'; it has ${names}`, { tensor: excerpt(name) });
}

function assertFits(shape: number[], spec: TensorSpec): void {
  const fits = shape.length === spec.shape.length && spec.shape.every((axis, i) => axis === null || axis === shape[i]);
  if (!fits) throw refusal('shape', spec.name, `it has shape [${excerpt(String(shape))}], [${wireShape(spec)}] needed`);
  if (shape.includes(0)) throw refusal('shape', spec.name, `it has shape [${shape}]: no sample`);
}

function samplesOf(tensors: Given[], inputs: TensorSpec[]): number {
  const samples = inputs[0]?.shape[0] === null ? tensors[0]!.shape[0]! : 1;
  const odd = tensors.findIndex(({ shape }, i) => inputs[i]!.shape[0] === null && shape[0] !== samples);
  if (odd < 0) return samples;
  throw refusal('shape', inputs[odd]!.name, `it has ${tensors[odd]!.shape[0]} samples, '${inputs[0]!.name}' has ${samples}`);
}

function readOutputs(message: Json, binary: boolean, outputs: TensorSpec[]): RequestedOutput[] {
  const requested = message['outputs'] === undefined ? [] : listOf(message, 'outputs');
  // An empty list is how some clients say nothing.
  if (!requested.length) return outputs.map((spec) => ({ spec, binary }));
  const given = new Set<TensorSpec>();
  return requested.map((output): RequestedOutput => {
    const spec = namedBy(output, outputs, 'output');
    const { name } = spec;
    if (given.has(spec)) throw refusal('value', name, 'it is asked for twice');
    given.add(spec);
    const parameters = parametersOf(output, `output '${name}'`);
    assertNotShared(parameters, name);
    const own = { spec, binary: isWanted(parameters, 'binary_data') ?? binary };
    const classes = parameters.get('classification');
    if (classes === undefined) return own;
    if (!isWhole(classes) || classes < 1) throw refusal('value', name, "its 'classification' is no whole number from 1");
    // The last axis must be one of classes.
    if (spec.dtype === 'string' || typeof spec.shape.at(-1) !== 'number') {
      throw refusal('unsupported', name, "it has no row of values to classify by; leave 'classification' out");
    }
    return { ...own, classes };
  });
}

/** An answer's body, and what its headers say of it. */
export interface Written {
  bytes: Uint8Array<ArrayBuffer>;
  headers: Record<string, string>;
}

/** The answer: JSON, and behind it the tensors that were asked for as bytes. */
export function writeInfer(model: string, version: string, { id, outputs }: InferRequest, tensors: Map<string, Tensor>): Written {
  const binaries: Uint8Array[] = [];
  const written = outputs.map(({ spec, binary, classes }) => {
    const tensor = tensors.get(spec.name)!;
    const texts = classes === undefined ? tensor.labels : bestClasses(tensor, classes, spec.classes);
    const shape = classes === undefined ? tensor.shape : [...tensor.shape.slice(0, -1), Math.min(classes, tensor.shape.at(-1)!)];
    const head = { name: spec.name, datatype: texts ? 'BYTES' : 'FP32', shape };
    if (!binary) return { ...head, data: texts ?? finite(tensor, spec) };
    const bytes = texts ? textToBytes(texts) : new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
    binaries.push(bytes);
    return { ...head, parameters: { binary_data_size: bytes.length } };
  });
  const message = writeJson({ model_name: model, model_version: version, ...(id !== undefined && { id }), outputs: written });
  if (!binaries.length) return message;
  const headers = { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(message.bytes.length) };
  return { bytes: concatenate(Uint8Array, [message.bytes, ...binaries]) as Uint8Array<ArrayBuffer>, headers };
}

export function writeJson(message: unknown): Written {
  return { bytes: new TextEncoder().encode(JSON.stringify(message)), headers: { 'content-type': 'application/json' } };
}

/** JSON has no word for what is not finite, and writes `null`. */
function finite({ data }: Tensor, { name }: TensorSpec): number[] {
  const odd = data.findIndex((value) => !Number.isFinite(value));
  if (odd < 0) return Array.from(data);
  throw refusal('value', name, `element ${odd} is ${data[odd]}, which JSON cannot hold; ask for it with the parameter 'binary_data'`);
}

/** Triton's classification extension: for each row the best classes, as `VALUE:INDEX` or `VALUE:INDEX:LABEL`. */
function bestClasses({ data, shape }: Tensor, count: number, labels: string[] | undefined): string[] {
  const width = shape.at(-1)!;
  return Array.from({ length: data.length / width }, (_, row) => {
    const values = data.subarray(row * width, (row + 1) * width);
    const rank = (i: number) => (Number.isNaN(values[i]) ? -Infinity : values[i]!); // NaN is no good class
    const order = Array.from(values, (_, i) => i).sort((a, b) => Number(rank(b) > rank(a)) - Number(rank(a) > rank(b)));
    return order.slice(0, count).map((i) => `${values[i]!.toFixed(6)}:${i}${labels ? `:${labels[i]}` : ''}`);
  }).flat();
}

function wireShape({ shape }: TensorSpec): number[] {
  return shape.map((axis) => axis ?? -1);
}
