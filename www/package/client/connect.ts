import { NearsideError, aborted, assertKnown, throwIfAborted } from '../errors.js';
import { readOrigin } from '../service/origins.js';
import { CONNECT, isClose, isMessage, leave, readHeaders, readPath, type AbortMessage, type ReplyMessage, type RequestMessage } from './messages.js';

/** How a service in a frame is reached. */
export interface ConnectOptions {
  /** The exact origin of the service: no other page is sent anything, whatever the frame shows. */
  origin: string;
  /** A capability token, shown with each request. */
  token?: string;
  /** Gives up connecting. */
  signal?: AbortSignal;
  /** Milliseconds to wait for the service to answer; 10,000 unless given. */
  timeout?: number;
}

/** What is asked. */
export interface ServiceRequest {
  /** `GET` unless given. */
  method?: 'GET' | 'POST';
  /** `Content-Type`, `Inference-Header-Content-Length`, `Authorization`. */
  headers?: RequestInit['headers'];
  body?: NonNullable<RequestInit['body']>;
  signal?: AbortSignal;
}

/** A service in a frame. */
export interface ServiceConnection {
  /** As the global `fetch`, for paths of the service: `/v2/models/mnist/infer`. */
  fetch(path: string, request?: ServiceRequest): Promise<Response>;
  /** Ends the connection; what is pending is rejected with `aborted`. */
  close(): void;
}

/** Milliseconds after which a frame that was not ready is asked again. */
const RETRY = 100;

/**
 * Connects to a service that a frame exposes with `exposeService`. The frame need not have been loaded yet.
 *
 * ```js
 * const service = await connectService(document.querySelector('iframe'), { origin: 'https://models.example' });
 * const response = await service.fetch('/v2/models/mnist/infer', { method: 'POST', body: JSON.stringify(…) });
 * ```
 * @throws `denied` if the service does not list this page's origin; `timeout` if no service answers; `aborted`.
 */
export async function connectService(frame: HTMLIFrameElement | Window, options: ConnectOptions): Promise<ServiceConnection> {
  assertKnown(options, ['origin', 'token', 'signal', 'timeout']);
  const { origin, token, signal, timeout = 10_000 } = options;
  readOrigin(origin, 'origin');
  return converse(await connect(frame, origin, timeout, signal), origin, token);
}

/** A port to the service. Each try has one of its own, for a port that is sent to a page that is not there is lost. */
async function connect(frame: HTMLIFrameElement | Window, origin: string, timeout: number, signal?: AbortSignal): Promise<MessagePort> {
  throwIfAborted(signal);
  const tries: MessagePort[] = [];
  const end = new AbortController();
  let connected: MessagePort | undefined;
  try {
    connected = await new Promise<MessagePort>((resolve, reject) => {
      const knock = () => {
        const target = frame instanceof HTMLIFrameElement ? frame.contentWindow : frame;
        if (!target || !mayBeAt(target, origin)) return;
        const { port1, port2 } = new MessageChannel();
        tries.push(port1);
        port1.onmessage = ({ data }) => {
          if (isMessage(data) && data['nearside'] === 'connected') return resolve(port1);
          reject(new NearsideError('denied', `the service at ${origin} does not take connections from ${location.origin}`));
        };
        target.postMessage(CONNECT, origin, [port2]);
      };
      const [again, late] = [setInterval(knock, RETRY), setTimeout(() => reject(unanswered(origin, timeout)), timeout)];
      end.signal.addEventListener('abort', () => (clearInterval(again), clearTimeout(late)));
      signal?.addEventListener('abort', () => reject(aborted(signal.reason)), { signal: end.signal });
      knock();
    });
    return connected;
  } finally {
    end.abort();
    for (const port of tries) if (port !== connected) leave(port);
  }
}

/** False while the window shows a page of this origin that is another than the service's, as before the first is loaded. */
function mayBeAt(target: Window, origin: string): boolean {
  try {
    return target.location.origin === origin;
  } catch {
    return true;
  }
}

function converse(port: MessagePort, origin: string, token: string | undefined): ServiceConnection {
  const pending = new Map<number, { resolve(response: Response): void; reject(error: NearsideError): void }>();
  let next = 0;
  let closed = false;

  const close = () => {
    closed = true;
    leave(port);
    pending.forEach(({ reject }) => reject(disconnected()));
    pending.clear();
  };
  port.onmessage = ({ data }) => {
    if (!isMessage(data)) return;
    if (isClose(data)) return close();
    const waiting = pending.get(data['id'] as number);
    if (!waiting) return;
    pending.delete(data['id'] as number);
    try {
      waiting.resolve(toResponse(data as ReplyMessage));
    } catch (cause) {
      waiting.reject(cause instanceof NearsideError ? cause : new NearsideError('network', 'the service gave no answer that is one', {}, { cause }));
    }
  };

  return {
    fetch: async (path, request = {}) => {
      assertKnown(request, ['method', 'headers', 'body', 'signal']);
      const { method = 'GET', headers: given, body: source, signal } = request;
      readPath(path, origin);
      // As `fetch` does, it says what kind of body it is.
      const content = source === undefined ? undefined : new Response(source);
      const type = content?.headers.get('content-type');
      const headers = readHeaders([...new Headers(given)]);
      if (type && !headers.has('content-type')) headers.set('content-type', type);
      if (token !== undefined && !headers.has('authorization')) headers.set('authorization', `Bearer ${token}`);
      const body = await content?.arrayBuffer();
      throwIfAborted(signal);
      if (closed) throw disconnected();
      const id = next++;
      const message: RequestMessage = { id, method, path, headers: [...headers], ...(body && { body }) };
      const cancel = () => {
        pending.get(id)?.reject(aborted(signal!.reason));
        pending.delete(id);
        port.postMessage({ id, abort: true } satisfies AbortMessage);
      };
      signal?.addEventListener('abort', cancel);
      const answer = new Promise<Response>((resolve, reject) => pending.set(id, { resolve, reject }));
      port.postMessage(message, body ? [body] : []);
      return answer.finally(() => signal?.removeEventListener('abort', cancel));
    },
    close,
  };
}

function toResponse(message: ReplyMessage): Response {
  if ('error' in message) {
    const { kind, message: text, context } = message.error;
    throw new NearsideError(kind, text, context);
  }
  const { status, headers, body } = message;
  // Some statuses allow no body, not even an empty one.
  return new Response(body.byteLength ? body : null, { status, headers });
}

function disconnected(): NearsideError {
  return new NearsideError('aborted', 'the connection to the service was closed: connect again');
}

function unanswered(origin: string, timeout: number): NearsideError {
  return new NearsideError('timeout', `no service answered at ${origin} within ${timeout} ms: does its page call exposeService?`);
}
