/// <reference lib="esnext.disposable" preserve="true" />
import type { Cost, DeviceReport, StepProfile } from './device.js';
import { type Engine, assertLive, guard, open, saveAs, startEngine, withTraining } from './engine.js';
import { NearsideError, assertKnown, throwIfAborted } from './errors.js';
import type { BatchSource, EvaluateOptions, FitOptions, History, Logs } from './fit.js';
import { type ModelInput, toArrays } from './input.js';
import { type EngineInfo, type Port, Runner, width } from './runner.js';
import { Tensor } from './tensor.js';
import type { Trainee } from './train.js';

/** An input or output of a model. */
export interface TensorSpec {
  name: string;
  /** `null` is the batch. A model whose file fixes every axis has none, and takes one input of just that shape. */
  shape: (number | null)[];
  /** `'string'` for class labels: `Tensor.labels` has them, and its data their indices. */
  dtype: 'float32' | 'string';
  /** What the columns, or for labels the values, stand for. */
  classes?: string[];
}

/** The formats that are read: Keras's `.h5` and `.keras`, ONNX, nearside's own or PyTorch's safetensors, TensorFlow.js. */
export type ModelFormat = 'h5' | 'keras' | 'onnx' | 'safetensors' | 'tfjs';

/** A layer of a model. */
export interface LayerInfo {
  name: string;
  /** Class name in Keras. */
  type: string;
  outputShape: (number | null)[];
  parameterCount: number;
  activation?: string;
}

/** How a prediction is made. */
export interface PredictOptions {
  /** Samples computed at once; all of them unless given. */
  batchSize?: number;
  /** Stops between two batches. */
  signal?: AbortSignal;
  /** Overrides the model's own device for this call. */
  device?: 'cpu' | 'gpu';
}

/** How a model is saved. */
export interface SaveOptions {
  /** How the file keeps kernels and tables; `'int8'` only in ONNX and safetensors. They are computed with as f32. */
  dtype?: 'f32' | 'f16' | 'int8';
}

/** The model's output, or for a model with several, each by its name. */
export type ModelOutput = Tensor | { [outputName: string]: Tensor };

const OPTIONS = ['batchSize', 'signal', 'device'];
// prettier-ignore
const FIT_OPTIONS = ['loss', 'lossWeights', 'optimizer', 'metrics', 'epochs', 'batchSize', 'shuffle', 'seed', 'validationSplit', 'validationData', 'classWeight', 'sampleWeight', 'callbacks', 'device', 'signal'];

/** @internal A model that has no weights yet. */
export interface NewModel {
  name: string;
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  layers: LayerInfo[];
  parameterCount: number;
  /** For the training module. */
  spec: object;
  seed: number;
}

/** @internal A model's engine, and where it is from. */
export interface Opened {
  engine: Engine;
  format: ModelFormat;
  threads: number | undefined;
  /** With what the model was compiled with, if that was asked for. */
  container?: Uint8Array | undefined;
}

/** A model. Made by `load`, or new by `sequential` and `model`. */
export class Model {
  readonly name: string;
  readonly inputs: TensorSpec[];
  readonly outputs: TensorSpec[];
  readonly layers: LayerInfo[];
  /** Number of weights. */
  readonly parameterCount: number;
  /** Format of the file it came from. */
  readonly format: ModelFormat;
  #runner: Runner | undefined;
  /** Until there is a runner. */
  #new: NewModel | undefined;
  #opening: Promise<Runner> | undefined;
  /** With what the optimizer remembers, where the model was trained or is to be. */
  #container: Uint8Array | undefined;
  #fitting = false;
  #disposed = false;
  #threads: number | undefined;
  #listeners = new Set<(report: DeviceReport) => void>();

