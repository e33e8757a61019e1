/** The worker that trains on a GPU, in a browser. */
import { answer } from './training/gpu-trainer.js';
import type { Request } from './training/requests.js';
import { buffers } from './training/transfer.js';

let last: Promise<void> = Promise.resolve();

// One after the other.
globalThis.onmessage = ({ data }: MessageEvent<Request>) => {
  last = last.then(async () => {
    const reply = await answer(data);
    globalThis.postMessage(reply, { transfer: buffers(reply) });
  });
};
