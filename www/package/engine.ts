/** The two WebAssembly modules: when they are fetched, and what happens when one fails. */
import * as engine from '../generated/engine.js';
import { NearsideError, isPlainError } from './errors.js';
import { platform } from './platform.js';

export { Engine, detect } from '../generated/engine.js';

type Initialise = (options: { module_or_path: Response | Uint8Array<ArrayBuffer> }) => Promise<unknown>;

let started: Promise<void> | undefined;

/** Fetches the engine, once. */
export function startEngine(): Promise<void> {
  started ??= instantiate(engine.default, 'engine.wasm', new URL('./engine.wasm', import.meta.url));
  started.catch(() => (started = undefined)); // so that the next call tries again
  return started;
}

/** Turns a foreign model file into a container. */
export async function convert(bytes: Uint8Array): Promise<Uint8Array> {
  const formats = await import('./formats.js');
  await instantiate(formats.default, 'formats.wasm', new URL('./formats.wasm', import.meta.url));
  try {
    return formats.convert(bytes);
  } catch (thrown) {
    if (isPlainError(thrown)) throw toError(thrown);
    const reason = 'the file is damaged in a way that stopped the reader';
    throw new NearsideError('format', `${reason}: ${String(thrown)}`, {}, { cause: thrown });
  } finally {
    // Hostile bytes are parsed in a memory of their own, and it is given back: WebAssembly memory cannot shrink.
    formats.reset();
  }
}

/** Calls into the engine, and turns what it throws into a `NearsideError`. */
export function guard<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw translate(thrown);
  }
}

/** `guard` for a call that answers later. */
export async function guardAsync<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    throw translate(thrown);
  }
}

function translate(thrown: unknown): NearsideError {
  if (thrown instanceof NearsideError) return thrown;
  if (isPlainError(thrown)) return toError(thrown);
  // A trap leaves the instance in an unknown state. A fresh one takes its place; objects of the old one refuse calls.
  engine.__wbg_reset_state();
  return new NearsideError('internal', `nearside failed: ${String(thrown)}; load the model again`, {}, { cause: thrown });
}

function toError({ kind, message, context }: { kind: NearsideError['kind']; message: string; context: object }): NearsideError {
  return new NearsideError(kind, message, context);
}

async function instantiate(initialise: Initialise, name: string, url: URL): Promise<void> {
  const context = { url: url.href };
  const hint = `${name} must lie beside the package's JavaScript`;
  let source: Response | Uint8Array<ArrayBuffer>;
  try {
    source = await platform.readModule(url);
  } catch (cause) {
    throw new NearsideError('network', `${url} could not be fetched; ${hint}`, context, { cause });
  }
  if (source instanceof Response && !source.ok) {
    throw new NearsideError('network', `${url} answered ${source.status}; ${hint}`, context);
  }
  await initialise({ module_or_path: source });
}
