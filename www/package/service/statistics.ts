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
  /** Batches computed; by their number of samples, how many of them, and the milliseconds that they took. */
  batches: number;
  batchSizes: Record<number, number>;
  batchTimes: Record<number, number>;
  /** From a request to its answer, of those that succeeded; what it waited of that; and what a batch was computed for. */
  latency: Times;
  queue: Times;
  compute: Times;
  /** Milliseconds that requests took which did not succeed. */
  failureTime: number;
  /** Floating-point operations. */
  flop: number;
  /** Bytes that computing read and wrote, and those of the requests and answers. */
  bytes: { compute: number; received: number; sent: number };
  energy: Energy;
  /** When the last request was answered, in milliseconds since 1970; 0 for never. */
  lastInference: number;
}

/** Bounds of the histogram grow by this: no percentile is told too high by more, or too low. */
const GROWTH = 2 ** (1 / 8);
/** The first bound, a microsecond, in milliseconds. */
const SMALLEST = 0.001;
/** Up to 2^32 times that: 72 minutes. */
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
    // The last has no bound.
    return bucket === BUCKETS - 1 ? this.max : Math.min(this.max, SMALLEST * GROWTH ** bucket);
  }
}

/** @internal */
export class Statistics {
  readonly #latency = new Histogram();
  readonly #queue = new Histogram();
  readonly #compute = new Histogram();
  readonly #requests: Record<Outcome, number> = { success: 0, fail: 0, rejected: 0, cancelled: 0, expired: 0 };
  readonly #batches = new Map<number, { count: number; time: number }>();
  #samples = 0;
  #flop = 0;
  #bytes = { compute: 0, received: 0, sent: 0 };
  #failureTime = 0;
  #lastInference = 0;

  constructor(private readonly watts: number) {}

  /** A request was answered, `time` after it came. */
  answered(time: number, received: number, sent: number): void {
    this.#requests.success += 1;
    this.#latency.add(time);
    this.#bytes.received += received;
    this.#bytes.sent += sent;
    this.#lastInference = Date.now();
  }

  failed(outcome: Exclude<Outcome, 'success'>, time: number): void {
    this.#requests[outcome] += 1;
    this.#failureTime += time;
  }

  /** A request waited for its batch to begin. */
  waited(time: number): void {
    this.#queue.add(time);
  }

  /** A batch was computed. */
  computed(samples: number, time: number, { flop, bytes }: Cost): void {
    this.#compute.add(time);
    this.#samples += samples;
    this.#flop += flop;
    this.#bytes.compute += bytes;
    const batches = this.#batches.get(samples) ?? { count: 0, time: 0 };
    batches.count += 1;
    batches.time += time;
    // Sizes that callers make up must not fill the memory: beyond so many, new ones are left out.
    if (this.#batches.size < 1024) this.#batches.set(samples, batches);
  }

  report(): ModelStatistics {
    const compute = this.#compute.times();
    const batches = [...this.#batches];
    return {
      requests: { ...this.#requests },
      samples: this.#samples,
      batches: compute.count,
      batchSizes: Object.fromEntries(batches.map(([samples, { count }]) => [samples, count])),
      batchTimes: Object.fromEntries(batches.map(([samples, { time }]) => [samples, time])),
      latency: this.#latency.times(),
      queue: this.#queue.times(),
      compute,
      failureTime: this.#failureTime,
      flop: this.#flop,
      bytes: { ...this.#bytes },
      energy: { joules: (compute.total / 1000) * this.watts, watts: this.watts, formula: 'joules = seconds of computing × watts assumed' },
      lastInference: this.#lastInference,
    };
  }
}

/** @internal The same as Triton's statistics extension has it, whose times are in nanoseconds. What it has no word for is under `nearside`. */
export function toTriton(name: string, version: string, report: ModelStatistics): object {
  const { requests, latency, queue, compute } = report;
  const duration = (count: number, milliseconds: number) => ({ count, ns: Math.round(milliseconds * 1e6) });
  const none = duration(0, 0);
  const failures = requests.fail + requests.rejected + requests.cancelled + requests.expired;
  return {
    name,
    version,
    last_inference: report.lastInference,
    inference_count: report.samples,
    execution_count: report.batches,
    inference_stats: {
      success: duration(requests.success, latency.total),
      fail: duration(failures, report.failureTime),
      queue: duration(queue.count, queue.total),
      compute_input: none,
      compute_infer: duration(compute.count, compute.total),
      compute_output: none,
      cache_hit: none,
      cache_miss: none,
    },
    batch_stats: Object.entries(report.batchSizes).map(([samples, count]) => ({
      batch_size: Number(samples),
      compute_input: none,
      compute_infer: duration(count, report.batchTimes[Number(samples)]!),
      compute_output: none,
    })),
    nearside: report,
  };
}
