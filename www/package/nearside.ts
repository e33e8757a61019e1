/**
 * Runs a Keras model in the user's own browser.
 *
 * ```js
 * import { load } from 'nearside';
 * const model = await load('model.h5');
 * const probabilities = await model.predict(pixels);
 * ```
 */
import { close, convert, open, startEngine, startFormats, startGpu } from './engine.js';
import { NearsideError, assertKnown, throwIfAborted } from './errors.js';
import { Model, type ModelFormat } from './model.js';
import { checkThreads } from './threads.js';
import { type FetchOptions, type ModelSource, type SourceFile, isOwnFormat, readFile, readSource } from './source.js';

export type { Cost, DeviceCost, DeviceReport, StepProfile, WrongAnswer } from './device.js';
export { NearsideError, type ErrorContext, type ErrorKind } from './errors.js';
/** @internal What the package's other entry points share with this one. */
export { aborted, assertKnown, throwIfAborted } from './errors.js';
/** @internal */
export { platform } from './platform.js';
/** @internal */
export { readSource } from './source.js';
export type { InputValues, ModelInput } from './input.js';
export type { LayerInfo, Model, ModelFormat, ModelOutput, PredictOptions, SaveOptions, TensorSpec } from './model.js';
export type { FetchOptions, FileContent, ModelSource } from './source.js';
export { Tensor, type NestedArray } from './tensor.js';
export * from './layers.js';
export { earlyStopping, modelCheckpoint, reduceLROnPlateau, type Callback, type Monitor, type Training } from './callbacks.js';
export type { Batch, BatchSource, Choice, ClassWeight, Compilation, EvaluateOptions, FitOptions, History, Logs, Named } from './fit.js';

/** How a model is loaded. */
export interface LoadOptions extends FetchOptions {
  /**
   * `'auto'`, the default, answers on the CPU at once, and asks for the GPU behind the first prediction that takes a
   * millisecond: both are measured then, and each batch goes to the one that is faster for as many samples.
   * `model.device` says which, and why. `'gpu'` fails where there is no WebGPU.
   */
  device?: 'auto' | 'cpu' | 'gpu';
  /** The format, where only this one is expected: any other is refused. */
  format?: ModelFormat;
  /**
   * The architecture of weights that come without one, as JSON or its text: Keras's `model.to_json()`, or the modules of
   * PyTorch's `nn.Sequential`, such as `{ layers: ['Linear', 'ReLU', { type: 'Dropout', p: 0.2 }, 'Linear'] }`.
   */
  config?: string | object;
  /**
   * How the CPU keeps the weights of dense layers; unless given, as the file does if it is nearside's own, else `'f32'`.
   * `'int8'` takes a quarter of the memory, and for one or a few samples of a large model about a quarter of the time;
   * `'f16'` takes half of the memory. `model.summary()` says what it costs: the weights' error, in proportion to them.
   * The GPU computes with `'f32'`.
   */
  dtype?: 'f32' | 'f16' | 'int8';
  /**
   * Threads that compute on the CPU: workers, each with a copy of the weights, to which `predict` hands what is worth it.
   * They are started with the model if the number is given, else behind the first prediction that is: as many as there are
   * cores, at most 4. On a cross-origin isolated page (https://web.dev/articles/coop-coep) they share memory, and make
   * single predictions of large models faster, too. 1 for none.
   */
  threads?: number;
  /**
   * Whether to read what the model was compiled with, too: its loss, its optimizer and what that remembers, which takes up
   * to twice the weights' memory. `fit` without a loss goes on with it, and `save` writes it again. Only `.h5` and
   * `.keras` files of Keras and nearside's own have it.
   */
  compile?: boolean;
}

const OPTIONS = ['device', 'onProgress', 'signal', 'integrity', 'requestInit', 'format', 'config', 'dtype', 'threads', 'compile'];

/**
 * Loads a model from the file exactly as the training script saved it: Keras's `.keras` and `.h5`, ONNX, TensorFlow.js's
 * `model.json`, PyTorch's weights as safetensors, or nearside's own `.safetensors`. The format is found from the
 * content. Files that the model refers to are fetched from beside it.
 *
 * @throws `network` when the file can't be fetched, `format` when it is damaged or no model, `unsupported` when it has
 * layers nearside does not run, `shape` when weights do not fit, `integrity`, `device`, `memory`, `aborted`.
 */
export async function load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  assertKnown(options, OPTIONS);
  checkThreads(options.threads);
  const device = options.device ?? 'auto';
  if (!['auto', 'cpu', 'gpu'].includes(device)) {
    throw new NearsideError('value', `there is no device '${device}'; use 'auto', 'cpu' or 'gpu'`);
  }
  if (device === 'gpu') startGpu();
  // All that is needed travels at the same time: the engine, the file, and from its first bytes on what reads it.
  const [, file] = await Promise.all([startEngine(), readSource(source, options, () => void startFormats())]);
  throwIfAborted(options.signal);
  const own = isContainer(file, options);
  const [format, container] = own ? (['safetensors', file.bytes] as const) : await convert(file, source, options, readFile);
  const engine = open(container, options.dtype, () => (own && file.lent) || options.compile || free(container));
  let model: Model | undefined;
  try {
    model = new Model({ engine, format: format as ModelFormat, threads: options.threads, ...(options.compile && { container }) });
    if (device !== 'cpu') await model.choose(device);
    throwIfAborted(options.signal);
    if (options.threads !== undefined) await model.startThreads();
    return model;
  } catch (error) {
    if (model) model.dispose();
    else close(engine);
    throw error;
  }
}

/** Gives back the memory of bytes that nobody else has: where the browser can, at once. */
function free({ buffer }: Uint8Array): void {
  (buffer as ArrayBuffer & { transfer?: (length: number) => void }).transfer?.(0);
}

function isContainer(file: SourceFile | null, { format = 'safetensors', config }: LoadOptions): file is SourceFile {
  return file !== null && isOwnFormat(file.bytes) && format === 'safetensors' && config === undefined;
}
