/** What the service takes of HTTP: bodies of a bounded size, and answers and errors as the protocol has them. */
import { type ErrorKind, NearsideError, aborted } from '../nearside.js';
import { type Written, writeJson } from './protocol.js';
import { concatenate, excerpt } from './tensors.js';

/** An error's HTTP status. */
const STATUS: Record<ErrorKind, number> = {
  format: 400,
  unsupported: 400,
  shape: 400,
  value: 400,
  integrity: 400,
  denied: 403,
  aborted: 499,
  busy: 503,
  device: 503,
  disposed: 503,
  memory: 507,
  timeout: 504,
  network: 502,
  internal: 500,
};

/** A refusal that has a status of its own, or headers. */
export class HttpError extends NearsideError {
  constructor(
    readonly status: number,
    kind: ErrorKind,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(kind, message);
  }
}

/** The status of what was thrown. */
export function statusOf(error: NearsideError): number {
  if (error instanceof HttpError) return error.status;
  if (error.context.token) return 401;
  // Asked too often, rather than that the service has too much to do.
  return error.context.retryAfter === undefined ? STATUS[error.kind] : 429;
}

/** The protocol's answer to what went wrong. `kind` and `context` are for programs. */
export function errorResponse(error: NearsideError): Response {
  const { kind, message, context } = error;
  const headers: Record<string, string> = error instanceof HttpError ? { ...error.headers } : {};
  if (context.token) headers['www-authenticate'] = context.token === 'missing' ? 'Bearer' : 'Bearer error="invalid_token"';
  if (context.retryAfter !== undefined) headers['retry-after'] = String(context.retryAfter);
  if ('retryAfter' in error) headers['retry-after'] = String(error.retryAfter);
  return respond(writeJson({ error: message, kind, context }), statusOf(error), headers);
}

export function respond({ bytes, headers }: Written, status = 200, more: Record<string, string> = {}): Response {
  return new Response(bytes, { status, headers: { ...headers, 'content-length': String(bytes.length), ...SAFE, ...more } });
}

/** Answers are of their moment, and are what they say they are. */
const SAFE = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

/** Formats of `DecompressionStream` by what HTTP calls them. */
const ENCODINGS = new Map<string, CompressionFormat | undefined>([
  ['identity', undefined],
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
]);

/** A request's body, decompressed. @throws 413 where it is larger than allowed, 415 for an encoding that is not known. */
export async function readBody(request: Request, most: number): Promise<Uint8Array> {
  const encoding = request.headers.get('content-encoding') ?? 'identity';
  if (!ENCODINGS.has(encoding.toLowerCase())) {
    throw new HttpError(415, 'unsupported', `the content-encoding '${excerpt(encoding)}' is not read here; use gzip or deflate`);
  }
  if (request.bodyUsed) throw new NearsideError('value', 'the body was read before');
  try {
    const body = await bodyOf(request);
    if (!body) return new Uint8Array();
    if (Number(request.headers.get('content-length') ?? 0) > most) {
      await discard(body.getReader(), most);
      throw tooLarge(most);
    }
    const bytes = await readAll(body, most);
    const format = ENCODINGS.get(encoding.toLowerCase());
    return format ? await decompress(bytes, format, most) : bytes;
  } catch (cause) {
    if (cause instanceof NearsideError) throw cause;
    if (request.signal?.aborted) throw aborted(cause);
    throw new NearsideError('value', `the body could not be read: ${String(cause)}`, {}, { cause });
  }
}

/** Firefox has no `Request.body`. */
async function bodyOf(request: Request): Promise<ReadableStream<Uint8Array> | null> {
  return request.body === undefined ? new Response(await request.arrayBuffer()).body : request.body;
}

/** Behind the reading, not along with it: a request that is not read to its end costs its connection, in Node. */
function decompress(bytes: Uint8Array, format: CompressionFormat, most: number): Promise<Uint8Array> {
  return readAll(new Response(bytes as Uint8Array<ArrayBuffer>).body!.pipeThrough(new DecompressionStream(format)), most);
}

/** What a stream holds. A declared length is never believed, and a small file may be large once decompressed. */
async function readAll(stream: ReadableStream<Uint8Array>, most: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!ArrayBuffer.isView(value)) throw new TypeError('a stream of something else than bytes');
    length += value.length;
    if (length > most) {
      await discard(reader, most);
      throw tooLarge(most);
    }
    parts.push(value);
  }
  return parts.length === 1 ? parts[0]! : concatenate(Uint8Array, parts);
}

function tooLarge(most: number): HttpError {
  return new HttpError(413, 'memory', `the body is larger than the ${most} bytes that are allowed`);
}

/** Reads what is refused, up to `most` bytes: who finds the connection closed while sending may not see the answer. */
async function discard(reader: ReadableStreamDefaultReader<Uint8Array>, most: number): Promise<void> {
  const none = { done: true, value: undefined } as const;
  for (let left = most; left >= 0; ) {
    const { done, value } = await reader.read().catch(() => none);
    if (done) return;
    left -= value.length;
  }
  void reader.cancel().catch(() => undefined);
}
