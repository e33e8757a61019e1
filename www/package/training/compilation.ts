/** Losses, optimizers and metrics as callers name them, in the form of Keras's JSON. */
import type { Compilation } from '../fit.js';
import type { TensorSpec } from '../model.js';
import type { Host } from './session.js';

/** What the worker is told; nothing where the model goes on as before. */
export function compiledOf(host: Host, { loss, lossWeights, optimizer, metrics }: Compilation, outputs: TensorSpec[]): string | undefined {
  if (loss === undefined) {
    if (optimizer === undefined && metrics === undefined && lossWeights === undefined) return undefined;
    throw host.error('value', "the option 'loss' is missing");
  }
  return JSON.stringify({
    optimizer: optimizer ?? 'rmsprop',
    losses: forOutputs(host, 'loss', loss, outputs, undefined),
    loss_weights: forOutputs(host, 'lossWeights', lossWeights ?? outputs.map(() => 1), outputs, 1),
    metrics: Array.isArray(metrics) ? outputs.map(() => metrics) : forOutputs(host, 'metrics', metrics ?? {}, outputs, []),
  });
}

/** One for each output: of a single value, of a list, or by name. */
function forOutputs(host: Host, option: string, given: unknown, outputs: TensorSpec[], otherwise: unknown): unknown[] {
  if (Array.isArray(given)) {
    if (given.length === outputs.length) return given;
    throw host.error('value', `${given.length} values given as '${option}', the model has ${outputs.length} outputs`);
  }
  if (typeof given !== 'object' || given === null || 'class_name' in given) return outputs.map(() => given);
  const named = given as Record<string, unknown>;
  const unknown = Object.keys(named).find((name) => !outputs.some((output) => output.name === name));
  if (unknown !== undefined) {
    throw host.error('value', `the model has no output '${unknown}'; it has ${outputs.map(({ name }) => name).join(', ')}`);
  }
  return outputs.map(({ name }) => {
    const own = Object.hasOwn(named, name) ? named[name] : otherwise;
    if (own === undefined) throw host.error('value', `the output '${name}' has no ${option}`);
    return own;
  });
}
