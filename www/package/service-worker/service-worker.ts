/**
 * Models as a service inside the browser. In a site's own service worker,
 *
 * ```js
 * import { serve } from './nearside/service-worker.js';
 * serve({ models: { mnist: 'models/mnist.h5' } });
 * ```
 *
 * answers `fetch('/v2/models/mnist/infer')` of the site's pages. It is one file, as service workers cannot import later.
 */
import { isOfService, readCaller } from '../client/caller.js';
import { NearsideError, platform } from '../nearside.js';
import { indexedDbStore } from '../service/indexed-db.js';
import { type Service, type ServiceOptions, createService } from '../service/service.js';
import { Cached } from './cached.js';
import { Engines } from './engines.js';
import { storageName } from './name.js';
import { scope } from './scope.js';

export * from '../service/service.js';

/** How a site's service worker serves models. */
export interface ServiceWorkerOptions extends ServiceOptions {
  /** Addresses of the site's pages and files that are to work offline, too. Where there is a network, each is fetched anew. */
  offline?: string[];
}

/** Serves models to the pages of this service worker. To be called once, when the script is evaluated. */
export function serve({ offline = [], ...options }: ServiceWorkerOptions): Service {
  const address = scope.registration.scope;
  const engines = new Engines();
  const cached = new Cached(address, engines, offline);
  platform.readModule = ({ href }) => cached.module(href);
  const service = createService({ store: indexedDbStore(storageName(address)), open: (name, served) => cached.open(name, served), ...options });

  scope.addEventListener('install', (event) => event.waitUntil(install(service, cached)));
  scope.addEventListener('activate', (event) => event.waitUntil(Promise.all([cached.removeOthers(), scope.clients.claim()])));
  scope.addEventListener('message', (event) => {
    // A page that was reloaded past the service worker asks to be served.
    if (event.data?.nearside === 'claim') event.waitUntil(scope.clients.claim());
    if (event.data?.nearside === 'engine') engines.take(event.ports[0]!, event.data);
  });
  scope.addEventListener('fetch', (event) => {
    const { request, clientId } = event;
    const { origin, pathname } = new URL(request.url);
    if (origin !== scope.location.origin) return;
    if (isOfService(pathname)) {
      const answer = (async () => service.fetch(request, { client: clientId, ...readCaller(request.headers) }))();
      event.respondWith(answer);
      event.waitUntil(answer.then(() => service.flush()));
    } else if (request.method === 'GET' && cached.isOffline(request.url)) event.respondWith(cached.fresh(request));
  });
  return service;
}

/** Ends when all models are open: until then a service worker before this one answers. */
async function install(service: Service, cached: Cached): Promise<void> {
  try {
    await Promise.all([cached.fetchOffline(), service.ready()]);
    const failed = service.models().find(({ state }) => state === 'unavailable');
    if (failed) throw new NearsideError(failed.fault?.kind ?? 'network', `the model '${failed.name}' could not be opened: ${failed.reason}`);
  } catch (error) {
    const { kind = 'network', message } = error as NearsideError;
    // The page that registers it is told no reason otherwise.
    for (const client of await scope.clients.matchAll({ includeUncontrolled: true })) client.postMessage({ nearside: 'failed', kind, message });
    throw error;
  }
  await scope.skipWaiting();
}
