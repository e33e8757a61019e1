/**
 * Gathers what callers ask of a model into batches. One batch is computed at a time; what arrives meanwhile waits in a
 * queue that is bounded, each caller in turn.
 */
import { NearsideError } from '../nearside.js';
import type { Statistics } from './statistics.js';

/** How requests for a model are gathered. */
export interface Batching {
  /** Samples computed at once, at most; 64 unless given. A request of more is computed by itself. 1 for no batches. */
  maxBatchSize?: number;
  /**
   * Milliseconds that a request may wait for others while nothing is computed; 0 unless given. Without it batches form
   * only of what arrives while another is computed.
   */
  maxDelay?: number;
  /** Requests that may wait, those of all callers together; 1024 unless given. What comes beyond it is refused. */
  maxQueue?: number;
}

/** @internal */
export const DEFAULT_BATCHING: Required<Batching> = { maxBatchSize: 64, maxDelay: 0, maxQueue: 1024 };

/** @internal Computes the outputs of a batch. */
export type Compute = (inputs: Float32Array[], samples: number) => Promise<Float32Array[]>;

/** @internal What a caller asks. */
export interface Job {
  inputs: Float32Array[];
  samples: number;
  /** Tells callers apart. */
  caller: string;
  signal?: AbortSignal | undefined;
  /** Milliseconds until it is of no use. */
  timeout?: number | undefined;
}

interface Waiting extends Job {
  since: number;
  /** What ends the wait early is told here. */
  leave: () => void;
  resolve: (outputs: Float32Array[]) => void;
  reject: (error: unknown) => void;
}

/** @internal */
export class Scheduler {
  /** What waits, by caller; the caller whose turn it is first. */
  readonly #queues = new Map<string, Waiting[]>();
  readonly #limits: Required<Batching>;
  #length = 0;
  #running: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Milliseconds that a batch took lately, on average. */
  #pace = 1;

  constructor(
    private readonly compute: Compute,
    private readonly statistics: Statistics,
    limits: Batching,
  ) {
    this.#limits = { ...DEFAULT_BATCHING, ...limits };
  }

  /** Requests that wait. */
  get length(): number {
    return this.#length;
  }

  /** Computes what waits, without delay, and resolves when nothing is left. */
  async idle(): Promise<void> {
    this.#limits.maxDelay = 0;
    this.#pump();
    while (this.#running) await this.#running;
  }

  /** The outputs of a request. @throws `busy` where too many wait, `timeout`, `aborted`, and what computing throws. */
  submit(job: Job): Promise<Float32Array[]> {
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(job.caller) ?? [];
      // A caller may take as much of the queue as it leaves free: however much one asks, others find room, and one alone
      // has half of it (A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet
      // switches", 1998).
      if (queue.length >= this.#limits.maxQueue - this.#length) return reject(this.#refusal());
      if (job.signal?.aborted) return reject(aborted(job.signal));
      const waiting: Waiting = { ...job, since: performance.now(), leave: () => {}, resolve, reject };
      this.#queues.set(job.caller, queue);
      queue.push(waiting);
      this.#length += 1;
      this.#watch(waiting);
      this.#pump();
    });
  }

  #refusal(): Error {
    this.statistics.ended('rejected');
    const batches = Math.ceil(this.#length / this.#limits.maxBatchSize);
    return new Busy(`${this.#length} requests wait already`, Math.ceil((batches * this.#pace) / 1000));
  }

  /** Takes a request out of the queue when its caller gives up or its time has passed. */
  #watch(waiting: Waiting): void {
    const { signal, timeout } = waiting;
    if (!signal && timeout === undefined) return;
    const remove = (error: NearsideError) => {
      waiting.leave();
      const queue = this.#queues.get(waiting.caller);
      const index = queue?.indexOf(waiting) ?? -1;
      if (index < 0) return; // it is being computed
      queue!.splice(index, 1);
      if (!queue!.length) this.#queues.delete(waiting.caller);
      this.#length -= 1;
      this.statistics.ended(error.kind === 'timeout' ? 'expired' : 'cancelled');
      waiting.reject(error);
    };
    const abort = () => remove(aborted(signal!));
    const timer = timeout === undefined ? undefined : setTimeout(() => remove(new NearsideError('timeout', `no answer within ${timeout} ms`)), timeout);
    signal?.addEventListener('abort', abort);
    waiting.leave = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
  }

  /** Begins a batch, if none is computed and enough is there or has waited long enough. */
  #pump(): void {
    if (this.#running || !this.#length) return;
    clearTimeout(this.#timer);
    const { maxBatchSize, maxDelay } = this.#limits;
    if (maxDelay > 0) {
      const all = [...this.#queues.values()].flat();
      const samples = all.reduce((sum, job) => sum + job.samples, 0);
      const rest = maxDelay - (performance.now() - Math.min(...all.map(({ since }) => since)));
      if (samples < maxBatchSize && rest > 0) {
        this.#timer = setTimeout(() => this.#pump(), rest);
        return;
      }
    }
    this.#running = this.#run(this.#take(maxBatchSize)).then(() => {
      this.#running = undefined;
      this.#pump();
    });
  }

  /** Takes what fits a batch, of each caller one request after the other. */
  #take(maxBatchSize: number): Waiting[] {
    const batch: Waiting[] = [];
    let samples = 0;
    for (;;) {
      const next = this.#queues.entries().next().value;
      if (!next || (batch.length && samples + next[1][0]!.samples > maxBatchSize)) return batch;
      const [caller, queue] = next;
      const job = queue.shift()!;
      job.leave();
      batch.push(job);
      samples += job.samples;
      this.#length -= 1;
      // Behind the others, until its next turn.
      this.#queues.delete(caller);
      if (queue.length) this.#queues.set(caller, queue);
    }
  }

  async #run(batch: Waiting[]): Promise<void> {
    const start = performance.now();
    for (const { since } of batch) this.statistics.waited(start - since);
    const [first, second] = batch;
    try {
      if (!second) first!.resolve(await this.compute(first!.inputs, first!.samples));
      else await this.#together(batch);
    } catch (error) {
      // One request's values may be to blame: each is asked for by itself.
      if (second) for (const job of batch) await this.compute(job.inputs, job.samples).then(job.resolve, job.reject);
      else first!.reject(error);
    }
    this.#pace += ((performance.now() - start) - this.#pace) / 8;
  }

  /** One batch of all, and each its part. */
  async #together(batch: Waiting[]): Promise<void> {
    const samples = batch.reduce((sum, job) => sum + job.samples, 0);
    const inputs = batch[0]!.inputs.map((_, i) => concatenate(batch.map((job) => job.inputs[i]!)));
    const outputs = await this.compute(inputs, samples);
    let from = 0;
    for (const job of batch) {
      const to = from + job.samples;
      job.resolve(outputs.map((output) => output.slice((from * output.length) / samples, (to * output.length) / samples)));
      from = to;
    }
  }
}

/** @internal What is refused now, and may be asked again. */
export class Busy extends NearsideError {
  constructor(
    reason: string,
    /** Seconds until it may be asked again. */
    readonly retryAfter: number,
  ) {
    super('busy', `${reason}: try again in ${Math.max(1, retryAfter)} s`);
  }
}

function aborted(signal: AbortSignal): NearsideError {
  return new NearsideError('aborted', 'aborted by the caller', {}, { cause: signal.reason });
}

function concatenate(arrays: Float32Array[]): Float32Array {
  const all = new Float32Array(arrays.reduce((length, array) => length + array.length, 0));
  let offset = 0;
  for (const array of arrays) {
    all.set(array, offset);
    offset += array.length;
  }
  return all;
}
