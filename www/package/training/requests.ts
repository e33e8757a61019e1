/** What is said between the page and the worker that trains. */
import type { PlainError } from '../errors.js';
import type { Logs } from '../fit.js';

export type Request =
  | { act: 'start'; module: WebAssembly.Module }
  /** A new model, as a container. */
  | { act: 'build'; layers: string; seed: number }
  /** The model that all later requests are about. Without `compiled` it goes on as its container says. */
  | { act: 'open'; container: Uint8Array; compiled: string | undefined; seed: number }
  | { act: 'shuffle'; count: number }
  | Batches
  /** What the metrics have gathered. */
  | { act: 'results' }
  | { act: 'setLearningRate'; rate: number }
  | { act: 'save' };

/** Batches one behind the other, of each so many samples. */
export interface Batches {
  act: 'train' | 'evaluate';
  sizes: number[];
  inputs: Float32Array<ArrayBuffer>[];
  targets: Float32Array<ArrayBuffer>[];
  weights: Float32Array<ArrayBuffer> | undefined;
}

export interface Answer {
  /** `build` and `save`. */
  container?: Uint8Array;
  /** `open`: values of a target a sample, for each output. */
  targetWidths?: number[];
  /** `open` and `results`: of the next step. */
  learningRate?: number;
  /** `shuffle`. */
  order?: Uint32Array;
  /** `train` and `evaluate`: of each batch. */
  losses?: number[];
  /** The error of the batch behind the last of those, which ends the training. */
  failure?: PlainError;
  /** Milliseconds that they took. */
  time?: number;
  /** `results`. */
  results?: Logs;
  /** `results`: bytes of the module's memory. */
  memory?: number;
}

export type Reply = { answer: Answer } | { error: PlainError } | { fault: string };
