/** Who may ask a service for what: everything is denied that its policy does not grant. */
import { NearsideError } from '../errors.js';
import { readPolicy, type CheckedGrant, type CheckedPolicy, type Policy } from './policy.js';
import { Buckets, type Rate } from './rate.js';
import { covers, type Scope } from './scopes.js';
import { SpentTokens } from './spent.js';
import type { Store } from './store.js';
import { invalid, verifyToken, type Claims } from './tokens.js';

/** Who asks, as far as the host knows better than the request's headers. */
export interface Caller {
  /** The origin of the page that asks; undefined where the request is the process's own or no browser's. */
  origin?: string;
  /** What tells callers of one origin apart for fairness and rate limits: a tab, an address. */
  client?: string;
}

/** A request that was let in. */
export interface Admission {
  /** Tells callers apart, for the log and for fairness. */
  caller: string;
  /** The caller's origin, unless it is the service's own. */
  origin?: string;
  /** The token that was shown, and whom it was given to. */
  tokenId?: string;
  subject?: string;
  /** Whether this caller may do something else as well: which models a list may name, for one. */
  permits(action: Scope, model?: string): boolean;
}

/** The time, in milliseconds. */
export interface Clock {
  /** Since 1970. */
  date(): number;
  /** On a clock that is never set back. */
  monotonic(): number;
}

const CLOCK: Clock = { date: () => Date.now(), monotonic: () => performance.now() };

const CORS_HEADERS = 'authorization, content-encoding, content-type, inference-header-content-length';
const CORS_EXPOSED = 'inference-header-content-length, retry-after, www-authenticate';

/** Holds every request to a policy. */
export class Access {
  readonly #policy: CheckedPolicy;
  readonly #clock: Clock;
  readonly #spent: SpentTokens;
  readonly #buckets = new Buckets();

  /**
   * @param store Where used and revoked tokens are remembered.
   * @throws `value` for whatever in the policy is not understood.
   */
  constructor(policy: Policy | undefined, store: Store, clock: Clock = CLOCK) {
    this.#policy = readPolicy(policy);
    this.#clock = clock;
    this.#spent = new SpentTokens(store, () => clock.date() / 1000);
  }

  /** Bytes that a request's body may have. */
  get maxBody(): number {
    return this.#policy.maxBody;
  }

  /** @internal Callers whose rate is remembered. */
  get remembered(): number {
    return this.#buckets.size;
  }

  /**
   * Lets a request in, or throws: `denied`, with `context.token` where a token would help; `busy`, with
   * `context.retryAfter`, for a caller that asks too often.
   */
  async admit(request: Request, caller: Caller, action: Scope, model: string | undefined): Promise<Admission> {
    const origin = this.#originOf(request, caller);
    const name = origin ?? 'self';
    const grant = origin === undefined ? this.#policy.self : this.#policy.origins.get(origin);
    if (!grant) throw denied(`nothing is granted to ${name}`);
    // Before its token is read: that is work, too.
    this.#charge(`${name} ${caller.client ?? ''}`, grant.rate);
    const token = await this.#tokenOf(request, origin ?? new URL(request.url).origin);
    const permits = (action: Scope, model?: string) => covers(grant, action, model) || (token !== undefined && covers(token, action, model));
    this.#assertPermitted(permits(action, model), token, `${name} may not ${action}${model === undefined ? '' : ` with '${model}'`}`);
    if (token) await this.#use(token, grant);
    return {
      caller: caller.client === undefined ? name : `${name} ${caller.client}`,
      ...(origin !== undefined && { origin }),
      ...(token && { tokenId: token.id }),
      ...(token?.subject !== undefined && { subject: token.subject }),
      permits,
    };
  }

  /** Refuses a token from now on, by the `id` it was issued with. */
  async revoke(tokenId: string): Promise<void> {
    await this.#spent.revoke(tokenId);
  }

  /** What lets the page that asked read the answer: for listed origins. */
  corsHeaders(request: Request, caller: Caller): Record<string, string> {
    const origin = this.#listedOrigin(request, caller);
    // Caches must not hand what one origin may read to another, nor what it may not.
    if (origin === undefined) return { vary: 'Origin' };
    return { 'access-control-allow-origin': origin, 'access-control-expose-headers': CORS_EXPOSED, vary: 'Origin' };
  }

