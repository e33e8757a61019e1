/**
 * Workers that compute for the page, which stays free meanwhile. Each has an engine and its own copy of the weights. A large
 * batch is cut up among them. Where the page is cross-origin isolated they work on a few samples together, too: each
 * computes a share of every large layer's units, and they exchange those through shared memory.
 *
 * A module of its own, fetched when there is enough to compute. It knows nothing of the page's engine.
 */
import type { Widths } from './compute.js';
import type { PlainError } from './errors.js';
import { partSize } from './parts.js';
import type { Port } from './platform.js';
import { few, type ThreadedModel, type Threads, sharesMemory } from './threads.js';
import type { Reply, Request } from './worker.js';

/** What the pool uses of the page's package, of which it has no copy. */
export interface Host {
  start: () => Port<Request, Reply>;
  module: WebAssembly.Module;
  allocate: (length: number) => Float32Array<ArrayBuffer>;
  toError: (error: PlainError) => Error;
}

/** Parts of a batch for each worker: it computes one while the page copies the next, and those that are faster take more. */
const PARTS = 2;
/** Samples of a part, at least, where there are so many: for fewer, reading the weights costs more. */
const MANY = 64;

/** The workers are gone: who waited for them computes by himself. */
export class WorkersLost extends Error {}

class Worker {
  /** Arrays that came back, to be written again: fresh memory costs more than the copy. */
  readonly spare: Float32Array<ArrayBuffer>[] = [];
  #port: Port<Request, Reply>;
  #lost: Error | undefined;
  #waiting: { resolve: (answer: Float32Array[]) => void; reject: (cause: unknown) => void }[] = [];

  constructor(private host: Host) {
    this.#port = host.start();
    this.#port.listen((reply) => this.#settle(reply), lose);
    this.ask({ act: 'start', module: host.module }).catch(() => undefined); // `lose` tells
  }

  /** Answers come in the order of requests. */
  ask(request: Request, transfer: Transferable[] = []): Promise<Float32Array[]> {
    if (this.#lost) return Promise.reject(this.#lost); // another model's prediction found it out
    const answer = new Promise<Float32Array[]>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#port.post(request, transfer);
    return answer;
  }

  /** A copy of values, for the worker. */
  copy(values: Float32Array): Float32Array<ArrayBuffer> {
    const index = this.spare.findIndex((array) => array.length === values.length);
    if (index < 0) {
      this.spare.length = 0; // of another batch size
      return values.slice() as Float32Array<ArrayBuffer>;
    }
    const [array] = this.spare.splice(index, 1);
    array!.set(values);
    return array!;
  }

  end(cause: Error): void {
    this.#lost = cause;
    this.#port.terminate();
    this.#waiting.splice(0).forEach(({ reject }) => reject(cause));
  }

  #settle(reply: Reply): void {
    if ('fault' in reply) return lose(reply.fault);
    const { resolve, reject } = this.#waiting.shift()!;
    if ('error' in reply) reject(this.host.toError(reply.error));
    else {
      this.spare.push(...reply.spare);
      resolve(reply.outputs);
    }
  }
}

let workers: Worker[] = [];
let models = 0;

/** Ends all workers: one that failed may have left the others waiting for it. */
function lose(cause: unknown): void {
  const lost = new WorkersLost(`the workers failed: ${String(cause)}`);
  workers.splice(0).forEach((worker) => worker.end(lost));
}

/** Opens a model in workers. Gives what there is to say of them, too. */
export async function openThreads(model: ThreadedModel, host: Host): Promise<[note: string, Threads]> {
  const { count, widths, dtype, report } = model;
  while (workers.length < count) workers.push(new Worker(host));
  const own = workers.slice(0, count);
  const id = models++;
  const isolated = sharesMemory();
  let container = model.save();
  let shared: Extract<Request, { act: 'open' }>['shared'];
  if (isolated) {
    const common = new Uint8Array(new SharedArrayBuffer(container.length));
    common.set(container);
    container = common;
    const values = () => new Float32Array(new SharedArrayBuffer(4 * few(count) * widths.widest));
    shared = { barrier: new Int32Array(new SharedArrayBuffer(8)), values: [values(), values()] };
  }
  await Promise.all(own.map((worker, index) => worker.ask({ act: 'open', id, container, dtype, widths, index, count, shared })));
  const threads: Threads = {
    async compute(inputs, samples, onPage) {
      try {
        if (isolated && samples < few(count)) return await together(own, id, inputs, samples);
        return await apart(own, id, inputs, samples, widths, host);
      } catch (thrown) {
        if (!(thrown instanceof WorkersLost)) throw thrown;
        report(thrown.message);
        return onPage();
      }
    },
    close: () => own.forEach((worker) => worker.ask({ act: 'close', id }).catch(() => undefined)), // lost workers have closed it
  };
  const how = isolated ? 'that share memory' : 'each by itself, because the page is not cross-origin isolated';
  return [`large batches in ${count} threads, ${how}`, threads];
}

/** Each computes a share of the units for all samples. They begin in the same order, or would wait for each other. */
async function together(own: Worker[], id: number, inputs: Float32Array[], samples: number): Promise<Float32Array[]> {
  const answers = await Promise.all(own.map((worker) => worker.ask({ act: 'together', id, inputs, samples })));
  return answers[0]!;
}

/** Each computes some of the samples. */
async function apart(own: Worker[], id: number, inputs: Float32Array[], samples: number, widths: Widths, host: Host): Promise<Float32Array[]> {
  const outputs = widths.outputs.map((width) => host.allocate(width * samples));
  const each = Math.ceil(samples / own.length);
  const size = partSize(samples, Math.max(Math.min(each, MANY), Math.ceil(each / PARTS)));
  let next = 0;
  const work = async (worker: Worker) => {
    while (next < samples) {
      const start = next;
      const end = Math.min(start + size, samples);
      next = end;
      const part = inputs.map((input, i) => worker.copy(input.subarray(start * widths.inputs[i]!, end * widths.inputs[i]!)));
      const buffers = part.map(({ buffer }) => buffer);
      const answers = await worker.ask({ act: 'apart', id, inputs: part, samples: end - start }, buffers);
      answers.forEach((answer, i) => outputs[i]!.set(answer, start * widths.outputs[i]!));
    }
  };
  // Two at a time: one is computed, and one waits.
  await Promise.all([...own, ...own].map(work));
  return outputs;
}
