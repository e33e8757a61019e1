import type { Port } from './pool.js';

/** What differs between a browser and Node; the entry point for Node fills it in. */
export interface Platform {
  /** The bytes of a local file; null if the source is none. */
  readFile?: (source: string | URL) => Promise<Uint8Array | null>;
  /** A WebAssembly module of this package. */
  readModule: (url: URL) => Promise<Response | Uint8Array<ArrayBuffer>>;
  /** A worker of the pool. */
  startWorker: () => Port;
}

export const platform: Platform = {
  readModule: (url) => fetch(url),
  startWorker: () => {
    const worker = new Worker(new URL('./browser-worker.js', import.meta.url), { type: 'module', name: 'nearside' });
    return {
      post: (request, transfer) => worker.postMessage(request, transfer),
      listen: (onReply, onFailure) => {
        worker.onmessage = ({ data }) => onReply(data);
        worker.onerror = (event) => onFailure(event.message ?? 'browser-worker.js could not be started');
      },
      terminate: () => worker.terminate(),
    };
  },
};
