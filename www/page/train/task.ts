import {
  dense,
  dropout,
  input,
  model,
  type FitOptions,
  type Layer,
  type Logs,
  type Model,
} from '../nearside/nearside.js';

/** Samples × features, and what each sample should be answered with: the index of its class, or a number. */
export interface Samples {
  x: Float32Array;
  y: Uint8Array | Float32Array;
  count: number;
}

/** What is to be learnt. */
export interface Task {
  /** Of the data; of the model that is made, too. */
  name: string;
  features: number;
  /** Names of the classes; null where a number is to be estimated. */
  classes: string[] | null;
  /** Layers that bring the features to one scale, and a number back from it. */
  before: Layer[];
  after: Layer[];
  /** The variance of the numbers to be estimated. */
  variance: number;
  /** The last share of the training samples, which is not trained with but validated behind each epoch. */
  validationSplit: number;
  samples(signal: AbortSignal, onProgress: (share: number) => void): Promise<{ train: Samples; test: Samples }>;
}

export interface Network {
  hidden: { units: number; activation: string }[];
  /** Share of each hidden layer's outputs that training drops. */
  dropout: number;
}

export function build(task: Task, network: Network, seed: number): Model {
  const hidden = network.hidden.flatMap(({ units, activation }) => [
    dense(units, { activation }),
    ...(network.dropout > 0 ? [dropout(network.dropout)] : []),
  ]);
  const answer = task.classes ? dense(task.classes.length, { activation: 'softmax' }) : dense(1);
  const inputs = input([task.features]);
  const outputs = [...task.before, ...hidden, answer, ...task.after].reduce((value, layer) => layer(value), inputs);
  return model({ inputs, outputs, name: task.name.replace(/\W+/g, '_'), seed });
}

/** Which loss is made small, and what is told besides it. */
export function compilation(task: Task): Pick<FitOptions, 'loss' | 'lossWeights' | 'metrics'> {
  if (task.classes) return { loss: 'sparse_categorical_crossentropy', metrics: ['accuracy'] };
  // Numbers are estimated in their own unit. Divided by their variance the loss begins near 1 whatever that unit is,
  // and so do the steps of optimizers that, as SGD, do not scale them.
  return { loss: 'mean_squared_error', lossWeights: [1 / task.variance], metrics: ['mae'] };
}

/** The metric that is plotted beside the loss. */
export function plotted(task: Task): string {
  return task.classes ? 'accuracy' : 'mae';
}

/** A log that is one number; NaN where there is none of this name. */
export function logged(logs: Logs, name: string): number {
  const value = logs[name];
  return typeof value === 'number' ? value : NaN;
}
