// jax-js on WebGPU.
import * as jax from './jax.js';
import { network } from './jax-network.js';

export async function open(model) {
  const devices = await jax.init('webgpu');
  if (!devices.includes('webgpu')) throw new Error(`it has no WebGPU here, but ${devices.join(', ')}`);
  if (jax.defaultDevice('webgpu') !== 'webgpu') throw new Error(`it runs on ${jax.defaultDevice()}`);
  return { predict: await network(jax, model) };
}
