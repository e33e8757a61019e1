// In a page or a worker, without a bundler: answers what it is asked.
import { createService } from '../service.js';
import { ask } from './requests.mjs';

export async function run() {
  const service = createService({ models: { mnist: fixture('mnist_784_128_128_10.h5'), branches: fixture('branches.h5') } });
  const send = (path, init) => service.fetch(new Request(new URL(path, location.href), init));
  const answers = await ask(send, { mnist: await bytes('mnist_784_128_128_10.io.npz'), branches: await bytes('branches.io.npz') });
  await service.dispose();
  return answers;
}

function fixture(name) {
  return new URL(`../${name}`, import.meta.url);
}

async function bytes(name) {
  return new Uint8Array(await (await fetch(fixture(name))).arrayBuffer());
}

if (!globalThis.document) run().then(postMessage, (error) => postMessage({ error: String(error) }));
