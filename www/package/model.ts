/// <reference lib="esnext.disposable" preserve="true" />
import { Computer, type Widths } from './compute.js';
import { type Engine, assertLive, close, guard, guardAsync, isLive, openInWorkers, saveAs } from './engine.js';
import { NearsideError, assertKnown, throwIfAborted } from './errors.js';
import { type ModelInput, toArrays } from './input.js';
import { Tensor } from './tensor.js';
import { type Threads, chooseThreads, worthwhile } from './threads.js';

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

/** Which device computes, and why. */
export interface DeviceReport {
  kind: 'cpu' | 'gpu';
  /** Why this device, in a sentence. */
  reason: string;
  /** Vector instructions of the CPU build. */
  simd: string;
  /** Threads that compute large batches on the CPU. They are started when there is one. */
  threads: number;
  /** The GPU's name, where it is used. */
  adapter?: string;
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

interface Port {
  name: string;
  shape: number[];
  classes?: string[];
  labels: boolean;
}

interface EngineInfo {
  name: string;
  inputs: Port[];
  outputs: Port[];
  layers: { name: string; type: string; outputShape: number[]; parameterCount: number; activation?: string }[];
  parameterCount: number;
  batched: boolean;
  dtype: string;
  steps: number;
  widest: number;
}

const OPTIONS = ['batchSize', 'signal', 'device'];

/** A model ready to predict. Made by `load`. */
export class Model {
  readonly name: string;
  readonly inputs: TensorSpec[];
  readonly outputs: TensorSpec[];
  readonly layers: LayerInfo[];
  /** Number of weights. */
  readonly parameterCount: number;
  /** Format of the file it came from. */
  readonly format: ModelFormat;
  #engine: Engine | undefined;
  #device: DeviceReport;
  #computer: Computer;
  #last = { lengths: [] as number[], samples: 0 };
  #threaded: { dtype: string; widths: Widths };
  /** Threads that there are, or may be started; 1 for none. */
  #threadCount: number;
  #threads: Threads | undefined;
  #threadNote = '';
  #listeners = new Set<(report: DeviceReport) => void>();

  /** @internal Use `load`. */
  constructor(engine: Engine, format: ModelFormat, threads: number | undefined) {
    assertLive(engine);
    const info = guard(() => engine.info()) as EngineInfo;
    const whole = (shape: number[]) => (info.batched ? [null, ...shape] : shape);
    const spec = ({ name, shape, classes, labels }: Port): TensorSpec => {
      return { name, shape: whole(shape), dtype: labels ? 'string' : 'float32', ...(classes && { classes }) };
    };
    this.#engine = engine;
    this.#device = { ...(guard(() => engine.device()) as DeviceReport), threads: 1 };
    this.name = info.name;
    this.inputs = info.inputs.map(spec);
    this.outputs = info.outputs.map(spec);
    this.layers = info.layers.map((layer) => ({ ...layer, outputShape: whole(layer.outputShape) }));
    this.parameterCount = info.parameterCount;
    this.format = format;
    this.#threadCount = threads ?? chooseThreads(this.parameterCount);
    const { dtype, steps, widest } = info;
    const widths = { inputs: this.inputs.map(width), outputs: this.outputs.map(width), steps, widest };
    this.#threaded = { dtype, widths };
    this.#computer = new Computer(guard(() => engine.cpu()), widths);
  }

