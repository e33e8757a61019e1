/**
 * Models on the GPU: a module of its own, fetched where a GPU may pay or is asked for by name. It shares no code with the
 * package: it is lent what it needs.
 *
 * A device may be lost at any time: the driver restarts, the browser wants its memory. It is asked for again then, a little
 * later each time. Before the first answer of a model is given out, it is held to the CPU's.
 */
import { Calibration, Gpu, type GpuModel, __wbg_reset_state, default as initialise } from '../generated/gpu.js';
import { difference, probe } from './compare.js';
import type { DeviceCost, WrongAnswer } from './device.js';
import type { NearsideError } from './errors.js';
import { recall, remember } from './memory.js';
import { timed } from './timed.js';

/** What the page's package lends. */
export interface Host {
  /** Starts the module. */
  instantiate: (start: typeof initialise) => Promise<void>;
  /** The error for what was thrown, by the module or by a call into the package. */
  toError: (thrown: unknown) => NearsideError;
  error: (kind: NearsideError['kind'], message: string) => NearsideError;
}

/** A model on the CPU. */
export interface Original {
  /** The program, as words, its names, and its buffers' bytes until the next call: nothing behind the last. */
  program: () => { words: Uint32Array; names: string[]; buffer: (index: number) => Uint8Array | undefined; free: () => void };
  /** Values a sample of each input, and for those that are indices, the numbers they are below. */
  inputs: { width: number; limits?: number[] | undefined }[];
  /** Whether it takes more than one sample. */
  batched: boolean;
  /** Whether a small change of the inputs is one of the outputs. */
  continuous: boolean;
  /** The outputs, computed on the page's thread. */
  compute: (inputs: Float32Array[], samples: number) => Float32Array[];
}

/** What a task takes. */
export interface TaskTime {
  kernel: string;
  time: number;
}

/** Bytes uploaded at once: the module needs a copy of them. */
const UPLOADED = 1 << 20;
/**
 * Sizes of the inputs of each time that answers are compared. Several, because some faults come and go, and because large
 * values drive a softmax to where it no longer shows what was wrong before it.
 */
const SIZES = [1, 0.1, 0.01];
/** Batches that are compared, one of each class: for one sample, for few and for many there are other kernels. */
const COMPARED = [1, 3, 17];
/** Milliseconds until a lost device is asked for again, the first time; twice as long each time after. */
const BACK_OFF = 100;
const LONGEST_BACK_OFF = 30_000;
/** Milliseconds of a device's life after which its loss is the first. */
const LONG_LIFE = 60_000;
/** Milliseconds in which the loss of a device is told. */
const TOLD = 100;
/** Devices that are asked for before it is given up. */
const ATTEMPTS = 4;
/** Milliseconds without a prediction after which the kernels are timed. */
const IDLE = 250;
/** How much slower a GPU must be for other kernels not to be tried. */
const HOPELESS = 4;

/** The page's package: there is one. */
let host: Host;
let started: Promise<void> | undefined;
let device: Gpu | undefined;
let opening: Promise<Gpu> | undefined;
let losses = 0;
let askedAt = 0;
/** What ends each call that has not been answered yet. */
const inFlight = new Set<(fault: NearsideError) => void>();
/** Rises when the module has failed: what was made before is gone. */
let instance = 0;

/** Why the last instance failed. */
let cause: NearsideError | undefined;

/**
 * Calls into the module, where what is used is of an instance. Whatever is thrown there is typed; a fault leaves a fresh
 * instance behind, and who still has something of the one before is told of that fault.
 */
async function call<T>(act: () => Promise<T> | T, of = instance): Promise<T> {
  if (of !== instance) throw cause!;
  let end!: (fault: NearsideError) => void;
  const fault = new Promise<never>((_, reject) => (end = reject));
  inFlight.add(end);
  try {
    return await Promise.race([act(), fault]);
  } catch (thrown) {
    if (!isTrap(thrown)) throw host.toError(thrown);
    throw of === instance ? fail(thrown) : cause!;
  } finally {
    inFlight.delete(end);
  }
}

