/** The pool's worker in Node. */
import { parentPort } from 'node:worker_threads';
import { type Request, answer } from './worker.js';

parentPort!.on('message', (request: Request) => parentPort!.postMessage(answer(request)));
