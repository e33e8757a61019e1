/** How often a caller may ask: `requests` in so many `seconds`, evenly, and `burst` of them at once. */
export interface Rate {
  requests: number;
  seconds: number;
  /** As many as `requests` unless given. */
  burst?: number;
}

/** Callers that are remembered: a few hundred bytes each. */
const MAX_CALLERS = 4096;

/** Characters of a caller's name, more than any host gives. Who comes with longer ones shares a bucket with all who do. */
const MAX_NAME = 512;

/**
 * @internal A bucket of tokens for each caller, which fills at the rate and gives one a request.
 *
 * Whoever makes up names has a full bucket for each, whatever is done; what must not follow is that memory grows or
 * that others are shut out. So beyond a number of callers, the one who has been quiet longest is forgotten: its bucket
 * is the one nearest to full, and full is what it finds if it comes back.
 */
export class Buckets {
  /** In the order of their last use. */
  readonly #buckets = new Map<string, { level: number; at: number }>();

  get size(): number {
    return this.#buckets.size;
  }

  /**
   * Takes one request from the bucket of `caller`, and returns 0; or the seconds until there will be one.
   * @param now Seconds, on a clock that is never set back.
   */
  take(caller: string, { requests, seconds, burst = requests }: Rate, now: number): number {
    const name = caller.length > MAX_NAME ? '' : caller;
    const { level, at } = this.#buckets.get(name) ?? { level: burst, at: now };
    const filled = Math.min(burst, level + ((now - at) * requests) / seconds);
    const granted = filled >= 1;
    this.#buckets.delete(name);
    this.#buckets.set(name, { level: granted ? filled - 1 : filled, at: now });
    if (this.#buckets.size > MAX_CALLERS) this.#buckets.delete(this.#buckets.keys().next().value!);
    return granted ? 0 : ((1 - filled) * seconds) / requests;
  }
}
