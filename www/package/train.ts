/** Training: a part of the package that is fetched when a model is trained. It shares no code with the rest. */
import type { Batch, BatchSource, ClassWeight, EvaluateOptions, FitOptions, History, Logs } from './fit.js';
import type { ModelInput } from './input.js';
import type { TensorSpec } from './model.js';
import { type Samples, batches, samplesOf, split } from './training/batches.js';
import type { Training } from './callbacks.js';
import { compiledOf } from './training/compilation.js';
import type { Batches } from './training/requests.js';
import { type Host, Session } from './training/session.js';

export type { Host } from './training/session.js';

/** What a training needs of a model. */
export interface Trainee {
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  /** With what its optimizer remembers, where it was trained before. */
  container: () => Promise<Uint8Array>;
  /** Takes the trained model. */
  replace: (container: Uint8Array) => void;
  saveAs: (container: Uint8Array, format: 'h5' | 'keras' | 'onnx' | 'safetensors') => Promise<Uint8Array>;
}

/** A new model, as a container. */
export async function build(host: Host, layers: object, seed: number): Promise<Uint8Array> {
  const session = await Session.open(host);
  try {
    return (await session.ask({ act: 'build', layers: JSON.stringify(layers), seed })).container!;
  } finally {
    session.close();
  }
}

export async function fit(host: Host, trainee: Trainee, x: ModelInput | BatchSource, y: ModelInput | undefined, options: FitOptions): Promise<History> {
  const fitting = new Fitting(host, trainee, options);
  await fitting.open();
  try {
    return await fitting.run(x, y);
  } finally {
    fitting.close();
  }
}

export async function evaluate(host: Host, trainee: Trainee, x: ModelInput, y: ModelInput, options: EvaluateOptions): Promise<Logs> {
  const fitting = new Fitting(host, trainee, options);
  await fitting.open();
  try {
    const samples = fitting.samples({ x, y, ...(options.sampleWeight && { sampleWeight: options.sampleWeight }) }, undefined);
    return await fitting.evaluate(samples);
  } finally {
    fitting.close();
  }
}

/** Milliseconds of the worker's time that a message brings work for: the page hears of the training so often. */
const CHUNK_TIME = 15;
/** Values of a message, at most: 8 MB. */
const CHUNK_VALUES = 2e6;

/** One training. */
class Fitting {
  #session!: Session;
  #targets: TensorSpec[] = [];
  #batchSize: number;
  /** Milliseconds of a batch, once one was timed. */
  #batchTime = CHUNK_TIME;
  #learningRate = 0;
  #memory = 0;
  #stopped = false;
  #kept: Promise<Uint8Array> | undefined;
  #restores = false;
  #training: Training;

