/** When a model's predictions are worth handing to workers, and how those are had. */
import type { Widths } from './compute.js';
import { NearsideError } from './errors.js';

/** What workers need of a model. */
export interface ThreadedModel {
  /** The model as a container. */
  save: () => Uint8Array;
  dtype: string;
  widths: Widths;
  /** Threads. */
  count: number;
  /** Takes what there is to say of the threads, and those that there are. */
  report: (note: string, threads?: Threads) => void;
}

/** A model in workers. */
export interface Threads {
  /** The outputs of a batch. The page computes them where workers fail. */
  compute(inputs: Float32Array[], samples: number, onPage: () => Float32Array[]): Promise<Float32Array[]>;
  close(): void;
}

/** Samples for each thread below which they are not shared out: computing fewer, a core waits for weights. */
const FEW = 16;
/**
 * Multiplications from which on a batch is shared out. The CPU makes them in 0.4 ms, and handing them over and back costs
 * 0.1.
 */
const MULTIPLICATIONS = 8e6;
/** Weights from which on layers are shared out. The CPU reads them in 1 ms, and the exchange of six layers costs 0.4. */
const WEIGHTS = 4e6;
/** Threads where the number is not given: beyond these, few phones have more cores that are as fast. */
const MOST = 4;
/** Weights of all threads where the number is not given, 256 MB: each has a copy. */
const MOST_WEIGHTS = 64e6;

/** Whether so many samples of a model with so many weights are worth sharing out among so many threads. */
export function worthwhile(samples: number, weights: number, threads: number): boolean {
  if (threads < 2) return false;
  if (samples >= few(threads)) return samples * weights >= MULTIPLICATIONS;
  return weights >= WEIGHTS && sharesMemory();
}

/** Samples below which so many threads work together: they fit one block of the engine's. */
export function few(threads: number): number {
  return Math.min(FEW * threads, 128);
}

/** Whether workers can. */
export function sharesMemory(): boolean {
  return globalThis.crossOriginIsolated ?? typeof SharedArrayBuffer === 'function'; // Node, which knows no origins
}

/** Number of threads for a model with so many weights, unless the caller gave one. */
export function chooseThreads(weights: number): number {
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  return Math.max(1, Math.min(cores, MOST, Math.floor(MOST_WEIGHTS / Math.max(1, weights))));
}

export function checkThreads(threads: unknown): void {
  if (threads === undefined || (Number.isInteger(threads) && (threads as number) >= 1)) return;
  throw new NearsideError('value', `threads is ${String(threads)}; give a whole number from 1`);
}
