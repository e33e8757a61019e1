// ONNX Runtime Web on WebGPU, its build for that.
import { InferenceSession, Tensor, env } from './ort.webgpu.bundle.min.mjs';

export async function open({ name, layers }) {
  env.wasm.numThreads = 1;
  env.wasm.proxy = false;
  // It says on the console which nodes it leaves to the CPU; there is no other way to find out.
  const warnings = [];
  const { warn } = console;
  console.warn = (...given) => warnings.push(given.join(' '));
  const session = await InferenceSession.create(`${name}.onnx`, { executionProviders: ['webgpu'], graphOptimizationLevel: 'all' });
  console.warn = warn;
  const fallback = warnings.find((warning) => /not assigned to the preferred execution providers/.test(warning));
  if (fallback) throw new Error(`not all of it runs on WebGPU: ${fallback}`);
  const [inputName, outputName] = [session.inputNames[0], session.outputNames[0]];
  return {
    async predict(input, samples) {
      const answer = await session.run({ [inputName]: new Tensor('float32', input, [samples, layers[0].from]) });
      return answer[outputName].getData();
    },
  };
}
