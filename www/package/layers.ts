/** New models: layers by their options, one behind the other or called on one another. */
import { NearsideError, assertKnown } from './errors.js';
import type { Choice, Named } from './fit.js';
import { Model } from './model.js';
import type { LayerInfo, TensorSpec } from './model.js';


/** What a layer will compute, for the next layer to be called on. */
export interface Symbolic {
  /** Of a sample. */
  readonly shape: number[];
  /** @internal */
  readonly call: Call;
}

/** @internal */
export interface Call {
  layer: Layer;
  inputs: Symbolic[];
}

/** A layer of a new model: called on a value, it gives the next one. The same layer called twice shares its weights. */
export interface Layer {
  (...inputs: Symbolic[]): Symbolic;
  /** Class name in Keras. */
  readonly type: string;
  /** @internal */
  readonly options: Record<string, unknown>;
  /** @internal */
  readonly outputShape: (inputs: number[][]) => number[];
  /** @internal */
  readonly weights: (input: number[]) => number;
}

/** Options that every layer has. */
export interface LayerOptions {
  /** Unique in the model; `dense`, `dense_1` and so on unless given. */
  name?: string;
  /** Shape of a sample: for the first layer of `sequential`. */
  inputShape?: number[];
  /** Whether training changes its weights; true unless given. */
  trainable?: boolean;
}

/** What weights add to the loss: `l1 · Σ|w| + l2 · Σw²`. */
export interface Regularizer {
  l1?: number;
  l2?: number;
}

function layer(type: string, options: LayerOptions & object, own: object, outputShape: Layer['outputShape'], weights: Layer['weights'] = () => 0): Layer {
  const call = (...inputs: Symbolic[]): Symbolic => {
    for (const input of inputs) {
      if (!input?.call) throw new NearsideError('value', `${type} is called on something that no layer gave; call it on input() or on what a layer gives`);
    }
    const shapes = inputs.map(({ shape }) => shape);
    return { shape: outputShape(shapes), call: { layer: called, inputs } };
  };
  const called: Layer = Object.assign(call, { type, options: { ...options, ...own }, outputShape, weights });
  return called;
}

const last = (shape: number[]) => shape.at(-1) ?? 1;
const size = (shape: number[]) => shape.reduce((product, axis) => product * axis, 1);
const same = ([shape]: number[][]) => shape!;

/** An input of the model. */
export function input(shape: number[], { name }: { name?: string } = {}): Symbolic {
  return layer('InputLayer', name === undefined ? {} : { name }, { shape }, () => shape)();
}

/** `activation(x · kernel + bias)` over the last axis. */
export function dense(
  units: number,
  options: LayerOptions & {
    activation?: string;
    useBias?: boolean;
    /** `'glorot_uniform'` unless given. */
    kernelInitializer?: Choice;
    biasInitializer?: Choice;
    kernelRegularizer?: Regularizer;
    biasRegularizer?: Regularizer;
  } = {},
): Layer {
  assertKnown(options, ['name', 'inputShape', 'trainable', 'activation', 'useBias', 'kernelInitializer', 'biasInitializer', 'kernelRegularizer', 'biasRegularizer']);
  const weights = (shape: number[]) => (last(shape) + (options.useBias === false ? 0 : 1)) * units;
  return layer('Dense', options, { units }, ([shape]) => [...shape!.slice(0, -1), units], weights);
}

/** An activation by itself. */
export function activation(name: string, options: LayerOptions = {}): Layer {
  return layer('Activation', options, { activation: name }, same);
}

/** Drops a share of the values in training, at random. */
export function dropout(rate: number, options: LayerOptions = {}): Layer {
  return layer('Dropout', options, { rate: share('rate', rate) }, same);
}

/** Adds normal noise in training. */
export function gaussianNoise(stddev: number, options: LayerOptions = {}): Layer {
  return layer('GaussianNoise', options, { stddev }, same);
}

/** Multiplies by normal noise in training. */
export function gaussianDropout(rate: number, options: LayerOptions = {}): Layer {
  return layer('GaussianDropout', options, { rate: share('rate', rate) }, same);
}

/** Dropout for `selu`, which keeps mean and variance. */
export function alphaDropout(rate: number, options: LayerOptions = {}): Layer {
  return layer('AlphaDropout', options, { rate: share('rate', rate) }, same);
}