  /** @internal Use `load`, `sequential` or `model`. */
  constructor(from: Opened | NewModel) {
    if ('spec' in from) {
      ({ name: this.name, inputs: this.inputs, outputs: this.outputs, layers: this.layers, parameterCount: this.parameterCount } = from);
      this.format = 'safetensors';
      this.#new = from;
      return;
    }
    const { engine, format, threads, container } = from;
    assertLive(engine);
    const info = guard(() => engine.info()) as EngineInfo;
    const whole = (shape: number[]) => (info.batched ? [null, ...shape] : shape);
    const spec = ({ name, shape, classes, labels }: Port): TensorSpec => {
      return { name, shape: whole(shape), dtype: labels ? 'string' : 'float32', ...(classes && { classes }) };
    };
    this.name = info.name;
    this.inputs = info.inputs.map(spec);
    this.outputs = info.outputs.map(spec);
    this.layers = info.layers.map((layer) => ({ ...layer, outputShape: whole(layer.outputShape) }));
    this.parameterCount = info.parameterCount;
    this.format = format;
    this.#threads = threads;
    this.#container = container;
    this.#runner = this.#run(engine, info);
  }

  #run(engine: Engine, info: EngineInfo): Runner {
    return new Runner(engine, info, this.#threads, (report) => this.#listeners.forEach((listener) => listener(report)));
  }

  /** The runner, of a new model once it has its first weights. */
  #ready(): Runner | Promise<Runner> {
    if (this.#runner) return this.#runner;
    this.#assertNotDisposed();
    this.#opening ??= this.#open(this.#new!);
    this.#opening.catch(() => (this.#opening = undefined)); // so that the next call tries again
    return this.#opening;
  }

