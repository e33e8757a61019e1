// Who may ask a service for what, and how those fare who may not.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as published from '../../pkg/service.js';
import { APP, Buckets, POLICY, PRIVATE, SECRET, SERVICE, STRANGER, TRAIN, accessOf, admit, clockOf, issueToken, requestOf } from './asking.mjs';
import { refusal, tableOfAttacks } from './attacks.mjs';

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

test('over HTTP a refusal has the status and the headers that clients go by', async () => {
  const policy = { grants: { self: ['infer'] }, tokens: { keys: SECRET }, rate: { requests: 4, seconds: 60 } };
  const service = published.createService({ models: {}, policy });
  const ask = async (path, method, authorization) => {
    const headers = authorization === undefined ? {} : { authorization: `Bearer ${authorization}` };
    const { status, headers: answered } = await service.fetch(new Request(`${SERVICE}${path}`, { method, headers }));
    return [status, answered.get('www-authenticate'), answered.get('retry-after')];
  };
  const token = await published.issueToken(SECRET, { scopes: ['manage'], origin: SERVICE, expiresIn: 60 });
  assert.deepEqual(await ask('/v2/audit', 'GET'), [401, 'Bearer', null]);
  assert.deepEqual(await ask('/v2/audit', 'GET', 'x'), [401, 'Bearer error="invalid_token"', null]);
  assert.deepEqual(await ask('/v2/repository/models/none/unload', 'POST', token), [404, null, null]);
  assert.deepEqual(await ask('/v2/health/live', 'GET'), [200, null, null]);
  assert.deepEqual(await ask('/v2/health/live', 'GET'), [429, null, '15']);
});
