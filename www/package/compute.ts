/** Computing on the CPU, on the page and in workers: inputs are written where the engine reads them, block by block. */
import { type Cpu, wasmMemory } from '../generated/engine.js';
import { allocate } from './allocate.js';
import { partSize } from './parts.js';
import { timed } from './timed.js';

/** Values a sample of each input and output, and the most between two steps, whose number is given. */
export interface Widths {
  inputs: number[];
  outputs: number[];
  widest: number;
  steps: number;
}

/** Where the engine reads inputs and writes outputs. */
interface Block {
  /** Of the batch for which it was made. */
  samples: number;
  /** Samples computed at once. */
  size: number;
  inputs: Float32Array[];
  outputs: Float32Array[];
}

export class Computer {
  #block: Block | undefined;

  constructor(
    protected cpu: Cpu,
    protected widths: Widths,
  ) {}

  /** The outputs of a batch. */
  run(inputs: Float32Array[], samples: number): Float32Array[] {
    const block = this.reserve(samples);
    if (samples === block.size) {
      inputs.forEach((input, i) => block.inputs[i]!.set(input));
      this.cpu.compute(samples);
      return block.outputs.map((output) => output.slice());
    }
    const outputs = this.widths.outputs.map((width) => allocate(width * samples));
    const part = partSize(samples, block.size);
    for (let start = 0; start < samples; start += part) {
      const size = Math.min(part, samples - start);
      const own = (whole: Float32Array, width: number) => whole.subarray(start * width, (start + size) * width);
      inputs.forEach((input, i) => block.inputs[i]!.set(own(input, this.widths.inputs[i]!)));
      this.cpu.compute(size);
      outputs.forEach((output, i) => {
        const width = this.widths.outputs[i]!;
        own(output, width).set(block.outputs[i]!.subarray(0, size * width));
      });
    }
    return outputs;
  }

  /** Milliseconds of each step for a batch, or for as much of it as is computed at once. */
  profile(inputs: Float32Array[], samples: number): { time: number }[] {
    const block = this.reserve(samples);
    const count = Math.min(samples, block.size);
    inputs.forEach((input, i) => block.inputs[i]!.set(input.subarray(0, count * this.widths.inputs[i]!)));
    return Array.from({ length: this.widths.steps }, (_, step) => {
      const act = () => this.cpu.computeStep(step, count, 0, 1);
      return { time: (timed(act) * samples) / count };
    });
  }

  free(): void {
    this.cpu.free();
  }

  /** The engine's buffers for a batch: those of the last one, if it was of as many samples. */
  protected reserve(samples: number): Block {
    const last = this.#block;
    // Views of a memory that has grown since have lost their length.
    if (last?.samples === samples && last.inputs[0]?.length) return last;
    const [size, ...addresses] = this.cpu.reserve(samples) as unknown as [number, ...number[]];
    const { inputs, outputs } = this.widths;
    const views = [...inputs, ...outputs].map((width, i) => new Float32Array(memory(), addresses[i], size * width));
    return (this.#block = { samples, size, inputs: views.slice(0, inputs.length), outputs: views.slice(inputs.length) });
  }
}

/** The memory that addresses are of. */
export function memory(): ArrayBuffer {
  return (wasmMemory() as WebAssembly.Memory).buffer;
}
