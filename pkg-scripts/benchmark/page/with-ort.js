// ONNX Runtime Web, its build for WebAssembly alone.
import { InferenceSession, Tensor, env } from './ort.wasm.bundle.min.mjs';

export async function open({ name, layers }, { threads }) {
  env.wasm.numThreads = threads;
  env.wasm.proxy = false;
  const session = await InferenceSession.create(`${name}.onnx`, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
  // It corrects the number where threads are not to be had.
  if (env.wasm.numThreads !== threads) throw new Error(`it runs on ${env.wasm.numThreads} threads, not ${threads}`);
  const [inputName, outputName] = [session.inputNames[0], session.outputNames[0]];
  return {
    async predict(input, samples) {
      const answer = await session.run({ [inputName]: new Tensor('float32', input, [samples, layers[0].from]) });
      return answer[outputName].data;
    },
  };
}
