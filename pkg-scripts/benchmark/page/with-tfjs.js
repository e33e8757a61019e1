// TensorFlow.js on its WebAssembly backend, with a layers model.
import * as tf from './tfjs.js';
import { network } from './tfjs-network.js';

const { env, getThreadsCount, setBackend, setThreadsCount, setWasmPaths } = tf;

export async function open(model, { threads }) {
  // It takes no more threads than half the processors, as if each were two: on a machine with two, one. It gets the
  // threads it is asked for here, as all others do.
  if (threads > 1) Object.defineProperty(navigator, 'hardwareConcurrency', { value: Math.max(navigator.hardwareConcurrency, 2 * threads) });
  // With one thread it is the build without any, which is the faster then.
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
  setWasmPaths(new URL('./', import.meta.url).href);
  setThreadsCount(threads);
  if (!(await setBackend('wasm'))) throw new Error('its WebAssembly backend does not start');
  if (threads > 1 && getThreadsCount() !== threads) throw new Error(`it runs on ${getThreadsCount()} threads, not ${threads}`);
  return { predict: await network(tf, model) };
}
