// Who may ask a service for what, and how those fare who may not.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { refusal, tableOfAttacks } from './attacks.mjs';

const { Access, Buckets, issueToken, memoryStore } = await bundled();

const SERVICE = 'http://localhost:8080';
const APP = 'https://app.example';
const OTHER = 'https://other.example';
const STRANGER = 'https://stranger.example';
const SECRET = new Uint8Array(randomBytes(32));
const ED25519 = generateKeyPairSync('ed25519');
const PRIVATE = ED25519.privateKey.export({ format: 'jwk' });
const PUBLIC = ED25519.publicKey.export({ format: 'jwk' });
const POLICY = { grants: { self: ['infer', 'explain'], [APP]: ['infer'], [OTHER]: [] }, tokens: { keys: SECRET } };
const TRAIN = { scopes: ['train'], origin: APP, expiresIn: 3600 };

const attack = tableOfAttacks('attack on a service');

describe('origins', () => {
  test('without a policy the own origin may infer and explain, and nobody else anything', async () => {
    const access = accessOf(undefined);
    assert.equal((await admit(access, {})).caller, 'self');
    assert.equal((await admit(access, { origin: SERVICE, action: 'explain' })).caller, 'self');
    for (const action of ['train', 'manage']) await refusal(admit(access, { action }), 'denied', /self may not/);
    await refusal(admit(access, { origin: APP }), 'denied', /nothing is granted/);
  });

  test('a listed origin may do what is listed, and its caller says who it is', async () => {
    const { permits, ...admission } = await admit(accessOf(POLICY), { origin: APP, caller: { client: 'tab 1' } });
    assert.deepEqual(admission, { caller: `${APP} tab 1`, origin: APP });
    assert.deepEqual([permits('infer', 'any'), permits('train', 'any')], [true, false]);
  });

  test('what the host says of the origin counts more than a header', async () => {
    await refusal(admit(accessOf(POLICY), { origin: APP, caller: { origin: STRANGER } }), 'denied', /stranger/);
    assert.equal((await admit(accessOf(POLICY), { caller: { origin: APP } })).origin, APP);
  });

  test('a grant may be for some models, and then for nothing that concerns all', async () => {
    const access = accessOf({ grants: { [APP]: { scopes: ['infer', 'manage'], models: ['mnist', '__proto__'] } } });
    const { permits } = await admit(access, { origin: APP, model: undefined });
    assert.deepEqual(['mnist', '__proto__', 'constructor', 'dress'].map((model) => permits('infer', model)), [true, true, false, false]);
    assert.deepEqual([permits('manage', 'mnist'), permits('manage')], [true, false]);
  });

  attack('a page of an origin that is not listed', () => refusal(admit(accessOf(POLICY), { origin: STRANGER }), 'denied', /nothing is granted/));
  attack('a listed origin by another scheme, port, case or subdomain', async () => {
    let last;
    for (const origin of ['http://app.example', `${APP}:8443`, 'https://APP.example', 'https://sub.app.example', `${APP}.evil.example`, `${APP}, ${STRANGER}`]) {
      last = await refusal(admit(accessOf(POLICY), { origin }), 'denied', /nothing is granted/);
    }
    return last;
  });
  attack('a sandboxed frame or local file, origin null', () => refusal(admit(accessOf(POLICY), { origin: 'null' }), 'denied', /no origin of its own/));
  attack('the same, of a service whose own address has no origin', () =>
    refusal(admit(accessOf(POLICY), { origin: 'null', url: 'file:///v2' }), 'denied', /no origin of its own/));
  attack("a header 'Origin: self'", () => refusal(admit(accessOf(POLICY), { origin: 'self', action: 'explain' }), 'denied', /nothing is granted/));
  attack('an image or script of another site: GET without Origin', () =>
    refusal(admit(accessOf(POLICY), { headers: { 'sec-fetch-site': 'cross-site' } }), 'denied', /another origin/));
  attack('the same from another subdomain', () =>
    refusal(admit(accessOf(POLICY), { headers: { 'sec-fetch-site': 'same-site' } }), 'denied', /another origin/));
  attack("another site's form, posted into a service worker", () => {
    const request = new Request(`${SERVICE}/v2/repository/models/mnist/unload`, { method: 'POST' });
    // Only a browser can make such a request.
    Object.defineProperty(request, 'mode', { value: 'navigate' });
    return refusal(accessOf(POLICY).admit(request, {}, 'infer', 'mnist'), 'denied', /form/);
  });
  attack("DNS rebinding: the service's address under a stranger's name", () =>
    refusal(admit(accessOf({ hosts: ['localhost', '127.0.0.1:8080'] }), { url: 'http://rebound.example:8080/v2' }), 'denied', /does not answer to/));
  attack("the service's name with a dot behind it", () =>
    refusal(admit(accessOf({ hosts: ['localhost'] }), { url: 'http://localhost.:8080/v2' }), 'denied', /does not answer to/));
  attack('an act that is not granted', () => refusal(admit(accessOf({ grants: { self: ['infer'] } }), { action: 'manage' }), 'denied', /may not manage/));
  attack('a model that is not granted', () =>
    refusal(admit(accessOf({ grants: { self: { scopes: ['infer'], models: ['mnist'] } } }), { model: 'payroll' }), 'denied', /may not infer with 'payroll'/));

  test('a service answers to the hosts that are listed, with any port or one', async () => {
    const access = accessOf({ hosts: ['localhost', '127.0.0.1:8080', '[::1]'] });
    for (const host of ['localhost:1', 'localhost', '127.0.0.1:8080', '[::1]:9']) await admit(access, { url: `http://${host}/v2` });
    await refusal(admit(access, { url: 'http://127.0.0.1:8081/v2' }), 'denied', /does not answer/);
  });
});

