/** The entry point `nearside/service` for edge runtimes that are workerd: the same service, begun by its first request. */
import { waitUntil } from 'cloudflare:workers';
import './workerd.js';
import { type ServedModel, type Service, type ServiceOptions, createService as create } from './service/service.js';

export * from './service/service.js';

/** As everywhere. */
export function createService(options: ServiceOptions): Service {
  return new EdgeService(options);
}

/**
 * Outside of requests these runtimes refuse what a service begins with: timers, random values, fetching a model. So the first
 * request makes it. What that began goes on when its sender has left, for the requests of others wait for it, too.
 */
class EdgeService implements Service {
  #made: Service | undefined;

  constructor(private readonly options: ServiceOptions) {}

  get #service(): Service {
    if (this.#made) return this.#made;
    this.#made = create(this.options);
    waitUntil(this.#made.ready());
    return this.#made;
  }

  readonly fetch: Service['fetch'] = async (request, caller) => {
    const response = await this.#service.fetch(request, caller);
    waitUntil(this.#service.flush()); // what is logged beside the answer
    return response;
  };

  add(name: string, model: ServedModel): Promise<void> {
    return this.#service.add(name, model);
  }

  remove(name: string, version?: string): Promise<void> {
    return this.#service.remove(name, version);
  }

  ready(): Promise<void> {
    return this.#service.ready();
  }

  models(): ReturnType<Service['models']> {
    return this.#service.models();
  }

  get audit(): Service['audit'] {
    return this.#service.audit;
  }

  get access(): Service['access'] {
    return this.#service.access;
  }

  backup(): Promise<Uint8Array> {
    return this.#service.backup();
  }

  restore(backup: Uint8Array): Promise<void> {
    return this.#service.restore(backup);
  }

  flush(): Promise<void> {
    return this.#service.flush();
  }

  dispose(): Promise<void> {
    return this.#service.dispose();
  }
}
