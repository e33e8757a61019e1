// TensorFlow.js on WebGPU, with a layers model.
import * as tf from './tfjs-webgpu.js';
import { network } from './tfjs-network.js';

export async function open(model) {
  if (!(await tf.setBackend('webgpu'))) throw new Error('its WebGPU backend does not start');
  const predict = await network(tf, model);
  return { predict, check: isGpu };
}

function isGpu() {
  if (tf.getBackend() !== 'webgpu') throw new Error(`it runs on ${tf.getBackend()}`);
}
