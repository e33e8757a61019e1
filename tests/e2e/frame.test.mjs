// A service in a frame, and pages of other origins that may use it or may not.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { launch } from '../../pkg-scripts/browser.mjs';
import { serve } from '../../pkg-scripts/serve.mjs';
import { bundleSources, outcomeOf, tableOfAttacks } from './attacks.mjs';

const MAX_BODY = 1 << 20;
const MAX_IN_FLIGHT = 4;

const sources = await bundleSources('access', 'store', 'tokens');
const { issueToken } = await import(sources.module);
const secret = new Uint8Array(randomBytes(32));

const attack = tableOfAttacks('attack on a frame');

describe('a service in a frame', () => {
  // Two servers, each under two names, give four origins.
  let servers, browser, page, SERVICE, LISTED, STRANGER;

  before(async () => {
    browser = await launch();
    servers = [await serve(['pkg', sources.folder]), await serve(['pkg'])];
    const [service, other] = servers.map(({ url }) => new URL(url).port);
    [SERVICE, LISTED, STRANGER] = [`http://localhost:${service}`, `http://127.0.0.1:${other}`, `http://localhost:${other}`];
    page = await open(LISTED);
  });
  after(async () => {
    await browser?.close();
    await Promise.all(servers?.map((server) => server.stop()) ?? []);
  });

  /** A page that has the package's functions, and a frame with the service; or with another page. */
  async function open(origin, framed = `${SERVICE}/service.html`) {
    const page = await browser.newPage();
    page.faults = [];
    page.on('pageerror', (error) => page.faults.push(String(error)));
    await page.route('**/*.html', (route) => {
      const name = new URL(route.request().url()).pathname.slice(1, -5);
      return route.fulfill({ contentType: 'text/html', body: PAGES[name]({ SERVICE, LISTED, framed, secret: [...secret] }) });
    });
    await page.goto(`${origin}/embedding.html`);
    await page.locator('[data-state=ready]').waitFor({ state: 'attached' });
    return page;
  }

  /** What a call of `connectService` or of the service throws. */
  const thrown = (act, argument, on = page) => on.evaluate(`(async () => caught(() => (${act})(${JSON.stringify(argument)})))()`);
  const refusal = async (act, argument, kind, message, context) => outcomeOf(await thrown(act, argument), kind, message, context);
  /** What comes back over a port that these messages are sent over, without the package. */
  const say = (messages, on = page) => on.evaluate((messages) => say(messages), messages);
  const service = (on = page) => on.frames().find((frame) => frame.url().endsWith('/service.html'));

  test('requests go in and answers come out, with the origin that the browser vouches for', async () => {
    const answers = await page.evaluate(async () => {
      const service = await connect({ token: 'TOKEN' });
      const post = { method: 'POST', headers: { 'Inference-Header-Content-Length': '2' }, body: new Uint8Array([1, 2, 3]) };
      const responses = [await service.fetch('/v2/models/my%20model'), await service.fetch('/v2/x?y=%3D', post), await service.fetch('/v2', { method: 'POST', body: '{}' })];
      const answers = await Promise.all(responses.map((response) => response.json()));
      service.close();
      return answers;
    });
    const client = answers[0].caller.client;
    assert.match(client, /^[\w-]{36}$/);
    const common = { caller: { origin: LISTED, client } };
    const authorization = 'Bearer TOKEN';
    assert.deepEqual(answers, [
      { ...common, method: 'GET', url: `${SERVICE}/v2/models/my%20model`, headers: { authorization }, body: [] },
      { ...common, method: 'POST', url: `${SERVICE}/v2/x?y=%3D`, headers: { authorization, 'inference-header-content-length': '2' }, body: [1, 2, 3] },
      { ...common, method: 'POST', url: `${SERVICE}/v2`, headers: { authorization, 'content-type': 'text/plain;charset=UTF-8' }, body: [123, 125] },
    ]);
  });

  test('statuses and headers come out as they are, and what the service throws is thrown', async () => {
    const found = await page.evaluate(async () => {
      const service = await connect();
      const { status, headers } = await service.fetch('/v2/empty');
      return [status, headers.get('retry-after'), await caught(() => service.fetch('/v2/throw')), await caught(() => service.fetch('/v2/fail'))];
    });
    assert.deepEqual(found.slice(0, 2), [204, '7']);
    outcomeOf(found[2], 'busy', /thrown/, { retryAfter: 3 });
    outcomeOf(found[3], 'internal', /^the service failed$/);
  });

  test('a service that is late is waited for', async () => {
    const late = await open(LISTED, `${SERVICE}/late.html`);
    assert.equal(await late.evaluate(async () => (await (await connect()).fetch('/v2/empty')).status), 204);
    assert.deepEqual(late.faults, []);
    await late.close();
  });

  test('an aborted request is aborted in the service, too', async () => {
    const error = await thrown(async () => {
      const service = await connect();
      await service.fetch('/v2/wait', { signal: AbortSignal.timeout(50) });
    });
    outcomeOf(error, 'aborted', /aborted/);
    await service().waitForFunction(() => globalThis.aborted === 1);
  });

  test('a connection that is closed rejects what is pending and what comes, and the service stops', async () => {
    const errors = await page.evaluate(async () => {
      const service = await connect();
      const pending = caught(() => service.fetch('/v2/wait'));
      await new Promise((resolve) => setTimeout(resolve, 50));
      service.close();
      return [await pending, await caught(() => service.fetch('/v2/empty'))];
    });
    for (const error of errors) outcomeOf(error, 'aborted', /connection to the service was closed/);
    await service().waitForFunction(() => globalThis.aborted === 2);
  });

  test('a service that ends rejects what is pending', async () => {
    const other = await open(LISTED);
    const pending = thrown(async () => (await connect()).fetch('/v2/wait'), undefined, other);
    await service(other).waitForFunction(() => globalThis.waiting === 1);
    await service(other).evaluate(() => exposed.close());
    outcomeOf(await pending, 'aborted', /closed/);
    outcomeOf(await thrown(async () => connect({ timeout: 300 }), undefined, other), 'timeout', /no service answered/);
    await other.close();
  });

  test('connecting can be given up', async () => {
    outcomeOf(await thrown(async () => connect({ signal: AbortSignal.abort() })), 'aborted', /aborted/);
    outcomeOf(await thrown(async (origin) => connect({ origin, signal: AbortSignal.timeout(50) }), STRANGER), 'aborted', /aborted/);
  });

  test('a token is good in the frame as everywhere: from its own origin', async () => {
    const good = await issueToken(secret, { scopes: ['train'], origin: LISTED, expiresIn: 60 });
    const admit = async (token) => (await (await connect({ token })).fetch('/v2/admit')).json();
    assert.equal((await page.evaluate(`(${admit})(${JSON.stringify(good)})`)).origin, LISTED);
  });

  attack('a token of another origin, shown through the frame', async () => {
    const stolen = await issueToken(secret, { scopes: ['train'], origin: STRANGER, expiresIn: 60 });
    return refusal(async (token) => (await connect({ token })).fetch('/v2/admit'), stolen, 'denied', /good for/, { token: 'invalid' });
  });

  attack('a page whose origin is not listed embeds the service', async () => {
    const stranger = await open(STRANGER);
    const outcome = outcomeOf(await thrown(async () => connect(), undefined, stranger), 'denied', /does not take connections/);
    assert.deepEqual(await say([{ id: 0, method: 'GET', path: '/v2/empty', headers: [] }], stranger), [{ nearside: 'refused' }]);
    await stranger.close();
    return outcome;
  });
  attack('the same, with a listed origin in its message', async () => {
    const stranger = await open(STRANGER);
    const connect = { nearside: 'connect', origin: LISTED, caller: { origin: LISTED } };
    const replies = await stranger.evaluate(([connect, messages]) => say(messages, connect), [connect, [{ id: 0, method: 'GET', path: '/v2/empty', headers: [] }]]);
    assert.deepEqual(replies, [{ nearside: 'refused' }]);
    await stranger.close();
    return 'refused; what is sent over the port has no answer';
  });
  attack('a sandboxed frame in a page that is listed, origin null', async () => {
    assert.deepEqual(await page.evaluate(() => sayFromSandbox()), { nearside: 'refused' });
    return 'refused';
  });
  attack("a stranger's page in the frame, instead of the service", async () => {
    const other = await open(LISTED, `${STRANGER}/thief.html`);
    const error = await thrown(async () => connect({ token: 'SECRET', timeout: 500 }), undefined, other);
    assert.deepEqual(await other.frames()[1].evaluate(() => globalThis.stolen), []);
    await other.close();
    return `${outcomeOf(error, 'timeout', /no service answered/).replace(SERVICE, 'the origin')}; that page is sent nothing`;
  });
  attack("a stranger's page takes the service's place in the frame, later", async () => {
    const other = await open(LISTED);
    const pending = thrown(async () => {
      globalThis.connection = await connect({ token: 'SECRET' });
      await connection.fetch('/v2/wait');
    }, undefined, other);
    await service(other).waitForFunction(() => globalThis.waiting === 1);
    await other.evaluate((url) => (frame.src = url), `${STRANGER}/thief.html`);
    const outcome = outcomeOf(await pending, 'aborted', /./);
    outcomeOf(await thrown(async () => connection.fetch('/v2/empty'), undefined, other), 'aborted', /./);
    assert.deepEqual(await other.frames()[1].evaluate(() => globalThis.stolen), []);
    await other.close();
    return `${outcome}; that page is sent nothing`;
  });
  attack('a port that is handed on to another page', async () => {
    const [, reply] = await say([{ id: 0, method: 'GET', path: '/v2/who', headers: [], caller: { origin: SERVICE }, origin: STRANGER }]);
    assert.equal(JSON.parse(reply.body).caller.origin, LISTED);
    return 'its requests count for the origin that connected, whatever they say';
  });

  attack('a request that is sent again', async () => {
    const request = { id: 5, method: 'GET', path: '/v2/empty', headers: [] };
    const [, first, again, lower] = await say([request, request, { ...request, id: 4 }]);
    assert.equal(first.status, 204);
    outcomeOf({ name: 'NearsideError', ...lower.error }, 'denied', /request 4 has been made before/);
    return outcomeOf({ name: 'NearsideError', ...again.error }, 'denied', /request 5 has been made before/);
  });
  attack('messages that are none', async () => {
    const request = { method: 'GET', path: '/v2/empty', headers: [] };
    const nonsense = [null, 'text', 42, [], {}, { id: '0', ...request }, { id: 0.5, ...request }, { id: NaN, ...request }, { id: 2 ** 53, ...request }, { id: 9, abort: true }, { id: -1, ...request }];
    const replies = await say([...nonsense, { id: 0, ...request }]);
    assert.deepEqual(replies.map(({ id, status }) => [id, status]), [[undefined, undefined], [-1, undefined], [0, 204]]);
    return 'ignored; the next request is answered';
  });
  attack('requests with fields of other types', async () => {
    const request = { method: 'GET', path: '/v2/empty', headers: [] };
    const odd = [{ method: 7 }, { method: {} }, { path: null }, { path: ['/v2'] }, { headers: {} }, { headers: [['a']] }, { headers: [['content-type', 1]] }, { body: 'text' }, { method: 'POST', body: [1] }];
    const [, ...replies] = await say(odd.map((fields, id) => ({ id, ...request, ...fields })));
    assert.deepEqual(replies.map(({ error }) => error?.kind), odd.map(() => 'value'));
    return outcomeOf({ name: 'NearsideError', ...replies[0].error }, 'value', /method/);
  });
  attack('paths that lead elsewhere', async () => {
    const [, ...replies] = await say(TRICKS.map((path, id) => ({ id, method: 'GET', path, headers: [] })));
    assert.deepEqual(replies.map(({ error }, i) => error ?? TRICKS[i]).filter(({ kind }) => kind !== 'value'), []);
    // The page's own side refuses them before they are sent.
    for (const path of TRICKS) outcomeOf(await thrown(async (path) => (await connected).fetch(path), path), 'value', /path/);
    return `${TRICKS.length} of ${TRICKS.length}: ${outcomeOf({ name: 'NearsideError', ...replies[0].error }, 'value', /path/)}`;
  });
  attack('methods other than GET and POST', async () => {
    const methods = ['DELETE', 'PUT', 'OPTIONS', 'CONNECT', 'TRACE', 'get', ''];
    const [, ...replies] = await say(methods.map((method, id) => ({ id, method, path: '/v2', headers: [] })));
    assert.deepEqual(replies.map(({ error }) => error?.kind), methods.map(() => 'value'));
    return outcomeOf({ name: 'NearsideError', ...replies[0].error }, 'value', /method/);
  });
  attack('headers that would pass for others', async () => {
    const headers = [['origin', SERVICE], ['cookie', 'a=b'], ['host', 'x'], ['sec-fetch-site', 'same-origin'], ['x-forwarded-for', '::1'], ['__proto__', 'x'], ['content-type', 'a\r\norigin: b'], ['authorization', '\u{1f4a5}']];
    const [, ...replies] = await say(headers.map((header, id) => ({ id, method: 'GET', path: '/v2', headers: [header] })));
    assert.deepEqual(replies.map(({ error }) => error?.kind), headers.map(() => 'value'));
    return outcomeOf({ name: 'NearsideError', ...replies[0].error }, 'value', /header/);
  });
  attack('a body beyond the limit', async () =>
    refusal(async (length) => (await connect()).fetch('/v2', { method: 'POST', body: new Uint8Array(length) }), MAX_BODY + 1, 'value', /1048577 bytes; 1048576 are allowed/));
  attack('more requests at once than are taken', async () => {
    const waiting = Array.from({ length: MAX_IN_FLIGHT }, (_, id) => ({ id, method: 'GET', path: '/v2/wait', headers: [] }));
    // Sending one again must not make room for another.
    const [, again, more] = await say([...waiting, waiting[0], { ...waiting[0], id: 10 }]);
    assert.equal(again.error.kind, 'denied');
    return outcomeOf({ name: 'NearsideError', ...more.error }, 'busy', /4 requests are waiting/);
  });
  attack("a list of origins with '*', 'null' or an address", async () => {
    for (const origin of ['null', '', 'https://app.example/', 'app.example']) {
      outcomeOf(await thrown(async (origin) => exposeService(fetch, { origins: [origin] }), origin), 'value', /origin/);
    }
    return refusal(async () => exposeService(fetch, { origins: ['*'] }), null, 'value', /pattern/);
  });
  attack("connecting to '*'", () => refusal(async () => connect({ origin: '*' }), null, 'value', /pattern/));

  test('nothing was thrown that nobody could catch', () => assert.deepEqual(page.faults, []));
});

