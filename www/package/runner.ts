/** Which device computes a model's batches: the CPU, in one thread or several, or the GPU. */
import { Computer, type Widths, memory } from './compute.js';
import { type Engine, assertLive, close, guard, isLive, openInWorkers, openOnGpu } from './engine.js';
import { NearsideError } from './errors.js';
import type { Cost, DeviceCost, DeviceReport, StepProfile, WrongAnswer } from './device.js';
import type { OnGpu, Original } from './gpu.js';
import { type Threads, chooseThreads, worthwhile } from './threads.js';

/** @internal What the engine says of a model. */
export interface EngineInfo {
  name: string;
  inputs: Port[];
  outputs: Port[];
  layers: { name: string; type: string; outputShape: number[]; parameterCount: number; activation?: string }[];
  parameterCount: number;
  batched: boolean;
  dtype: string;
  simd: string;
  continuous: boolean;
  steps: number;
  widest: number;
}

/** @internal */
export interface Port {
  name: string;
  shape: number[];
  classes?: string[];
  labels: boolean;
  limits?: number[];
}

/**
 * Multiplications of a batch from which on the GPU is asked for: the CPU makes them in a millisecond, which is what the way
 * to most GPUs and back takes.
 */
const WORTH_GPU = 2e7;

/** @internal */
export class Runner {
  #engine: Engine;
  #info: EngineInfo;
  #computer: Computer;
  #widths: Widths;
  #last = { lengths: [] as number[], samples: 0 };
  /** Threads that there are, or may be started; 1 for none. */
  #threadCount: number;
  #threads: Threads | undefined;
  #threadNote = '';
  #mode: 'auto' | 'cpu' | 'gpu' = 'cpu';
  /** The model on the GPU, from when it is asked for by name. */
  #named: Promise<OnGpu> | undefined;
  /** The model on the GPU, once it was measured. */
  #measured: OnGpu | undefined;
  /** Whether it was asked whether the GPU is the faster. */
  #asked = false;
  /** Calls that wait for the GPU, for which a model that is disposed of stays. */
  #inFlight = 0;
  #reason = 'asked for by name';
  #report: DeviceReport;
  #disposed = false;

  constructor(
    engine: Engine,
    info: EngineInfo,
    threads: number | undefined,
    private listen: (report: DeviceReport) => void,
  ) {
    this.#engine = engine;
    this.#info = info;
    const { steps, widest, simd } = info;
    this.#widths = { inputs: info.inputs.map(width), outputs: info.outputs.map(width), steps, widest };
    this.#computer = new Computer(guard(() => engine.cpu()), this.#widths);
    this.#threadCount = threads ?? chooseThreads(info.parameterCount);
    this.#report = { kind: 'cpu', reason: this.#reason, simd, threads: 1 };
  }

  get report(): DeviceReport {
    return this.#report;
  }

  get mode(): 'auto' | 'cpu' | 'gpu' {
    return this.#mode;
  }

  /** Takes the device of a model whose weights this one has in their place: what it measured counts no more. */
  take(mode: 'auto' | 'cpu' | 'gpu'): void {
    if (mode === 'gpu') this.#tell({ kind: 'gpu', reason: 'asked for by name' });
    if (mode === 'auto') this.#tell({ reason: waits() });
    this.#mode = mode;
  }

  /** Sets the device that answers where none is named. */
  async choose(device: 'auto' | 'cpu' | 'gpu'): Promise<void> {
    if (device === 'gpu') this.#tell({ kind: 'gpu', reason: 'asked for by name', adapter: (await this.#onGpu()).adapter });
    if (device === 'auto') this.#tell({ reason: waits() });
    this.#mode = device;
  }

