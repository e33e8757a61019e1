/**
 * Takes the place of `queueMicrotask` in the GPU module's bindings (see bundle.mjs). The module polls its futures there,
 * where nobody would catch a trap, and the promise that waits for the future would stay open for ever.
 */
import { guardTask } from './gpu.js';

export function queueMicrotask(task: () => void): void {
  globalThis.queueMicrotask(guardTask(task));
}