const TRICKS = [
  '/v2/../secret', '/v2/..', '/v2/./models', '/v2/%2e%2e/secret', '/v2/%2E%2e/secret', '/v2/.%2e/secret', '/v2/..%2fsecret', '/v2/%252e%252e/secret',
  '/v2/models/%2fetc', '/v2\\..\\secret', '/v2/%5c..', '/v2/\t../secret', '/v\n2/models', '/v2/%00', '/v2/%0d%0aset-cookie:a', '/v2/%c0%ae%c0%ae/', '/v2/%',
  '/v2#/../secret', '/v2x', '/v22', '/V2/models', 'v2/models', '', '/', '//evil.example/v2', '///v2', '/\\evil.example/v2', 'https://evil.example/v2', 'javascript:alert(1)//v2',
  'http:/v2', '/v2/@evil.example/\\..', '/v2/ü', '/v2/a b', ' /v2', `/v2/${'x'.repeat(2048)}`,
];

/** The pages, by the name of their file. */
const PAGES = {
  service: ({ LISTED, secret }, delay = 0) => `<!doctype html><script type="module">
    import { exposeService, NearsideError } from '/client.js';
    import { Access, memoryStore } from '/source.mjs';
    globalThis.waiting = globalThis.aborted = 0;
    const access = new Access({ grants: { '${LISTED}': [] }, tokens: { keys: new Uint8Array(${JSON.stringify(secret)}) } }, memoryStore());
    // The sources have a class of errors of their own.
    const ours = ({ kind, message, context }) => Promise.reject(new NearsideError(kind, message, context));
    const admit = (request, caller) => access.admit(request, caller, 'train', 'mnist').catch(ours);
    async function answer(request, caller) {
      const { pathname } = new URL(request.url);
      if (pathname === '/v2/empty') return new Response(null, { status: 204, headers: { 'retry-after': '7' } });
      if (pathname === '/v2/throw') throw new NearsideError('busy', 'thrown', { retryAfter: 3 });
      if (pathname === '/v2/fail') throw new Error('a secret of the service');
      if (pathname === '/v2/admit') return Response.json({ origin: (await admit(request, caller)).origin });
      if (pathname === '/v2/wait') {
        waiting++;
        await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
        aborted++;
        return new Response();
      }
      const body = [...new Uint8Array(await request.arrayBuffer())];
      return Response.json({ method: request.method, url: request.url, headers: Object.fromEntries(request.headers), body, caller });
    }
    await new Promise((resolve) => setTimeout(resolve, ${delay}));
    globalThis.exposed = exposeService(answer, { origins: ['${LISTED}'], maxBody: ${MAX_BODY}, maxInFlight: ${MAX_IN_FLIGHT} });
  </script>`,
  late: (context) => PAGES.service(context, 400),
  thief: () => `<!doctype html><script>
    globalThis.stolen = [];
    addEventListener('message', ({ data }) => stolen.push(data));
  </script>`,
  embedding: ({ SERVICE, framed }) => `<!doctype html><link rel="icon" href="data:,"><body><script type="module">
    import * as client from '/client.js';
    globalThis.exposeService = client.exposeService;
    globalThis.frame = document.createElement('iframe');
    frame.src = '${framed}';
    document.body.append(frame);
    // Before the frame is loaded.
    globalThis.connect = (options) => client.connectService(frame, { origin: '${SERVICE}', ...options });
    globalThis.connected = connect({ timeout: 60_000 });
    connected.catch(() => {});
    globalThis.caught = (act) => act().then(() => null, ({ name, kind, message, context }) => ({ name, kind, message, context }));
    /** The replies to messages, until none has come for a while. */
    globalThis.say = async (messages, connect = { nearside: 'connect' }) => {
      await connected.catch(() => {});
      const { port1, port2 } = new MessageChannel();
      const replies = [];
      let last = performance.now();
      port1.onmessage = ({ data }) => {
        replies.push(data.body ? { ...data, body: new TextDecoder().decode(data.body) } : data);
        last = performance.now();
      };
      frame.contentWindow.postMessage(connect, '${SERVICE}', [port2]);
      for (const message of messages) port1.postMessage(message);
      while (performance.now() - last < 200) await new Promise((resolve) => setTimeout(resolve, 20));
      port1.close();
      return replies;
    };
    /** What a sandboxed frame beside the service's is answered. */
    globalThis.sayFromSandbox = () => new Promise((resolve) => {
      addEventListener('message', ({ data }) => resolve(data), { once: true });
      const sandbox = document.createElement('iframe');
      sandbox.sandbox = 'allow-scripts';
      sandbox.srcdoc = \`<script>
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => parent.postMessage(data, '*');
        parent.frames[0].postMessage({ nearside: 'connect' }, '*', [port2]);
      <\\/script>\`;
      document.body.append(sandbox);
    });
    document.body.dataset.state = 'ready';
  </script>`,
};
