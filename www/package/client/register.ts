/** The page's side of a service that runs in its service worker. */
import { type ErrorKind, NearsideError, aborted, assertKnown, throwIfAborted } from '../nearside.js';
import type { Caller } from '../service/access.js';
import { CALLER, isOfService } from './caller.js';
import { offerWorker } from './offer.js';

/** How a service worker is registered. */
export interface RegisterOptions {
  /** As of `navigator.serviceWorker.register`; the folder of the script unless given. */
  scope?: string;
  /** Whether the script is a module; true unless given. */
  module?: boolean;
  /**
   * Whether to start a worker that computes for the service worker, shared by all tabs where the browser has such, for
   * models that are large, or that want a GPU where service workers have none; true unless given. It is not started before
   * a model needs it.
   */
  worker?: boolean;
  /** Asks the browser not to evict what is kept when space is short; false unless given, as some ask the user. */
  persist?: boolean;
  /** Stops the wait. */
  signal?: AbortSignal;
}

/** A service in the page's service worker. */
export interface RegisteredService {
  /**
   * As `fetch`, for what the service answers: addresses of this origin below `/v2`. It is never sent to the network, and
   * asked again where the service worker was stopped before it had answered. `caller` says for whom this page asks, where
   * that is a page of another origin: `exposeService((request, caller) => service.fetch(request, { caller }), …)`.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit & { caller?: Caller }): Promise<Response>;
  /**
   * Looks for a new service worker, as the browser does by itself with each visit, and where there is one, resolves when it
   * has taken over; until then the one before answers.
   * @throws What `registerService` does; the one before goes on then.
   */
  update(): Promise<void>;
  readonly registration: ServiceWorkerRegistration;
}

/** How often a request is asked again. */
const RETRIES = 8;

/** How many milliseconds a request waits for a new service worker to take over: in Chromium it does that a second after it has nothing to answer. */
const PATIENCE = 5000;

/**
 * Registers a site's service worker, and waits until it serves this page and all models are ready. One that was registered
 * before serves at once; a new version of it is installed behind that.
 *
 * @param url Of the script that calls `serve` of `nearside/service-worker`.
 * @throws `unsupported` where there are no service workers, `network` when the script or a model could not be fetched, and
 * what is wrong with a model; `aborted`.
 */
export async function registerService(url: string | URL, options: RegisterOptions = {}): Promise<RegisteredService> {
  assertKnown(options, ['scope', 'module', 'worker', 'persist', 'signal']);
  const { scope, module = true, worker = true, persist = false, signal } = options;
  throwIfAborted(signal);
  const container = globalThis.navigator?.serviceWorker as ServiceWorkerContainer | undefined;
  if (!container) throw new NearsideError('unsupported', 'there are no service workers here: browsers have them for pages served over https or from localhost, and some have none in private windows');
  if (persist) await navigator.storage?.persist?.();
  if (worker) offerWorker(container);
  const given = aborts(signal);
  const registration = await register(container, url, { ...(scope !== undefined && { scope }), type: module ? 'module' : 'classic', updateViaCache: 'none' });
  const { href } = new URL(url, document.baseURI);
  if (registration.active?.scriptURL !== href) await Promise.race([given, takeover(container, registration)]);
  await Promise.race([given, control(container, registration)]);
  const service: RegisteredService = {
    registration,
    fetch: (input, init) => ask(container, registration, input, init),
    update: async () => {
      await registration.update();
      if (registration.installing ?? registration.waiting) await takeover(container, registration);
    },
  };
  await readiness(service, signal);
  return service;
}

async function register(container: ServiceWorkerContainer, url: string | URL, options: RegistrationOptions): Promise<ServiceWorkerRegistration> {
  try {
    return await container.register(url, options);
  } catch (cause) {
    // In a page of another site, for one, whose storage the user has blocked.
    if (/denied permission/i.test((cause as Error).message)) {
      throw new NearsideError('denied', 'the browser allows no service worker here: let the page itself serve, by createService', { url: String(url) }, { cause });
    }
    throw new NearsideError('network', `the service worker ${url} could not be registered: ${(cause as Error).message}`, { url: String(url) }, { cause });
  }
}

