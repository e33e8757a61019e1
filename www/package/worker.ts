/** A worker of the pool: an engine of its own, and the models it was given. */
import { Container, Cpu, initSync } from '../generated/engine.js';
import { Computer, type Exchange, type Widths } from './compute.js';
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

interface Member {
  computer: Computer;
  index: number;
  count: number;
  exchange: Exchange;
}

const models = new Map<number, Member>();

/** Answers one request. */
export function answer(request: Request): Reply {
  try {
    const outputs = act(request);
    return { outputs, spare: request.act === 'apart' ? request.inputs : [] };
  } catch (thrown) {
    if (isPlainError(thrown) || thrown instanceof NearsideError) return { error: { kind: thrown.kind, message: thrown.message, context: thrown.context } };
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
  const { act, id } = request;
  if (act === 'open') {
    const { container, dtype, widths, index, count, shared } = request;
    const computer = new Computer(new Cpu(new Container(container, dtype)), widths);
    models.set(id, { computer, index, count, exchange: exchangeThrough(shared, count) });
    return [];
  }
  const { computer, index, count, exchange } = models.get(id)!;
  if (act === 'close') {
    models.delete(id);
    computer.free();
    return [];
  }
  const { inputs, samples } = request;
  if (act === 'apart') return computer.run(inputs, samples);
  const outputs = computer.runTogether(inputs, samples, index, count, exchange);
  return index === 0 ? outputs : []; // all have the same
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