/** Brings the values of the last axis to mean 0 and variance 1: of the batch in training, of all batches otherwise. */
export function batchNormalization(
  options: LayerOptions & { momentum?: number; epsilon?: number; center?: boolean; scale?: boolean; gammaInitializer?: Choice; betaInitializer?: Choice } = {},
): Layer {
  const { momentum = 0.99, epsilon = 0.001, center = true, scale = true } = options;
  const weights = (shape: number[]) => (2 + Number(center) + Number(scale)) * last(shape);
  return layer('BatchNormalization', options, { momentum, epsilon, center, scale }, same, weights);
}

/** Brings each row of the last axis to mean 0 and variance 1. */
export function layerNormalization(options: LayerOptions & { epsilon?: number; center?: boolean; scale?: boolean } = {}): Layer {
  const { epsilon = 0.001, center = true, scale = true } = options;
  return layer('LayerNormalization', options, { epsilon, center, scale }, same, (shape) => (Number(center) + Number(scale)) * last(shape));
}

/** `(x − mean) / √variance` over the last axis, of the samples that it is fitted to: it is saved with the model. */
export function normalization(options: LayerOptions & { fit?: { data: ArrayLike<number>; features: number }; mean?: number[]; variance?: number[] }): Layer {
  const { fit, ...rest } = options;
  const { mean, variance } = fit ? moments(fit.data, fit.features) : options;
  if (!mean || !variance || mean.length !== variance.length) {
    throw new NearsideError('value', 'normalization needs samples to be fitted to, or a mean and a variance of one length');
  }
  return layer('Normalization', { ...rest, trainable: false }, { mean, variance }, same, () => 2 * mean.length);
}

function moments(data: ArrayLike<number>, features: number): { mean: number[]; variance: number[] } {
  const samples = data.length / features;
  if (!Number.isInteger(samples) || samples < 1) {
    throw new NearsideError('shape', `${data.length} values are no samples of ${features} features`);
  }
  const sum = (term: (x: number, feature: number) => number) => {
    const sums = new Array<number>(features).fill(0);
    for (let i = 0; i < data.length; i++) sums[i % features]! += term(data[i]!, i % features);
    return sums.map((sum) => sum / samples);
  };
  const mean = sum((x) => x);
  return { mean, variance: sum((x, feature) => (x - mean[feature]!) ** 2) };
}

/** x where it is not negative, a weight times x elsewhere. */
export function prelu(options: LayerOptions = {}): Layer {
  return layer('PReLU', options, {}, same, size);
}

/** A row of a table for each value, which is a whole number below `inputDim`. */
export function embedding(inputDim: number, outputDim: number, options: LayerOptions & { embeddingsInitializer?: Choice } = {}): Layer {
  return layer('Embedding', options, { inputDim, outputDim }, ([shape]) => [...shape!, outputDim], () => inputDim * outputDim);
}

/** All axes into one. */
export function flatten(options: LayerOptions = {}): Layer {
  return layer('Flatten', options, {}, ([shape]) => [size(shape!)]);
}

/** The same values in another shape. */
export function reshape(shape: number[], options: LayerOptions = {}): Layer {
  return layer('Reshape', options, { shape }, () => shape);
}

/** Values one behind the other, along the last axis. */
export function concatenate(options: LayerOptions = {}): Layer {
  return layer('Concatenate', options, {}, (shapes) => [...shapes[0]!.slice(0, -1), shapes.reduce((sum, shape) => sum + last(shape), 0)]);
}

const combine = (op: string, options: LayerOptions) => layer('Combine', options, { op }, ([first, ...rest]) => rest.reduce(broadcast, first!));

/** The sum of values. */
export function add(options: LayerOptions = {}): Layer {
  return combine('add', options);
}

/** The difference of two values. */
export function subtract(options: LayerOptions = {}): Layer {
  return combine('subtract', options);
}

/** The product of values, one by one. */
export function multiply(options: LayerOptions = {}): Layer {
  return combine('multiply', options);
}

/** The largest of values, one by one. */
export function maximum(options: LayerOptions = {}): Layer {
  return combine('maximum', options);
}

/** The smallest of values, one by one. */
export function minimum(options: LayerOptions = {}): Layer {
  return combine('minimum', options);
}

/** The mean of values, one by one. */
export function average(options: LayerOptions = {}): Layer {
  return layer('Average', options, {}, ([first, ...rest]) => rest.reduce(broadcast, first!));
}

