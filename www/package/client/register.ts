/** The page's side of a service that runs in its service worker. */
import { type ErrorKind, NearsideError, assertKnown, throwIfAborted } from '../nearside.js';
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
   * asked again where the service worker was stopped before it had answered.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  readonly registration: ServiceWorkerRegistration;
}

/** How often a request is asked again. */
const RETRIES = 8;

/**
 * Registers a site's service worker, and waits until it serves this page and all models are ready.
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
  if (!container) throw new NearsideError('unsupported', 'there are no service workers here: browsers have them for pages served over https or from localhost');
  if (persist) await navigator.storage?.persist?.();
  if (worker) offerWorker(container);
  const failures = listen(container);
  try {
    const registration = await register(container, url, { ...(scope !== undefined && { scope }), type: module ? 'module' : 'classic', updateViaCache: 'none' });
    await Promise.race([failures.first, aborts(signal), activation(registration)]);
    await Promise.race([aborts(signal), control(container, registration)]);
    const service = { registration, fetch: (input: RequestInfo | URL, init?: RequestInit) => ask(container, registration, input, init) };
    await readiness(service, signal);
    return service;
  } finally {
    failures.stop();
  }
}

async function register(container: ServiceWorkerContainer, url: string | URL, options: RegistrationOptions): Promise<ServiceWorkerRegistration> {
  try {
    return await container.register(url, options);
  } catch (cause) {
    throw new NearsideError('network', `the service worker ${url} could not be registered: ${(cause as Error).message}`, { url: String(url) }, { cause });
  }
}

/** What a service worker says that could not be installed. */
function listen(container: ServiceWorkerContainer): { first: Promise<never>; stop: () => void } {
  let onMessage!: (event: MessageEvent) => void;
  const first = new Promise<never>((_, reject) => {
    onMessage = ({ data }) => {
      if (data?.nearside === 'failed') reject(new NearsideError(data.kind as ErrorKind, `the service could not be installed: ${data.message}`));
    };
    container.addEventListener('message', onMessage);
    container.startMessages();
  });
  first.catch(() => undefined);
  return { first, stop: () => container.removeEventListener('message', onMessage) };
}

/** Rejects when the caller gives up. */
function aborts(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(new NearsideError('aborted', 'aborted by the caller', {}, { cause: signal.reason })), { once: true });
  });
}

/** Resolves when a service worker is active: where one is already, at once, even while its successor is being installed. */
function activation(registration: ServiceWorkerRegistration): Promise<void> {
  return new Promise((resolve, reject) => {
    if (registration.active) return resolve();
    const worker = registration.installing ?? registration.waiting!;
    worker.addEventListener('statechange', () => {
      if (worker.state === 'activated' || worker.state === 'activating') resolve();
      // What it says of the reason comes behind.
      if (worker.state === 'redundant') setTimeout(() => reject(new NearsideError('network', 'the service worker could not be installed')), 100);
    });
  });
}

/** Resolves when the service worker serves this page. */
async function control(container: ServiceWorkerContainer, registration: ServiceWorkerRegistration): Promise<void> {
  while (!container.controller) {
    const changed = new Promise((resolve) => container.addEventListener('controllerchange', resolve, { once: true }));
    registration.active?.postMessage({ nearside: 'claim' });
    // The message is lost on one that is only just being activated.
    await Promise.race([changed, pause(100)]);
  }
}

async function readiness(service: RegisteredService, signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    throwIfAborted(signal);
    const response = await service.fetch('/v2/health/ready', { ...(signal && { signal }) });
    if (response.ok) return;
    const { error, kind } = (await response.json()) as { error: string; kind: ErrorKind };
    // What is being loaded says when to ask again.
    if (!response.headers.has('retry-after')) throw new NearsideError(kind, error);
    await pause(20);
  }
}

async function ask(container: ServiceWorkerContainer, registration: ServiceWorkerRegistration, input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  const { origin, pathname } = new URL(request.url);
  if (origin !== location.origin || !/^\/v2(\/|$)/.test(pathname)) {
    throw new NearsideError('value', `${request.url} is not the service's: ask for an address of this origin below /v2`);
  }
  for (let attempt = 0; ; attempt++) {
    // Without one the browser would send it to the server.
    await control(container, registration);
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