describe('CORS', () => {
  const preflight = (origin, policy = POLICY, url = SERVICE) =>
    accessOf(policy).preflight(new Request(`${url}/v2/models/mnist/infer`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } }), {});

  test('a listed origin may ask and read, by its exact name', () => {
    const { status, headers } = preflight(APP);
    assert.equal(status, 204);
    assert.equal(headers.get('access-control-allow-origin'), APP);
    assert.match(headers.get('access-control-allow-headers'), /authorization/);
    assert.match(headers.get('vary'), /Origin/);
    assert.equal(headers.get('access-control-allow-credentials'), null);
    assert.equal(accessOf(POLICY).corsHeaders(requestOf({ origin: APP }), {})['access-control-allow-origin'], APP);
  });

  test('requests that are no preflight are left to the service', () => {
    assert.equal(accessOf(POLICY).preflight(requestOf({ origin: APP }), {}), undefined);
    assert.equal(accessOf(POLICY).preflight(new Request(SERVICE, { method: 'OPTIONS' }), {}), undefined);
  });

  attack('a preflight from an origin that is not listed', () => {
    const answers = [preflight(STRANGER), preflight('null'), preflight(APP, { ...POLICY, hosts: ['models.example'] })];
    for (const { status, headers } of answers) assert.deepEqual([status, headers.get('access-control-allow-origin')], [403, null]);
    assert.deepEqual(accessOf(POLICY).corsHeaders(requestOf({ origin: STRANGER }), {}), { vary: 'Origin' });
    return '403, without Access-Control-Allow-Origin';
  });
});

describe('policies', () => {
  const policies = [
    ['a wildcard for origins', { grants: { '*': ['infer'] } }, /pattern/],
    ['a wildcard for subdomains', { grants: { 'https://*.example': ['infer'] } }, /pattern/],
    ['a wildcard for models', { grants: { self: { scopes: ['infer'], models: ['*'] } } }, /pattern/],
    ['a wildcard for hosts', { hosts: ['*.example'] }, /no host/],
    ["a grant for 'null'", { grants: { null: ['infer'] } }, /cannot be listed/],
    ['an address for an origin', { grants: { 'https://app.example/': ['infer'] } }, /'https:\/\/app.example' is/],
    ['a default port', { grants: { 'https://app.example:443': ['infer'] } }, /'https:\/\/app.example' is/],
    ['no scheme', { grants: { 'app.example': ['infer'] } }, /no origin/],
    ['another scheme', { grants: { 'file:///': ['infer'] } }, /no origin/],
    ["the name '__proto__', from JSON", JSON.parse('{ "grants": { "__proto__": ["manage"] } }'), /no origin/],
    ["the name 'constructor'", { grants: { constructor: ['manage'] } }, /no origin/],
    ['a scope that is none', { grants: { self: ['everything'] } }, /no scope 'everything'/],
    ['a misspelt field', { grant: { self: [] } }, /no option 'grant'/],
    ['a misspelt field of a grant', { grants: { self: { scopes: [], model: ['mnist'] } } }, /no option 'model'/],
    ['scopes that are no list', { grants: { self: 'infer' } }, /no object|list/],
    ['a secret of 31 bytes', { tokens: { keys: new Uint8Array(31) } }, /32 are needed/],
    ['the private half of a key', { tokens: { keys: PRIVATE } }, /public half/],
    ['no key', { tokens: { keys: [] } }, /empty/],
    ['a rate of nothing', { rate: { requests: 0, seconds: 1 } }, /above 0/],
    ['a rate that is no number', { rate: { requests: NaN, seconds: 1 } }, /above 0/],
    ['a size of body that is none', { maxBody: -1 }, /above 0/],
  ];
  for (const [name, policy, message] of policies) {
    attack(`a policy with ${name}`, () => refusal((async () => accessOf(policy))(), 'value', message));
  }

  test('a policy is what it was when it was given, and nothing it inherits', async () => {
    const policy = { grants: { [APP]: ['infer'] }, __proto__: { tokens: { keys: SECRET } } };
    const access = accessOf(policy);
    policy.grants[STRANGER] = ['manage'];
    policy.grants[APP].push('manage');
    await refusal(admit(access, { origin: STRANGER }), 'denied', /nothing/);
    await refusal(admit(access, { origin: APP, action: 'manage' }), 'denied', /may not manage/);
    await refusal(admit(access, { origin: APP, token: await issueToken(SECRET, TRAIN) }), 'denied', /takes no tokens/);
  });

  test("asking by the names of an object's own methods grants nothing", async () => {
    for (const origin of ['__proto__', 'constructor', 'toString']) await refusal(admit(accessOf(POLICY), { origin }), 'denied', /nothing/);
  });
});

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