  /** Answers a browser that asks whether a page of another origin may ask; undefined for any other request. */
  preflight(request: Request, caller: Caller): Response | undefined {
    if (request.method !== 'OPTIONS' || !request.headers.has('access-control-request-method')) return undefined;
    const headers = this.corsHeaders(request, caller);
    if (this.#listedOrigin(request, caller) === undefined) return new Response(null, { status: 403, headers });
    const allowed = { 'access-control-allow-methods': 'GET, POST, PUT', 'access-control-allow-headers': CORS_HEADERS, 'access-control-max-age': '600' };
    return new Response(null, { status: 204, headers: { ...headers, ...allowed } });
  }

  /** The origin a request comes from, unless that is the service's own. @throws `denied` if it cannot be told. */
  #originOf(request: Request, caller: Caller): string | undefined {
    const { host, origin: own } = new URL(request.url);
    if (!this.#answersTo(request)) throw denied(`this service does not answer to the name '${host}'; its policy's 'hosts' say to which it does`);
    const origin = caller.origin ?? request.headers.get('origin');
    // Not even where the service's own is one: any file and any sandboxed frame is called so.
    if (origin === 'null') throw denied('the page that asks has no origin of its own');
    if (origin !== null) return origin === own ? undefined : origin;
    // What browsers send for an image, a script or a link, which have no `Origin`.
    const site = request.headers.get('sec-fetch-site');
    if (site !== null && site !== 'same-origin' && site !== 'none') throw denied('a page of another origin asks, without saying which');
    // A form may be sent by any page. A service worker sees of it neither `Origin` nor `Sec-Fetch-Site`.
    if (request.mode === 'navigate' && request.method !== 'GET') throw denied('a form cannot be sent here');
    return undefined;
  }

  /** Whether the name a request was sent to is the service's: it may be one that a stranger has pointed at its address. */
  #answersTo(request: Request): boolean {
    const { host, hostname } = new URL(request.url);
    const { hosts } = this.#policy;
    return hosts === undefined || hosts.has(host) || hosts.has(hostname);
  }

  /** The listed origin of a request over HTTP. */
  #listedOrigin(request: Request, caller: Caller): string | undefined {
    const origin = request.headers.get('origin');
    if (origin === null || caller.origin !== undefined) return undefined;
    return this.#policy.origins.has(origin) && this.#answersTo(request) ? origin : undefined;
  }

  #charge(name: string, rate: Rate | undefined): void {
    const seconds = rate ? Math.ceil(this.#buckets.take(name, rate, this.#clock.monotonic() / 1000)) : 0;
    if (seconds === 0) return;
    throw new NearsideError('busy', `requests come too fast; try again in ${seconds} s`, { retryAfter: seconds });
  }

  /** The token that a request shows, if it is good where it is shown. */
  async #tokenOf(request: Request, origin: string): Promise<Claims | undefined> {
    const [, token] = /^bearer(?: +|$)(.*)$/i.exec(request.headers.get('authorization') ?? '') ?? [];
    if (token === undefined) return undefined;
    if (!this.#policy.tokens) throw denied('this service takes no tokens');
    const claims = await verifyToken(token, this.#policy.tokens.keys, this.#clock.date());
    // What a page has stolen from another is of no use to it.
    if (claims.origin !== origin) throw invalid(`it is good for ${claims.origin} alone, and was shown by ${origin}`);
    return claims;
  }

  #assertPermitted(permitted: boolean, token: Claims | undefined, refusal: string): void {
    const { tokens } = this.#policy;
    if (tokens?.required && !token) throw new NearsideError('denied', 'a token is needed', { token: 'missing' });
    if (permitted) return;
    throw new NearsideError('denied', refusal, tokens && !token ? { token: 'missing' } : {});
  }

  /** Last of all, so that a request that is refused has not used up its token. */
  async #use({ id, once, expires }: Claims, { rate }: CheckedGrant): Promise<void> {
    if (once) return this.#spent.spend(id, expires);
    await this.#spent.check(id);
    // Where many clients share a token, they share its rate.
    this.#charge(`token ${id}`, rate);
  }
}

function denied(message: string): NearsideError {
  return new NearsideError('denied', message);
}
