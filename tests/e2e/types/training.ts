// Training, as its types allow it.
import {
  type Callback,
  type FitOptions,
  type History,
  type Layer,
  type Model,
  type Symbolic,
  adam,
  add,
  cosineDecay,
  dense,
  dropout,
  earlyStopping,
  input,
  loss,
  metric,
  model,
  normalization,
  sequential,
} from 'nearside';
import { oneHot, readCsv, readIdx } from 'nearside/data';

export async function train(x: Float32Array, y: Uint8Array): Promise<number> {
  const hidden: Layer = dense(8, { activation: 'relu', inputShape: [4], kernelRegularizer: { l2: 1e-4 } });
  const own: Model = sequential([hidden, dropout(0.1), dense(3, { activation: 'softmax' })], { seed: 1 });
  const callback: Callback = {
    onBatchEnd: (batch, logs, training) => batch > 10 && logs.loss < 0.1 && training.stop(),
    onEpochEnd: (epoch, logs) => console.log(epoch, logs['val_loss']),
  };
  const options: FitOptions = {
    loss: loss('sparse_categorical_crossentropy', { fromLogits: false }),
    optimizer: adam({ learningRate: cosineDecay({ initialLearningRate: 1e-3, decaySteps: 100 }), globalClipnorm: 1 }),
    metrics: ['accuracy', metric('TopK', { k: 2 })],
    validationSplit: 0.2,
    callbacks: [callback, earlyStopping({ patience: 2 })],
  };
  const { history, epoch }: History = await own.fit(x, y, options);
  async function* batches() {
    yield { x, y: oneHot(y, 3) };
  }
  await own.fit(batches, null, { loss: 'categorical_crossentropy', epochs: 2 });
  const { accuracy } = await own.evaluate(x, y);
  return epoch.length + (history['loss']?.length ?? 0) + Number(accuracy);
}

export function graph(): Model {
  const { x, classes } = readCsv('a,b\n1,one\n');
  const from: Symbolic = input([x.shape[1]!], { name: 'x' });
  const scaled = normalization({ fit: { data: x.data, features: 1 } })(from);
  const sum = add()(dense(2)(scaled), dense(2)(from));
  console.log(readIdx(new Uint8Array()).shape, classes);
  return model({ inputs: [from], outputs: [sum, dense(1)(sum)] });
}

// @ts-expect-error a layer is no value
model({ inputs: input([1]), outputs: dense(1) });
// @ts-expect-error there is no such option
dense(1, { activations: 'relu' });
// @ts-expect-error nor this one
adam({ lr: 1 });
