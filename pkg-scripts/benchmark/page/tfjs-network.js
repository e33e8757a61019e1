/** The layers model of TensorFlow.js, from typed array to typed array. */
export async function network({ loadLayersModel, tensor2d }, { name, layers }) {
  const model = await loadLayersModel(`${name}.json`);
  return async (input, samples) => {
    const x = tensor2d(input, [samples, layers[0].from]);
    const y = model.predict(x, { batchSize: samples }); // without it, 32 at a time
    const data = await y.data();
    x.dispose();
    y.dispose();
    return data;
  };
}
