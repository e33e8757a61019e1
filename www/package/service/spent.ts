import type { NearsideError } from '../errors.js';
import type { Store } from './store.js';
import { MAX_LIFE, invalid } from './tokens.js';

/** Seconds between two searches for records that are of no use any more. */
const SWEEP_INTERVAL = 3600;

const PREFIX = 'token/';

/**
 * The tokens that are valid and yet no good: revoked ones, and those that were good for one request and had it. Each
 * is remembered until it would have expired, in the store, for a worker may be stopped between two requests.
 */
export class SpentTokens {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #spending = new Set<string>();
  #sweep = 0;

  /** @param now Seconds since 1970. */
  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** @throws `denied` for a token that was spent. */
  async check(id: string): Promise<void> {
    if ((await this.#store.get(PREFIX + id)) !== undefined) throw spent();
  }

  /** Spends a token. Of all that try to, at once or one after another, one succeeds. @throws `denied` for the others. */
  async spend(id: string, expires: number): Promise<void> {
    if (this.#spending.has(id)) throw spent();
    this.#spending.add(id);
    try {
      // Other workers and pages of this origin may have the same store.
      await exclusively(`nearside-${PREFIX}${id}`, async () => {
        await this.check(id);
        await this.#remember(id, expires);
      });
    } finally {
      this.#spending.delete(id);
    }
  }

  /** Refuses a token from now on. */
  async revoke(id: string): Promise<void> {
    await this.#remember(id, Infinity);
  }

  async #remember(id: string, expires: number): Promise<void> {
    const now = this.#now();
    const until = Math.min(expires, now + MAX_LIFE) + SWEEP_INTERVAL;
    const old = now < this.#sweep ? [] : (await this.#store.list<number>(PREFIX)).filter(([, until]) => until < now);
    this.#sweep = now + SWEEP_INTERVAL;
    await this.#store.set([[PREFIX + id, until], ...old.map(([key]): [string, undefined] => [key, undefined])]);
  }
}

function spent(): NearsideError {
  return invalid('it was revoked, or was good for one request and has had it');
}

/** Runs `act` while nobody else of this origin does, where there are locks; elsewhere a process has its store to itself. */
function exclusively(name: string, act: () => Promise<void>): Promise<void> {
  const locks = (globalThis.navigator as Navigator | undefined)?.locks;
  return locks ? locks.request(name, act) : act();
}
