/** What the site's service worker and its pages tell each other. */
import type { RequestRecord } from '../nearside/service-worker.js';

/** Name of the BroadcastChannel. */
export const CHANNEL = 'nearside site';

export interface Told {
  /** A page wants to know what was fetched. */
  asks?: true;
  /** A request that was answered. */
  record?: RequestRecord;
  /** What the worker fetched since it was started, as far as it is known. */
  fetched?: Fetched[];
}

export interface Fetched {
  url: string;
  /** Milliseconds since 1970. */
  time: number;
  /** 0 where there was no answer. */
  status: number;
  /** Over the network. */
  bytes: number;
}