/** What neither the module nor the package throws on purpose. */
function isTrap(thrown: unknown): boolean {
  return thrown instanceof Error && !('kind' in thrown);
}

function fail(thrown: unknown): NearsideError {
  instance++;
  device = undefined;
  opening = undefined;
  __wbg_reset_state();
  const fault = host.error('device', `the GPU's module failed: ${String(thrown)}`);
  cause = fault;
  inFlight.forEach((end) => end(fault));
  return fault;
}

/** A step of a call that answers later: the bindings run those where nobody would catch a trap. */
export function guardTask(task: () => void): () => void {
  const of = instance;
  return () => {
    if (of !== instance) return;
    try {
      task();
    } catch (thrown) {
      fail(thrown);
    }
  };
}

/** The device that models share: the one there is, or after its loss another. */
function openDevice(): Promise<Gpu> {
  if (device?.lost()) {
    device = undefined;
    losses = performance.now() - askedAt > LONG_LIFE ? 1 : losses + 1;
  }
  if (device) return Promise.resolve(device);
  opening ??= open().finally(() => (opening = undefined));
  return opening;
}

async function start(): Promise<void> {
  started ??= host.instantiate(initialise);
  started.catch(() => (started = undefined)); // so that the next call tries again
  await started;
}

async function open(): Promise<Gpu> {
  await start();
  const pause = losses ? Math.min(LONGEST_BACK_OFF, BACK_OFF * 2 ** (losses - 1)) - (performance.now() - askedAt) : 0;
  if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
  askedAt = performance.now();
  const gpu = await call(() => Gpu.open() as Promise<Gpu>).catch((error) => {
    losses++; // the next one is asked for later
    throw error;
  });
  const known = await recall(gpu.adapter());
  if (known) gpu.choose(known.kernels);
  return (device = gpu);
}

/** Asks for the device ahead of a model. */
export function prepare(lent: Host): void {
  host = lent;
  openDevice().catch(() => undefined); // whoever asks then is told
}

/** A model on a device. */
interface Placed {
  gpu: Gpu;
  model: GpuModel;
  instance: number;
  /** For each class of batches, that its kernels were compiled and compared. */
  ready: (Promise<void> | undefined)[];
  /** Calls that use it, for which it stays when another takes its place. */
  users: number;
  retired: boolean;
}

/** A call that uses a model. */
async function using<T>(placed: Placed, act: (model: GpuModel) => Promise<T>): Promise<T> {
  placed.users++;
  try {
    return await act(placed.model);
  } finally {
    placed.users--;
    if (placed.retired) retire(placed);
  }
}

/** Frees a model, once nobody uses it. One of an instance that has failed is gone. */
function retire(placed: Placed | undefined): void {
  if (!placed) return;
  placed.retired = true;
  if (placed.users === 0 && placed.instance === instance) placed.model.free();
}

/** A model for the GPU. */
export class OnGpu {
  #measured: { calibration: Calibration; of: number } | undefined;
  #placed: Placed | undefined;
  #placing: Promise<Placed> | undefined;
  #closed = false;
  #tuning: Promise<boolean> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  private constructor(private original: Original) {}

  /** Puts a model on the GPU. @throws `device` where there is none. */
  static async open(lent: Host, original: Original): Promise<OnGpu> {
    host = lent;
    await start();
    const model = new OnGpu(original);
    await model.#place();
    return model;
  }

  /** The adapter's name. */
  get adapter(): string {
    return this.#placed?.gpu.adapter() ?? '';
  }

  /** The outputs for a batch. A device that is lost is asked for again. */
  async predict(inputs: Float32Array[], samples: number): Promise<Float32Array[]> {
    const answer = await this.#insisting(() => this.attempt(inputs, samples));
    this.#tuneWhenIdle();
    return answer;
  }

  /** After a loss: puts it on another device. */
  restore(): Promise<void> {
    return this.#insisting(() => this.check(1));
  }

