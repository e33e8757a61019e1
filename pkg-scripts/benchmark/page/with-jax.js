// jax-js on its WebAssembly backend.
import { network } from './jax-network.js';

export async function open(model, { threads }) {
  // It takes as many workers as there are processors; without shared memory none, and computes on the page's thread.
  if (threads === 1) delete globalThis.SharedArrayBuffer;
  else Object.defineProperty(navigator, 'hardwareConcurrency', { value: threads });
  const jax = await import('./jax.js');
  await jax.init('wasm');
  jax.defaultDevice('wasm');
  return { predict: await network(jax, model) };
}
