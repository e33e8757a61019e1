import { NearsideError } from '../nearside/nearside.js';
import { message } from '../errors.js';
import { Samples as Images } from '../samples.js';
import type { Samples, Task } from './task.js';

type Split = { train: Samples; test: Samples };

/** As bundle.mjs writes them: MNIST's first training images, and its first test images. */
export const TRAINING_IMAGES = 10_000;
export const TEST_IMAGES = 2_000;
const BYTES = (TRAINING_IMAGES + TEST_IMAGES) * 785;

let fetched: Split | undefined;

export const digits: Task = {
  name: 'digits',
  features: 784,
  classes: [...'0123456789'],
  before: [],
  after: [],
  variance: 1,
  validationSplit: 0.1,
  async samples(signal, onProgress) {
    return (fetched ??= await fetchAll(signal, onProgress));
  },
};

async function fetchAll(signal: AbortSignal, onProgress: (share: number) => void): Promise<Split> {
  let loaded = 0;
  const onBytes = (count: number): void => onProgress(Math.min(1, (loaded += count) / BYTES));
  const one = async (file: string): Promise<Samples> => {
    const images = new Images(await fetchBytes(`data/${file}`, signal, onBytes));
    return { x: images.batch(), y: images.labels, count: images.length };
  };
  const [train, test] = await Promise.all([one('digits-train.bin'), one('digits-test.bin')]);
  return { train, test };
}

async function fetchBytes(path: string, signal: AbortSignal, onBytes: (count: number) => void): Promise<Uint8Array> {
  try {
    const response = await fetch(new URL(path, document.baseURI), { signal });
    if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}`);
    const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        onBytes(chunk.length);
        controller.enqueue(chunk);
      },
    });
    return new Uint8Array(await new Response(response.body.pipeThrough(counted)).arrayBuffer());
  } catch (error) {
    if (signal.aborted) throw new NearsideError('aborted', 'stopped while the images were fetched');
    throw new NearsideError('network', `${path}: ${message(error)}`, {}, { cause: error });
  }
}