function broadcast(a: number[], b: number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const axis = (shape: number[], i: number) => shape[shape.length - rank + i] ?? 1;
  return Array.from({ length: rank }, (_, i) => Math.max(axis(a, i), axis(b, i)));
}

function share(name: string, value: number): number {
  if (value >= 0 && value < 1) return value;
  throw new NearsideError('value', `${name} is ${value}; give a number from 0 to below 1`);
}

/** How a new model is made. */
export interface ModelOptions {
  name?: string;
  /** The same seed gives the same first weights. */
  seed?: number;
}

/**
 * A new model of layers one behind the other. The first one has an `inputShape`.
 *
 * ```js
 * const model = sequential([dense(128, { activation: 'relu', inputShape: [784] }), dense(10, { activation: 'softmax' })]);
 * await model.fit(x, y, { loss: 'sparse_categorical_crossentropy', optimizer: adam(), epochs: 10 });
 * ```
 */
export function sequential(layers: Layer[], options: ModelOptions = {}): Model {
  if (!Array.isArray(layers) || layers.length === 0) throw new NearsideError('value', 'sequential takes a list of layers');
  const shape = layers[0]!.options?.['inputShape'];
  if (!Array.isArray(shape)) throw new NearsideError('value', "the first layer needs an 'inputShape', the shape of a sample");
  const first = input(shape as number[]);
  return model({ inputs: first, outputs: layers.reduce((value, layer) => layer(value), first), name: 'sequential', ...options });
}

/** A new model of what is computed from its inputs. */
export function model({ inputs, outputs, name = 'model', seed }: ModelOptions & { inputs: Symbolic | Symbolic[]; outputs: Symbolic | Symbolic[] }): Model {
  assertSeed(seed);
  const given = [inputs].flat();
  const asked = [outputs].flat();
  const graph = new Graph();
  given.forEach((value) => graph.node(value));
  const ends = asked.map((value) => graph.node(value));
  const missing = graph.values.find((value) => value.call.layer.type === 'InputLayer' && !given.includes(value));
  if (missing) throw new NearsideError('value', `the outputs depend on the input '${graph.nameOf(missing.call.layer)}', which is not among the model's inputs`);
  const layers = graph.layers.map((layer) => ({ ...snakeCase(layer.options), name: graph.nameOf(layer), type: layer.type, ...axisOf(graph, layer) }));
  const nodes = graph.values.map(({ call }) => ({ layer: graph.layers.indexOf(call.layer), inputs: call.inputs.map((value) => graph.node(value)) }));
  for (const layer of layers) delete (layer as Record<string, unknown>)['input_shape'];
  const spec = (value: Symbolic): TensorSpec => ({ name: graph.nameOf(value.call.layer), shape: [null, ...value.shape], dtype: 'float32' });
  const infos = graph.values.map((value): LayerInfo => {
    const { layer, inputs } = value.call;
    const activation = layer.options['activation'] as string | undefined;
    return {
      name: graph.nameOf(layer),
      type: layer.type,
      outputShape: [null, ...value.shape],
      parameterCount: layer.weights(inputs[0]?.shape ?? []),
      ...(activation && activation !== 'linear' && { activation }),
    };
  });
  const parameterCount = graph.layers.reduce((sum, layer) => sum + infos.find(({ name }) => name === graph.nameOf(layer))!.parameterCount, 0);
  return new Model({
    name,
    inputs: given.map(spec),
    outputs: asked.map(spec),
    layers: infos,
    parameterCount,
    spec: { name, layers, nodes, outputs: ends },
    seed: seed ?? Math.floor(Math.random() * 2 ** 32),
  });
}

function assertSeed(seed: unknown): void {
  if (seed === undefined || (Number.isSafeInteger(seed) && (seed as number) >= 0)) return;
  throw new NearsideError('value', `seed is ${String(seed)}; give a whole number from 0`);
}

/** Values in the order in which they are computed, and the layers that compute them, with their names. */
class Graph {
  readonly values: Symbolic[] = [];
  readonly layers: Layer[] = [];
  #names = new Map<Layer, string>();
  #taken = new Set<string>();

  /** The number of a value, behind those that it depends on. */
  node(value: Symbolic): number {
    const known = this.values.indexOf(value);
    if (known >= 0) return known;
    if (!value?.call) throw new NearsideError('value', 'an input or output of the model is not what a layer gave');
    value.call.inputs.forEach((input) => this.node(input));
    this.#add(value.call.layer);
    return this.values.push(value) - 1;
  }

