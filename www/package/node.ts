/** The entry point for Node: the same package, reading local files. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { NearsideError, platform } from './nearside.js';
import type { Port } from './platform.js';

platform.readModule = async (url) => (url.protocol === 'file:' ? readFile(url) : fetch(url));

platform.startWorker = () => port(new URL('./node-worker.js', import.meta.url));
platform.startTrainer = () => port(new URL('./node-trainer.js', import.meta.url));
platform.startGpuTrainer = undefined;

function port<Request, Reply>(file: URL): Port<Request, Reply> {
  const worker = new Worker(file);
  let waiting = 0;
  const wait = (change: 1 | -1) => ((waiting += change) ? worker.ref() : worker.unref()); // idle, it does not keep Node alive
  return {
    post: (request, transfer) => {
      wait(1);
      worker.postMessage(request, transfer as ArrayBuffer[]);
    },
    listen: (onReply, onFailure) => {
      worker.on('message', (reply: Reply) => {
        wait(-1);
        onReply(reply);
      });
      worker.on('error', onFailure);
    },
    terminate: () => void worker.terminate(),
  };
}

platform.readFile = async (source) => {
  const text = String(source);
  // A Windows path such as C:\model.h5 parses as an address too, of a one-letter protocol.
  const protocol = /^([a-z][a-z0-9+.-]+):/i.exec(text)?.[1];
  if (protocol !== undefined && protocol !== 'file') return null;
  const path = protocol === 'file' ? fileURLToPath(text) : text;
  try {
    return await readFile(path);
  } catch (cause) {
    throw new NearsideError('network', `${path} could not be read: ${(cause as Error).message}`, { url: text }, { cause });
  }
};

export * from './nearside.js';
