/** How a model is trained and evaluated, as callers say it. */
import type { InputValues, ModelInput } from './input.js';
import type { Callback } from './callbacks.js';

/** A class of Keras's with its options. Functions such as `adam` make it. */
export interface Named {
  class_name: string;
  config: Record<string, unknown>;
}

/** By Keras's name, as `'adam'` or `'sparse_categorical_crossentropy'`, or with options. */
export type Choice = string | Named;

/** How a model is trained. */
export interface Compilation {
  /**
   * What is made small: for a model with several outputs a list, or by their names. Without a loss and an optimizer a model
   * goes on as it was trained before, with what its optimizer remembers.
   */
  loss?: Choice | Choice[] | Record<string, Choice>;
  /** A factor for each output's loss. */
  lossWeights?: number[] | Record<string, number>;
  /** How the weights are changed; as in Keras `'rmsprop'` unless given. */
  optimizer?: Choice;
  /** What is told besides the loss: a list, or lists by the names of outputs. */
  metrics?: Choice[] | Record<string, Choice[]>;
}

/** How a model is trained. */
export interface FitOptions extends Compilation {
  /** Passes over the samples; 1 unless given. */
  epochs?: number;
  /** Samples a step; 32 unless given. */
  batchSize?: number;
  /** Whether each epoch takes the samples in another order; true unless given. */
  shuffle?: boolean;
  /** The same seed gives the same training: the order of the samples, and what dropout drops. */
  seed?: number;
  /** The last share of the samples, from 0 to 1, that is not trained with but evaluated behind each epoch. */
  validationSplit?: number;
  /** What is evaluated behind each epoch. */
  validationData?: { x: ModelInput; y: ModelInput; sampleWeight?: InputValues };
  /** A factor of the loss for the samples of each class: `{ 0: 1, 1: 5 }`. */
  classWeight?: ClassWeight;
  /** A factor of the loss for each sample. */
  sampleWeight?: InputValues;
  callbacks?: Callback[];
  /**
   * What computes the steps; the CPU unless given. A GPU pays for wide layers and large batches. It trains layers without
   * normalisation, and most losses and optimizers; what it does not is refused with `unsupported`.
   */
  device?: 'cpu' | 'gpu';
  /** Ends the training behind the batches under way: what was learnt until then stays. */
  signal?: AbortSignal;
}

/** How a model is evaluated. */
export interface EvaluateOptions extends Pick<Compilation, 'loss' | 'metrics'> {
  /** Samples at a time; 32 unless given. It changes nothing but the speed. */
  batchSize?: number;
  sampleWeight?: InputValues;
  signal?: AbortSignal;
}

/** What happened in a training. */
export interface History {
  /** Numbers of the epochs. */
  epoch: number[];
  /** For each log, its value behind each epoch. */
  history: Record<string, Logs[string][]>;
}

/** What is told of an epoch: the loss and the metrics by name. Most are numbers. */
export type Logs = Record<string, number | number[] | number[][]>;

/** One batch of an iterator. */
export interface Batch {
  x: ModelInput;
  y: ModelInput;
  sampleWeight?: InputValues;
}

/** Batches that are made as they are needed: called anew for each epoch. */
export type BatchSource = AsyncIterable<Batch> | Iterable<Batch> | (() => AsyncIterable<Batch> | Iterable<Batch>);

/** Weights by class: of a label, or of the place of the 1. A class that is not named weighs 1. */
export type ClassWeight = Record<number, number>;
