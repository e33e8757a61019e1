/** Capability tokens: signed notes that say what their bearer may do, from which origin, until when. */
import { SignJWT, jwtVerify, type JWK, type JWTPayload } from 'jose';
import { NearsideError, assertKnown } from '../errors.js';
import { readOrigin } from './origins.js';
import { readModels, readScopes, type Permission, type Scope } from './scopes.js';

/**
 * What tokens are signed and checked with. A secret of 32 bytes or more, which does both (HS256); or a key for Ed25519,
 * whose private half signs and whose public half checks (EdDSA). Both also as a JSON Web Key.
 */
export type TokenKey = Uint8Array | WebCryptoKey | JsonKey;

/** A `CryptoKey`, whether of a browser's declarations or of Node's. */
export interface WebCryptoKey {
  readonly type: 'public' | 'private' | 'secret';
  readonly algorithm: { name: string };
  readonly usages: string[];
}

/** A JSON Web Key (RFC 7517), as far as it is read. */
export interface JsonKey {
  kty?: string;
  crv?: string;
  k?: string;
  x?: string;
  d?: string;
}

/** What a token says. */
export interface TokenOptions {
  scopes: Scope[];
  /** The one origin that it is good for: of the page that will show it, or the service's own. */
  origin: string;
  /** Exact names of the models it is good for; all unless given. */
  models?: string[];
  /** Seconds until it is of no use; 30 days at most. */
  expiresIn: number;
  /** Whether it is good for a single request. */
  once?: boolean;
  /** Whom it was given to, for the log. */
  subject?: string;
  /** What it is revoked by, 64 characters at most; random unless given. */
  id?: string;
}

/** @internal What a valid token says. */
export interface Claims extends Permission {
  id: string;
  origin: string;
  once: boolean;
  /** Seconds since 1970. */
  expires: number;
  subject?: string;
}

/** @internal A key, and the one algorithm it is for: which that is must not be left to the token. */
export interface VerifyingKey {
  key: Uint8Array | CryptoKey | JWK;
  algorithm: 'HS256' | 'EdDSA';
}

/** @internal Seconds between issue and expiry, at most: also how long a revoked token has to be remembered. */
export const MAX_LIFE = 30 * 24 * 3600;

/** @internal Characters of a token that are read, far more than any that is issued here. */
export const MAX_LENGTH = 4096;

const AUDIENCE = 'nearside';

/** Seconds by which the clocks of issuer and service may differ. */
const CLOCK_TOLERANCE = 30;

/**
 * Signs a token, to be sent as `Authorization: Bearer TOKEN`.
 *
 * ```js
 * const secret = crypto.getRandomValues(new Uint8Array(32));     // and policy.tokens.keys of the service
 * await issueToken(secret, { scopes: ['train'], origin: 'https://app.example', expiresIn: 3600 });
 * ```
 * @throws `value` for a key that cannot sign, and for claims that no service would accept.
 */
export async function issueToken(key: TokenKey, options: TokenOptions): Promise<string> {
  assertKnown(options, ['scopes', 'origin', 'models', 'expiresIn', 'once', 'subject', 'id']);
  const { scopes, origin, models, expiresIn, once = false, subject, id = crypto.randomUUID() } = options;
  const signing = readKey(key, 'sign');
  if (!(expiresIn > 0 && expiresIn <= MAX_LIFE)) throw new NearsideError('value', `expiresIn is a number of seconds, ${MAX_LIFE} at most`);
  const now = Math.floor(Date.now() / 1000);
  const claims: JWTPayload = {
    aud: AUDIENCE,
    iat: now,
    exp: now + Math.ceil(expiresIn),
    jti: id,
    origin: readOrigin(origin, 'origin'),
    scope: [...readScopes(scopes, 'scopes')].join(' '),
    ...(models !== undefined && { models: [...readModels(models, 'models')] }),
    ...(once && { once }),
    ...(subject !== undefined && { sub: subject }),
  };
  readClaims(claims);
  const token = await new SignJWT(claims).setProtectedHeader({ alg: signing.algorithm, typ: 'JWT' }).sign(signing.key);
  if (token.length <= MAX_LENGTH) return token;
  throw new NearsideError('value', `the token has ${token.length} characters, ${MAX_LENGTH} are read; name fewer models`);
}

/**
 * @internal What a token says, if one of the keys has signed it and this is its time.
 * @param now Milliseconds since 1970.
 * @throws `denied`, with what is wrong with it.
 */
