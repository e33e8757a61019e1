/** Models that come with a request: Triton's model repository extension. */
import { NearsideError } from '../nearside.js';
import type { ServedModel } from './models.js';

/** The parameters that have a file each: `file:VERSION/NAME`, in base64. */
const FILE = /^file:([^/]+)\/(.+)$/;

/** The versions that a request to load a model brings along. */
export function readUpload(message: Record<string, unknown>): ServedModel[] {
  const parameters = message['parameters'] ?? {};
  if (typeof parameters !== 'object') throw new NearsideError('value', "the 'parameters' are no object");
  const versions = new Map<string, { [fileName: string]: Uint8Array }>();
  let settings = {};
  for (const [name, value] of Object.entries(parameters as object)) {
    const [, version, file] = FILE.exec(name) ?? [];
    if (name === 'config') settings = readConfig(value);
    else if (version === undefined) throw new NearsideError('unsupported', `the parameter '${name}' is not known; use 'file:VERSION/NAME'`);
    else versions.set(version, { ...versions.get(version), [file!]: fromBase64(value, name) });
  }
  return [...versions].map(([version, files]) => {
    const [first, ...more] = Object.values(files);
    return { ...settings, version, source: more.length ? files : first! };
  });
}

/** What of Triton's model configuration has a meaning here. */
function readConfig(value: unknown): Partial<ServedModel> {
  const config = parse(value);
  const { max_batch_size: maxBatchSize, name: _, platform: __, backend: ___, dynamic_batching: batching = {}, ...others } = config;
  const { max_queue_delay_microseconds: delay, ...more } = batching as Record<string, unknown>;
  const unknown = [...Object.keys(others), ...Object.keys(more)][0];
  if (unknown !== undefined) throw new NearsideError('unsupported', `the configuration's '${unknown}' is not acted on here; leave it out`);
  const isCount = (count: unknown) => count === undefined || (Number.isSafeInteger(count) && (count as number) >= 0);
  if (!isCount(maxBatchSize) || !isCount(delay)) throw new NearsideError('value', 'the configuration has a number that is no whole one');
  return {
    ...(maxBatchSize !== undefined && { maxBatchSize: Math.max(1, maxBatchSize as number) }),
    ...(delay !== undefined && { maxDelay: (delay as number) / 1000 }),
  };
}

function parse(value: unknown): Record<string, unknown> {
  try {
    const config = JSON.parse(String(value));
    if (typeof config === 'object' && config !== null) return config;
  } catch {
    // Said below.
  }
  throw new NearsideError('value', "the parameter 'config' is no JSON object in a string");
}

function fromBase64(value: unknown, name: string): Uint8Array {
  try {
    return Uint8Array.from(atob(String(value)), (character) => character.charCodeAt(0));
  } catch (cause) {
    throw new NearsideError('value', `the parameter '${name}' is no base64`, {}, { cause });
  }
}
