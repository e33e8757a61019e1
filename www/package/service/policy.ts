/** What a service allows, as it is written down; and the same, checked. */
import { NearsideError, assertKnown } from '../errors.js';
import { readOrigin } from './origins.js';
import type { Rate } from './rate.js';
import { readList, readModels, readScopes, type Permission, type Scope } from './scopes.js';
import { readKeys, type TokenKey, type VerifyingKey } from './tokens.js';

/** What an origin may do. */
export interface Grant {
  scopes: Scope[];
  /** Exact names of the models it may use; all unless given. */
  models?: string[];
  /** Instead of the policy's. */
  rate?: Rate;
}

/** What a service allows. Everything else is denied. */
export interface Policy {
  /**
   * By the exact origin of the page that asks, as in `{ 'https://app.example': ['infer'] }`, and by `self`: the
   * service's own origin, and outside browsers whoever reaches it. `{ self: ['infer', 'explain'] }` unless given.
   * An origin with an empty list may do what its tokens say.
   */
  grants?: Record<string, Scope[] | Grant>;
  /** Who may bring capability tokens, see `issueToken`: none unless given. */
  tokens?: {
    /** The secret, or the public key, of who issues them. Several, while one replaces another. */
    keys: TokenKey | TokenKey[];
    /** Whether every request needs one, those of `self` too. */
    required?: boolean;
  };
  /** How often each caller may ask; as often as it likes unless given. */
  rate?: Rate;
  /** Bytes that the body of a request may have; 64 MiB unless given. */
  maxBody?: number;
  /**
   * Names the service is reached by, with or without a port: `localhost`, `models.example:8443`. Behind a server that
   * believes the `Host` header, these alone keep out pages that have their own name resolve to the server's address.
   */
  hosts?: string[];
}

/** @internal Bytes of a request's body, unless a policy says otherwise. */
export const MAX_BODY = 64 << 20;

/**
 * @internal Copied from a policy, and in maps: no later change of that object counts, and no name such as `__proto__` is
 * special.
 */
export interface CheckedPolicy {
  self?: CheckedGrant | undefined;
  origins: ReadonlyMap<string, CheckedGrant>;
  tokens?: { keys: VerifyingKey[]; required: boolean };
  hosts?: ReadonlySet<string>;
  maxBody: number;
}

/** @internal */
export interface CheckedGrant extends Permission {
  rate?: Rate;
}

/** @internal @throws `value` for whatever in it is not understood. */
export function readPolicy(policy: Policy = {}): CheckedPolicy {
  const { grants, tokens, rate, maxBody, hosts } = fields(policy, ['grants', 'tokens', 'rate', 'maxBody', 'hosts'], 'policy');
  const usual = rate === undefined ? {} : { rate: readRate(rate, 'policy.rate') };
  // A list of fields, because a policy read from JSON may have one of any name.
  const read = Object.entries(grants ?? { self: ['infer', 'explain'] }).map(([name, grant]): [string, CheckedGrant] => {
    const where = `policy.grants['${name}']`;
    return [name === 'self' ? name : readOrigin(name, where), { ...usual, ...readGrant(grant, where) }];
  });
  return {
    self: read.find(([name]) => name === 'self')?.[1],
    // Apart from `self`, so that a request cannot have that for its origin.
    origins: new Map(read.filter(([name]) => name !== 'self')),
    ...(tokens !== undefined && { tokens: readTokens(tokens) }),
    ...(hosts !== undefined && { hosts: new Set(readList(hosts, 'policy.hosts').map(readHost)) }),
    maxBody: maxBody === undefined ? MAX_BODY : wholeNumber(maxBody, 'policy.maxBody'),
  };
}

function readGrant(given: unknown, where: string): CheckedGrant {
  const grant = Array.isArray(given) ? { scopes: given } : given;
  const { scopes, models, rate } = fields(grant as Grant, ['scopes', 'models', 'rate'], where);
  return {
    scopes: readScopes(scopes, `${where}.scopes`),
    ...(models !== undefined && { models: readModels(models, `${where}.models`) }),
    ...(rate !== undefined && { rate: readRate(rate, `${where}.rate`) }),
  };
}

function readTokens(given: Policy['tokens']): { keys: VerifyingKey[]; required: boolean } {
  const { keys, required = false } = fields(given!, ['keys', 'required'], 'policy.tokens');
  if (typeof required !== 'boolean') throw new NearsideError('value', 'policy.tokens.required is true or false');
  return { keys: readKeys(keys), required };
}

function readRate(given: Rate, where: string): Rate {
  const { requests, seconds, burst } = fields(given, ['requests', 'seconds', 'burst'], where);
  for (const [name, value] of Object.entries({ requests, seconds })) {
    if (!(Number.isFinite(value) && value > 0)) throw new NearsideError('value', `${where}.${name} is a number above 0`);
  }
  // Less than one request at once would be none, ever.
  return { requests, seconds, burst: burst === undefined ? Math.max(1, requests) : wholeNumber(burst, `${where}.burst`) };
}

function readHost(host: string): string {
  const url = URL.canParse(`http://${host}`) ? new URL(`http://${host}`) : undefined;
  if (url?.host === host && !host.includes('*')) return host;
  throw new NearsideError('value', `policy.hosts: '${host}' is no host's name; write one as 'localhost' or 'models.example:8443'`);
}

/** The fields of an object, none of them inherited. */
function fields<T extends object>(given: T, known: string[], where: string): T {
  try {
    assertKnown(given, known);
  } catch (cause) {
    throw new NearsideError('value', `${where}: ${(cause as Error).message}`, {}, { cause });
  }
  return { __proto__: null, ...given };
}

function wholeNumber(value: number, where: string): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new NearsideError('value', `${where} is a whole number above 0`);
}
