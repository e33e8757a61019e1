/**
 * What a page and the service in its frame say to each other, over a port of their own. Either side may be told
 * anything: what is not one of these is refused or ignored.
 */
import { NearsideError, type ErrorContext, type ErrorKind } from '../errors.js';

/** Sent to the frame's window with one end of a channel, of which the other two things are said. */
export const CONNECT = { nearside: 'connect' };
export const CONNECTED = { nearside: 'connected' };
export const REFUSED = { nearside: 'refused' };

/** Ids count up, so that one number remembers all that were used. */
export interface RequestMessage {
  id: number;
  method: string;
  path: string;
  headers: [name: string, value: string][];
  body?: ArrayBuffer;
}

/** Of a request that is not wanted any more. */
export interface AbortMessage {
  id: number;
  abort: true;
}

/** Said by the side that ends the connection: no event tells the other in every browser. */
const CLOSE = { close: true };

export function isClose(message: Message): boolean {
  return message['close'] === true;
}

export function leave(port: MessagePort): void {
  port.postMessage(CLOSE);
  port.close();
}

export type ReplyMessage =
  | { id: number; status: number; headers: [name: string, value: string][]; body: ArrayBuffer }
  | { id: number; error: { kind: ErrorKind; message: string; context: ErrorContext } };

/** What came over a port, of whatever content. */
export type Message = Record<string, unknown>;

export function isMessage(data: unknown): data is Message {
  return typeof data === 'object' && data !== null;
}

const METHODS = ['GET', 'POST'];
const HEADERS = ['authorization', 'content-type', 'inference-header-content-length'];
const MAX_PATH = 2048;

/** The request that a message asks for. @throws `value` for what no message of `connectService` has. */
export function readRequest({ method, path, headers, body }: Message, origin: string, maxBody: number, signal: AbortSignal): Request {
  if (!METHODS.includes(method as string)) throw new NearsideError('value', `the method is none of ${METHODS.join(', ')}`);
  if (body !== undefined && !(body instanceof ArrayBuffer && method === 'POST')) throw new NearsideError('value', 'the body is no ArrayBuffer of a POST');
  if (body && body.byteLength > maxBody) throw new NearsideError('value', `the body has ${body.byteLength} bytes; ${maxBody} are allowed`);
  return new Request(readPath(path, origin), {
    method: method as string,
    headers: readHeaders(headers),
    signal,
    ...(body !== undefined && { body }),
  });
}

/**
 * The address of a path of the service. It must be spelled as it is sent: whatever parsing would change has another
 * reading, as `..`, `//host`, `\` and tabs do, and what is hidden from parsing by an escape may be found later.
 */
export function readPath(path: unknown, origin: string): string {
  const refusal = new NearsideError('value', "the path is none below '/v2' of the service, as it is sent: see encodeURIComponent");
  if (typeof path !== 'string' || path.length > MAX_PATH || !/^\/v2(?![^/?])/.test(path)) throw refusal;
  if (/%(?:[01]|7f|2[ef5]|5c)/i.test(path) || !isDecodable(path)) throw refusal;
  const url = URL.canParse(path, origin) ? new URL(path, origin) : undefined;
  if (url?.origin !== origin || url.pathname + url.search !== path) throw refusal;
  return url.href;
}

function isDecodable(path: string): boolean {
  try {
    return decodeURIComponent(path) !== '';
  } catch {
    return false;
  }
}

export function readHeaders(given: unknown): Headers {
  const isPair = (pair: unknown) => Array.isArray(pair) && pair.length === 2 && pair.every((text) => typeof text === 'string');
  if (!(Array.isArray(given) && given.every(isPair))) throw new NearsideError('value', 'the headers are no list of names and values');
  const odd = (given as [string, string][]).find(([name]) => !HEADERS.includes(name.toLowerCase()));
  if (odd) throw new NearsideError('value', `the header '${odd[0]}' cannot be sent to a frame; ${HEADERS.join(', ')} can`);
  try {
    return new Headers(given as [string, string][]);
  } catch (cause) {
    throw new NearsideError('value', 'a header has a value that none can have', {}, { cause });
  }
}