/** Rejects when the caller gives up. */
function aborts(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(aborted(signal.reason)), { once: true });
  });
}

/** Resolves when the service worker that is being installed has taken the place of any before. */
async function takeover(container: ServiceWorkerContainer, registration: ServiceWorkerRegistration): Promise<void> {
  const worker = registration.installing ?? registration.waiting ?? registration.active!;
  let reason: NearsideError | undefined;
  const onMessage = ({ data }: MessageEvent) => {
    if (data?.nearside === 'failed') reason = new NearsideError(data.kind as ErrorKind, `the service could not be installed: ${data.message}`);
  };
  container.addEventListener('message', onMessage);
  container.startMessages();
  try {
    while (worker.state !== 'activated') {
      // What it says of the reason may come behind.
      if (worker.state === 'redundant') await pause(100);
      if (worker.state === 'redundant') throw reason ?? new NearsideError('network', `the service worker ${worker.scriptURL} could not be installed`);
      await new Promise((resolve) => worker.addEventListener('statechange', resolve, { once: true }));
    }
  } finally {
    container.removeEventListener('message', onMessage);
  }
}

/** Resolves when the service worker serves this page. @throws `network` if it is there no more. */
async function control(container: ServiceWorkerContainer, registration: ServiceWorkerRegistration): Promise<void> {
  const changed = changes(container);
  while (!container.controller) {
    const worker = registration.active ?? registration.waiting ?? registration.installing;
    if (!worker || worker.state === 'redundant') throw new NearsideError('network', 'the service worker was removed: register it again');
    registration.active?.postMessage({ nearside: 'claim' });
    // The message is lost on one that is only just being activated.
    await Promise.race([changed, pause(100)]);
  }
}

/** Resolves when another service worker serves this page. */
function changes(container: ServiceWorkerContainer): Promise<unknown> {
  return new Promise((resolve) => container.addEventListener('controllerchange', resolve, { once: true }));
}

async function readiness(service: RegisteredService, signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    throwIfAborted(signal);
    const response = await service.fetch('/v2/health/ready', { ...(signal && { signal }) });
    // Where the page itself is granted nothing, as one that serves others alone, an answer is all there is to see.
    if (response.ok || response.status === 401 || response.status === 403) return;
    const { error, kind } = (await response.json()) as { error: string; kind: ErrorKind };
    // What is being loaded says when to ask again.
    if (!response.headers.has('retry-after')) throw new NearsideError(kind, error);
    await pause(20);
  }
}

async function ask(container: ServiceWorkerContainer, registration: ServiceWorkerRegistration, input: RequestInfo | URL, { caller, ...init }: RequestInit & { caller?: Caller } = {}): Promise<Response> {
  const request = new Request(input, init);
  if (caller) request.headers.set(CALLER, JSON.stringify(caller));
  const { origin, pathname } = new URL(request.url);
  if (origin !== location.origin || !isOfService(pathname)) {
    throw new NearsideError('value', `${request.url} is not the service's: ask for an address of this origin below /v2`);
  }
  for (let attempt = 0; ; attempt++) {
    // Without one the browser would send it to the server.
    if (!container.controller) await control(container, registration);
    // A new one takes over when the one before has nothing to do, and else minutes later.
    if (registration.waiting) await Promise.race([changes(container), pause(PATIENCE)]);
    try {
      return await fetch(request.clone());
    } catch (cause) {
      throwIfAborted(request.signal);
      if (attempt === RETRIES) throw new NearsideError('network', `the service worker did not answer: ${String(cause)}`, { url: request.url }, { cause });
      await pause(5 * 2 ** attempt);
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
