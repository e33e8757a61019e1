/** What the service takes of HTTP: paths, bodies of a bounded size, and errors as the protocol has them. */
import { type ErrorKind, NearsideError } from '../nearside.js';
import { type Written, writeJson } from './protocol.js';

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

/** A request's body, decompressed. @throws 413 where it is larger than allowed, 415 for an encoding that is not known. */
export async function readBody(request: Request, most: number): Promise<Uint8Array> {
  const tooLarge = () => new HttpError(413, 'memory', `the body is larger than the ${most} bytes that are allowed`);
  if (Number(request.headers.get('content-length') ?? 0) > most) {
    await discard(request.body?.getReader(), most);
    throw tooLarge();
  }
  const encoding = request.headers.get('content-encoding') ?? 'identity';
  const format = ({ gzip: 'gzip', deflate: 'deflate', identity: null } as Record<string, CompressionFormat | null>)[encoding];
  if (format === undefined) throw new HttpError(415, 'unsupported', `the content-encoding '${encoding}' is not read here; use gzip or deflate`);
  // Whose length is known is read at once.
  if (!format && request.headers.has('content-length')) {
    const body = new Uint8Array(await request.arrayBuffer().catch((cause) => fail(request, cause)));
    if (body.length > most) throw tooLarge();
    return body;
  }
  if (!request.body) return new Uint8Array();
  const stream = format ? request.body.pipeThrough(new DecompressionStream(format) as ReadableWritablePair<Uint8Array, Uint8Array>) : request.body;
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause) => fail(request, cause));
    if (done) break;
    length += value.length;
    if (length > most) {
      await discard(reader, most);
      throw tooLarge();
    }
    parts.push(value);
  }
  if (parts.length === 1) return parts[0]!;
  const body = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    body.set(part, offset);
    offset += part.length;
  }
  return body;
}

/** Reads what is refused, up to `most` bytes: who finds the connection closed while sending may not see the answer. */
async function discard(reader: ReadableStreamDefaultReader<Uint8Array> | undefined, most: number): Promise<void> {
  const none = { done: true, value: undefined } as const;
  for (let left = most; reader && left >= 0; ) {
    const { done, value } = await reader.read().catch(() => none);
    if (done) return;
    left -= value.length;
  }
  void reader?.cancel().catch(() => undefined);
}

function fail({ signal }: Request, cause: unknown): never {
  if (signal?.aborted) throw new NearsideError('aborted', 'aborted by the caller', {}, { cause });
  throw new NearsideError('value', `the body could not be read: ${String(cause)}`, {}, { cause });
}
