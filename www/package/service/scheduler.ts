/**
 * Gathers what callers ask of a model into batches. One batch is computed at a time; what arrives meanwhile waits in a
 * queue that is bounded, each caller in turn.
 */
import { NearsideError, aborted } from '../nearside.js';
import type { Statistics } from './statistics.js';
import { concatenate } from './tensors.js';

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
  /** When an answer comes too late, by the clock of `performance`. */
  deadline?: number | undefined;
}

interface Waiting extends Job {
  since: number;
  /** Whether its caller was told that there will be no answer. */
  ended: boolean;
  resolve: (outputs: Float32Array[]) => void;
  reject: (error: unknown) => void;
}

/** The longest that timers wait: 25 days. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** @internal */
export class Scheduler {
  /** What waits, by caller; the caller whose turn it is first. */
  readonly #queues = new Map<string, Waiting[]>();
  readonly #limits: Required<Batching>;
  /** Requests that wait, and their samples. */
  #length = 0;
  #samples = 0;
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Milliseconds that a batch took lately, on average. */
  #pace = 1;

  constructor(
    private readonly compute: Compute,
    private readonly statistics: Statistics,
    limits: Required<Batching>,
  ) {
    this.#limits = { ...limits };
  }

  /** Computes what waits, and what is yet to come, without delay. */
  flush(): void {
    this.#limits.maxDelay = 0;
    this.#pump();
  }

  /**
   * The outputs of a request. @throws `busy` where too many wait, `timeout` and `aborted` as soon as that is so, whether
   * the request waits or is computed, and what computing throws.
   */
  async submit(job: Job): Promise<Float32Array[]> {
    const { caller, signal, deadline } = job;
    if (signal?.aborted) throw aborted(signal.reason);
    if (isPast(deadline)) throw tooLate();
    // A caller may take as much of the queue as it leaves free: however much one asks, others find room, and one alone
    // has half of it (A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet
    // switches", 1998).
    const queued = this.#queues.get(caller)?.length ?? 0;
    if (queued >= this.#limits.maxQueue - this.#length) throw this.#refusal();

    let timer: ReturnType<typeof setTimeout> | undefined;
    let abort: () => void;
    try {
      return await new Promise((resolve, reject) => {
        const waiting: Waiting = { ...job, since: performance.now(), ended: false, resolve, reject };
        abort = () => this.#giveUp(waiting, aborted(signal!.reason));
        signal?.addEventListener('abort', abort);
        if (deadline !== undefined) {
          timer = setTimeout(() => this.#giveUp(waiting, tooLate()), Math.min(deadline - performance.now(), LONGEST_DELAY));
        }
        this.#enqueue(waiting);
        this.#pump();
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort!);
    }
  }

  #refusal(): Busy {
    const batches = Math.ceil(this.#length / this.#limits.maxBatchSize);
    return new Busy(`${this.#length} requests wait already`, Math.ceil((batches * this.#pace) / 1000));
  }

  #enqueue(waiting: Waiting): void {
    const queue = this.#queues.get(waiting.caller) ?? [];
    this.#queues.set(waiting.caller, queue);
    queue.push(waiting);
    this.#count(waiting, 1);
  }

  #count({ samples }: Waiting, requests: 1 | -1): void {
    this.#length += requests;
    this.#samples += requests * samples;
  }

  /** Tells a request's caller that there will be no answer, and takes it out of the queue if it is still there. */
  #giveUp(waiting: Waiting, error: NearsideError): void {
    waiting.ended = true;
    waiting.reject(error);
    const queue = this.#queues.get(waiting.caller);
    const index = queue?.indexOf(waiting) ?? -1;
    if (index < 0) return; // it is being computed
    queue!.splice(index, 1);
    if (!queue!.length) this.#queues.delete(waiting.caller);
    this.#count(waiting, -1);
  }

  /** Begins a batch, if none is computed and enough is there or has waited long enough. */
  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#running || !this.#length) return;
    const { maxBatchSize, maxDelay } = this.#limits;
    if (maxDelay > 0 && this.#samples < maxBatchSize) {
      const rest = maxDelay - (performance.now() - this.#oldest());
      if (rest > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.min(rest, LONGEST_DELAY));
        return;
      }
    }
    void this.#run(this.#take(maxBatchSize));
  }

  /** Since when the first of what waits does so. */
  #oldest(): number {
    let oldest = Infinity;
    for (const [first] of this.#queues.values()) oldest = Math.min(oldest, first!.since);
    return oldest;
  }

  /** Takes what fits a batch, of each caller one request after the other. */
  #take(maxBatchSize: number): Waiting[] {
    const batch: Waiting[] = [];
    let samples = 0;
    for (const [caller, queue] of this.#queues) {
      const next = queue[0]!;
      if (batch.length && samples + next.samples > maxBatchSize) break;
      queue.shift();
      this.#count(next, -1);
      // Behind the others, where this loop comes to it again.
      this.#queues.delete(caller);
      if (queue.length) this.#queues.set(caller, queue);
      // Timers are late while this thread computes.
      if (isPast(next.deadline)) {
        this.#giveUp(next, tooLate());
        continue;
      }
      batch.push(next);
      samples += next.samples;
    }
    return batch;
  }

  async #run(batch: Waiting[]): Promise<void> {
    if (!batch.length) return;
    this.#running = true;
    const start = performance.now();
    for (const { since } of batch) this.statistics.waited(start - since);
    try {
      await this.#together(batch);
    } catch (error) {
      // One request's values may be to blame: each is asked for by itself.
      if (batch.length === 1) batch[0]!.reject(error);
      else for (const job of batch) if (!job.ended) await this.#together([job]).catch(job.reject);
    }
    this.#pace += (performance.now() - start - this.#pace) / 8;
    this.#running = false;
    this.#pump();
  }

  /** One batch of all, and each its part. */
  async #together(batch: Waiting[]): Promise<void> {
    const [first, second] = batch;
    if (!second) return first!.resolve(await this.compute(first!.inputs, first!.samples));
    const samples = batch.reduce((sum, job) => sum + job.samples, 0);
    const inputs = first!.inputs.map((_, i) => concatenate(Float32Array, batch.map((job) => job.inputs[i]!)));
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
  /** Seconds until it may be asked again. */
  readonly retryAfter: number;

  constructor(reason: string, retryAfter: number) {
    const seconds = Math.max(1, retryAfter);
    super('busy', `${reason}: try again in ${seconds} s`);
    this.retryAfter = seconds;
  }
}

function isPast(deadline: number | undefined): boolean {
  return deadline !== undefined && performance.now() >= deadline;
}

function tooLate(): NearsideError {
  return new NearsideError('timeout', "the request's timeout passed before it was answered");
}