  constructor(
    private host: Host,
    private trainee: Trainee,
    private options: FitOptions,
  ) {
    this.#batchSize = whole(host, 'batchSize', options.batchSize ?? 32);
    const self = this;
    this.#training = {
      get learningRate() {
        return self.#learningRate;
      },
      set learningRate(rate) {
        self.#learningRate = rate;
        self.#session.ask({ act: 'setLearningRate', rate }).catch(() => undefined); // what is asked next is told
      },
      get memory() {
        return self.#memory;
      },
      stop: () => void (this.#stopped = true),
      keep: () => void (this.#kept = this.#save()),
      restore: () => void (this.#restores = this.#kept !== undefined),
      save: async (format) => this.trainee.saveAs(await this.#save(), format),
    };
  }

  async open(): Promise<void> {
    const { host, trainee, options } = this;
    const compiled = compiledOf(host, options, trainee.outputs);
    const [session, container] = await Promise.all([Session.open(host, options.device), trainee.container()]);
    this.#session = session;
    try {
      const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
      const { targetWidths, learningRate } = await session.ask({ act: 'open', container, compiled, seed });
      this.#learningRate = learningRate!;
      this.#targets = trainee.outputs.map(({ name }, i) => ({ name, shape: [null, targetWidths![i]!], dtype: 'float32' }));
    } catch (error) {
      session.close();
      throw error;
    }
  }

  close(): void {
    this.#session.close();
  }

  samples(batch: Batch, classWeight: ClassWeight | undefined): Samples {
    return samplesOf(this.host, { inputs: this.trainee.inputs, targets: this.#targets }, batch, classWeight);
  }

  async run(x: ModelInput | BatchSource, y: ModelInput | undefined): Promise<History> {
    const { options } = this;
    const epochs = whole(this.host, 'epochs', options.epochs ?? 1);
    const history: History = { epoch: [], history: {} };
    const [source, validation] = this.#source(x, y);
    const callbacks = options.callbacks ?? [];
    let failure: unknown;
    try {
      for (const callback of callbacks) await callback.onTrainBegin?.(this.#training);
      for (let epoch = 0; epoch < epochs && !this.#stopped; epoch++) {
        for (const callback of callbacks) await callback.onEpochBegin?.(epoch, this.#training);
        await this.#epoch(source, epoch);
        const logs = await this.#results();
        if (validation) {
          const own = Object.entries(await this.evaluate(validation));
          own.forEach(([name, value]) => (logs[`val_${name}`] = value));
        }
        for (const callback of callbacks) await callback.onEpochEnd?.(epoch, logs, this.#training);
        history.epoch.push(epoch);
        for (const [name, value] of Object.entries(logs)) (history.history[name] ??= []).push(value);
      }
      for (const callback of callbacks) await callback.onTrainEnd?.(this.#training);
    } catch (error) {
      failure = error;
    }
    // What was learnt stays, also where it ended early.
    const kept = this.#restores && !failure ? this.#kept! : this.#save();
    const container = await kept.catch((error) => {
      throw failure ?? error;
    });
    this.trainee.replace(container);
    if (failure) throw failure;
    return history;
  }

  /** The samples to train with, and those to evaluate. */
  #source(x: ModelInput | BatchSource, y: ModelInput | undefined): [Samples | BatchSource, Samples | undefined] {
    const { validationData, validationSplit, sampleWeight, classWeight } = this.options;
    const validation = validationData && this.samples(validationData, undefined);
    if (isBatchSource(x)) {
      if (y !== undefined || sampleWeight !== undefined || validationSplit !== undefined) {
        throw this.host.error('value', 'batches bring their own targets and weights, and are not split; give validationData');
      }
      return [x, validation];
    }
    if (y === undefined) throw this.host.error('value', 'the targets are missing: fit(x, y, options)');
    const all = this.samples({ x, y, ...(sampleWeight !== undefined && { sampleWeight }) }, classWeight);
    if (validationSplit === undefined) return [all, validation];
    if (!(validationSplit > 0 && validationSplit < 1)) {
      throw this.host.error('value', `validationSplit is ${validationSplit}; give a number between 0 and 1`);
    }
    const [train, rest] = split(all, validationSplit);
    if (!train.count || !rest.count) throw this.host.error('value', `a validationSplit of ${validationSplit} leaves no samples on one side`);
    return [train, validation ?? rest];
  }

  async #epoch(source: Samples | BatchSource, epoch: number): Promise<void> {
    let batch = 0;
    const onBatches = (losses: number[]) => {
      for (const loss of losses) {
        this.options.callbacks?.forEach((callback) => callback.onBatchEnd?.(batch, { loss }, this.#training));
        batch++;
      }
    };
    const where = () => `epoch ${epoch}, batch ${batch}`;
    if ('count' in source) {
      const { order } = this.options.shuffle === false ? {} : await this.#session.ask({ act: 'shuffle', count: source.count });
      return this.#pass('train', source, order, onBatches, where);
    }
    let any = false;
    for await (const given of typeof source === 'function' ? source() : source) {
      any = true;
      const samples = this.samples(given, this.options.classWeight);
      await this.#pass('train', samples, undefined, onBatches, where, samples.count);
      this.#throwIfAborted();
    }
    if (!any) throw this.host.error('shape', `${where()}: there are no samples: the source has no batches${epoch > 0 ? ' a second time; give a function that makes it anew' : ''}`);
  }

  /** Sends batches, of which two messages are under way: one that is worked on, and one that waits. */
  async #pass(
    act: Batches['act'],
    samples: Samples,
    order: Uint32Array | undefined,
    onBatches: (losses: number[]) => void,
    where: () => string,
    batchSize = this.#batchSize,
  ): Promise<void> {
    const values = [...samples.inputs, ...samples.targets].reduce((sum, { width }) => sum + width, 0);
    const underWay: Promise<unknown>[] = [];
    let failed = false;
    const send = async (from: number, count: number) => {
      const message = batches(act, samples, batchSize, from, from + count * batchSize, order);
      const parts = [...message.inputs, ...message.targets, ...(message.weights ? [message.weights] : [])];
      const answer = this.#session.ask(message, parts.map(({ buffer }) => buffer));
      const { losses, failure, time } = await answer;
      if (losses!.length) this.#batchTime = time! / losses!.length;
      if (failed) return;
      onBatches(losses!);
      if (!failure) return;
      failed = true;
      const error = this.host.toError({ ...failure, message: `${where()}: ${failure.message}` });
      throw error;
    };
    for (let from = 0; from < samples.count && !failed; ) {
      if (this.options.signal?.aborted) break;
      const most = Math.max(1, Math.floor(CHUNK_VALUES / (values * batchSize)));
      const count = Math.min(most, Math.max(1, Math.round(CHUNK_TIME / this.#batchTime)));
      const sent = send(from, count);
      sent.catch(() => undefined); // awaited below
      underWay.push(sent);
      from += count * batchSize;
      if (underWay.length > 1) await underWay.shift();
    }
    await Promise.all(underWay);
    this.#throwIfAborted();
  }

  async evaluate(samples: Samples): Promise<Logs> {
    await this.#pass('evaluate', samples, undefined, () => undefined, () => 'evaluation');
    return this.#results();
  }

  async #results(): Promise<Logs> {
    const { results, learningRate, memory } = await this.#session.ask({ act: 'results' });
    this.#learningRate = learningRate!;
    this.#memory = memory!;
    return results!;
  }

  async #save(): Promise<Uint8Array> {
    return (await this.#session.ask({ act: 'save' })).container!;
  }

  #throwIfAborted(): void {
    if (this.options.signal?.aborted) throw this.host.error('aborted', 'aborted by the caller; the model keeps what it has learnt');
  }
}

function isBatchSource(x: ModelInput | BatchSource): x is BatchSource {
  if (typeof x === 'function') return true;
  if (typeof x !== 'object' || x === null || Array.isArray(x) || ArrayBuffer.isView(x)) return false;
  return Symbol.asyncIterator in x || Symbol.iterator in x;
}

function whole(host: Host, name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw host.error('value', `${name} is ${value}; give a whole number from 1`);
}
