/** The WebAssembly modules: which is taken, when they are fetched, and what happens when one fails. */
import * as engine from '../generated/engine.js';
import { allocate } from './allocate.js';
import { NearsideError, type PlainError, isPlainError } from './errors.js';
import type { Host, OnGpu, Original } from './gpu.js';
import { columnsOf } from './input.js';
import { platform } from './platform.js';
import type { ThreadedModel } from './threads.js';
import type { Host as TrainingHost } from './train.js';

export type { Cpu, Engine } from '../generated/engine.js';

type Formats = typeof import('./formats.js');
type GpuPart = typeof import('./gpu.js');
type TrainingPart = typeof import('./train.js');
type Initialise = (options: { module_or_path: Module['source'] }) => Promise<unknown>;

let started: Promise<void> | undefined;
let imported: Promise<Formats> | undefined;
let gpuImported: Promise<GpuPart> | undefined;
let trainingImported: Promise<TrainingPart> | undefined;
/** The sessions of the engine's present instance: those of an earlier one point into memory that is gone. */
let sessions = new WeakSet<engine.Engine>();

/** Fetches the engine, once. */
export function startEngine(): Promise<void> {
  started ??= readEngine().then((module) => instantiate(engine.default, module));
  started.catch(() => (started = undefined)); // so that the next call tries again
  return started;
}

/** The smallest module with an instruction of relaxed SIMD: `i8x16.relaxed_swizzle` of two constants. */
// prettier-ignore
const RELAXED = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11);

/** Relaxed SIMD has the multiplication and addition in one that processors have. */
function hasRelaxed(): boolean {
  return WebAssembly.validate(RELAXED);
}

/** The engine's build for this browser. */
function readEngine(): Promise<Module> {
  if (hasRelaxed()) return readModule('engine-relaxed.wasm', () => new URL('./engine-relaxed.wasm', import.meta.url));
  return readModule('engine.wasm', () => new URL('./engine.wasm', import.meta.url));
}

/** Opens a session. `release` frees the container, which is not needed once it is read: packing its weights takes as much. */
export function open(container: Uint8Array, dtype: string | undefined, release: () => void): engine.Engine {
  const session = guard(() => {
    const model = new engine.Container(container, dtype);
    release();
    return new engine.Engine(model);
  });
  sessions.add(session);
  return session;
}

/** Whether a session is of the present instance, and was not closed. */
export function isLive(session: engine.Engine): boolean {
  return sessions.has(session);
}

/** Fails for a session of an instance that has failed. */
export function assertLive(session: engine.Engine): void {
  if (isLive(session)) return;
  throw new NearsideError('internal', 'nearside failed since this model was loaded; load the model again');
}

/** Frees a session's memory, unless it is gone. */
export function close(session: engine.Engine, computer?: { free(): void }): void {
  if (!sessions.delete(session)) return;
  guard(() => computer?.free());
  guard(() => session.free());
}

/** Fetches the formats module, once. */
export function startFormats(): Promise<Formats> {
  imported ??= importFormats();
  imported.catch(() => (imported = undefined));
  return imported;
}

/** Turns foreign model files into a container. */
export function convert(...given: Parameters<Formats['convert']>): ReturnType<Formats['convert']> {
  return withFormats((formats) => formats.convert(...given));
}

/** Turns a container into a file of another format, or of smaller weights. */
export function saveAs(...given: Parameters<Formats['save']>): Promise<Uint8Array> {
  return withFormats((formats) => formats.save(...given));
}

async function withFormats<T>(act: (formats: Formats) => T | Promise<T>): Promise<T> {
  const formats = await startFormats();
  try {
    return await act(formats);
  } catch (thrown) {
    throw isPlainError(thrown) ? toError(thrown) : thrown;
  }
}

/** Opens a model in workers. */
export async function openInWorkers(model: ThreadedModel): Promise<void> {
  try {
    const { openThreads } = await import('./pool.js');
    model.report(...(await openThreads(model, { start: platform.startWorker, module: engine.wasmModule, allocate, toError })));
  } catch (cause) {
    model.report(`one thread, because workers failed: ${String(cause)}`);
  }
}

/** What the GPU's part of the package uses of this one. */
const host: Host = {
  instantiate: async (start) => instantiate(start, await readModule('gpu.wasm', () => new URL('./gpu.wasm', import.meta.url))),
  error: (kind, message) => new NearsideError(kind, message),
  toError: (thrown) => (isPlainError(thrown) ? toError(thrown) : (thrown as NearsideError)),
};

/** Fetches the GPU's part, once. */
function importGpu(): Promise<GpuPart> {
  gpuImported ??= importPart(() => import('./gpu.js'), 'gpu.js');
  gpuImported.catch(() => (gpuImported = undefined)); // so that the next call tries again
  return gpuImported;
}

