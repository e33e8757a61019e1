/** What a service worker keeps in the Cache API, so that it is back at once after it was stopped, and works offline. */
import { type LoadOptions, readSource } from '../nearside.js';
import { sha256 } from '../service/digest.js';
import { type Computer, type ServedModel, openHere } from '../service/models.js';
import { storageName } from './name.js';
import type { Engines } from './engines.js';

/** Changes with the package's files. */
declare const NEARSIDE_BUILD: string;

/** Parameters from which on a model is better off where it stays open: 16 MB. */
const MANY = 4e6;

export class Cached {
  readonly #cache: Promise<Cache>;
  /** Addresses of pages and files that are to work offline. */
  readonly #offline: Set<string>;
  /** Keys of this service worker's models and modules. */
  readonly #used = new Set<string>();

  constructor(
    private readonly scope: string,
    private readonly engines: Engines,
    offline: string[],
  ) {
    this.#cache = caches.open(storageName(scope));
    this.#offline = new Set(offline.map((address) => new URL(address, scope).href));
  }

  /** A file of the package. */
  async module(url: string): Promise<Response> {
    const key = `${url}?${NEARSIDE_BUILD}`;
    this.#used.add(key);
    const cache = await this.#cache;
    const kept = await cache.match(key);
    if (kept) return kept;
    const response = await fetch(url, { cache: 'no-cache' });
    if (response.ok) await cache.put(key, response.clone());
    return response;
  }

  /** Opens a model: the first time from its source, and then from the container that was made of it, with the engine alone. */
  async open(name: string, served: ServedModel): Promise<Computer> {
    const { source, options = {}, open } = served;
    if (typeof source !== 'string' && !(source instanceof URL)) return openHere({ ...served, options: { ...options, threads: 1 } });
    const url = new URL(source, this.scope).href;
    const key = await this.#keyOf(name, served, url);
    this.#used.add(key);
    const { dtype, device = 'auto' } = options;
    const how: LoadOptions = { device, threads: 1, ...(dtype && { dtype }) };
    const cache = await this.#cache;
    const keep = (bytes: Uint8Array) => cache.put(key, new Response(bytes as Uint8Array<ArrayBuffer>, { headers: { 'content-length': String(bytes.length) } }));
    let kept = await cache.match(key);
    if (!kept) {
      const requestInit = { cache: 'no-cache', ...options.requestInit } as RequestInit;
      if (open) await keep((await readSource(url, { ...options, requestInit }, () => undefined))!.bytes);
      else {
        const computer = await openHere({ source: url, options: { ...options, ...how, requestInit } });
        await keep(await computer.save());
        if (!this.#belongsInWorker(computer.parameterCount, device)) return computer;
        computer.dispose();
      }
      kept = (await cache.match(key))!;
    }
    const read = async (file: Response) => {
      const bytes = new Uint8Array(await file.arrayBuffer());
      return open ? open(bytes) : bytes;
    };
    const openHereFrom = async (file: Response) => openHere({ source: await read(file), options: how });
    if (!this.#belongsInWorker(Number(kept.headers.get('content-length')) / 4, device)) return openHereFrom(kept);
    const again = async () => (await cache.match(key))!;
    return this.engines.open({ key, container: async () => read(await again()), options: how, openHere: async () => openHereFrom(await again()) });
  }

  /**
   * Whether a model is better off in a worker: one that is opened anew each time this service worker is stopped costs a
   * millisecond for each 2 MB, and here may be no GPU.
   */
  #belongsInWorker(parameterCount: number, device: LoadOptions['device']): boolean {
    return parameterCount >= MANY || (device === 'gpu' && !('gpu' in navigator));
  }

  /** What a model is kept under: another source, version or way to load it is another model. */
  async #keyOf(name: string, { version = '1', options: { format, config, integrity } = {} }: ServedModel, url: string): Promise<string> {
    const told = JSON.stringify([url, format, config, integrity, NEARSIDE_BUILD]);
    return new URL(`nearside-model/${name}/${version}?${(await sha256(told)).slice(0, 16)}`, this.scope).href;
  }

  /** Fetches what is to work offline. */
  async fetchOffline(): Promise<void> {
    await (await this.#cache).addAll([...this.#offline].map((url) => new Request(url, { cache: 'no-cache' })));
  }

  isOffline(url: string): boolean {
    return this.#offline.has(withoutHash(url));
  }

  /** A page or file of the site: what the network has, and without one, what it had. */
  async fresh(request: Request): Promise<Response> {
    const cache = await this.#cache;
    const key = withoutHash(request.url);
    try {
      const response = await fetch(request);
      if (response.ok) await cache.put(key, response.clone());
      return response;
    } catch (error) {
      const kept = await cache.match(key);
      if (kept) return kept;
      throw error;
    }
  }

  /** Removes what only service workers before this one used. */
  async removeOthers(): Promise<void> {
    const cache = await this.#cache;
    const others = (await cache.keys()).filter(({ url }) => !this.#used.has(url) && !this.#offline.has(url));
    await Promise.all(others.map((request) => cache.delete(request)));
  }
}

function withoutHash(url: string): string {
  return url.replace(/#.*$/, '');
}
