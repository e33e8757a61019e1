// What the tests of access share: a service's policy, and who asks.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { bundleSources } from './attacks.mjs';

export const { Access, Buckets, issueToken, memoryStore } = await import((await bundleSources('access', 'rate', 'store', 'tokens')).module);

export const SERVICE = 'http://localhost:8080';
export const APP = 'https://app.example';
export const OTHER = 'https://other.example';
export const STRANGER = 'https://stranger.example';
export const SECRET = new Uint8Array(randomBytes(32));
export const ED25519 = generateKeyPairSync('ed25519');
export const PRIVATE = ED25519.privateKey.export({ format: 'jwk' });
export const PUBLIC = ED25519.publicKey.export({ format: 'jwk' });
export const POLICY = { grants: { self: ['infer', 'explain'], [APP]: ['infer'], [OTHER]: [] }, tokens: { keys: SECRET } };
export const TRAIN = { scopes: ['train'], origin: APP, expiresIn: 3600 };

export function accessOf(policy, { store = memoryStore(), clock = clockOf() } = {}) {
  return new Access(policy, store, clock);
}

/** A clock that stands until it is moved. */
export function clockOf() {
  const start = Date.now();
  const clock = { seconds: 0, date: () => start + 1000 * clock.seconds, monotonic: () => 1000 * clock.seconds };
  return clock;
}

export function requestOf({ origin, token, headers, url = `${SERVICE}/v2/models/mnist` }) {
  return new Request(url, { headers: { ...(origin !== undefined && { origin }), ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers } });
}

export function admit(access, { caller = {}, action = 'infer', model = 'mnist', ...request }) {
  return access.admit(requestOf(request), caller, action, model);
}
