/** What service workers have and pages have not: TypeScript knows the two only apart. */
export interface ServiceWorkerScope {
  readonly registration: ServiceWorkerRegistration;
  readonly location: Location;
  readonly clients: {
    claim(): Promise<void>;
    get(id: string): Promise<Client | undefined>;
    matchAll(options: { includeUncontrolled: boolean }): Promise<readonly Client[]>;
  };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: Extendable) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
  addEventListener(type: 'message', listener: (event: MessageEvent & Extendable) => void): void;
}

export interface Extendable {
  /** Keeps the worker alive until then. */
  waitUntil(promise: Promise<unknown>): void;
}

/** A page. */
export interface Client {
  readonly id: string;
  postMessage(message: unknown, transfer?: Transferable[]): void;
}

export interface FetchEvent extends Extendable {
  readonly request: Request;
  readonly clientId: string;
  respondWith(response: Promise<Response>): void;
}

declare const self: unknown;

export const scope = self as ServiceWorkerScope;