  /** The outputs of a batch. */
  async predict(inputs: Float32Array[], device: 'cpu' | 'gpu' | undefined): Promise<Float32Array[]> {
    this.assertLive(); // between two batches it may have been disposed of
    const samples = this.#samples(inputs);
    const wanted = device ?? this.#mode;
    if (wanted === 'gpu') return this.#staying(async () => (await this.#onGpu()).predict(inputs, samples));
    if (wanted === 'cpu') return this.#shareOut(inputs, samples);
    if (this.#measured?.prefersGpu(samples)) {
      const gpu = this.#measured;
      const answer = await this.#staying(() => this.#attempt(gpu, inputs, samples));
      if (answer) return answer;
    }
    this.#answers('cpu');
    const asks = !this.#asked && samples * this.#info.parameterCount >= WORTH_GPU;
    if (!asks && !this.#measured) return this.#shareOut(inputs, samples);
    const start = performance.now();
    const answer = await this.#shareOut(inputs, samples);
    const time = performance.now() - start;
    if (asks) void this.#measure(inputs, samples, time);
    else this.#measured?.observe(false, samples, time);
    return answer;
  }

  /** `predict` on the CPU, at once. */
  predictSync(inputs: Float32Array[]): Float32Array[] {
    return this.#compute(inputs, this.#samples(inputs));
  }

  /** What each step costs on a device. */
  async profile(inputs: Float32Array[], device: 'cpu' | 'gpu'): Promise<StepProfile[]> {
    const samples = this.#samples(inputs);
    const steps = guard(() => this.#live().steps(samples)) as Omit<StepProfile, 'time'>[];
    const onGpu = async () => (await this.#onGpu()).profile(inputs, samples);
    const times = device === 'gpu' ? await this.#staying(onGpu) : guard(() => this.#computer.profile(inputs, samples));
    return times.map((time, index) => ({ ...steps[index]!, ...time }));
  }

  /** What a batch costs, all steps together. */
  cost(samples: number): Cost {
    const steps = guard(() => this.#live().steps(samples)) as Cost[];
    const sum = (part: keyof Cost) => steps.reduce((total, step) => total + step[part], 0);
    return { flop: sum('flop'), bytes: sum('bytes') };
  }

  /** Times the GPU's kernels. */
  async tune(): Promise<void> {
    await this.#staying(async () => (await this.#onGpu()).tune());
  }

  /** Opens the model in workers, which compute large batches from then on. */
  async startThreads(): Promise<void> {
    const count = this.#threadCount;
    this.#threadCount = 1; // until they are there
    if (count < 2) return;
    const engine = this.#engine;
    const report = (note: string, threads?: Threads) => {
      // Disposed of meanwhile, or of an engine that has failed.
      if (this.#disposed || !isLive(engine)) return threads?.close();
      this.#threads = threads;
      this.#threadCount = threads ? count : 1;
      this.#threadNote = `; ${note}`;
      this.#tell({});
    };
    await openInWorkers({ save: () => guard(() => this.#live().save()), dtype: this.#info.dtype, widths: this.#widths, count, report });
  }

  /** A table of the layers, and one of the steps. */
  summary(): string {
    return guard(() => this.#live().summary());
  }

  /** The model as a container. */
  save(): Uint8Array {
    return guard(() => this.#live().save());
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#threads?.close();
    if (!this.#inFlight) this.#close();
  }

  #close(): void {
    this.#measured?.close();
    void this.#named?.then((gpu) => gpu.close(), () => undefined);
    close(this.#engine, this.#computer);
  }

  /** A call that waits for the GPU. */
  async #staying<T>(act: () => Promise<T>): Promise<T> {
    this.#inFlight++;
    try {
      return await act();
    } finally {
      if (--this.#inFlight === 0 && this.#disposed) this.#close();
    }
  }

  assertLive(): void {
    if (this.#disposed) throw new NearsideError('disposed', `the model '${this.#info.name}' was disposed of; load it again`);
    this.#live();
  }

  /** The engine, unless it is gone: what comes later finds that out here. */
  #live(): Engine {
    if (this.#disposed && !this.#inFlight) this.assertLive();
    assertLive(this.#engine);
    return this.#engine;
  }

  /** The outputs of a batch, computed on the CPU of this thread. */
  #compute(inputs: Float32Array[], samples: number): Float32Array[] {
    this.#live();
    return guard(() => this.#computer.run(inputs, samples));
  }

  /** Number of samples of a batch. The engine is not asked again for the lengths of the last one. */
  #samples(inputs: Float32Array[]): number {
    const { lengths, samples } = this.#last;
    if (inputs.every(({ length }, i) => length === lengths[i])) return samples;
    const asked = inputs.map(({ length }) => length);
    this.#last = { lengths: asked, samples: guard(() => this.#live().samples(Uint32Array.from(asked))) };
    return this.#last.samples;
  }

  /** As `#compute`, by workers if that is faster. They are started behind the first prediction for which it is. */
  #shareOut(inputs: Float32Array[], samples: number): Float32Array[] | Promise<Float32Array[]> {
    const compute = () => this.#compute(inputs, samples);
    if (!worthwhile(samples, this.#info.parameterCount, this.#threadCount)) return compute();
    if (this.#threads) return this.#threads.compute(inputs, samples, compute);
    const answer = compute();
    void this.startThreads();
    return answer;
  }

  /** The model on the GPU, as it is asked for by name. A failure is not remembered: it may be another time. */
  #onGpu(): Promise<OnGpu> {
    this.#named ??= this.#measured ? Promise.resolve(this.#measured) : this.#openChecked();
    this.#named.catch(() => (this.#named = undefined));
    return this.#named;
  }

  /** For the batches that most predictions are of, whether it works at all is known then. */
  async #openChecked(): Promise<OnGpu> {
    const gpu = await openOnGpu(this.#original());
    try {
      await gpu.check(1);
      return gpu;
    } catch (error) {
      gpu.close();
      throw error;
    }
  }

  /** Times both devices on a batch. */
  async calibrate(inputs: Float32Array[]): Promise<DeviceReport> {
    const samples = this.#samples(inputs);
    return this.#staying(async () => {
      const gpu = await (this.#measured ?? this.#onGpu());
      this.#compute(inputs, samples);
      const start = performance.now();
      await this.#shareOut(inputs, samples);
      await this.#compare(gpu, inputs, samples, performance.now() - start);
      return this.#report;
    });
  }

  /** Finds out, behind the prediction that took the CPU some milliseconds, whether the GPU is the faster. */
  async #measure(inputs: Float32Array[], samples: number, time: number): Promise<void> {
    this.#asked = true;
    if (!hasWebGpu()) return; // `waits` has said so
    const own = inputs.map((input) => input.slice());
    await pause();
    this.#tell({ reason: 'the GPU is being made ready and measured' });
    const named = this.#named;
    let gpu: OnGpu | undefined;
    try {
      gpu = await (named ?? openOnGpu(this.#original()));
      await this.#compare(gpu, own, samples, time);
    } catch (error) {
      if (!named) gpu?.close();
      this.#giveUp(error);
    }
  }

  async #compare(gpu: OnGpu, inputs: Float32Array[], samples: number, time: number): Promise<void> {
    await gpu.calibrate(inputs, samples, time);
    const { adapter } = gpu;
    const calibration = gpu.report() as NonNullable<DeviceReport['calibration']>;
    // What is never faster need not take the GPU's memory.
    const loses = calibration.crossover === undefined;
    if (!loses) await gpu.check(samples);
    if ((loses && !this.#named) || this.#disposed) gpu.close();
    if (loses) this.#measured = undefined;
    else if (this.#mode === 'auto') this.#measured = gpu;
    this.#tell({ adapter, calibration, ...(this.#mode === 'auto' && { reason: verdict(calibration, adapter) }) });
  }

  /** The GPU's answer; nothing if it fails, and the CPU is to answer. */
  async #attempt(gpu: OnGpu, inputs: Float32Array[], samples: number): Promise<Float32Array[] | undefined> {
    try {
      const start = performance.now();
      const answer = await gpu.attempt(inputs, samples);
      gpu.observe(true, samples, performance.now() - start);
      this.#answers('gpu');
      return answer;
    } catch (error) {
      // A batch that is too large for it says nothing of others.
      if (error instanceof NearsideError && error.kind === 'memory') return undefined;
      if (!(error instanceof NearsideError) || error.kind !== 'device') throw error;
      if (this.#measured === gpu) void this.#restore(gpu, error);
      return undefined;
    }
  }

  /** After a loss: the GPU is asked for again, while the CPU answers. */
  async #restore(gpu: OnGpu, cause: NearsideError): Promise<void> {
    this.#measured = undefined;
    this.#tell({ kind: 'cpu', reason: `the GPU failed, and is asked for again: ${cause.message}` });
    try {
      await gpu.restore();
      if (this.#disposed) return gpu.close();
      this.#measured = gpu;
      this.#tell({ reason: `the GPU is back after it failed: ${cause.message}` });
    } catch (error) {
      if (!this.#named) gpu.close();
      this.#giveUp(error);
    }
  }

  #giveUp(error: unknown): void {
    this.#measured = undefined;
    const { message, evidence } = error as Error & { evidence?: WrongAnswer };
    this.#tell({ kind: 'cpu', reason: message, ...(evidence && { evidence }) });
  }

  #answers(kind: 'cpu' | 'gpu'): void {
    if (kind !== this.#report.kind) this.#tell({ kind });
  }

  #tell(change: Partial<DeviceReport>): void {
    if (this.#disposed) return;
    this.#reason = change.reason ?? this.#reason;
    this.#report = { ...this.#report, ...change, threads: this.#threads ? this.#threadCount : 1 };
    this.#report.reason = this.#report.kind === 'cpu' ? this.#reason + this.#threadNote : this.#reason;
    this.listen(this.#report);
  }

  #original(): Original {
    return {
      inputs: this.#info.inputs.map((port) => ({ width: width(port), limits: port.limits })),
      batched: this.#info.batched,
      continuous: this.#info.continuous,
      compute: (inputs, samples) => this.#compute(inputs, samples),
      program: () => {
        const upload = guard(() => this.#live().upload());
        const [words, names] = upload.program() as [Uint32Array, string[]];
        const buffer = (index: number) => {
          const [address, length] = guard(() => upload.buffer(this.#live(), index));
          return address === undefined ? undefined : new Uint8Array(memory(), address, length);
        };
        return { words, names, buffer, free: () => isLive(this.#engine) && upload.free() };
      },
    };
  }
}

function hasWebGpu(): boolean {
  return 'gpu' in (globalThis.navigator ?? {});
}

/** Why the CPU answers first. */
function waits(): string {
  if (hasWebGpu()) return 'the GPU is asked for behind the first prediction that takes the CPU a millisecond';
  const insecure = globalThis.isSecureContext === false;
  return `there is no WebGPU here (navigator.gpu is missing)${insecure ? ': browsers give it to pages served over https or from localhost' : ''}`;
}

function verdict({ cpu, gpu, crossover }: NonNullable<DeviceReport['calibration']>, adapter: string): string {
  const cost = ({ overhead, perSample }: DeviceCost) => `${[overhead, perSample].map((time) => Number(time.toPrecision(2))).join(' ms and ')} ms a sample`;
  const costs = `the CPU takes ${cost(cpu)}, the GPU (${adapter}) ${cost(gpu)}`;
  if (crossover === undefined) return `the CPU was measured to be faster for any number of samples: ${costs}`;
  return `the GPU was measured to be faster from ${crossover} sample${crossover > 1 ? 's' : ''} on: ${costs}`;
}

/** Values a sample. */
export function width({ shape }: { shape: (number | null)[] }): number {
  return shape.reduce<number>((product, axis) => product * (axis ?? 1), 1);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