describe('rates', () => {
  const policy = { grants: { self: ['infer'], [APP]: { scopes: ['infer'], rate: { requests: 1, seconds: 60 } } }, rate: { requests: 10, seconds: 10, burst: 3 } };

  attack('more requests than the rate allows', async () => {
    const clock = clockOf();
    const access = accessOf(policy, { clock });
    for (let i = 0; i < 3; i++) await admit(access, {});
    const outcome = await refusal(admit(access, {}), 'busy', /too fast/, { retryAfter: 1 });
    // Others are not concerned, and in time neither is this one.
    await admit(access, { caller: { client: 'another' } });
    clock.seconds += 1;
    await admit(access, {});
    await refusal(admit(access, {}), 'busy', /too fast/, { retryAfter: 1 });
    clock.seconds += 3600;
    for (let i = 0; i < 3; i++) await admit(access, {});
    await refusal(admit(access, {}), 'busy', /too fast/, { retryAfter: 1 });
    return `${outcome}; let in again after it`;
  });

  attack('more than its own rate allows, of an origin that has one', async () => {
    const access = accessOf(policy);
    await admit(access, { origin: APP });
    return refusal(admit(access, { origin: APP }), 'busy', /in 60 s/, { retryAfter: 60 });
  });

  attack('guessing at tokens faster than the rate', async () => {
    const access = accessOf({ ...policy, tokens: { keys: SECRET } });
    for (let i = 0; i < 3; i++) await refusal(admit(access, { token: 'guess' }), 'denied', /not accepted/, { token: 'invalid' });
    return refusal(admit(access, { token: 'guess' }), 'busy', /too fast/, { retryAfter: 1 });
  });

  attack('one token shown by many clients', async () => {
    const access = accessOf({ ...policy, tokens: { keys: SECRET } });
    const token = await issueToken(SECRET, { scopes: [], origin: SERVICE, expiresIn: 60 });
    for (let i = 0; i < 3; i++) await admit(access, { token, caller: { client: `${i}` } });
    return refusal(admit(access, { token, caller: { client: '3' } }), 'busy', /too fast/, { retryAfter: 1 });
  });

  attack('100,000 names of clients that are made up', async () => {
    const access = accessOf(policy);
    const request = requestOf({});
    for (let i = 0; i < 100_000; i++) await access.admit(request, { client: `${i}` }, 'infer', 'mnist');
    await admit(access, { caller: { client: 'honest' } });
    assert.equal(access.remembered, 4096);
    return '4,096 are remembered, and others are let in';
  });

  attack('made-up names of a megabyte', async () => {
    const access = accessOf(policy);
    const client = 'x'.repeat(1 << 20);
    for (let i = 0; i < 3; i++) await admit(access, { caller: { client: client + i } });
    const outcome = await refusal(admit(access, { caller: { client } }), 'busy', /too fast/, { retryAfter: 1 });
    await admit(access, { caller: { client: 'honest' } });
    assert.equal(access.remembered, 2);
    return `${outcome}; none is remembered, and others are let in`;
  });

  test('a bucket gives what it should over any time, and never more than the burst at once', () => {
    const buckets = new Buckets();
    let [given, now] = [0, 0];
    for (let step = 0; step < 10_000; step++, now += 0.013) given += buckets.take('caller', { requests: 7, seconds: 2, burst: 5 }, now) === 0 ? 1 : 0;
    const due = 5 + (now * 7) / 2;
    assert.ok(given <= due && given > due - 2, `${given} of ${due}`);
    now += 1e6;
    let burst = 0;
    while (buckets.take('caller', { requests: 7, seconds: 2, burst: 5 }, now) === 0) burst++;
    assert.equal(burst, 5);
  });
});

/** The sources that are tested, as one module. */
async function bundled() {
  const folder = mkdtempSync(join(tmpdir(), 'nearside-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const outfile = join(folder, 'access.mjs');
  const parts = ['access', 'rate', 'store', 'tokens'].map((name) => `export * from './www/package/service/${name}.ts';`);
  await build({ stdin: { contents: parts.join('\n'), resolveDir: '.' }, bundle: true, format: 'esm', outfile });
  return import(pathToFileURL(outfile).href);
}

function accessOf(policy, { store = memoryStore(), clock = clockOf() } = {}) {
  return new Access(policy, store, clock);
}

/** A clock that stands until it is moved. */
function clockOf() {
  const start = Date.now();
  const clock = { seconds: 0, date: () => start + 1000 * clock.seconds, monotonic: () => 1000 * clock.seconds };
  return clock;
}

function requestOf({ origin, token, headers, url = `${SERVICE}/v2/models/mnist` }) {
  return new Request(url, { headers: { ...(origin !== undefined && { origin }), ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers } });
}

function admit(access, { caller = {}, action = 'infer', model = 'mnist', ...request }) {
  return access.admit(requestOf(request), caller, action, model);
}

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
