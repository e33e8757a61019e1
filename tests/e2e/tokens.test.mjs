// Capability tokens: what they add, and how those fare that are forged, stolen or shown again.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { APP, ED25519, OTHER, POLICY, PRIVATE, PUBLIC, SECRET, SERVICE, STRANGER, TRAIN, accessOf, admit, clockOf, issueToken, memoryStore } from './asking.mjs';
import { refusal, tableOfAttacks } from './attacks.mjs';

const attack = tableOfAttacks('attack with a token');

describe('tokens', () => {
  const train = (token, { policy = POLICY, origin = APP, ...more } = {}) => admit(accessOf(policy), { origin, action: 'train', token, ...more });
  const refused = (token, message, more) => refusal(train(token, more), 'denied', message, { token: 'invalid' });

  test('a token adds its scopes, with a secret and with Ed25519, from keys of either form', async () => {
    const pair = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
    const hmac = await crypto.subtle.importKey('raw', SECRET, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
    const jwk = { kty: 'oct', k: Buffer.from(SECRET).toString('base64url'), kid: 'mine' };
    for (const [signing, keys] of [[SECRET, SECRET], [SECRET, hmac], [hmac, jwk], [jwk, SECRET], [PRIVATE, PUBLIC], [pair.privateKey, pair.publicKey]]) {
      const token = await issueToken(signing, { ...TRAIN, subject: 'alice', id: 'note 1' });
      const { tokenId, subject, permits } = await train(token, { policy: { ...POLICY, tokens: { keys } } });
      assert.deepEqual([tokenId, subject], ['note 1', 'alice']);
      assert.deepEqual([permits('infer'), permits('train', 'x'), permits('manage')], [true, true, false]);
    }
  });

  test('while one key replaces another, tokens of both are good', async () => {
    const policy = { ...POLICY, tokens: { keys: [PUBLIC, new Uint8Array(randomBytes(32)), SECRET] } };
    for (const key of [SECRET, PRIVATE]) await train(await issueToken(key, TRAIN), { policy });
  });

  test('an origin that is listed with nothing may do what its tokens say', async () => {
    const token = await issueToken(SECRET, { ...TRAIN, origin: OTHER, models: ['mnist'] });
    await train(token, { origin: OTHER });
    await refusal(train(token, { origin: OTHER, model: 'dress' }), 'denied', /may not train with 'dress'/);
    await refusal(train(undefined, { origin: OTHER }), 'denied', /may not train/, { token: 'missing' });
  });

  test('where tokens are required, the own origin needs one', async () => {
    const policy = { tokens: { keys: SECRET, required: true } };
    const token = await issueToken(SECRET, { scopes: [], origin: SERVICE, expiresIn: 60 });
    await refusal(admit(accessOf(policy), {}), 'denied', /a token is needed/, { token: 'missing' });
    await admit(accessOf(policy), { token });
  });

  test('other credentials than tokens are not ours', async () => {
    await admit(accessOf(POLICY), { headers: { authorization: 'Basic YTpi' } });
  });

  attack('no token, for an act that needs one', () => refusal(train(undefined), 'denied', /may not train/, { token: 'missing' }));
  attack('an expired token', async () => {
    const token = await issueToken(SECRET, { ...TRAIN, expiresIn: 60 });
    const clock = clockOf();
    const access = accessOf(POLICY, { clock });
    await admit(access, { origin: APP, action: 'train', token });
    clock.seconds += 120;
    return refusal(admit(access, { origin: APP, action: 'train', token }), 'denied', /exp/, { token: 'invalid' });
  });
  attack('a token whose time has not come', () => refused(forge({ nbf: seconds() + 3600 }), /nbf/));
  attack('a token from the future', () => refused(forge({ iat: seconds() + 3600, exp: seconds() + 7200 }), /iat/));
  attack('a token older than 30 days that has not expired', () => refused(forge({ iat: seconds() - 31 * 86400 }), /iat/));
  for (const claim of ['exp', 'iat', 'aud', 'jti', 'origin', 'scope']) {
    attack(`a signed token without '${claim}'`, () => refused(forge({ [claim]: undefined }), new RegExp(claim)));
  }
  attack('a token signed with another key', async () => refused(await issueToken(new Uint8Array(randomBytes(32)), TRAIN), /signature/));
  attack('a token whose claims were changed', async () => {
    const [head, , signature] = (await issueToken(SECRET, TRAIN)).split('.');
    return refused(`${head}.${encode(claimsOf({ scope: 'manage' }))}.${signature}`, /signature/);
  });
  attack("algorithm 'none', without a signature", () => refused(`${encode({ alg: 'none' })}.${encode(claimsOf({}))}.`, /not allowed/));
  attack("algorithm 'HS256' with the public key for a secret", () => {
    const policy = { ...POLICY, tokens: { keys: PUBLIC } };
    const publics = [Buffer.from(PUBLIC.x, 'base64url'), Buffer.from(JSON.stringify(PUBLIC)), ED25519.publicKey.export({ format: 'pem', type: 'spki' })];
    return publics.reduce(async (last, key) => (await last, refused(forge({}, key), /not allowed/, { policy })), undefined);
  });
  attack('a key brought along in the header', () => {
    const jwk = { kty: 'oct', k: Buffer.alloc(32).toString('base64url') };
    return refused(forge({}, Buffer.alloc(32), { jwk, jku: `${STRANGER}/keys`, kid: '../../dev/null' }), /signature/);
  });
  attack('a token for another audience', () => refused(forge({ aud: 'another-service' }), /aud/));
  attack('a token for another origin that is listed', async () => refused(await issueToken(SECRET, { ...TRAIN, origin: OTHER }), /good for https:\/\/other.example alone/));
  attack('a stolen token, shown by an origin that is not listed', async () =>
    refusal(train(await issueToken(SECRET, TRAIN), { origin: STRANGER }), 'denied', /nothing is granted/));
  attack('a stolen token, shown without an origin', async () =>
    refusal(admit(accessOf(POLICY), { action: 'train', token: await issueToken(SECRET, TRAIN) }), 'denied', /good for https:\/\/app.example alone/, { token: 'invalid' }));
  attack('a token for another model', async () =>
    refusal(train(await issueToken(SECRET, { ...TRAIN, models: ['dress'] })), 'denied', /may not train with 'mnist'/));
  attack("a token for the models '__proto__' and 'constructor'", async () =>
    refusal(train(await issueToken(SECRET, { ...TRAIN, models: ['__proto__', 'constructor'] }), { model: 'toString' }), 'denied', /may not train/));
  attack('a token without the scope', async () => refusal(train(await issueToken(SECRET, { ...TRAIN, scopes: ['explain'] })), 'denied', /may not train/));
  attack('a signed token with a scope that is none', () => refused(forge({ scope: 'train root' }), /no scope 'root'/));
  attack('a signed token with a wildcard for its origin', () => refused(forge({ origin: '*' }), /pattern/));
  attack("a signed token whose 'once' is no boolean", () => refused(forge({ once: 'false' }), /'once'/));
  attack('a token of more than 4 KB', () => refused(forge({ filler: 'x'.repeat(4096) }), /more than 4096 characters/));
  attack('a token of 8 MB of dots', () => refused('.'.repeat(8 << 20), /more than 4096 characters/));
  attack('garbage for a token', async () => {
    let last;
    for (const token of ['', 'x', '..', 'a.b.c', '%00.%00.%00', `${encode([])}.${encode(null)}.x`, `${encode({ alg: 'HS256', crit: ['x'], x: 1 })}.e30.x`]) {
      last = await refused(token, /not accepted/);
    }
    return last;
  });
  attack('a good token whose header asks for an extension', () => refused(forge({}, SECRET, { crit: ['b64'], b64: false }), /not accepted/));

  test('a key that cannot sign, and claims that nobody would accept, are refused when a token is issued', async () => {
    for (const [key, options, message] of [
      [PUBLIC, {}, /private half/],
      [new Uint8Array(16), {}, /32 are needed/],
      [SECRET, { expiresIn: 31 * 86400 }, /expiresIn/],
      [SECRET, { expiresIn: undefined }, /expiresIn/],
      [SECRET, { origin: '*' }, /pattern/],
      [SECRET, { scopes: ['root'] }, /no scope/],
      [SECRET, { id: 'x'.repeat(65) }, /jti/],
      [SECRET, { forever: true }, /no option/],
      [SECRET, { models: Array.from({ length: 500 }, (_, i) => `model ${i}`) }, /fewer models/],
    ]) {
      await refusal(issueToken(key, { ...TRAIN, ...options }), 'value', message);
    }
  });
});

describe('tokens that are spent', () => {
  const once = () => issueToken(SECRET, { ...TRAIN, once: true });
  const use = (access, token, more) => admit(access, { origin: APP, action: 'train', token, ...more });
  const spent = (access, token) => refusal(use(access, token), 'denied', /has had it/, { token: 'invalid' });

  attack('a token for one request, shown twice', async () => {
    const [access, token] = [accessOf(POLICY), await once()];
    await use(access, token);
    return spent(access, token);
  });
  attack('the same, after the worker was restarted', async () => {
    const [store, token] = [memoryStore(), await once()];
    await use(accessOf(POLICY, { store }), token);
    return spent(accessOf(POLICY, { store }), token);
  });
  attack('a token for one request, shown 50 times at once', async () => {
    const [access, token] = [accessOf(POLICY, { store: slowStore() }), await once()];
    const settled = await Promise.allSettled(Array.from({ length: 50 }, () => use(access, token)));
    const refused = settled.filter(({ status }) => status === 'rejected');
    assert.equal(refused.length, 49);
    for (const { reason } of refused) assert.deepEqual([reason.kind, reason.context], ['denied', { token: 'invalid' }]);
    return '1 let in, 49 denied (401)';
  });
  attack('a revoked token', async () => {
    const [access, token] = [accessOf(POLICY), await issueToken(SECRET, { ...TRAIN, id: 'lost' })];
    await use(access, token);
    await access.revoke('lost');
    return spent(access, token);
  });

  test('a request that is refused does not use its token up, nor does a store that fails let it in twice', async () => {
    const token = await once();
    const store = memoryStore();
    const access = accessOf(POLICY, { store });
    await refusal(use(access, token, { action: 'manage' }), 'denied', /may not manage/);
    const broken = accessOf(POLICY, { store: { ...store, set: async () => Promise.reject(new Error('disk full')) } });
    await assert.rejects(use(broken, token), /disk full/);
    await use(access, token);
    await spent(access, token);
  });

  test('what is remembered of a token goes when it has expired', async () => {
    const [store, clock] = [memoryStore(), clockOf()];
    const access = accessOf(POLICY, { store, clock });
    await use(access, await once());
    clock.seconds += 86400;
    await access.revoke('another');
    assert.deepEqual((await store.list('token/')).map(([key]) => key), ['token/another']);
  });
});

function slowStore() {
  const store = memoryStore();
  const later = async (act) => (await new Promise((resolve) => setTimeout(resolve, 5)), act());
  return { get: (key) => later(() => store.get(key)), set: (records) => later(() => store.set(records)), list: (prefix) => later(() => store.list(prefix)) };
}

function seconds() {
  return Math.floor(Date.now() / 1000);
}

function claimsOf(changes) {
  return { aud: 'nearside', iat: seconds(), exp: seconds() + 3600, jti: 'forged', origin: APP, scope: 'train', ...changes };
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A token with whatever claims, signed by hand. */
function forge(changes, key = SECRET, header = {}) {
  const signed = `${encode({ alg: 'HS256', ...header })}.${encode(claimsOf(changes))}`;
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}
