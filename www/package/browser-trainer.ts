/** The worker that trains, in a browser. */
import type { Request } from './training/requests.js';
import { answer } from './training/trainer.js';
import { buffers } from './training/transfer.js';

globalThis.onmessage = ({ data }: MessageEvent<Request>) => {
  const reply = answer(data);
  globalThis.postMessage(reply, { transfer: buffers(reply) });
};
