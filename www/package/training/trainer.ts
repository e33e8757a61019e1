/** The worker's side of a training: the module, and the model in it. */
import { Training, build, initSync, wasmMemory } from '../../generated/train.js';
import { isPlainError } from '../errors.js';
import { filled } from './fill.js';
import type { Logs } from '../fit.js';
import type { Answer, Batches, Reply, Request } from './requests.js';

let model: Training | undefined;

/** Answers one request. */
export function answer(request: Request): Reply {
  try {
    return { answer: act(request) };
  } catch (thrown) {
    if (!isPlainError(thrown)) return { fault: String(thrown) };
    return { error: { kind: thrown.kind, message: thrown.message, context: thrown.context } };
  }
}

function act(request: Request): Answer {
  switch (request.act) {
    case 'start':
      initSync({ module: request.module });
      return {};
    case 'build':
      return { container: build(request.layers, request.seed) };
    case 'open': {
      model = new Training(request.container, request.compiled, request.seed);
      return { targetWidths: Array.from(model.targetWidths()), learningRate: model.learningRate() };
    }
    case 'shuffle':
      return { order: model!.shuffle(request.count) };
    case 'results':
      return { results: model!.takeResults() as Logs, learningRate: model!.learningRate(), memory: memory().byteLength };
    case 'setLearningRate':
      model!.setLearningRate(request.rate);
      return {};
    case 'save':
      return { container: model!.save() };
    default:
      return run(model!, request);
  }
}

function memory(): ArrayBuffer {
  return (wasmMemory() as WebAssembly.Memory).buffer;
}

/** Trains or evaluates batch by batch, up to the first that fails. */
function run(model: Training, batches: Batches): Answer {
  const start = performance.now();
  const losses: number[] = [];
  try {
    for (const size of filled(memory, (samples) => model.reserve(samples), batches)) {
      losses.push(batches.act === 'train' ? model.step(size) : model.evaluate(size));
    }
  } catch (thrown) {
    if (!isPlainError(thrown)) throw thrown;
    const { kind, message, context } = thrown;
    return { losses, failure: { kind, message, context }, time: performance.now() - start };
  }
  return { losses, time: performance.now() - start };
}
