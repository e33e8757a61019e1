// TensorFlow.js on its WebAssembly backend, with a layers model.
import { env, getThreadsCount, loadLayersModel, setBackend, setThreadsCount, setWasmPaths, tensor2d } from './tfjs.js';

export async function open({ name, layers }, { threads }) {
  // It takes no more threads than half the processors, as if each were two: on a machine with two, one. It gets the
  // threads it is asked for here, as all others do.
  if (threads > 1) Object.defineProperty(navigator, 'hardwareConcurrency', { value: Math.max(navigator.hardwareConcurrency, 2 * threads) });
  // With one thread it is the build without any, which is the faster then.
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
  setWasmPaths(new URL('./', import.meta.url).href);
  setThreadsCount(threads);
  if (!(await setBackend('wasm'))) throw new Error('its WebAssembly backend does not start');
  if (threads > 1 && getThreadsCount() !== threads) throw new Error(`it runs on ${getThreadsCount()} threads, not ${threads}`);
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