  nameOf(layer: Layer): string {
    return this.#names.get(layer)!;
  }

  #add(layer: Layer): void {
    if (this.#names.has(layer)) return;
    this.layers.push(layer);
    const own = layer.options['name'] as string | undefined;
    if (own !== undefined && this.#taken.has(own)) throw new NearsideError('value', `two layers are called '${own}'`);
    const base = own ?? defaultName(layer);
    let name = base;
    for (let number = 1; this.#taken.has(name); number++) name = `${base}_${number}`;
    this.#taken.add(name);
    this.#names.set(layer, name);
  }
}

/** As Keras names layers: `batch_normalization` for BatchNormalization. */
function defaultName({ type, options }: Layer): string {
  if (type === 'Combine') return String(options['op']);
  return type.replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}

/** A concatenation is along the last axis. */
function axisOf(graph: Graph, layer: Layer): object {
  if (layer.type !== 'Concatenate') return {};
  const value = graph.values.find(({ call }) => call.layer === layer)!;
  return { axis: value.shape.length - 1 };
}

/** Options by Keras's names: `kernelInitializer` as `kernel_initializer`, `beta1` as `beta_1`. */
function snakeCase(options: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [name.replace(/(?<=[a-z])[A-Z0-9]/g, (letter) => `_${letter.toLowerCase()}`), value]));
}

function named(class_name: string, options: object): Named {
  return { class_name, config: snakeCase(options) };
}

/** A learning rate, or a schedule of it. */
export type LearningRate = number | Named;

/** Options that every optimizer has. */
export interface OptimizerOptions {
  learningRate?: LearningRate;
  /** Share of the learning rate by which every weight shrinks before its update. */
  weightDecay?: number;
  /** Cuts each weight's gradient to this length. */
  clipnorm?: number;
  /** Cuts all gradients together to this length. */
  globalClipnorm?: number;
  /** Cuts each value of the gradients to ± this. */
  clipvalue?: number;
}

/** Adam (Kingma & Ba 2015): learning rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7 unless given. */
export function adam(options: OptimizerOptions & { beta1?: number; beta2?: number; epsilon?: number; amsgrad?: boolean } = {}): Named {
  return named('Adam', options);
}

/** Adam with a weight decay of 0.004 unless given (Loshchilov & Hutter 2019). */
export function adamW(options: OptimizerOptions & { beta1?: number; beta2?: number; epsilon?: number; amsgrad?: boolean } = {}): Named {
  return named('AdamW', options);
}

/** Stochastic gradient descent: learning rate 0.01, no momentum unless given. */
export function sgd(options: OptimizerOptions & { momentum?: number; nesterov?: boolean } = {}): Named {
  return named('SGD', options);
}

/** RMSprop (Hinton 2012): learning rate 0.001, ρ 0.9, ε 1e-7 unless given. */
export function rmsprop(options: OptimizerOptions & { rho?: number; momentum?: number; epsilon?: number; centered?: boolean } = {}): Named {
  return named('RMSprop', options);
}

/** Adagrad (Duchi et al. 2011): learning rate 0.001, ε 1e-7 unless given. */
export function adagrad(options: OptimizerOptions & { initialAccumulatorValue?: number; epsilon?: number } = {}): Named {
  return named('Adagrad', options);
}

/** `initialLearningRate · decayRate^(step / decaySteps)` */
export function exponentialDecay(options: { initialLearningRate: number; decaySteps: number; decayRate: number; staircase?: boolean }): Named {
  return named('ExponentialDecay', options);
}

/** Half a period of a cosine, behind a linear warm-up to `warmupTarget` where that is given. */
export function cosineDecay(options: { initialLearningRate: number; decaySteps: number; alpha?: number; warmupTarget?: number; warmupSteps?: number }): Named {
  return named('CosineDecay', options);
}

/** `values[i]` up to and with step `boundaries[i]`, the last value beyond. */
export function piecewiseConstantDecay(options: { boundaries: number[]; values: number[] }): Named {
  return named('PiecewiseConstantDecay', options);
}

/** A loss with options: `loss('huber', { delta: 0.5 })`. */
export function loss(name: string, options: { fromLogits?: boolean; labelSmoothing?: number; delta?: number } = {}): Named {
  return named(name, options);
}

/** A metric with options: `metric('TopKCategoricalAccuracy', { k: 3 })`, by Keras's names. */
export function metric(name: string, options: Record<string, unknown> = {}): Named {
  return named(name, options);
}
