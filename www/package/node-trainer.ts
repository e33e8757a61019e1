/** The worker that trains, in Node. */
import { parentPort } from 'node:worker_threads';
import type { Request } from './training/requests.js';
import { answer, buffers } from './training/trainer.js';

parentPort!.on('message', (request: Request) => {
  const reply = answer(request);
  parentPort!.postMessage(reply, buffers(reply));
});