  /** Which device answers, and why. It changes when a GPU fails that was chosen automatically, and when threads start. */
  get device(): DeviceReport {
    return this.#device;
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
    const arrays = this.#arrays(x);
    const batches = this.#batches(arrays, options.batchSize);
    const answers: Float32Array[][] = [];
    for (const batch of batches) {
      throwIfAborted(options.signal);
      answers.push(await this.#predictBatch(batch, options.device));
    }
    return this.#tensors(concatenate(answers)) as Output;
  }

  /** `predict` on the CPU, at once. */
  predictSync<Output extends ModelOutput = Tensor>(x: ModelInput): Output {
    const arrays = this.#arrays(x);
    return this.#tensors(this.#compute(arrays, this.#samples(arrays))) as Output;
  }

  /** A table of the layers, and one of the steps they were compiled to, for people. */
  summary(): string {
    return guard(() => this.#live().summary());
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
    const container = guard(() => this.#live().save());
    return format === 'safetensors' && dtype === 'f32' ? container : saveAs(container, format, dtype);
  }

  /** Calls `listener` with the new report whenever the device changes. @returns A function that stops it. */
  on(event: 'device', listener: (report: DeviceReport) => void): () => void {
    if (event !== 'device') throw new NearsideError('value', `there is no event '${String(event)}'; use 'device'`);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Frees the model's memory. A prediction in flight is still answered, unless batches of it are left to begin. */
  dispose(): void {
    const engine = this.#engine;
    this.#engine = undefined;
    if (!engine) return;
    this.#threads?.close();
    close(engine, this.#computer);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #live(): Engine {
    if (!this.#engine) throw new NearsideError('disposed', `the model '${this.name}' was disposed of; load it again`);
    assertLive(this.#engine);
    return this.#engine;
  }

  #arrays(x: ModelInput): Float32Array[] {
    this.#live();
    return toArrays(x, this.inputs);
  }

  async #predictBatch(batch: Float32Array[], device: 'cpu' | 'gpu' | undefined): Promise<Float32Array[]> {
    const engine = this.#live();
    if (device !== undefined && device !== 'cpu' && device !== 'gpu') {
      throw new NearsideError('value', `there is no device '${String(device)}'; use 'cpu' or 'gpu'`);
    }
    // On the CPU there is nothing to wait for, and a fault reaches the guard.
    if ((device ?? this.#device.kind) === 'cpu') return this.#shareOut(batch, this.#samples(batch));
    const answer = (await guardAsync(() => engine.predictOnGpu(batch, device === 'gpu'))) as Float32Array[] | undefined;
    if (engine === this.#engine) this.#reportChanges();
    return answer ?? this.#shareOut(batch, this.#samples(batch));
  }

  /** The outputs of a batch, computed on the CPU of this thread. */
  #compute(inputs: Float32Array[], samples: number): Float32Array[] {
    this.#live();
    return guard(() => this.#computer.run(inputs, samples));
  }

  /** Number of samples of a batch. The engine is not asked again for the lengths of the last one. */
  #samples(inputs: Float32Array[]): number {
    const engine = this.#live();
    const { lengths, samples } = this.#last;
    if (inputs.every(({ length }, i) => length === lengths[i])) return samples;
    const asked = inputs.map(({ length }) => length);
    this.#last = { lengths: asked, samples: guard(() => engine.samples(Uint32Array.from(asked))) };
    return this.#last.samples;
  }

  /** As `#compute`, by workers if that is faster. They are started behind the first prediction for which it is. */
  #shareOut(inputs: Float32Array[], samples: number): Float32Array[] | Promise<Float32Array[]> {
    const compute = () => this.#compute(inputs, samples);
    if (!worthwhile(samples, this.parameterCount, this.#threadCount)) return compute();
    if (this.#threads) return this.#threads.compute(inputs, samples, compute);
    const answer = compute();
    void this.startThreads();
    return answer;
  }

  /** @internal Opens the model in workers, which compute large batches from then on. */
  async startThreads(): Promise<void> {
    const count = this.#threadCount;
    this.#threadCount = 1; // until they are there
    if (count < 2) return;
    const engine = this.#live();
    const { dtype, widths } = this.#threaded;
    const report = (note: string, threads?: Threads) => {
      // Disposed of meanwhile, or of an engine that has failed.
      if (!this.#engine || !isLive(engine)) return threads?.close();
      this.#threads = threads;
      this.#threadCount = threads ? count : 1;
      this.#threadNote = `; ${note}`;
      this.#report(engine.device() as DeviceReport);
    };
    await openInWorkers({ save: () => guard(() => this.#live().save()), dtype, widths, count, report });
  }

  /** Takes a report from the engine, and tells the listeners. */
  #report(report: DeviceReport): void {
    const reason = report.kind === 'cpu' ? report.reason + this.#threadNote : report.reason;
    this.#device = { ...report, reason, threads: this.#threads ? this.#threadCount : 1 };
    this.#listeners.forEach((listener) => listener(this.#device));
  }

  #reportChanges(): void {
    const report = guard(() => this.#live().device()) as DeviceReport;
    if (report.kind !== this.#device.kind) this.#report(report);
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

/** Values a sample. */
function width(spec: TensorSpec): number {
  return spec.shape.reduce<number>((product, axis) => product * (axis ?? 1), 1);
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
