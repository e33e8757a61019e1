import { NearsideError, throwIfAborted } from './errors.js';
import { platform } from './platform.js';

/** The content of a file. */
export type FileContent = Blob | ArrayBuffer | Uint8Array;

/**
 * Where a model comes from: an address, which in Node may be a path, or the file itself. A model in several files is
 * given by the address of that which lists the others, or by all of them: by name, or as a folder that was dropped.
 */
export type ModelSource = string | URL | Response | FileContent | { [fileName: string]: FileContent } | ArrayLike<File>;

/** @internal A file that was read. */
export interface SourceFile {
  bytes: Uint8Array;
  /** Where it came from at last, after all redirections; empty if it has no address. */
  url: string;
  /** Whether the bytes are the caller's. */
  lent?: boolean;
}

/** How a file is fetched. */
export interface FetchOptions {
  /** Called as bytes arrive. `total` is 0 where the server does not say. */
  onProgress?: (progress: { loaded: number; total: number }) => void;
  /** Stops the download. */
  signal?: AbortSignal;
  /** Subresource Integrity of the file, such as `sha384-…`; another file is refused before it is parsed. */
  integrity?: string;
  /** Passed to `fetch`: headers, credentials, mode… */
  requestInit?: RequestInit;
}

/** The most memory that is taken on a server's word: 256 MB. */
const MOST_TRUSTED = 2 ** 28;

/** The byte at which the header of a safetensors file begins, with a brace: nearside's own format is one. */
const HEADER = 8;

/** Addresses of files that are mostly of other formats. */
const FOREIGN_NAME = /\.(h5|hdf5|keras|onnx|json)([?#]|$)/i;

/**
 * @internal The file of a model; null where the source is several. `onForeign` is called as soon as it seems that the
 * format is another than nearside's.
 */
export async function readSource(source: ModelSource, options: FetchOptions, onForeign: () => void): Promise<SourceFile | null> {
  throwIfAborted(options.signal);
  // A name proves nothing, but what it suggests can be fetched sooner.
  if ((typeof source === 'string' || source instanceof URL) && FOREIGN_NAME.test(String(source))) onForeign();
  const onStart = (start: Uint8Array) => void (start.length > HEADER && start[HEADER] !== 0x7b && onForeign());
  const file = await readFile(source, options, onStart);
  if (!file) onForeign();
  else if (options.integrity !== undefined) await checkIntegrity(file.bytes, options.integrity);
  return file;
}

/**
 * @internal Whether a file is nearside's own: safetensors, a file that begins with the length of a header, whose header has
 * an architecture. The key is looked for as far as it may be from the start.
 */
export function isOwnFormat(bytes: Uint8Array): boolean {
  if (bytes[HEADER] !== 0x7b) return false;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = new TextDecoder().decode(bytes.subarray(HEADER, HEADER + Math.min(length, 64 * 1024)));
  return /"nearside"\s*:\s*"/.test(header);
}

type OnStart = (start: Uint8Array) => void;

/** @internal `readSource` without the checks. `onStart` is given the first bytes that arrive, as soon as they do. */
export async function readFile(source: ModelSource, options: FetchOptions, onStart: OnStart = () => {}): Promise<SourceFile | null> {
  const whole = (bytes: Uint8Array, url = '', lent = false): SourceFile => {
    onStart(bytes);
    options.onProgress?.({ loaded: bytes.length, total: bytes.length });
    return { bytes, url, lent };
  };
  if (source instanceof Uint8Array) return whole(source, '', true);
  if (source instanceof ArrayBuffer) return whole(new Uint8Array(source), '', true);
  if (source instanceof Blob) return whole(new Uint8Array(await source.arrayBuffer()));
  if (source instanceof Response) return readResponse(source, source.url, options, onStart);
  if (typeof source === 'string' || source instanceof URL) {
    const local = await platform.readFile?.(source);
    if (local) return whole(local, String(source), true); // Node may keep several files in one buffer
    return readResponse(await fetchUrl(source, options), String(source), options, onStart);
  }
  if (typeof source === 'object' && source !== null) return null;
  throw new NearsideError('value', 'the source is not an address, a Response, a Blob, an ArrayBuffer or a Uint8Array');
}

async function fetchUrl(url: string | URL, options: FetchOptions): Promise<Response> {
  try {
    return await fetch(url, { ...options.requestInit, signal: options.signal ?? null });
  } catch (cause) {
    throwIfAborted(options.signal);
    throw new NearsideError('network', `${url} could not be fetched: ${message(cause)}`, { url: String(url) }, { cause });
  }
}

async function readResponse(response: Response, url: string, options: FetchOptions, onStart: OnStart): Promise<SourceFile> {
  const context = { url };
  if (!response.ok) {
    const status = `${response.status} ${response.statusText}`.trim();
    throw new NearsideError('network', `${url} answered ${status}; check the address`, context);
  }
  if (response.headers.get('content-type')?.startsWith('text/html')) {
    const reason = 'a web page, not a model file; check the address, and that the server has the file';
    throw new NearsideError('network', `${url} answered ${reason}`, context);
  }
  // A compressed answer arrives longer than its content-length, which is then of no use.
  const encoded = response.headers.has('content-encoding');
  let total = encoded ? 0 : Number(response.headers.get('content-length') ?? 0);
  if (response.bodyUsed) throw new NearsideError('value', 'the Response was read before; pass response.clone()', context);
  let bytes = new Uint8Array(Math.min(total || 0, MOST_TRUSTED));
  let loaded = 0;
  for (const reader = response.body?.getReader(); reader; ) {
    const { done, value } = await reader.read().catch((cause) => {
      throwIfAborted(options.signal);
      throw new NearsideError('network', `${url} broke off: ${message(cause)}`, context, { cause });
    });
    if (done) break;
    if (!loaded) onStart(value);
    bytes = append(bytes, loaded, value);
    loaded += value.length;
    if (loaded > total) total = 0; // compressed, though another origin's server hides it
    options.onProgress?.({ loaded, total });
  }
  return { bytes: bytes.subarray(0, loaded), url: response.url };
}

/** Writes a chunk behind what was loaded: of a file of unknown length, into an array of twice the size where it is full. */
function append(bytes: Uint8Array<ArrayBuffer>, loaded: number, chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const end = loaded + chunk.length;
  let room = bytes;
  if (end > bytes.length) {
    room = new Uint8Array(Math.max(end, 2 * bytes.length));
    room.set(bytes.subarray(0, loaded));
  }
  room.set(chunk, loaded);
  return room;
}

/** Checks https://www.w3.org/TR/SRI/ metadata: of several hashes, one of the strongest algorithm must match. */
async function checkIntegrity(bytes: Uint8Array, integrity: string): Promise<void> {
  const hashes = integrity.trim().split(/\s+/).map((entry) => /^sha(256|384|512)-([A-Za-z0-9+/]+={0,2})(\?.*)?$/.exec(entry));
  const strongest = hashes.reduce((best, hash) => (Number(hash?.[1] ?? 0) > best ? Number(hash![1]) : best), 0);
  if (strongest === 0) {
    throw new NearsideError('value', `the integrity '${integrity}' is not of the form sha384-BASE64`);
  }
  const digest = await crypto.subtle.digest(`SHA-${strongest}`, bytes as Uint8Array<ArrayBuffer>);
  const actual = btoa(String.fromCharCode(...new Uint8Array(digest)));
  if (!hashes.some((hash) => Number(hash?.[1]) === strongest && hash?.[2] === actual)) {
    throw new NearsideError('integrity', `the file is not the one expected: it has sha${strongest}-${actual}`);
  }
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
