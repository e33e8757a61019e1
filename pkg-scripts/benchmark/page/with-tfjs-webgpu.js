// TensorFlow.js on its WebGPU backend, with a layers model.
import { getBackend, loadLayersModel, ready, setBackend, tensor2d } from './tfjs-webgpu.js';

export async function open({ name, layers }) {
  if (!(await setBackend('webgpu'))) throw new Error('its WebGPU backend does not start');
  await ready();
  if (getBackend() !== 'webgpu') throw new Error(`it runs on ${getBackend()}`);
  const model = await loadLayersModel(`${name}.json`);
  return {
    async predict(input, samples) {
      const x = tensor2d(input, [samples, layers[0].from]);
      const y = model.predict(x, { batchSize: samples }); // without it, 32 at a time
      const data = await y.data();
      x.dispose();
      y.dispose();
      return data;
    },
  };
}
