// A loop that only computes, or only moves memory, on one thread or on two at once.
import { start } from './probe-loop.js';

export async function open(_, { threads, ...loop }) {
  const workers = await Promise.all(Array.from({ length: threads - 1 }, () => startWorker(loop)));
  const own = await start(loop);
  return {
    async predict() {
      const others = workers.map((worker) => answer(worker, 'run'));
      own();
      await Promise.all(others);
    },
  };
}

async function startWorker(loop) {
  const worker = new Worker(new URL('./probe-worker.js', import.meta.url), { type: 'module' });
  await answer(worker, loop);
  return worker;
}

function answer(worker, question) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve());
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(question);
  });
}
