/** The pool's worker in Node. */
import { parentPort } from 'node:worker_threads';
import { type Request, answer, buffers } from './worker.js';

parentPort!.on('message', (request: Request) => {
  const reply = answer(request);
  parentPort!.postMessage(reply, buffers(reply));
});
