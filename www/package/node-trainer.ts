/** The worker that trains, in Node. */
import { parentPort } from 'node:worker_threads';
import type { Request } from './training/requests.js';
import { answer } from './training/trainer.js';
import { buffers } from './training/transfer.js';

parentPort!.on('message', (request: Request) => {
  const reply = answer(request);
  parentPort!.postMessage(reply, buffers(reply));
});
