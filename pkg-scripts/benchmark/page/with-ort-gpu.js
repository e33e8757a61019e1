// ONNX Runtime Web with its WebGPU provider; outputs are read back.
import { InferenceSession, Tensor, env } from './ort.webgpu.bundle.min.mjs';

export async function open({ name, layers }) {
  // Its threads compute on the CPU, where nothing is to be computed.
  env.wasm.numThreads = 1;
  env.wasm.proxy = false;
  const session = await InferenceSession.create(`${name}.onnx`, {
    executionProviders: ['webgpu'],
    graphOptimizationLevel: 'all',
    // No session is made when a node would go to the CPU.
    extra: { session: { disable_cpu_ep_fallback: '1' } },
  });
  const [inputName, outputName] = [session.inputNames[0], session.outputNames[0]];
  return {
    async predict(input, samples) {
      const answer = await session.run({ [inputName]: new Tensor('float32', input, [samples, layers[0].from]) });
      return answer[outputName].data;
    },
  };
}
