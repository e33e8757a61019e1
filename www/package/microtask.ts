/**
 * Takes the place of `queueMicrotask` in the engine's bindings (see bundle.mjs). The engine polls its futures there,
 * where nobody would catch a trap, and the promise that waits for the future would stay open for ever.
 */
import { guardTask } from './engine.js';

export function queueMicrotask(task: () => void): void {
  globalThis.queueMicrotask(guardTask(task));
}
