/** The models of a service: their versions, and when each is opened. */
import { type Cost, type DeviceReport, type FetchOptions, type LoadOptions, type Model, type ModelSource, NearsideError, Tensor, type TensorSpec, assertKnown, load, readSource } from '../nearside.js';
import { isName } from './names.js';
import { type Batching, DEFAULT_BATCHING, Scheduler } from './scheduler.js';
import { Statistics } from './statistics.js';

/** A model, and how it is served. */
export interface ServedModel extends Batching {
  /** Where it comes from: what `load` takes, or a model that is there already. */
  source: ModelSource | Model;
  /** `'1'` unless given. Requests that name none get the newest that is ready: numbers in names count as such. */
  version?: string;
  /** How it is loaded: `device`, `integrity`, `dtype` … */
  options?: LoadOptions;
  /** Turns the file into the model's: for sealed ones `(file) => unseal(file, { key, verify })`. */
  open?: (file: Uint8Array) => Promise<Uint8Array>;
  /** What the device is assumed to take while it computes, for the estimate of energy; 15 W unless given. */
  watts?: number;
}

/** @internal What computes: a model here, or one in a worker. */
export interface Computer {
  format: string;
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  parameterCount: number;
  device(): DeviceReport;
  cost(samples: number): Cost;
  predict(inputs: Float32Array[], samples: number): Promise<Float32Array[]>;
  /** The model as a container. */
  save(): Promise<Uint8Array>;
  dispose(): void;
}

/** @internal Opens a model where it is to compute. */
export type Open = (name: string, served: ServedModel) => Promise<Computer>;

/** @internal Opens a model in this process. */
export async function openHere({ source, options, open }: ServedModel): Promise<Computer> {
  // A model that was given is its owner's to dispose of.
  if (isModel(source)) return { ...computer(source), dispose: () => undefined };
  if (!open) return computer(await load(source, options));
  const { integrity, requestInit, signal, onProgress, ...rest } = options ?? {};
  const file = await readSource(source, { integrity, requestInit, signal, onProgress } as FetchOptions, () => undefined);
  if (!file) throw new NearsideError('value', "a model that is to be opened first is one file: give its address or its bytes");
  return computer(await load(await open(file.bytes), rest));
}

/** @internal A model is known by what it does: the package may be there twice, in two bundles. */
export function isModel(source: unknown): source is Model {
  return typeof source === 'object' && source !== null && 'predict' in source && typeof source.predict === 'function';
}

function computer(model: Model): Computer {
  const { inputs, outputs } = model;
  return {
    format: model.format,
    inputs,
    outputs,
    parameterCount: model.parameterCount,
    device: () => model.device,
    cost: growing(model.cost(1), model.cost(2)),
    predict: (arrays) => predictFlat(model, arrays),
    save: () => model.save('safetensors'),
    dispose: () => model.dispose(),
  };
}

/**
 * @internal What a batch costs, from what one sample does and two: it grows evenly. The engine is not asked for each batch,
 * for it takes as long to say as a small model does to compute.
 */
export function growing(one: Cost, two: Cost): (samples: number) => Cost {
  const grow = (part: keyof Cost, samples: number) => one[part] + (samples - 1) * (two[part] - one[part]);
  return (samples) => ({ flop: grow('flop', samples), bytes: grow('bytes', samples) });
}

/** @internal The model's outputs, flat and in its order, of inputs that are so. */
export async function predictFlat(model: Model, arrays: Float32Array[]): Promise<Float32Array[]> {
  const inputs = Object.fromEntries(model.inputs.map(({ name }, i) => [name, arrays[i]!]));
  const answer = await model.predict<Tensor | Record<string, Tensor>>(inputs);
  return answer instanceof Tensor ? [answer.data] : model.outputs.map(({ name }) => answer[name]!.data);
}

/** What a version is doing. One that is `'unloaded'` stays so until it is told to load, one that is `'unavailable'` failed to. */
export type State = 'loading' | 'ready' | 'unavailable' | 'unloaded';

/** @internal A model that is open. */
export interface Opened {
  computer: Computer;
  scheduler: Scheduler;
}

/** @internal A version of a model. */
export class Version {
  readonly statistics: Statistics;
  state: State = 'loading';
  /** Why it is not ready. */
  reason = '';
  /** What failed, where it could not be opened. */
  fault: NearsideError | undefined;
  #opening: Promise<Opened> | undefined;
  /** What is done with it now. */
  #uses = new Set<Promise<unknown>>();

  constructor(
    readonly model: string,
    readonly version: string,
    readonly served: ServedModel,
    private readonly openComputer: Open,
  ) {
    this.statistics = new Statistics(served.watts ?? 15);
  }

