/**
 * The formats module: a file of its own, so that a page that needs no conversion never downloads it. It shares no code
 * with the package: it is lent what it needs, and its errors are plain objects, as WebAssembly's are.
 */
import { __wbg_reset_state, convert as toContainer, save as fromContainer } from '../generated/formats.js';
import type { ErrorContext, ErrorKind } from './errors.js';
import type { FetchOptions, FileContent, ModelSource, SourceFile } from './source.js';

export { default } from '../generated/formats.js';

export interface ConvertOptions extends FetchOptions {
  format?: string;
  config?: string | object;
  compile?: boolean;
}

type OnProgress = NonNullable<FetchOptions['onProgress']>;

/** Reads the file at an address, or in Node at a path. */
type Read = (address: string, options: FetchOptions) => Promise<SourceFile | null>;

/** A name, and the bytes of the file that has it. */
type Named = [string, Uint8Array];

/** The format that a model was in, and the container that it is now. */
export type Converted = [format: string, container: Uint8Array];

/** Turns a model into a container: the `file` that was read from the source, or all files that the source is. */
export async function convert(file: SourceFile | null, source: ModelSource, options: ConvertOptions, read: Read): Promise<Converted> {
  const config = toText(options.config);
  const given: Named[] = file ? [['', file.bytes]] : await readAll(source as object, options);
  const attempt = (files: Named[]) =>
    call(
      () => toContainer(files.map(([name]) => name), files.map(([, bytes]) => bytes), config, options.format, options.compile),
      'format',
      'the file is damaged in a way that stopped the reader',
    );
  const converted = attempt(given);
  if (isConverted(converted)) return converted;
  // What has no address has no neighbours.
  if (!file?.url || /^(blob|data):/.test(file.url)) throw missing(converted);
  const readThere = (address: string, onProgress: OnProgress) => read(address, { ...forOrigin(file.url, source, options), onProgress });
  const complete = attempt([...given, ...(await readBeside(file, converted, options, readThere))]);
  if (isConverted(complete)) return complete;
  throw missing(complete);
}

function isConverted(answer: Converted | string[]): answer is Converted {
  return answer[1] instanceof Uint8Array;
}

/** Turns a container into a file of another format, or of smaller weights. */
export function save(container: Uint8Array, format: string, dtype: string): Uint8Array {
  return call(() => fromContainer(container, String(format), String(dtype)), 'internal', 'nearside failed to write the file');
}

let renew: (() => void) | undefined;

/** Calls into the module, of which each call has a fresh instance. A trap is an error of that kind and message. */
function call<T>(act: () => T, kind: ErrorKind, message: string): T {
  renew?.();
  // Hostile bytes are parsed in a memory of their own. It is given back, as WebAssembly memory cannot shrink: by a task
  // of its own, which the model's first prediction need not wait for.
  renew = () => {
    renew = undefined;
    __wbg_reset_state();
  };
  setTimeout(() => renew?.());
  try {
    return act();
  } catch (thrown) {
    if (typeof thrown === 'object' && thrown !== null && 'kind' in thrown) throw thrown;
    throw plainError(kind, `${message}: ${String(thrown)}`, {}, thrown);
  }
}

function plainError(kind: ErrorKind, message: string, context: ErrorContext = {}, cause?: unknown): object {
  return { kind, message, context, cause };
}

function missing([name]: string[]): object {
  return plainError('format', `the model refers to the file '${name}', which is missing; give it as well: load({ [fileName]: bytes, … })`);
}

function toText(config: string | object | undefined): string | undefined {
  if (typeof config === 'string') return config;
  try {
    return JSON.stringify(config ?? undefined);
  } catch (cause) {
    throw plainError('value', `the option 'config' is no JSON: ${String(cause)}`, {}, cause);
  }
}

/** The bytes of several files by name: those of an object, a `File[]` or a `FileList`. */
async function readAll(source: object, options: FetchOptions): Promise<Named[]> {
  const named: [string, FileContent][] =
    Symbol.iterator in source
      ? Array.from(source as Iterable<File>, (file) => [file?.webkitRelativePath || file?.name, file])
      : Object.entries(source);
  if (!named.length || !named.every(([, file]) => file instanceof Blob || file instanceof ArrayBuffer || file instanceof Uint8Array)) {
    const wanted = 'a Response, a Blob, an ArrayBuffer, a Uint8Array, or several of these by name';
    throw plainError('value', `the source is not an address, ${wanted}`);
  }
  assertNoIntegrity(options);
  const files = await Promise.all(named.map(async ([name, file]): Promise<Named> => [name, await toBytes(file)]));
  const total = files.reduce((length, [, bytes]) => length + bytes.length, 0);
  options.onProgress?.({ loaded: total, total });
  return files;
}

async function toBytes(file: FileContent): Promise<Uint8Array> {
  if (file instanceof Uint8Array) return file;
  return new Uint8Array(file instanceof Blob ? await file.arrayBuffer() : file);
}

/** Reads the files beside one, all at the same time. Progress counts those whose length is known by then. */
async function readBeside(
  { bytes, url }: SourceFile,
  names: string[],
  options: FetchOptions,
  read: (address: string, onProgress: OnProgress) => Promise<SourceFile | null>,
): Promise<Named[]> {
  assertNoIntegrity(options);
  const progress = [{ loaded: bytes.length, total: bytes.length }];
  const report = (index: number): OnProgress => (now) => {
    progress[index] = now;
    const known = progress.filter(Boolean);
    const sum = (part: 'loaded' | 'total') => known.reduce((sum, file) => sum + file[part], 0);
    options.onProgress?.({ loaded: sum('loaded'), total: known.some(({ total }) => !total) ? 0 : sum('total') });
  };
  const readOne = async (name: string, i: number): Promise<Named> => {
    const file = await read(beside(url, name), report(i + 1));
    return [name, file!.bytes];
  };
  const reads = names.map(readOne);
  // However they race, it is the first in the model's order whose failure is told.
  reads.forEach((read) => read.catch(() => {}));
  const files: Named[] = [];
  for (const read of reads) files.push(await read);
  return files;
}

/** The options for an address to which the source was redirected: the key to one origin is not for another. */
function forOrigin(url: string, source: ModelSource, options: FetchOptions): FetchOptions {
  const { signal, requestInit } = options;
  const same = source instanceof Response || isPath(url) || new URL(new Request(source as string | URL).url).origin === new URL(url).origin;
  const headers = new Headers(requestInit?.headers);
  if (!same) headers.delete('authorization');
  return { ...(signal && { signal }), requestInit: { ...requestInit, headers } };
}

function isPath(base: string): boolean {
  return !/^[a-z][a-z0-9+.-]+:/i.test(base);
}

/** The address of the file of that name in the folder of another: a URL with the same query, or a path in Node. */
function beside(base: string, name: string): string {
  if (isPath(base)) return base.replace(/[^/\\]*$/, '') + name;
  const url = new URL(name.split('/').map(encodeURIComponent).join('/'), base);
  url.search = new URL(base).search;
  return url.href;
}

function assertNoIntegrity({ integrity }: FetchOptions): void {
  if (integrity === undefined) return;
  throw plainError('value', "the option 'integrity' describes one file, and this model has several; leave it out, or give one file");
}
