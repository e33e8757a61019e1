/** The models of a service: their versions, and when each is opened. */
import { type Cost, type DeviceReport, type FetchOptions, type LoadOptions, type Model, type ModelSource, NearsideError, Tensor, type TensorSpec, load, readSource } from '../nearside.js';
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
    cost: (samples) => model.cost(samples),
    predict: (arrays) => predictFlat(model, arrays),
    save: () => model.save('safetensors'),
    dispose: () => model.dispose(),
  };
}

/** @internal The model's outputs, flat and in its order, of inputs that are so. */
export async function predictFlat(model: Model, arrays: Float32Array[]): Promise<Float32Array[]> {
  const inputs = Object.fromEntries(model.inputs.map(({ name }, i) => [name, arrays[i]!]));
  const answer = await model.predict<Tensor | Record<string, Tensor>>(inputs);
  return answer instanceof Tensor ? [answer.data] : model.outputs.map(({ name }) => answer[name]!.data);
}

/** What a version is doing. One that is `'unloaded'` stays so until it is told to load, one that is `'unavailable'` failed to. */
export type State = 'loading' | 'ready' | 'unavailable' | 'unloaded';

/** @internal */
interface Opened {
  computer: Computer;
  scheduler: Scheduler;
}

/** @internal A version of a model. */
export class Version {
  readonly statistics: Statistics;
  state: State = 'loading';
  /** Why it is unavailable. */
  reason = '';
  #opened: Promise<Opened> | undefined;

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
    this.#opened ??= this.#open();
    return this.#opened;
  }

  async #open(): Promise<Opened> {
    this.state = 'loading';
    try {
      const computer = await this.openComputer(this.model, this.served);
      // A model whose file fixes its batch computes one request at a time.
      const single = computer.inputs[0]?.shape[0] !== null ? { maxBatchSize: 1 } : {};
      const { statistics, served } = this;
      const compute = async (inputs: Float32Array[], samples: number) => {
        const start = performance.now();
        const outputs = await computer.predict(inputs, samples);
        statistics.computed(samples, performance.now() - start, computer.cost(samples));
        return outputs;
      };
      const { maxBatchSize, maxDelay, maxQueue } = { ...DEFAULT_BATCHING, ...served };
      this.state = 'ready';
      return { computer, scheduler: new Scheduler(compute, statistics, { maxBatchSize, maxDelay, maxQueue, ...single }) };
    } catch (error) {
      this.#opened = undefined;
      this.state = 'unavailable';
      this.reason = (error as Error).message;
      throw error;
    }
  }

  /** Gives its memory back, once what waits for it is answered. */
  async unload(reason = 'it was unloaded'): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    this.state = 'unloaded';
    this.reason = reason;
    const { computer, scheduler } = (await opened?.catch(() => undefined)) ?? {};
    await scheduler?.idle();
    computer?.dispose();
  }
}

/** @internal Flat values in an output's shape. */
export function toTensor(data: Float32Array, { shape, dtype, classes }: TensorSpec): Tensor {
  const width = shape.reduce<number>((product, axis) => product * (axis ?? 1), 1);
  return new Tensor(data, shape.map((axis) => axis ?? data.length / width), dtype === 'string' ? classes : undefined);
}

/** @internal All models of a service, by name and version. */
export class Models {
  readonly #models = new Map<string, Map<string, Version>>();

  constructor(private readonly openComputer: Open) {}

  /** Adds a version. It is not opened yet. */
  add(name: string, served: ServedModel): Version {
    return this.#put(this.#create(name, served));
  }

  /** Adds a version once it is open. One that it takes the place of answers until then. */
  async open(name: string, served: ServedModel): Promise<Version> {
    const version = this.#create(name, served);
    await version.open();
    const before = this.#models.get(name)?.get(version.version);
    this.#put(version);
    await before?.unload('another took its place');
    return version;
  }

  #put(version: Version): Version {
    const versions = this.#models.get(version.model) ?? new Map<string, Version>();
    this.#models.set(version.model, versions.set(version.version, version));
    return version;
  }

  #create(name: string, served: ServedModel): Version {
    const { version = '1' } = served;
    for (const text of [name, version]) {
      if (!isName(text)) throw new NearsideError('value', `'${text}' is no name for a model or version: use up to 128 letters, digits and . _ - : @`);
    }
    return new Version(name, version, served, this.openComputer);
  }

  async remove(name: string, version: string): Promise<void> {
    const versions = this.#models.get(name);
    const removed = versions?.get(version);
    versions?.delete(version);
    if (!versions?.size) this.#models.delete(name);
    await removed?.unload('it was removed');
  }

  names(): string[] {
    return [...this.#models.keys()];
  }

  /** The versions of a model, the newest first; none if there is no such model. */
  versions(name: string): Version[] {
    const versions = [...(this.#models.get(name)?.values() ?? [])];
    return versions.sort((a, b) => b.version.localeCompare(a.version, 'en', { numeric: true }));
  }

  all(): Version[] {
    return this.names().flatMap((name) => this.versions(name));
  }

  /** The version asked for; if none is named, the newest that is ready, or else the newest. */
  find(name: string, version?: string): Version | undefined {
    if (version !== undefined) return this.#models.get(name)?.get(version);
    const versions = this.versions(name);
    return versions.find(({ state }) => state === 'ready') ?? versions.find(({ state }) => state !== 'unloaded') ?? versions[0];
  }
}

function isName(text: string): boolean {
  return /^[\w.:@-]{1,128}$/.test(text) && !/^\.+$/.test(text);
}