  /** The model, opened unless it is. A failure is not remembered: the next call tries again. */
  open(): Promise<Opened> {
    if (this.#opening) return this.#opening;
    const opening = this.#open();
    this.#opening = opening;
    this.state = 'loading';
    this.reason = '';
    this.fault = undefined;
    const settle = (state: State, fault?: NearsideError) => {
      if (this.#opening !== opening) return; // it was unloaded meanwhile
      if (state === 'unavailable') this.#opening = undefined;
      this.state = state;
      this.fault = fault;
      this.reason = fault?.message ?? '';
    };
    opening.then(
      () => settle('ready'),
      (error: unknown) => settle('unavailable', error instanceof NearsideError ? error : new NearsideError('internal', error instanceof Error ? error.message : String(error), {}, { cause: error })),
    );
    return opening;
  }

  async #open(): Promise<Opened> {
    const computer = await this.openComputer(this.model, this.served);
    const { statistics } = this;
    const compute = async (inputs: Float32Array[], samples: number) => {
      const start = performance.now();
      const outputs = await computer.predict(inputs, samples);
      statistics.computed(samples, performance.now() - start, computer.cost(samples));
      return outputs;
    };
    return { computer, scheduler: new Scheduler(compute, statistics, batchingOf(this.served, computer)) };
  }

  /** Keeps the model open until what uses it is done. */
  hold<T>(use: Promise<T>): Promise<T> {
    const uses = this.#uses;
    uses.add(use);
    return use.finally(() => uses.delete(use));
  }

  /** Gives its memory back, once what it is used for is done. */
  async unload(reason = 'it was unloaded'): Promise<void> {
    const [opening, uses] = [this.#opening, this.#uses];
    this.#opening = undefined;
    this.#uses = new Set();
    this.state = 'unloaded';
    this.reason = reason;
    const opened = await opening?.catch(() => undefined);
    opened?.scheduler.flush();
    await Promise.allSettled(uses);
    opened?.computer.dispose();
  }
}

/** @internal Whether a request has as many samples as it likes. */
export function isBatched({ inputs }: Computer): boolean {
  return inputs[0]?.shape[0] === null;
}

/** @internal How requests are gathered. A model whose file fixes its batch computes one at a time. */
export function batchingOf({ maxBatchSize, maxDelay, maxQueue }: ServedModel, computer: Computer): Required<Batching> {
  return {
    maxBatchSize: isBatched(computer) ? maxBatchSize ?? DEFAULT_BATCHING.maxBatchSize : 1,
    maxDelay: maxDelay ?? DEFAULT_BATCHING.maxDelay,
    maxQueue: maxQueue ?? DEFAULT_BATCHING.maxQueue,
  };
}

/** @internal Flat values in an output's shape. */
export function toTensor(data: Float32Array, { shape, dtype, classes }: TensorSpec): Tensor {
  const width = shape.reduce<number>((product, axis) => product * (axis ?? 1), 1);
  return new Tensor(data, shape.map((axis) => axis ?? data.length / width), dtype === 'string' ? classes : undefined);
}

/** @internal All models of a service, by name and version. */
export class Models {
  /** The versions of each model, the newest first. */
  readonly #models = new Map<string, Version[]>();
  #disposed = false;

  constructor(private readonly openComputer: Open) {}

  /** Adds a version, in the place of one that is not open. It is not opened yet. @throws `value` for what cannot be served. */
  add(name: string, served: ServedModel): void {
    this.#put(this.#create(name, served));
  }

  /** Adds a version once it is open. One that it takes the place of answers until then. */
  async open(name: string, served: ServedModel): Promise<void> {
    const version = this.#create(name, served);
    await version.open();
    if (this.#disposed) {
      await version.unload();
      this.assertLive();
    }
    await this.#put(version)?.unload('another took its place');
  }

  /** @returns the version whose place it takes. */
  #put(version: Version): Version | undefined {
    const before = this.find(version.model, version.version);
    const others = this.versions(version.model).filter((other) => other !== before);
    this.#models.set(version.model, [version, ...others].sort((a, b) => byNumber.compare(b.version, a.version)));
    return before;
  }

  #create(name: string, served: ServedModel): Version {
    this.assertLive();
    assertKnown(served, SERVED);
    const { version = '1', maxBatchSize = 1, maxDelay = 0, maxQueue = 1 } = served;
    for (const text of [name, version]) {
      if (!isName(text)) throw new NearsideError('value', `'${text}' is no name for a model or version: use up to 128 letters, digits and . _ - : @`);
    }
    if (name === 'stats') throw new NearsideError('value', "a model cannot be named 'stats': all models' statistics have that address");
    for (const [option, number] of Object.entries({ maxBatchSize, maxQueue })) {
      if (!Number.isInteger(number) || number < 1) throw new NearsideError('value', `${option} is ${number}; give a whole number from 1`);
    }
    if (!(maxDelay >= 0 && maxDelay < Infinity)) throw new NearsideError('value', `maxDelay is ${maxDelay}; give milliseconds from 0`);
    return new Version(name, version, served, this.openComputer);
  }

  async remove(name: string, version: string): Promise<void> {
    const removed = this.find(name, version);
    const others = this.versions(name).filter((other) => other !== removed);
    if (others.length) this.#models.set(name, others);
    else this.#models.delete(name);
    await removed?.unload('it was removed');
  }

  /** Takes all away, once what waits for them is answered. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await Promise.all(this.all().map(({ model, version }) => this.remove(model, version)));
  }

  assertLive(): void {
    if (this.#disposed) throw new NearsideError('disposed', 'the service was disposed of; create another');
  }

  /** The versions of a model, the newest first; none if there is no such model. */
  versions(name: string): Version[] {
    return this.#models.get(name) ?? [];
  }

  all(): Version[] {
    return [...this.#models.values()].flat();
  }

  /** The version asked for; if none is named, the newest that is ready, or else the newest that is not unloaded. */
  find(name: string, version?: string): Version | undefined {
    const versions = this.versions(name);
    if (version !== undefined) return versions.find((one) => one.version === version);
    return versions.find(({ state }) => state === 'ready') ?? versions.find(({ state }) => state !== 'unloaded') ?? versions[0];
  }
}

const SERVED = ['source', 'version', 'options', 'open', 'watts', 'maxBatchSize', 'maxDelay', 'maxQueue'];

/** Numbers in names count as such. */
const byNumber = new Intl.Collator('en', { numeric: true });
