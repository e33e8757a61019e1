// nearside on WebGPU, from the package as it is published.
import { load } from './nearside.js';

export async function open({ name }) {
  const model = await load(`${name}.safetensors`, { device: 'gpu' });
  return {
    predict: async (input) => (await model.predict(input, { device: 'gpu' })).data,
    check() {
      if (model.device.kind !== 'gpu') throw new Error(`it runs on the ${model.device.kind}: ${model.device.reason}`);
    },
  };
}
