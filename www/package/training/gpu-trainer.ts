/**
 * The worker's side of a training on a GPU: as trainer.ts, but answers are promises. A step's loss comes while the next steps
 * are computed, and at the latest with the end of its message.
 */
import { GpuTraining, initSync, wasmMemory } from '../../generated/train-gpu.js';
import { isPlainError } from '../errors.js';
import { filled } from './fill.js';
import type { Logs } from '../fit.js';
import type { Answer, Batches, Reply, Request } from './requests.js';

let model: GpuTraining | undefined;

/** Answers one request: the one before has been answered. */
export async function answer(request: Request): Promise<Reply> {
  try {
    return { answer: await act(request) };
  } catch (thrown) {
    if (!isPlainError(thrown)) return { fault: String(thrown) };
    return { error: { kind: thrown.kind, message: thrown.message, context: thrown.context } };
  }
}

async function act(request: Request): Promise<Answer> {
  switch (request.act) {
    case 'start':
      initSync({ module: request.module });
      return {};
    case 'open': {
      model = (await GpuTraining.open(request.container, request.compiled, request.seed)) as GpuTraining;
      return { targetWidths: Array.from(model.targetWidths()), learningRate: model.learningRate() };
    }
    case 'shuffle':
      return { order: model!.shuffle(request.count) };
    case 'results':
      // Behind every epoch: a lost device costs what was learnt since.
      await model!.keep();
      return { results: model!.takeResults() as Logs, learningRate: model!.learningRate(), memory: memory().byteLength };
    case 'setLearningRate':
      model!.setLearningRate(request.rate);
      return {};
    case 'save':
      // Without a device there is what was kept.
      await model!.keep().catch(() => undefined);
      return { container: model!.save() };
    case 'train':
    case 'evaluate':
      return run(model!, request);
    default:
      throw new Error(`a GPU does not ${request.act}`);
  }
}

function memory(): ArrayBuffer {
  return (wasmMemory() as WebAssembly.Memory).buffer;
}

/** Trains or evaluates batch by batch, up to the first that fails. */
async function run(model: GpuTraining, batches: Batches): Promise<Answer> {
  const start = performance.now();
  const losses: number[] = [];
  try {
    if (batches.act === 'evaluate') await model.keep();
    for (const size of filled(memory, (samples) => model.reserve(samples), batches)) {
      if (batches.act === 'evaluate') losses.push(model.evaluate(size));
      else losses.push(...((await model.step(size)) as Float64Array));
    }
    losses.push(...((await model.losses()) as Float64Array));
  } catch (thrown) {
    if (!isPlainError(thrown)) throw thrown;
    const { kind, message, context } = thrown;
    return { losses, failure: { kind, message, context }, time: performance.now() - start };
  }
  return { losses, time: performance.now() - start };
}