  /** Tries again while it is the device that is missing. */
  async #insisting<T>(act: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await act();
      } catch (error) {
        // A loss may be told after what it broke.
        if (!this.lost && (error as NearsideError).kind === 'device') await new Promise((resolve) => setTimeout(resolve, TOLD));
        if (attempt === ATTEMPTS || this.#closed || !this.lost) throw error;
      }
    }
  }

  /** The outputs for a batch, unless the device is lost meanwhile. */
  async attempt(inputs: Float32Array[], samples: number): Promise<Float32Array[]> {
    const placed = this.#ready ?? (await this.#place());
    return using(placed, async (model) => {
      await this.#makeReady(placed, samples);
      return call(() => model.predict(inputs, samples) as Promise<Float32Array[]>, placed.instance);
    });
  }

  /** Makes it ready for so many samples. @throws `device` where its answers are not the CPU's. */
  async check(samples: number): Promise<void> {
    const placed = this.#ready ?? (await this.#place());
    await using(placed, () => this.#makeReady(placed, samples));
  }

  /** Whether it must be placed anew. */
  get lost(): boolean {
    return !this.#ready;
  }

  /** How long each task takes. */
  async profile(inputs: Float32Array[], samples: number): Promise<TaskTime[]> {
    const placed = this.#ready ?? (await this.#place());
    return using(placed, async (model) => {
      await this.#makeReady(placed, samples);
      return call(() => model.profile(inputs, samples) as Promise<TaskTime[]>, placed.instance);
    });
  }

  /** Whether a batch is answered sooner by the GPU than by the CPU. */
  prefersGpu(samples: number): boolean {
    return !this.lost && this.#calibration.prefersGpu(samples);
  }

  observe(gpu: boolean, samples: number, time: number): void {
    this.#calibration.observe(gpu, samples, time);
  }

  report(): { cpu?: DeviceCost; gpu?: DeviceCost; crossover?: number } {
    return this.#calibration.report();
  }

  /**
   * Times both devices on a batch, which took the CPU that many milliseconds, and on parts of it: the GPU on ever more
   * samples, until it is plain that it is the slower for any number of them.
   */
  async calibrate(inputs: Float32Array[], samples: number, cpuTime: number): Promise<void> {
    const part = (count: number) => inputs.map((input, i) => input.subarray(0, count * this.original.inputs[i]!.width));
    this.observe(false, samples, cpuTime);
    if (samples > 1) this.observe(false, 1, timed(() => this.original.compute(part(1), 1)));
    const measure = async () => {
      for (let count = 1; ; count = Math.min(4 * count, samples)) {
        const some = part(count);
        await this.#run(some, count); // what is done once is no cost of a batch
        const start = performance.now();
        await this.#run(some, count);
        this.observe(true, count, performance.now() - start);
        if (count === samples || (count > 1 && this.#slower(samples) > HOPELESS)) return;
      }
    };
    await measure();
    if (this.#slower(samples) > HOPELESS || !(await this.tune())) return;
    await measure();
  }

  /** A run that is timed. Nobody gets its answer, so it need not be compared. */
  async #run(inputs: Float32Array[], samples: number): Promise<void> {
    const placed = this.#ready ?? (await this.#place());
    await using(placed, (model) => call(() => model.predict(inputs, samples) as Promise<Float32Array[]>, placed.instance));
  }

  /** How many times the CPU's time for so many samples the GPU takes. */
  #slower(samples: number): number {
    const { cpu, gpu } = this.report();
    const time = ({ overhead, perSample }: DeviceCost) => overhead + samples * perSample;
    return cpu && gpu ? time(gpu) / time(cpu) : 0;
  }

  /** Times the kernels, once for an adapter, and takes the fastest. Whether there was anything to do. */
  tune(): Promise<boolean> {
    this.#tuning ??= this.#tuneOnce();
    this.#tuning.catch(() => (this.#tuning = undefined));
    return this.#tuning;
  }

  #tuneWhenIdle(): void {
    clearTimeout(this.#idle);
    if (this.#tuning || this.#closed) return;
    this.#idle = setTimeout(() => this.tune().catch(() => undefined), IDLE);
    (this.#idle as { unref?: () => void }).unref?.(); // Node need not wait for it
  }

  async #tuneOnce(): Promise<boolean> {
    const { gpu, instance: of } = this.#ready ?? (await this.#place());
    const adapter = gpu.adapter();
    if (await recall(adapter)) return false;
    const before = String(gpu.variants());
    await call(() => gpu.tune() as Promise<void>, of);
    await remember(adapter, { kernels: gpu.variants() });
    if (String(gpu.variants()) === before || this.#closed) return true;
    const old = this.#placed;
    const placed = await this.#make(gpu);
    if (this.#closed) retire(placed);
    else this.#placed = placed;
    retire(old);
    return true;
  }

  /** Frees the GPU's memory. Predictions in flight are still answered. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#idle);
    retire(this.#placed);
    this.#placed = undefined;
  }

  /** What was observed, since the module has failed last. */
  get #calibration(): Calibration {
    if (this.#measured?.of !== instance) this.#measured = { calibration: new Calibration(), of: instance };
    return this.#measured!.calibration;
  }

  get #ready(): Placed | undefined {
    return this.#placed?.instance === instance && !this.#placed.gpu.lost() ? this.#placed : undefined;
  }

  #place(): Promise<Placed> {
    this.#placing ??= this.#placeAnew().finally(() => (this.#placing = undefined));
    return this.#placing;
  }

  async #placeAnew(): Promise<Placed> {
    retire(this.#placed);
    this.#placed = undefined;
    const placed = await this.#make(await openDevice());
    if (!this.#closed) return (this.#placed = placed);
    retire(placed);
    throw host.error('disposed', 'the model was disposed of; load it again');
  }

  async #make(gpu: Gpu): Promise<Placed> {
    const program = this.original.program();
    try {
      const model = await call(() => {
        const model = gpu.model(program.words, program.names);
        for (let index = 0; ; index++) {
          const bytes = program.buffer(index);
          if (!bytes) return model;
          for (let start = 0; start < bytes.length; start += UPLOADED) model.upload(index, start, bytes.subarray(start, start + UPLOADED));
        }
      });
      return { gpu, model, instance, ready: [], users: 0, retired: false };
    } finally {
      program.free();
    }
  }

  /** Compiles the kernels for so many samples, and holds their answers to the CPU's. */
  #makeReady({ gpu, model, ready }: Placed, samples: number): Promise<void> {
    const index = model.classOf(samples);
    ready[index] ??= this.#compileAndCompare(gpu, model, this.original.batched ? COMPARED[index]! : 1).catch((error) => {
      ready[index] = undefined;
      throw error;
    });
    return ready[index];
  }

  async #compileAndCompare(gpu: Gpu, model: GpuModel, samples: number): Promise<void> {
    const of = instance;
    const compiled = call(() => model.compile(samples) as Promise<void>);
    compiled.catch(() => undefined); // it is waited for below
    // Meanwhile the CPU. With 8-bit weights it rounds the inputs of a few samples, too: for many it does not.
    const computed = this.original.batched ? COMPARED.at(-1)! : 1;
    const part = (values: Float32Array) => values.subarray(0, (values.length / computed) * samples);
    const given = SIZES.map((size) => this.original.inputs.map(({ width, limits }) => probe(computed, width, size, limits)));
    const wanted = given.map((inputs) => this.original.compute(inputs, computed).map(part));
    await compiled;
    // Together, so that they overlap as predictions do.
    const predict = (inputs: Float32Array[]) => call(() => model.predict(inputs.map(part), samples) as Promise<Float32Array[]>, of);
    const answers = await Promise.all(given.map(predict));
    for (const [comparison, got] of answers.entries()) {
      const found = difference(wanted[comparison]!, got, samples, this.original.continuous);
      if (!found) continue;
      const { output, index, cpu, gpu: wrong } = found;
      const place = `of ${samples} samples, value ${index} of output ${output}`;
      const error = host.error('device', `the GPU computes wrong answers: ${place} is ${wrong}, the CPU has ${cpu}; use the CPU`);
      throw Object.assign(error, { evidence: { adapter: gpu.adapter(), samples, ...found } satisfies WrongAnswer });
    }
  }
}
