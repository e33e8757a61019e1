// Who runs on WebGPU.

/** What `--only` takes. */
export const GPU_FAMILIES = { nearside: 'nearside', ort: 'ONNX Runtime Web', tfjs: 'TensorFlow.js', jax: 'jax-js' };

/** One frame each, and looked at: what a prediction asks of the GPU is counted before it is timed. */
export function gpuContenders(only) {
  return only.map((family) => {
    return { family, title: GPU_FAMILIES[family], adaptor: adaptorOf(family), looked: true, isolated: true, options: {} };
  });
}

/** The script in `page/` that runs it. */
export function adaptorOf(family) {
  return `with-${family}-gpu`;
}

/** What no answer from a GPU is without, timed in the same rounds. */
export function gpuProbe() {
  const title = 'empty submission and read-back';
  return { title, probe: { id: 'empty', title }, adaptor: 'probe-gpu', isolated: true, options: {} };
}
