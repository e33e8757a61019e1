/** The pool's worker in a browser. */
import { type Request, answer } from './worker.js';

globalThis.onmessage = ({ data }: MessageEvent<Request>) => {
  const reply = answer(data);
  const buffers = 'outputs' in reply ? reply.outputs.map(({ buffer }) => buffer as ArrayBuffer) : [];
  globalThis.postMessage(reply, { transfer: buffers });
};