export async function verifyToken(token: string, keys: VerifyingKey[], now: number): Promise<Claims> {
  // Before anything of it is looked at.
  if (token.length > MAX_LENGTH) throw invalid(`it has more than ${MAX_LENGTH} characters`);
  let refusal: unknown;
  for (const { key, algorithm } of keys) {
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: [algorithm],
        audience: AUDIENCE,
        requiredClaims: ['exp', 'jti', 'origin', 'scope'],
        // Asks for the time of issue, too.
        maxTokenAge: MAX_LIFE,
        clockTolerance: CLOCK_TOLERANCE,
        currentDate: new Date(now),
      });
      return readClaims(payload);
    } catch (cause) {
      refusal = cause;
      if (!mayBeOfAnotherKey(cause)) break;
    }
  }
  throw invalid((refusal as Error).message, refusal);
}

function mayBeOfAnotherKey(refusal: unknown): boolean {
  const { code } = refusal as { code?: string };
  return code === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' || code === 'ERR_JOSE_ALG_NOT_ALLOWED';
}

function readClaims(payload: JWTPayload): Claims {
  const { jti, origin, scope, models, once = false, exp, sub } = { __proto__: null, ...payload } as JWTPayload;
  if (typeof jti !== 'string' || jti === '' || jti.length > 64) throw new NearsideError('value', "'jti' is no text of 1 to 64 characters");
  if (typeof scope !== 'string') throw new NearsideError('value', "'scope' is no text");
  if (typeof once !== 'boolean') throw new NearsideError('value', "'once' is not true or false");
  if (sub !== undefined && typeof sub !== 'string') throw new NearsideError('value', "'sub' is no text");
  return {
    id: jti,
    origin: readOrigin(origin, "'origin'"),
    scopes: readScopes(scope.split(' ').filter(Boolean), "'scope'"),
    ...(models !== undefined && { models: readModels(models, "'models'") }),
    once,
    expires: exp!,
    ...(sub !== undefined && { subject: sub }),
  };
}

/** @internal */
export function invalid(reason: string, cause?: unknown): NearsideError {
  return new NearsideError('denied', `the token is not accepted: ${reason}`, { token: 'invalid' }, { cause });
}

/** @internal The keys of a policy. @throws `value` for one that does not verify tokens. */
export function readKeys(given: TokenKey | TokenKey[]): VerifyingKey[] {
  const keys = Array.isArray(given) ? given : [given];
  if (keys.length === 0) throw new NearsideError('value', 'policy.tokens.keys is empty');
  return keys.map((key) => readKey(key, 'verify'));
}

function readKey(key: TokenKey, use: 'sign' | 'verify'): VerifyingKey {
  if (!globalThis.crypto?.subtle) throw new NearsideError('unsupported', 'tokens need Web Cryptography, which browsers have for https and localhost alone');
  const half = use === 'sign' ? 'private' : 'public';
  if (key instanceof Uint8Array) return { key: key.slice(), algorithm: secret(key.length) };
  if (key instanceof CryptoKey) {
    const { name, hash, length } = key.algorithm as HmacKeyAlgorithm;
    if (!key.usages.includes(use)) throw new NearsideError('value', `the key may not be used to ${use}`);
    if (name === 'HMAC' && hash.name === 'SHA-256') return { key, algorithm: secret(length / 8) };
    if (name === 'Ed25519') return { key, algorithm: 'EdDSA' };
  } else if (typeof key === 'object' && key !== null) {
    // A copy: the library freezes what it is given.
    const { kty, crv, k = '', x, d } = key as JsonKey;
    if (kty === 'oct') return { key: { kty, k }, algorithm: secret((k.length * 3) / 4) };
    if (kty === 'OKP' && crv === 'Ed25519' && (d === undefined) === (use === 'verify')) {
      return { key: { kty, crv, x: x ?? '', ...(d !== undefined && { d }) }, algorithm: 'EdDSA' };
    }
  }
  throw new NearsideError('value', `a key to ${use} tokens is a secret of 32 bytes or more, or the ${half} half of a key for Ed25519`);
}

/** A shorter secret than the hash is long would be the easier thing to guess (RFC 7518, 3.2). */
function secret(length: number): 'HS256' {
  if (length >= 32) return 'HS256';
  throw new NearsideError('value', `the secret has ${Math.floor(length)} bytes; 32 are needed: crypto.getRandomValues(new Uint8Array(32))`);
}
