/**
 * Runs a Keras model in the user's own browser.
 *
 * ```js
 * import { load } from 'nearside';
 * const model = await load('model.h5');
 * const probabilities = await model.predict(pixels);
 * ```
 */
import { close, convert, detect, guard, guardAsync, open, startEngine, startFormats } from './engine.js';
import { NearsideError, assertKnown, throwIfAborted } from './errors.js';
import { Model } from './model.js';
import { type FetchOptions, type ModelSource, readSource } from './source.js';

export { NearsideError, type ErrorContext, type ErrorKind } from './errors.js';
export type { InputValues, ModelInput } from './input.js';
export type { DeviceReport, LayerInfo, Model, ModelOutput, PredictOptions, TensorSpec } from './model.js';
export type { FetchOptions, ModelSource } from './source.js';
export { Tensor, type NestedArray } from './tensor.js';

/** How a model is loaded. */
export interface LoadOptions extends FetchOptions {
  /**
   * `'auto'`, the default, uses the GPU through WebGPU where there is one, and else the CPU: `model.device` says
   * which, and why. `'gpu'` fails where there is none.
   */
  device?: 'auto' | 'cpu' | 'gpu';
}

/** Enough of a file to know its format: HDF5 may begin after a user block of some kilobytes. */
const DETECTED_BYTES = 64 * 1024;

/** The first byte of an HDF5 file, unless it begins with a user block. */
const HDF5_START = 0x89;

const OPTIONS = ['device', 'onProgress', 'signal', 'integrity', 'requestInit'];

/**
 * Loads a model from the file exactly as the training script saved it: Keras's `model.save('model.h5')`, or nearside's
 * own `.safetensors`. The format is found from the content.
 *
 * @throws `network` when the file can't be fetched, `format` when it is damaged or no model, `unsupported` when it has
 * layers nearside does not run, `shape` when weights do not fit, `integrity`, `device`, `memory`, `aborted`.
 */
export async function load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  assertKnown(options, OPTIONS);
  const device = options.device ?? 'auto';
  if (!['auto', 'cpu', 'gpu'].includes(device)) {
    throw new NearsideError('value', `there is no device '${device}'; use 'auto', 'cpu' or 'gpu'`);
  }
  // All that is needed travels at the same time: the engine, the file, and from its first bytes on what reads it.
  const onStart = (start: Uint8Array) => void (start[0] === HDF5_START && startFormats());
  const [bytes] = await Promise.all([readSource(source, options, onStart), startEngine()]);
  throwIfAborted(options.signal);
  const format = guard(() => detect(bytes.subarray(0, DETECTED_BYTES)));
  const container = format === 'container' ? bytes : await convert(bytes);
  const engine = open(container);
  try {
    if (device !== 'cpu') await guardAsync(() => engine.choose(device));
    throwIfAborted(options.signal);
    return new Model(engine, format);
  } catch (error) {
    close(engine);
    throw error;
  }
}
