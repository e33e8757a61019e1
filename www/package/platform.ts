import type { Reply as TrainingReply, Request as TrainingRequest } from './training/requests.js';
import type { Reply, Request } from './worker.js';

/** A worker, as browsers and Node have it. */
export interface Port<Request, Reply> {
  post(request: Request, transfer: Transferable[]): void;
  listen(onReply: (reply: Reply) => void, onFailure: (cause: unknown) => void): void;
  terminate(): void;
}

/** What differs between a browser, Node and an edge runtime; the entry points for the latter fill it in. */
export interface Platform {
  /** The bytes of a local file; null if the source is none. */
  readFile?: (source: string | URL) => Promise<Uint8Array | null>;
  /** The WebAssembly modules of this package by name, where they come compiled. */
  modules?: { [name: string]: WebAssembly.Module };
  /** A WebAssembly module of this package, where they do not. */
  readModule: (url: URL) => Promise<Response | Uint8Array<ArrayBuffer>>;
  /** A worker of the pool. */
  startWorker: () => Port<Request, Reply>;
  /** A worker that trains. */
  startTrainer: () => Port<TrainingRequest, TrainingReply>;
  /** A worker that trains on a GPU, where there may be one. */
  startGpuTrainer?: (() => Port<TrainingRequest, TrainingReply>) | undefined;
}

export const platform: Platform = {
  readModule: (url) => fetch(url),
  // Each address is written out for bundlers to find it.
  startWorker: () => port(new Worker(new URL('./browser-worker.js', import.meta.url), { type: 'module', name: 'nearside' }), 'browser-worker.js'),
  startTrainer: () => port(new Worker(new URL('./browser-trainer.js', import.meta.url), { type: 'module', name: 'nearside-train' }), 'browser-trainer.js'),
  startGpuTrainer: () => port(new Worker(new URL('./browser-gpu-trainer.js', import.meta.url), { type: 'module', name: 'nearside-train-gpu' }), 'browser-gpu-trainer.js'),
};

function port<Request, Reply>(worker: Worker, file: string): Port<Request, Reply> {
  return {
    post: (request, transfer) => worker.postMessage(request, transfer),
    listen: (onReply, onFailure) => {
      worker.onmessage = ({ data }) => onReply(data);
      worker.onerror = (event) => onFailure(event.message ?? `${file} could not be started`);
    },
    terminate: () => worker.terminate(),
  };
}
