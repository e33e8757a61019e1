import { NearsideError } from '../errors.js';
import type { Caller } from '../service/access.js';
import { readOrigin } from '../service/origins.js';
import { MAX_BODY } from '../service/policy.js';
import { CONNECTED, REFUSED, isClose, isMessage, leave, readRequest, type Message, type ReplyMessage } from './messages.js';

/** Who may connect, and what is taken of them. */
export interface ExposeOptions {
  /** The exact origins of the pages that may embed the service, as `https://app.example`. */
  origins: string[];
  /** Bytes that the body of a request may have; 64 MiB unless given. */
  maxBody?: number;
  /** Requests that each connection may have unanswered; 32 unless given. */
  maxInFlight?: number;
}

/** A service that other pages may connect to. */
export interface ExposedService {
  /** Ends all connections, and takes no more. */
  close(): void;
}

/** Answers requests, as `createService(…).fetch` does. */
export type Fetch = (request: Request, caller: Caller) => Promise<Response>;

/**
 * In a page that others embed as a frame: lets those of the listed origins reach a service with `connectService`.
 *
 * ```js
 * const service = createService({ models, policy: { grants: { 'https://app.example': ['infer'] } } });
 * exposeService((request, caller) => service.fetch(request, caller), { origins: ['https://app.example'] });
 * ```
 * The service is told the origin that the browser vouches for: its policy has to list it as well.
 * @throws `value` for an origin that is no exact one.
 */
export function exposeService(fetch: Fetch, { origins, maxBody = MAX_BODY, maxInFlight = 32 }: ExposeOptions): ExposedService {
  const listed = new Set(origins.map((origin) => readOrigin(origin, 'origins')));
  // One for the whole frame: a page that connects again is still the same caller.
  const client = crypto.randomUUID();
  const connections = new Set<() => void>();
  const accept = ({ data, origin, ports }: MessageEvent) => {
    const [port] = ports;
    if (!port || ports.length > 1 || !isMessage(data) || data['nearside'] !== 'connect') return;
    if (!listed.has(origin)) {
      port.postMessage(REFUSED);
      port.close();
      return;
    }
    const end = answer(port, (request) => fetch(request, { origin, client }), { maxBody, maxInFlight }, () => connections.delete(end));
    connections.add(end);
    port.postMessage(CONNECTED);
  };
  const close = () => connections.forEach((end) => end());
  // A page that is kept goes on where it was; one that goes leaves others waiting unless it tells them.
  const leaving = ({ persisted }: PageTransitionEvent) => persisted || close();
  addEventListener('message', accept);
  addEventListener('pagehide', leaving);
  return {
    close: () => {
      removeEventListener('message', accept);
      removeEventListener('pagehide', leaving);
      close();
    },
  };
}

/** Answers what comes over a port until it is closed, from there or by what is returned. */
function answer(
  port: MessagePort,
  fetch: (request: Request) => Promise<Response>,
  { maxBody, maxInFlight }: Required<Omit<ExposeOptions, 'origins'>>,
  onClose: () => void,
): () => void {
  const inFlight = new Map<number, AbortController>();
  let last = -1;

  const close = () => {
    inFlight.forEach((controller) => controller.abort());
    leave(port);
    onClose();
  };
  const reply = (message: ReplyMessage, transfer: Transferable[] = []) => port.postMessage(message, transfer);
  const respond = async (id: number, message: Message) => {
    const controller = new AbortController();
    inFlight.set(id, controller);
    try {
      const response = await fetch(readRequest(message, location.origin, maxBody, controller.signal));
      const body = await response.arrayBuffer();
      reply({ id, status: response.status, headers: [...response.headers], body }, [body]);
    } catch (thrown) {
      reply({ id, error: toPlain(thrown) });
    } finally {
      inFlight.delete(id);
    }
  };

  port.onmessage = ({ data }) => {
    if (!isMessage(data)) return;
    if (isClose(data)) return close();
    const id = data['id'] as number;
    if (!Number.isSafeInteger(id)) return;
    if (data['abort'] === true) return inFlight.get(id)?.abort();
    if (id <= last) return reply({ id, error: toPlain(new NearsideError('denied', `request ${id} has been made before`)) });
    last = id;
    if (inFlight.size >= maxInFlight) {
      return reply({ id, error: toPlain(new NearsideError('busy', `${maxInFlight} requests are waiting for their answers`)) });
    }
    void respond(id, data);
  };
  return close;
}

/** Only what is meant for callers crosses over. */
function toPlain(thrown: unknown): { kind: NearsideError['kind']; message: string; context: NearsideError['context'] } {
  if (thrown instanceof NearsideError) return { kind: thrown.kind, message: thrown.message, context: thrown.context };
  return { kind: 'internal', message: 'the service failed', context: {} };
}
