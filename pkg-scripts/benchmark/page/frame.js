// One contender in a frame of its own, so that each has its own globals: the benchmark calls `bench` from outside.

import { watchGpu } from './watch-gpu.js';

/** Who asks nothing of the GPU for so long has nothing more to try. */
const QUIET_MS = 500;

let contender;
let input;
let samples;
/** The right outputs, where there are any. */
let expected;

globalThis.bench = {
  /** Loads the contender with the model, and resolves to what it says of itself. */
  async open({ adaptor, options, isolated }, model) {
    if (crossOriginIsolated !== isolated) throw new Error(`the page is ${isolated ? 'not ' : ''}cross-origin isolated`);
    const { open } = await import(`./${adaptor}.js`);
    contender = await open(model, options);
    return contender.report ?? {};
  },

  /** From now on the input has that many samples. */
  async prepare({ name, probe }, batch) {
    samples = batch;
    if (probe) return;
    input = new Float32Array(await read(`${name}-${batch}.input.bin`));
    expected = new Float64Array(await read(`${name}-${batch}.expected.bin`));
  },

  /**
   * Resolves to what a prediction asks of the GPU, with the milliseconds it takes, when the contender has become quiet
   * after its first: some try their kernels meanwhile.
   */
  async look() {
    const watch = watchGpu();
    try {
      await contender.predict(input, samples);
      do {
        watch.take();
        await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      } while (Object.keys(watch.take().counts).length > 0);
      const start = performance.now();
      await contender.predict(input, samples);
      return { ...watch.take(), time: performance.now() - start };
    } finally {
      watch.stop();
    }
  },

  /**
   * Predicts `calls` times in a row, after one time that does not count where `warm` is set. Resolves to the
   * milliseconds of one, and to how far the last outputs are off, as a part of the largest.
   */
  async time({ calls, warm, sync }) {
    const { predict, predictSync } = contender;
    let output;
    if (warm) output = sync ? predictSync(input, samples) : await predict(input, samples);
    const start = performance.now();
    if (sync) for (let i = 0; i < calls; i++) output = predictSync(input, samples);
    else for (let i = 0; i < calls; i++) output = await predict(input, samples);
    const each = (performance.now() - start) / calls;
    contender.check?.(); // throws where it has left its device
    return { each, difference: expected ? difference(output) : 0 };
  },
};

async function read(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file}: ${response.status}`);
  return response.arrayBuffer();
}

/** NaN where an output is missing or is none. */
function difference(output) {
  if (output.length !== expected.length) return NaN;
  let largest = 0;
  let off = 0;
  expected.forEach((value, i) => {
    largest = Math.max(largest, Math.abs(value));
    off = Math.max(off, Math.abs(value - output[i]));
  });
  return off / largest;
}
