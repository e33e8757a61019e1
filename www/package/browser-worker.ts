/** The pool's worker in a browser. */
import { type Request, answer, buffers } from './worker.js';

globalThis.onmessage = ({ data }: MessageEvent<Request>) => {
  const reply = answer(data);
  globalThis.postMessage(reply, { transfer: buffers(reply) });
};
