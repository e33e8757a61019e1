/** What a model has done since it was loaded: counts, times and sizes, in memory that does not grow. */
import type { Cost } from '../nearside.js';

/** How requests end. */
export type Outcome = 'success' | 'fail' | 'rejected' | 'cancelled' | 'expired';

/** Times in milliseconds: how many, their sum, and bounds that 50, 90 and 99 of a hundred are below. */
export interface Times {
  count: number;
  total: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** An estimate: what computing took of time, at a power that is assumed. */
export interface Energy {
  joules: number;
  /** Assumed of the device while it computes. */
  watts: number;
  formula: string;
}

/** Statistics of one version of a model. */
export interface ModelStatistics {
  requests: Record<Outcome, number>;
  samples: number;
  /** Batches computed, and by their number of samples, how many of them. */
  batches: number;
  batchSizes: Record<number, number>;
  queue: Times;
  compute: Times;
  /** Floating-point operations. */
  flop: number;
  /** Bytes that computing read and wrote, and those of the requests and answers. */
  bytes: { compute: number; received: number; sent: number };
  energy: Energy;
  /** When the last request was answered, in milliseconds since 1970; 0 for never. */
  lastInference: number;
}

/** Bounds of the histogram grow by this: no percentile is told too high by more. */
const GROWTH = 2 ** (1 / 8);
/** The first bound, a microsecond, in milliseconds. */
const SMALLEST = 0.001;
/** Up to 2^22 times that: an hour. */
const BUCKETS = 8 * 32;

/** Times by size, in buckets of a width in proportion to it. */
class Histogram {
  readonly #counts = new Uint32Array(BUCKETS);
  count = 0;
  total = 0;
  max = 0;

  add(time: number): void {
    const bucket = Math.ceil(Math.log(time / SMALLEST) / Math.log(GROWTH));
    this.#counts[Math.max(0, Math.min(bucket, BUCKETS - 1))]! += 1;
    this.count += 1;
    this.total += time;
    this.max = Math.max(this.max, time);
  }

  times(): Times {
    const { count, total, max } = this;
    return { count, total, p50: this.#percentile(0.5), p90: this.#percentile(0.9), p99: this.#percentile(0.99), max };
  }

  /** The upper bound of the bucket with the time that so large a share is not above. */
  #percentile(share: number): number {
    if (!this.count) return 0;
    let left = Math.ceil(share * this.count);
    const bucket = this.#counts.findIndex((count) => (left -= count) <= 0);
    return Math.min(this.max, SMALLEST * GROWTH ** bucket);
  }
}

/** @internal */
export class Statistics {
  readonly #queue = new Histogram();
  readonly #compute = new Histogram();
  readonly #requests: Record<Outcome, number> = { success: 0, fail: 0, rejected: 0, cancelled: 0, expired: 0 };
  readonly #batchSizes = new Map<number, number>();
  #samples = 0;
  #flop = 0;
  #bytes = { compute: 0, received: 0, sent: 0 };
  #lastInference = 0;

  constructor(private readonly watts: number) {}

  ended(outcome: Outcome): void {
    this.#requests[outcome] += 1;
  }

  waited(time: number): void {
    this.#queue.add(time);
  }

  computed(samples: number, time: number, { flop, bytes }: Cost): void {
    this.#compute.add(time);
    this.#samples += samples;
    this.#batchSizes.set(samples, (this.#batchSizes.get(samples) ?? 0) + 1);
    // Sizes that callers make up must not fill the memory: beyond so many, new ones are left out.
    if (this.#batchSizes.size > 1024) this.#batchSizes.delete(samples);
    this.#flop += flop;
    this.#bytes.compute += bytes;
  }

  answered(received: number, sent: number): void {
    this.ended('success');
    this.#bytes.received += received;
    this.#bytes.sent += sent;
    this.#lastInference = Date.now();
  }

  report(): ModelStatistics {
    const compute = this.#compute.times();
    return {
      requests: { ...this.#requests },
      samples: this.#samples,
      batches: compute.count,
      batchSizes: Object.fromEntries(this.#batchSizes),
      queue: this.#queue.times(),
      compute,
      flop: this.#flop,
      bytes: { ...this.#bytes },
      energy: { joules: (compute.total / 1000) * this.watts, watts: this.watts, formula: 'joules = seconds of computing × watts assumed' },
      lastInference: this.#lastInference,
    };
  }
}

/** @internal The same as Triton's statistics extension has it, whose times are in nanoseconds. What it has no word for is under `nearside`. */
export function toTriton(name: string, version: string, report: ModelStatistics): object {
  const { requests, queue, compute, samples, batches } = report;
  const ns = (milliseconds: number) => Math.round(milliseconds * 1e6);
  const none = { count: 0, ns: 0 };
  const failed = requests.fail + requests.rejected + requests.cancelled + requests.expired;
  return {
    name,
    version,
    last_inference: report.lastInference,
    inference_count: samples,
    execution_count: batches,
    inference_stats: {
      success: { count: requests.success, ns: ns(queue.total + compute.total) },
      fail: { count: failed, ns: 0 },
      queue: { count: queue.count, ns: ns(queue.total) },
      compute_input: none,
      compute_infer: { count: compute.count, ns: ns(compute.total) },
      compute_output: none,
      cache_hit: none,
      cache_miss: none,
    },
    batch_stats: [],
    nearside: report,
  };
}
