// The stores keep to one contract, and what a killed process has written is there; the audit log in each of them.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bundleSource, importSource, writePage } from './from-source.mjs';
import { inBrowser } from './support.mjs';

const SOURCES = ['errors', 'service/audit', 'service/audit-file', 'service/store'];
const inNode = [...SOURCES, 'service/file-store', 'service/json'];
const { AuditLog, NearsideError, canonicalJson, fileStore, memoryStore, verifyAudit } = await importSource(...inNode);

const folder = mkdtempSync(join(tmpdir(), 'nearside-store-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const path = () => join(folder, `${files++}.jsonl`);

/** What a new store answers, step by step. It runs in pages, too. */
async function exercise(store) {
  const said = [];
  const say = async () => said.push(await store.list(''));
  said.push(await store.get('a'), await store.list(''));
  await store.set([['b/2', { n: 1 }], ['a', 'text'], ['b/10', [1, null, 'ü\n"']], ['c', null], ['b', 0]]);
  said.push(await store.get('b/2'), await store.get('a'), await store.get('b/10'), await store.get('c'), await store.get('b'), (await store.get('d')) === undefined);
  said.push(await store.list('b/'), await store.list('b'), await store.list('x'));
  await say();
  await store.set([['b/2', undefined], ['a', 'other'], ['missing', undefined]]);
  await say();
  await store.set([]);
  // The last one of a key counts.
  await store.set([['a', 1], ['a', undefined], ['a', 2]]);
  await say();
  // All or none.
  said.push(await store.set([['z', 1], ['a', () => 0], ['y', 1]]).then(() => 'written', () => 'refused'));
  await say();
  // What is given and what is got are not what is stored.
  const value = { list: [1] };
  const writing = store.set([['v', value]]);
  value.list.push(2);
  await writing;
  (await store.get('v')).list.push(3);
  said.push(await store.get('v'));
  // In the order of the calls.
  await Promise.all(Array.from({ length: 50 }, (_, i) => store.set([['count', i]])));
  said.push(await store.get('count'));
  return said;
}

// undefined does not leave a page as such.
const SAID = [
  null, [], { n: 1 }, 'text', [1, null, 'ü\n"'], null, 0, true,
  [['b/10', [1, null, 'ü\n"']], ['b/2', { n: 1 }]], [['b', 0], ['b/10', [1, null, 'ü\n"']], ['b/2', { n: 1 }]], [],
  [['a', 'text'], ['b', 0], ['b/10', [1, null, 'ü\n"']], ['b/2', { n: 1 }], ['c', null]],
  [['a', 'other'], ['b', 0], ['b/10', [1, null, 'ü\n"']], ['c', null]],
  [['a', 2], ['b', 0], ['b/10', [1, null, 'ü\n"']], ['c', null]],
  'refused', [['a', 2], ['b', 0], ['b/10', [1, null, 'ü\n"']], ['c', null]],
  { list: [1] }, 49,
];
const plain = (said) => JSON.parse(JSON.stringify(said));

const event = (i = 0) => ({ caller: { origin: 'https://page.example' }, action: 'infer', model: 'mnist', samples: i, outcome: 'ok', status: 200 });

test('the memory keeps to the contract', async () => assert.deepEqual(plain(await exercise(memoryStore())), SAID));

describe('a file', () => {
  test('keeps to the contract, and holds the same when it is opened again', async () => {
    const file = path();
    assert.deepEqual(plain(await exercise(fileStore(file))), SAID);
    assert.deepEqual(await fileStore(file).list('b'), [['b', 0], ['b/10', [1, null, 'ü\n"']]]);
    assert.equal(await fileStore(file).get('count'), 49);
    if (process.platform !== 'win32') assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test('that was cut off within a line holds what was written before, wherever that was', async () => {
    const file = path();
    const store = fileStore(file);
    for (let i = 0; i < 5; i++) await store.set([['a', i], [`b${i}`, 'ü']]);
    const bytes = readFileSync(file);
    for (let length = bytes.length; length >= 0; length--) {
      writeFileSync(file, bytes.subarray(0, length));
      const lines = bytes.subarray(0, length).filter((byte) => byte === 10).length;
      const again = fileStore(file);
      assert.equal(await again.get('a'), lines ? lines - 1 : undefined, `${length} bytes`);
      assert.equal((await again.list('b')).length, lines);
      await again.set([['c', length]]);
      assert.deepEqual([await fileStore(file).get('a'), await fileStore(file).get('c')], [lines ? lines - 1 : undefined, length]);
    }
  });

  test('that is damaged is an error with the place', async () => {
    const file = path();
    await fileStore(file).set([['a', 1]]);
    const { size } = statSync(file);
    for (const line of ['{', '{}', '[[]]', '[[1,2]]', '[["a",1,2]]', '7', '']) {
      appendFileSync(file, `${line}\n[["a",2]]\n`);
      const error = await fileStore(file).get('a').catch((thrown) => thrown);
      assert.ok(error instanceof NearsideError, line);
      assert.deepEqual([error.kind, error.context.offset, error.context.url], ['format', size, file]);
      truncateSync(file, size);
    }
    const error = await fileStore(folder).get('a').catch((thrown) => thrown);
    assert.ok(error instanceof NearsideError && error.kind === 'network');
  });

  test('that another process writes to is not written to', async () => {
    const file = path();
    const [one, other] = [fileStore(file), fileStore(file)];
    await one.set([['a', 1]]);
    await assert.rejects(other.get('a').then(() => one.set([['a', 2]])).then(() => other.set([['a', 3]])), { kind: 'integrity' });
    assert.equal(await other.get('a'), 2);
  });

  test('leaves out what was overwritten', async () => {
    const file = path();
    const store = fileStore(file);
    await store.set([['kept', 'ü'.repeat(1000)]]);
    for (let i = 0; i < 400; i++) await store.set([['a', `${i}${'x'.repeat(20_000)}`]]);
    assert.ok(statSync(file).size < 1.2e6, `${statSync(file).size} bytes`);
    if (process.platform !== 'win32') assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal((await fileStore(file).get('a')).slice(0, 4), '399x');
    assert.equal(await fileStore(file).get('kept'), 'ü'.repeat(1000));
  });

  test('takes JSON only', async () => {
    const store = fileStore(path());
    const cycle = {};
    cycle.cycle = cycle;
    for (const value of [new Uint8Array(2), new Map(), NaN, 1n, Symbol(), { deep: [{ f: () => 1 }] }, cycle, new (class Named {})()]) {
      await assert.rejects(store.set([['a', value]]), { name: 'NearsideError', kind: 'value' });
    }
    assert.equal(canonicalJson({ b: 1, a: { d: undefined, c: [{ z: 1, y: 2 }] } }), '{"a":{"c":[{"y":2,"z":1}]},"b":1}');
    assert.equal(canonicalJson(JSON.parse('{"__proto__":1}')), '{"__proto__":1}');
  });

  test('keeps an audit log from process to process', async () => {
    const file = path();
    for (let round = 0; round < 4; round++) {
      const log = await AuditLog.open(fileStore(file), { limit: 40 });
      await Promise.all(Array.from({ length: 30 }, (_, i) => log.append(event(i))));
      const { ok, to } = await verifyAudit(await log.export(), { publicKey: log.publicKey });
      assert.deepEqual([ok, to], [true, 30 * (round + 1)]);
    }
  });

  test('holds a sound log when its process is killed, at any time', async () => {
    const file = path();
    const { folder: source, remove } = await bundleSource(inNode, 'node');
    const script = join(source, 'append.mjs');
    writeFileSync(script, `import { AuditLog, fileStore } from './source.mjs';
      const log = await AuditLog.open(fileStore(process.argv[2]), { limit: 200 });
      for (let i = 0; ; i++) void log.append({ caller: {}, action: 'infer', samples: i, outcome: 'ok' }).then(() => process.send(log.head.sequence)), await new Promise((next) => setTimeout(next, i % 3));`);
    let written = 0;
    for (let round = 0; round < 6; round++) {
      const child = fork(script, [file]);
      child.on('message', (sequence) => (written = sequence));
      await once(child, 'message');
      await new Promise((resolve) => setTimeout(resolve, 23 * round));
      child.kill('SIGKILL');
      await once(child, 'exit');
      const { head } = await AuditLog.open(fileStore(file), { limit: 200 });
      assert.ok(head.sequence >= written && written > 0, `${written} were written, ${head.sequence} are there`);
    }
    remove();
  });
});

const browserSource = await bundleSource([...SOURCES, 'service/indexed-db']);
after(() => browserSource.remove());
writePage(browserSource.folder);
writeFileSync(join(browserSource.folder, 'append.mjs'), `import { AuditLog, indexedDbStore } from './source.mjs';
  const log = await AuditLog.open(indexedDbStore(new URL(import.meta.url).searchParams.get('name')));
  for (let i = 0; ; i++) void log.append({ caller: {}, action: 'infer', samples: i, outcome: 'ok' }).then(() => postMessage(log.head.sequence)), await new Promise((next) => setTimeout(next, i % 3));`);
// One that is busy from the moment on at which it has handed over: no event reaches it.
writeFileSync(join(browserSource.folder, 'write.mjs'), `import { indexedDbStore } from './source.mjs';
  const store = indexedDbStore('handed');
  await store.get('a');
  void store.set([['a', Number(new URL(import.meta.url).searchParams.get('round'))]]);
  for (let i = 0; i < 100; i++) await undefined;
  postMessage('busy');
  for (;;);`);

inBrowser('IndexedDB', { webgpu: false, folders: [browserSource.folder] }, (context) => {
  let session;
  before(async () => (session = await context.browser.newContext()));
  /** A tab; all of a session share their storage. */
  const tab = async () => {
    const page = await session.newPage();
    await page.goto(`${context.url}page.html`);
    await page.locator('[data-state=ready]').waitFor({ state: 'attached' });
    return page;
  };

  test('keeps to the contract, also for keys and bytes', async () => {
    const page = await tab();
    assert.deepEqual(plain(await page.evaluate(`(${exercise})(indexedDbStore('contract'))`)), SAID);
    const kept = await page.evaluate(async () => {
      const store = indexedDbStore('values');
      const { privateKey } = await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']);
      await store.set([['key', privateKey], ['bytes', new Uint8Array([1, 2])]]);
      const [key, bytes] = [await store.get('key'), await store.get('bytes')];
      return [key instanceof CryptoKey, key.extractable, (await crypto.subtle.sign('Ed25519', key, bytes)).byteLength];
    });
    assert.deepEqual(kept, [true, false, 64]);
    await page.close();
  });

  test('can be deleted, or upgraded, by others, and is opened again', async () => {
    const page = await tab();
    const left = await page.evaluate(async () => {
      const store = indexedDbStore('deleted');
      await store.set([['a', 1]]);
      await new Promise((resolve, reject) => Object.assign(indexedDB.deleteDatabase('deleted'), { onsuccess: resolve, onerror: reject, onblocked: reject }));
      return [await store.list(''), await store.set([['b', 2]]), await store.list('')];
    });
    assert.deepEqual(plain(left), [[], null, [['b', 2]]]);
    const refused = await page.evaluate(async () => {
      await new Promise((resolve) => Object.assign(indexedDB.open('deleted', 2), { onsuccess: resolve }));
      const { name, kind } = await indexedDbStore('deleted').get('a').catch((thrown) => thrown);
      return { name, kind };
    });
    assert.deepEqual(refused, { name: 'NearsideError', kind: 'unsupported' });
    await page.close();
  });

  test('a log whose key does not leave the browser verifies in Node', async () => {
    const page = await tab();
    const [file, exported] = await page.evaluate(async () => {
      const store = indexedDbStore('log');
      const log = await AuditLog.open(store, { limit: 500 });
      await Promise.all(Array.from({ length: 600 }, (_, i) => log.append({ caller: { origin: location.origin }, action: 'infer', samples: i, outcome: 'ok' })));
      const key = await store.get('audit/log/key');
      return [await log.export(), await crypto.subtle.exportKey('jwk', key).catch((error) => error.name)];
    });
    assert.equal(exported, 'InvalidAccessError');
    const { ok, to } = await verifyAudit(file);
    assert.deepEqual([ok, to], [true, 600]);
    await page.close();
  });

  test('a log that three tabs append to at once is one chain', async () => {
    const pages = [await tab(), await tab(), await tab()];
    const append = async (count) => {
      const log = await AuditLog.open(indexedDbStore('tabs'), { limit: 1000 });
      for (let i = 0; i < count; i++) await Promise.all([log.append({ caller: {}, action: 'a', outcome: 'ok' }), log.append({ caller: {}, action: 'b', outcome: 'ok' })]);
      return log.export();
    };
    await Promise.all(pages.map((page) => page.evaluate(append, 40)));
    const { ok, to } = await verifyAudit(await pages[0].evaluate(append, 0));
    assert.deepEqual([ok, to], [true, 240]);
    for (const page of pages) await page.close();
  });

  test('a log is sound, and has all that was told, when its worker is killed at any time', async () => {
    const page = await tab();
    let written = 0;
    for (let round = 0; round < 8; round++) {
      const [told, there] = await page.evaluate(async (delay) => {
        const worker = new Worker('./append.mjs?name=killed', { type: 'module' });
        let told = 0;
        await new Promise((resolve) => (worker.onmessage = ({ data }) => resolve((told = data))));
        worker.onmessage = ({ data }) => (told = data);
        await new Promise((resolve) => setTimeout(resolve, delay));
        worker.terminate();
        const { head } = await AuditLog.open(indexedDbStore('killed'));
        return [told, head.sequence];
      }, 17 * round);
      assert.ok(there >= told && told > written, `${told} were told, ${there} are there`);
      written = there;
    }
    await page.close();
  });

  test('what a worker has handed over is written, though it is killed before it hears so', async () => {
    const page = await tab();
    for (let round = 0; round < 3; round++) {
      const there = await page.evaluate(async (round) => {
        const worker = new Worker(`./write.mjs?round=${round}`, { type: 'module' });
        await new Promise((resolve) => (worker.onmessage = resolve));
        await new Promise((resolve) => setTimeout(resolve, 300));
        worker.terminate();
        return indexedDbStore('handed').get('a');
      }, round);
      assert.equal(there, round);
    }
    await page.close();
  });

  test('how long a log takes', async (t) => {
    const page = await tab();
    const times = await page.evaluate(async () => {
      const timed = async (act) => {
        const start = performance.now();
        await act();
        return performance.now() - start;
      };
      const store = indexedDbStore('times');
      const log = await AuditLog.open(store);
      const append = () => log.append({ caller: { origin: location.origin }, action: 'infer', model: 'mnist', version: '1', samples: 1, outcome: 'ok', status: 200 });
      const one = await timed(async () => { for (let i = 0; i < 300; i++) await append(); });
      const many = await timed(() => Promise.all(Array.from({ length: 9700 }, append)));
      const open = await timed(() => AuditLog.open(store));
      return { one: 300e3 / one, many: 9700e3 / many, open };
    });
    t.diagnostic(`${times.one.toFixed()} appends a second one by one, ${times.many.toFixed()} at once; 10,000 entries are opened in ${times.open.toFixed()} ms`);
    assert.ok(times.one > 20 && times.many > 200);
    await page.close();
  });
});