  async #open({ spec, seed }: NewModel): Promise<Runner> {
    const [, container] = await Promise.all([startEngine(), withTraining((part, host) => part.build(host, spec, seed))]);
    this.#assertNotDisposed();
    this.#replace(container);
    await this.#runner!.choose('auto');
    return this.#runner!;
  }

  /** Takes weights in the place of those that there are. */
  #replace(container: Uint8Array): void {
    const engine = open(container, undefined, () => undefined);
    const before = this.#runner;
    this.#runner = this.#run(engine, guard(() => engine.info()) as EngineInfo);
    if (before) {
      this.#runner.take(before.mode);
      before.dispose();
    }
  }

  #assertNotDisposed(): void {
    if (this.#disposed) throw new NearsideError('disposed', `the model '${this.name}' was disposed of; load it again`);
  }

  /** What answers at once. */
  #now(): Runner {
    if (this.#runner) return this.#runner;
    this.#assertNotDisposed();
    throw new NearsideError('value', 'the model is new and has no weights yet: await a fit, a predict or a save first');
  }

  /**
   * Which device answers, and why. It changes when the GPU is measured to be the faster for a batch, when it fails, and
   * when threads start.
   */
  get device(): DeviceReport {
    return this.#runner?.report ?? { kind: 'cpu', reason: 'the model is new: nothing was computed yet', simd: 'none', threads: 1 };
  }

  /**
   * The model's output for a batch of samples.
   *
   * @param x Samples × features, row-major: a typed array, nested arrays, a `Tensor`; `{ [inputName]: … }` for a model
   * with several inputs. NaN in gives NaN out.
   * @returns A `Tensor` of samples × outputs. For a model with several outputs it is `{ [outputName]: Tensor }`, which
   * TypeScript is told by `predict<Record<string, Tensor>>(x)`.
   * @throws `shape` for an empty batch or values that do not divide into samples, `value` for anything but numbers,
   * `device` when a GPU asked for by name is missing or fails, `memory`, `aborted`, `disposed`.
   */
  async predict<Output extends ModelOutput = Tensor>(x: ModelInput, options: PredictOptions = {}): Promise<Output> {
    assertKnown(options, OPTIONS);
    throwIfAborted(options.signal);
    const { device } = options;
    assertDevice(device);
    // A loaded model is not waited for.
    if (!this.#runner) await this.#ready();
    const runner = this.#now();
    const arrays = this.#arrays(x);
    const batches = this.#batches(arrays, options.batchSize);
    const answers: Float32Array[][] = [];
    for (const batch of batches) {
      throwIfAborted(options.signal);
      answers.push(await runner.predict(batch, device));
    }
    return this.#tensors(concatenate(answers)) as Output;
  }

  /** `predict` on the CPU, at once. */
  predictSync<Output extends ModelOutput = Tensor>(x: ModelInput): Output {
    const arrays = this.#arrays(x);
    return this.#tensors(this.#now().predictSync(arrays)) as Output;
  }

  /**
   * How long each step takes for a batch, on the device that answers unless another is named. Each is timed by itself,
   * again and again.
   */
  async profile(x: ModelInput, options: { device?: 'cpu' | 'gpu' } = {}): Promise<StepProfile[]> {
    assertKnown(options, ['device']);
    assertDevice(options.device);
    return (await this.#ready()).profile(this.#arrays(x), options.device ?? this.device.kind);
  }

  /** What a batch of so many samples takes: operations, and bytes of inputs, outputs and weights, step by step. */
  cost(samples = 1): Cost {
    if (!Number.isInteger(samples) || samples < 1) {
      throw new NearsideError('value', `samples is ${samples}; give a whole number from 1`);
    }
    return this.#now().cost(samples);
  }

  /**
   * Times the CPU and the GPU on a batch, as happens by itself on `'auto'` behind the first prediction that takes the CPU a
   * millisecond. @returns `device`, whose `calibration` has the costs.
   * @throws `device` where there is no GPU.
   */
  async calibrate(x: ModelInput): Promise<DeviceReport> {
    return (await this.#ready()).calibrate(this.#arrays(x));
  }

  /**
   * Times the GPU's kernels and takes the fastest, as happens by itself when the GPU has been idle for a while. It is done
   * once for an adapter: the browser's cache remembers it.
   */
  async tune(): Promise<void> {
    const runner = await this.#ready();
    runner.assertLive();
    await runner.tune();
  }

  /** A table of the layers, and one of the steps they were compiled to, for people. */
  summary(): string {
    return this.#now().summary();
  }

  /**
   * The model as a file: for Keras (`'h5'`, or `'keras'` for Keras 3 alone), ONNX runtimes, or nearside itself, which
   * loads `'safetensors'` with the engine alone.
   * @throws `unsupported` for layers that the format has no words for, with the formats that have; `value` for weights
   * that the dtype cannot hold.
   */
  async save(format: 'h5' | 'keras' | 'onnx' | 'safetensors', options: SaveOptions = {}): Promise<Uint8Array> {
    assertKnown(options, ['dtype']);
    const { dtype = 'f32' } = options;
    const container = await this.#file();
    return format === 'safetensors' && dtype === 'f32' ? container.slice() : saveAs(container, format, dtype);
  }

  /** The model as a container, with what its optimizer remembers. */
  async #file(): Promise<Uint8Array> {
    const runner = await this.#ready();
    runner.assertLive();
    return this.#container ?? runner.save();
  }

  /**
   * Trains the model: `epochs` passes over the samples in batches, each followed by an update of the weights. It runs in a
   * worker, and the page stays free. Where it fails or is aborted, what was learnt until then stays.
   *
   * @param x Samples × features; or, for what does not fit the memory, an iterable of batches `{ x, y, sampleWeight? }`, or
   * a function that gives one for each epoch.
   * @param y Samples × outputs, or for sparse losses the index of each sample's class.
   * @returns For each log, its value behind each epoch.
   * @throws `value` for labels outside their range, and where the loss or a gradient is not finite, naming the layer;
   * `shape`, `aborted`, `unsupported`, `memory`, `disposed`.
   */
  async fit(x: ModelInput | BatchSource, y?: ModelInput | null, options: FitOptions = {}): Promise<History> {
    assertKnown(options, FIT_OPTIONS);
    assertDevice(options.device);
    throwIfAborted(options.signal);
    if (this.#fitting) throw new NearsideError('value', 'the model is being trained; wait for the fit before');
    this.#fitting = true;
    try {
      await this.#ready();
      return await withTraining((part, host) => part.fit(host, this.#trainee(), x, y ?? undefined, options));
    } finally {
      this.#fitting = false;
    }
  }

  /**
   * The loss and the metrics of samples. What is not given is as the model was trained with.
   * @throws As `fit`.
   */
  async evaluate(x: ModelInput, y: ModelInput, options: EvaluateOptions = {}): Promise<Logs> {
    assertKnown(options, ['loss', 'metrics', 'batchSize', 'sampleWeight', 'signal']);
    throwIfAborted(options.signal);
    await this.#ready();
    return withTraining((part, host) => part.evaluate(host, this.#trainee(), x, y, options));
  }

  #trainee(): Trainee {
    return {
      inputs: this.inputs,
      outputs: this.outputs,
      container: () => this.#file(),
      replace: (container) => {
        this.#assertNotDisposed();
        this.#container = container;
        this.#replace(container);
      },
      saveAs: async (container, format) => (format === 'safetensors' ? container : saveAs(container, format, 'f32')),
    };
  }

  /** Calls `listener` with the new report whenever the device changes. @returns A function that stops it. */
  on(event: 'device', listener: (report: DeviceReport) => void): () => void {
    if (event !== 'device') throw new NearsideError('value', `there is no event '${String(event)}'; use 'device'`);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Frees the model's memory. A prediction in flight is still answered, unless batches of it are left to begin. */
  dispose(): void {
    this.#disposed = true;
    this.#container = undefined;
    this.#runner?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  choose(device: 'auto' | 'cpu' | 'gpu'): Promise<void> {
    return this.#now().choose(device);
  }

  /** @internal */
  startThreads(): Promise<void> {
    return this.#now().startThreads();
  }

  #arrays(x: ModelInput): Float32Array[] {
    this.#now().assertLive();
    return toArrays(x, this.inputs);
  }

  /** Splits every input into batches of `batchSize` samples. */
  #batches(arrays: Float32Array[], batchSize: number | undefined): Float32Array[][] {
    if (batchSize === undefined) return [arrays];
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new NearsideError('value', `batchSize is ${batchSize}; give a whole number from 1`);
    }
    const widths = this.inputs.map((input) => width(input));
    const samples = Math.max(1, ...arrays.map((array, i) => Math.ceil(array.length / widths[i]!)));
    return Array.from({ length: Math.ceil(samples / batchSize) }, (_, batch) => {
      const [from, to] = [batch * batchSize, (batch + 1) * batchSize];
      return arrays.map((array, i) => array.subarray(from * widths[i]!, to * widths[i]!));
    });
  }

  #tensors(arrays: Float32Array[]): ModelOutput {
    const tensors = this.outputs.map((output, i) => {
      const data = arrays[i]!;
      const shape = output.shape.map((axis) => axis ?? data.length / width(output));
      return new Tensor(data, shape, output.dtype === 'string' ? output.classes : undefined);
    });
    if (tensors.length === 1) return tensors[0]!;
    return Object.fromEntries(this.outputs.map((output, i) => [output.name, tensors[i]!]));
  }
}

function assertDevice(device: unknown): void {
  if (device === undefined || device === 'cpu' || device === 'gpu') return;
  throw new NearsideError('value', `there is no device '${String(device)}'; use 'cpu' or 'gpu'`);
}

function concatenate(batches: Float32Array[][]): Float32Array[] {
  if (batches.length === 1) return batches[0]!;
  return batches[0]!.map((_, output) => {
    const parts = batches.map((batch) => batch[output]!);
    const whole = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
    parts.reduce((offset, part) => (whole.set(part, offset), offset + part.length), 0);
    return whole;
  });
}