/** Asks for the GPU ahead of a model. */
export function startGpu(): void {
  importGpu().then((part) => part.prepare(host), () => undefined); // whoever asks then is told
}

/** Puts a model on the GPU. */
export async function openOnGpu(original: Original): Promise<OnGpu> {
  const { OnGpu } = await importGpu();
  return OnGpu.open(host, original);
}

/** What the training's part of the package uses of this one. */
const trainingHost: TrainingHost = {
  start: (device) => {
    if (device === 'cpu') return platform.startTrainer();
    if (!platform.startGpuTrainer) throw new NearsideError('device', 'there is no GPU here to train on; train on the CPU');
    return platform.startGpuTrainer();
  },
  module: (device) => (trainingModules[device] ??= readTrainingModule(device)),
  columns: columnsOf,
  error: (kind, message, context) => new NearsideError(kind, message, context),
  toError,
};
const trainingModules: Partial<Record<'cpu' | 'gpu', Promise<WebAssembly.Module>>> = {};

async function readTrainingModule(device: 'cpu' | 'gpu'): Promise<WebAssembly.Module> {
  const { source, url, hint } = await trainingFile(device);
  try {
    if (source instanceof WebAssembly.Module) return source;
    return await (source instanceof Response ? WebAssembly.compileStreaming(source) : WebAssembly.compile(source));
  } catch (cause) {
    delete trainingModules[device]; // so that the next training tries again
    throw new NearsideError('network', `${url} is not a WebAssembly module (${String(cause)}); ${hint}`, { url }, { cause });
  }
}

function trainingFile(device: 'cpu' | 'gpu'): ReturnType<typeof readModule> {
  if (device === 'gpu') return readModule('train-gpu.wasm', () => new URL('./train-gpu.wasm', import.meta.url));
  if (hasRelaxed()) return readModule('train-relaxed.wasm', () => new URL('./train-relaxed.wasm', import.meta.url));
  return readModule('train.wasm', () => new URL('./train.wasm', import.meta.url));
}

/** Calls the training's part of the package, which is fetched by the first call. */
export async function withTraining<T>(act: (part: TrainingPart, host: TrainingHost) => Promise<T>): Promise<T> {
  trainingImported ??= importPart(() => import('./train.js'), 'train.js');
  trainingImported.catch(() => (trainingImported = undefined)); // so that the next call tries again
  return act(await trainingImported, trainingHost);
}

async function importFormats(): Promise<Formats> {
  // Both files travel at the same time.
  const [formats, module] = await Promise.all([importPart(() => import('./formats.js'), 'formats.js'), readModule('formats.wasm', () => new URL('./formats.wasm', import.meta.url))]);
  await instantiate(formats.default, module);
  return formats;
}

/** A part of the package that is fetched when it is needed. */
async function importPart<T>(code: () => Promise<T>, name: string): Promise<T> {
  try {
    return await code();
  } catch (cause) {
    const message = `a part of nearside could not be fetched; ${name} must lie beside the package's JavaScript`;
    throw new NearsideError('network', message, {}, { cause });
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

function translate(thrown: unknown): NearsideError {
  if (thrown instanceof NearsideError) return thrown;
  if (isPlainError(thrown)) return toError(thrown);
  // A trap leaves the instance in an unknown state. A fresh one takes its place.
  sessions = new WeakSet();
  engine.__wbg_reset_state();
  return new NearsideError('internal', `nearside failed: ${String(thrown)}; load the model again`, {}, { cause: thrown });
}

function toError({ kind, message, context, cause }: PlainError): NearsideError {
  return new NearsideError(kind, message, context, cause === undefined ? {} : { cause });
}

/** A WebAssembly module of this package, as the platform has it. */
interface Module {
  source: Response | Uint8Array<ArrayBuffer> | WebAssembly.Module;
  url: string;
  /** What to do when it is not to be had. */
  hint: string;
}

/** `locate` is called only where a module is read: there are platforms whose code has no address. */
async function readModule(name: string, locate: () => URL): Promise<Module> {
  const hint = `${name} must lie beside the package's JavaScript`;
  const compiled = platform.modules?.[name];
  if (compiled) return { source: compiled, url: name, hint };
  const address = locate();
  const url = address.href;
  let source: Module['source'];
  try {
    source = await platform.readModule(address);
  } catch (cause) {
    throw new NearsideError('network', `${url} could not be fetched; ${hint}`, { url }, { cause });
  }
  if (source instanceof Response && !source.ok) {
    throw new NearsideError('network', `${url} answered ${source.status}; ${hint}`, { url });
  }
  return { source, url, hint };
}

async function instantiate(initialise: Initialise, { source, url, hint }: Module): Promise<void> {
  try {
    await initialise({ module_or_path: source });
  } catch (cause) {
    const message = `${url} is not the WebAssembly module of this version (${String(cause)}); ${hint}`;
    throw new NearsideError('network', message, { url }, { cause });
  }
}
