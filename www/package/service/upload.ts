/** Models that come with a request: Triton's model repository extension. */
import { NearsideError } from '../nearside.js';
import type { ServedModel } from './models.js';
import { isObject, isWhole } from './protocol.js';
import { excerpt } from './tensors.js';

/** The parameters that have a file each: `file:VERSION/NAME`, in base64. */
const FILE = /^file:([^/]+)\/(.+)$/;

/** The versions that a request to load a model brings along; none if it brings nothing. */
export function readUpload(message: Record<string, unknown>): ServedModel[] {
  const { parameters = {}, ...others } = message;
  assertEmpty(others, 'request');
  if (!isObject(parameters)) throw new NearsideError('value', "the 'parameters' are no object");
  const versions = new Map<string, { [fileName: string]: Uint8Array }>();
  let settings: Partial<ServedModel> | undefined;
  for (const [name, value] of Object.entries(parameters)) {
    const [, version, file] = FILE.exec(name) ?? [];
    if (name === 'config') settings = readConfig(value);
    else if (version === undefined) throw new NearsideError('unsupported', `the parameter '${excerpt(name)}' is not known; use 'file:VERSION/NAME'`);
    else versions.set(version, { ...versions.get(version), [file!]: fromBase64(value, name) });
  }
  if (settings && !versions.size) throw new NearsideError('unsupported', "a 'config' without files is not acted on here: send the model's files with it");
  return [...versions].map(([version, files]) => {
    const [first, ...more] = Object.values(files);
    return { ...settings, version, source: more.length ? files : first! };
  });
}

/** What of Triton's model configuration has a meaning here. */
function readConfig(value: unknown): Partial<ServedModel> {
  const { max_batch_size: maxBatchSize, name: _, platform: __, backend: ___, dynamic_batching: batching = {}, ...others } = parse(value);
  assertEmpty(others, 'configuration');
  if (!isObject(batching)) throw new NearsideError('value', "the configuration's 'dynamic_batching' is no object");
  const { max_queue_delay_microseconds: delay, ...more } = batching;
  assertEmpty(more, "configuration's 'dynamic_batching'");
  return {
    // 0 is Triton's word for no batches.
    ...(maxBatchSize !== undefined && { maxBatchSize: Math.max(1, countOf(maxBatchSize, 'max_batch_size')) }),
    ...(delay !== undefined && { maxDelay: countOf(delay, 'max_queue_delay_microseconds') / 1000 }),
  };
}

function assertEmpty(others: object, what: string): void {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new NearsideError('unsupported', `the ${what}'s '${excerpt(unknown)}' is not acted on here; leave it out`);
}

function countOf(value: unknown, name: string): number {
  if (isWhole(value)) return value;
  throw new NearsideError('value', `the configuration's '${name}' is no whole number`);
}

function parse(value: unknown): Record<string, unknown> {
  try {
    const config: unknown = JSON.parse(value as string);
    if (typeof value === 'string' && isObject(config)) return config;
  } catch {
    // Said below.
  }
  throw new NearsideError('value', "the parameter 'config' is no JSON object in a string");
}

function fromBase64(value: unknown, name: string): Uint8Array {
  try {
    if (typeof value === 'string') return Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
  } catch {
    // Said below.
  }
  throw new NearsideError('value', `the parameter '${excerpt(name)}' is no base64`);
}
