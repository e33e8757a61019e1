/** A worker of the pool: an engine of its own, and the models it was given. */
import { Container, Cpu, initSync } from '../generated/engine.js';
import { Computer, type Widths, memory } from './compute.js';
import { NearsideError, type PlainError, isPlainError } from './errors.js';

export type Request =
  | { act: 'start'; module: WebAssembly.Module }
  | {
      act: 'open';
      id: number;
      container: Uint8Array;
      dtype: string;
      widths: Widths;
      /** This worker among those that have the model. */
      index: number;
      count: number;
      shared: Shared | undefined;
    }
  | { act: 'apart'; id: number; inputs: Float32Array<ArrayBuffer>[]; samples: number }
  | { act: 'together'; id: number; inputs: Float32Array[]; samples: number }
  | { act: 'close'; id: number };

export type Reply = { outputs: Float32Array[]; /** What the request brought, to be used again. */ spare: Float32Array<ArrayBuffer>[] } | { error: PlainError } | { fault: string };

/** Memory that all workers of a model see. */
interface Shared {
  /** How many have arrived, and how often all have. */
  barrier: Int32Array;
  /** The values of a step. They take turns, so that nobody writes those that others still read. */
  values: [Float32Array, Float32Array];
}

/** Gives the values of each row from one to before another to the others, and writes theirs into the rest of the rows. */
type Exchange = (values: Float32Array, width: number, from: number, to: number) => void;

class Member extends Computer {
  #index: number;
  #count: number;
  #exchange: Exchange;

  constructor({ container, dtype, widths, index, count, shared }: Extract<Request, { act: 'open' }>) {
    super(new Cpu(new Container(container, dtype)), widths);
    this.#index = index;
    this.#count = count;
    this.#exchange = exchangeThrough(shared, count);
  }

  /** `run` together with the others, each on all samples, which are few; one of them has the answer. */
  runTogether(inputs: Float32Array[], samples: number): Float32Array[] {
    const block = this.reserve(samples);
    if (block.size < samples) throw new Error(`${samples} samples do not fit one block of ${block.size}`);
    inputs.forEach((input, i) => block.inputs[i]!.set(input));
    for (let step = 0; step < this.widths.steps; step++) {
      const shared = this.cpu.computeStep(step, samples, this.#index, this.#count);
      if (shared.length === 0) continue;
      const [address, rows, width, from, to] = shared as unknown as [number, number, number, number, number];
      this.#exchange(new Float32Array(memory(), address, rows * width), width, from, to);
    }
    return this.#index === 0 ? block.outputs.map((output) => output.slice()) : [];
  }
}

const models = new Map<number, Member>();

/** Answers one request. */
export function answer(request: Request): Reply {
  try {
    const outputs = act(request);
    return { outputs, spare: request.act === 'apart' ? request.inputs : [] };
  } catch (thrown) {
    const typed = isPlainError(thrown) || thrown instanceof NearsideError;
    // Without memory one stops where the others wait for it: it is for the pool to end them all.
    if (typed && !(request.act === 'together' && thrown.kind === 'memory')) return { error: { kind: thrown.kind, message: thrown.message, context: thrown.context } };
    return { fault: String(thrown) };
  }
}

/** What a reply gives away. */
export function buffers(reply: Reply): ArrayBuffer[] {
  return 'outputs' in reply ? [...reply.outputs, ...reply.spare].map(({ buffer }) => buffer as ArrayBuffer) : [];
}

function act(request: Request): Float32Array[] {
  if (request.act === 'start') {
    initSync({ module: request.module });
    return [];
  }
  if (request.act === 'open') {
    models.set(request.id, new Member(request));
    return [];
  }
  const model = models.get(request.id)!;
  if (request.act === 'close') {
    models.delete(request.id);
    model.free();
    return [];
  }
  const { inputs, samples } = request;
  return request.act === 'apart' ? model.run(inputs, samples) : model.runTogether(inputs, samples);
}

/** How often a worker looks whether the others have arrived before it sleeps: 10 to 20 µs, as long as waking it takes. */
const LOOKS = 2000;

function exchangeThrough(shared: Shared | undefined, count: number): Exchange {
  let turn = 0;
  return (values, width, from, to) => {
    const { barrier, values: turns } = shared!;
    const common = turns[(turn ^= 1)]!;
    // Of every row, the values from here to there.
    const copy = (source: Float32Array, target: Float32Array, start: number, end: number) => {
      for (let row = 0; row < values.length; row += width) target.set(source.subarray(row + start, row + end), row + start);
    };
    copy(values, common, from, to);
    const round = Atomics.load(barrier, 1);
    if (Atomics.add(barrier, 0, 1) === count - 1) {
      Atomics.store(barrier, 0, 0);
      Atomics.add(barrier, 1, 1);
      Atomics.notify(barrier, 1);
    } else {
      for (let look = 0; look < LOOKS && Atomics.load(barrier, 1) === round; look++);
      while (Atomics.load(barrier, 1) === round) Atomics.wait(barrier, 1, round);
    }
    copy(common, values, 0, from);
    copy(common, values, to, width);
  };
}
