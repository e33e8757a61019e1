// nearside: the network on MNIST, epoch by epoch.
import { adam, dense, sequential } from './nearside.js';

export async function open({ x, y, xTest, yTest, batchSize }) {
  const layers = [dense(128, { activation: 'relu', inputShape: [784] }), dense(128, { activation: 'relu' }), dense(10, { activation: 'softmax' })];
  const model = sequential(layers, { seed: 1 });
  const how = { loss: 'sparse_categorical_crossentropy', optimizer: adam(), metrics: ['accuracy'] };
  await model.fit(x.subarray(0, 10 * batchSize * 784), y.subarray(0, 10 * batchSize), { ...how, batchSize });
  return {
    async epoch() {
      const { history } = await model.fit(x, y, { batchSize }); // goes on with what the optimizer remembers
      return history.loss[0];
    },
    async accuracy() {
      return (await model.evaluate(xTest, yTest)).accuracy;
    },
  };
}
