// The audit log: whatever is done to one afterwards is found, and named; a worker that is killed leaves a sound one.
import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { importSource, seeded } from './from-source.mjs';

const { AuditLog, NearsideError, memoryStore, verifyAudit } = await importSource('errors', 'service/audit', 'service/audit-file', 'service/store');

const event = (i = 0) => ({ caller: { origin: 'https://page.example', client: `tab-${i % 3}`, token: 't1' }, action: 'infer', model: 'mnist', version: '1', samples: i, outcome: i % 4 ? 'ok' : 'denied', status: i % 4 ? 200 : 403 });

/** A store with a log of `count` entries, and what it exports. */
async function logged(count, options, store = memoryStore()) {
  const log = await AuditLog.open(store, options);
  for (let i = 0; i < count; i++) await log.append(event(i));
  return { log, store, file: await log.export() };
}

const copy = (file) => structuredClone(file);
const problems = ({ faults }) => faults.map(({ problem, sequence, index }) => [problem, sequence, index]);

/** A store that is asked what it holds. */
async function records(store) {
  return new Map(await store.list(''));
}

/** Another store of these records. */
async function restored(records) {
  const store = memoryStore();
  await store.set([...records]);
  return store;
}

async function refused(kind, message, act) {
  await assert.rejects(act, (error) => {
    assert.ok(error instanceof NearsideError, error.stack);
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, message);
    return true;
  });
}

// docs/audit.md once more, in Node's own cryptography.
const digest = ({ sequence, time, caller, action, model, version, samples, outcome, status, previous }) =>
  createHash('sha256')
    .update(JSON.stringify(['nearside-audit-entry-1', sequence, time, caller.origin ?? null, caller.client ?? null, caller.token ?? null, action, model ?? null, version ?? null, samples ?? null, outcome, status ?? null, previous]))
    .digest('hex');
const isSignedBy = (publicKey, { anchor, head, signature }) => {
  const key = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(publicKey, 'hex')]), format: 'der', type: 'spki' });
  return verify(null, JSON.stringify(['nearside-audit-head-1', anchor.sequence, anchor.hash, head.sequence, head.hash]), key, Buffer.from(signature, 'hex'));
};
/** The hashes made anew, as by someone who knows how, but for the signature. */
function rehash(file) {
  let { sequence, hash } = file.anchor;
  for (const entry of file.entries) {
    Object.assign(entry, { sequence: ++sequence, previous: hash });
    hash = digest(entry);
  }
  file.head = { sequence, hash };
  return file;
}

describe('a log', () => {
  test('is what its documentation says, by an implementation of its own', async () => {
    const { log, file } = await logged(20);
    let previous = '0'.repeat(64);
    for (const [i, entry] of file.entries.entries()) {
      assert.deepEqual(entry, { sequence: i + 1, time: entry.time, ...event(i), previous });
      assert.equal(new Date(entry.time).toISOString(), entry.time);
      previous = digest(entry);
    }
    assert.deepEqual(file.head, { sequence: 20, hash: previous });
    assert.deepEqual(log.head, file.head);
    assert.equal(log.publicKey, file.publicKey);
    assert.ok(isSignedBy(file.publicKey, file));
    const report = await verifyAudit(file);
    assert.deepEqual(report, { ok: true, entries: 20, from: 1, to: 20, head: file.head, publicKey: file.publicKey, faults: [] });
    for (const form of [JSON.stringify(file), Buffer.from(JSON.stringify(file, null, 2))]) assert.deepEqual(await verifyAudit(form), report);
  });

  test('keeps what was given, no more', async () => {
    const log = await AuditLog.open(memoryStore());
    await log.append({ caller: {}, action: 'metadata', outcome: 'ok' });
    await log.append({ caller: { origin: undefined }, action: 'infer', model: 'm'.repeat(1000), outcome: 'ok', status: undefined });
    const { entries } = await log.export();
    assert.deepEqual(Object.keys(entries[0]).sort(), ['action', 'caller', 'outcome', 'previous', 'sequence', 'time']);
    assert.deepEqual([entries[1].caller, entries[1].model], [{}, 'm'.repeat(256)]);
    await refused('value', /no option 'inputs'/, () => log.append({ ...event(), inputs: [1] }));
    await refused('value', /no option 'name'/, () => log.append({ ...event(), caller: { name: 'x' } }));
    await refused('value', /'samples'/, () => log.append({ ...event(), samples: 1.5 }));
    await refused('value', /'model'/, () => log.append({ ...event(), model: 7 }));
    await refused('value', /'action'/, () => log.append({ caller: {}, outcome: 'ok' }));
    await refused('value', /limit/, () => AuditLog.open(memoryStore(), { limit: 0 }));
    assert.equal(log.head.sequence, 2);
  });

  test('does not take text of one field for that of another', async () => {
    const texts = ['', '","', 'a', 'a"', '\\', '\ud800', '\0', 'null'];
    const hashes = new Set();
    let made = 0;
    const previous = '0'.repeat(64);
    const { file } = await logged(1);
    for (const origin of [undefined, ...texts]) {
      for (const client of [undefined, ...texts]) {
        for (const model of [undefined, 'a']) {
          const caller = JSON.parse(JSON.stringify({ origin, client }));
          const entry = { sequence: 1, time: file.entries[0].time, caller, action: 'a', ...(model && { model }), outcome: 'ok', previous };
          const hash = digest(entry);
          // Signed by nobody, but the chain is right: the same hash is computed.
          const { faults } = await verifyAudit({ ...file, entries: [entry], head: { sequence: 1, hash } });
          assert.deepEqual(faults.map(({ problem }) => problem), ['signature']);
          hashes.add(hash);
          made++;
        }
      }
    }
    assert.equal(hashes.size, made);
  });

  test('signs with a key that does not leave the store', async () => {
    const { store } = await logged(1);
    const key = await store.get('audit/log/key');
    assert.ok(key instanceof CryptoKey);
    assert.deepEqual([key.type, key.extractable, key.algorithm.name], ['private', false, 'Ed25519']);
    await assert.rejects(crypto.subtle.exportKey('jwk', key));
  });
});

describe('a log that was edited', () => {
  const COUNT = 12;
  let file;
  before(async () => ({ file } = await logged(COUNT)));

  const EDITS = {
    time: () => '2001-01-01T00:00:00.000Z', caller: () => ({ origin: 'https://other.example' }), action: () => 'manage', model: () => 'other',
    version: () => '2', samples: (value) => value + 1, outcome: () => 'other', status: () => 500,
  };
  for (const [field, edit] of Object.entries(EDITS)) {
    test(`in '${field}', at each position, is found there`, async () => {
      for (let i = 0; i < COUNT; i++) {
        const edited = copy(file);
        edited.entries[i][field] = edit(edited.entries[i][field]);
        assert.deepEqual(problems(await verifyAudit(edited)), [['edited', i + 1, i]]);
        const removed = copy(file);
        delete removed.entries[i][field];
        const required = ['time', 'caller', 'action', 'outcome'].includes(field);
        assert.deepEqual(problems(await verifyAudit(removed)), [[required ? 'malformed' : 'edited', i + 1, i]]);
        const odd = copy(file);
        odd.entries[i][field] = [null];
        assert.deepEqual(problems(await verifyAudit(odd)), [['malformed', i + 1, i]]);
      }
    });
  }

  test("in 'previous' or 'sequence', at each position, is found there", async () => {
    for (let i = 0; i < COUNT; i++) {
      const edited = copy(file);
      edited.entries[i].previous = 'ab'.repeat(32);
      // Nobody can say which of the two was edited; the entry itself is named, too.
      assert.deepEqual(problems(await verifyAudit(edited)), [i ? ['edited', i, i - 1] : ['start', 1, 0], ['edited', i + 1, i]]);
      for (const sequence of [0, i, i + 2, COUNT + 5, 2 ** 53 - 1]) {
        const moved = copy(file);
        moved.entries[i].sequence = sequence;
        const report = await verifyAudit(moved);
        assert.equal(report.faults[0].index, i);
        assert.ok(['gap', 'order'].includes(report.faults[0].problem), JSON.stringify(report.faults));
      }
    }
  });

  test('by a field more, at each position, is found there', async () => {
    for (let i = 0; i < COUNT; i++) {
      for (const name of ['note', '__proto__', 'toString', 'constructor']) {
        const text = JSON.stringify(file).replaceAll(`"sequence":${i + 1},"time"`, `"${name}":"x","sequence":${i + 1},"time"`);
        assert.deepEqual(problems(await verifyAudit(text)), [['malformed', i + 1, i]]);
      }
    }
  });

  test('by an entry removed is found, wherever it was', async () => {
    for (let i = 0; i < COUNT; i++) {
      const cut = copy(file);
      cut.entries.splice(i, 1);
      const expected = i === COUNT - 1 ? ['cut', COUNT, COUNT - 1] : ['gap', i + 2, i];
      assert.deepEqual(problems(await verifyAudit(cut)), [expected]);
    }
  });

  test('by entries cut off at the start, the end or in the middle is found', async () => {
    for (let from = 0; from < COUNT; from++) {
      for (let to = from + 1; to <= COUNT; to++) {
        const cut = copy(file);
        cut.entries.splice(from, to - from);
        const { faults } = await verifyAudit(cut);
        assert.deepEqual(faults.map(({ problem }) => problem), [to === COUNT ? 'cut' : 'gap']);
        assert.equal(faults[0].index, from);
      }
    }
  });

  test('by entries swapped, repeated or inserted is found', async () => {
    for (let i = 0; i < COUNT; i++) {
      for (let j = 0; j < i; j++) {
        const swapped = copy(file);
        [swapped.entries[i], swapped.entries[j]] = [swapped.entries[j], swapped.entries[i]];
        assert.equal((await verifyAudit(swapped)).faults[0].index, j);
      }
      for (let at = 0; at <= COUNT; at++) {
        const repeated = copy(file);
        repeated.entries.splice(at, 0, copy(file.entries[i]));
        const { ok, faults } = await verifyAudit(repeated);
        assert.ok(!ok && Math.abs(faults[0].index - at) <= 1, JSON.stringify(faults[0]));
      }
      const inserted = copy(file);
      inserted.entries.splice(i, 0, { ...copy(file.entries[i]), action: 'manage' });
      assert.equal((await verifyAudit(inserted)).ok, false);
    }
    const appended = copy(file);
    appended.entries.push({ ...copy(file.entries.at(-1)), sequence: COUNT + 1, previous: file.head.hash });
    assert.deepEqual(problems(await verifyAudit(appended)), [['added', COUNT + 1, COUNT + 1]]);
  });

  test('and hashed anew, without the key, is found by its signature', async () => {
    const edits = [
      (edited) => (edited.entries[3].outcome = 'other'),
      (edited) => edited.entries.splice(5, 1),
      (edited) => edited.entries.pop(),
      (edited) => edited.entries.splice(0),
      (edited) => edited.entries.push(copy(file.entries[0])),
      (edited) => edited.entries.reverse(),
    ];
    for (const edit of edits) {
      const edited = copy(file);
      edit(edited);
      assert.deepEqual((await verifyAudit(rehash(edited))).faults.map(({ problem }) => problem), ['signature']);
    }
    // Its start as well: an anchor moved up, as if entries had been dropped.
    const dropped = copy(file);
    dropped.anchor = { sequence: 4, hash: file.entries[4].previous };
    dropped.entries.splice(0, 4);
    assert.deepEqual(problems(await verifyAudit(dropped)), [['signature', COUNT, COUNT - 4]]);
  });

  test('in its heads is found by the signature', async () => {
    for (const change of [{ signature: '00'.repeat(64) }, { publicKey: '00'.repeat(32) }, { publicKey: 'ff'.repeat(32) }, { anchor: { sequence: 0, hash: '11'.repeat(32) } }]) {
      const { ok, faults } = await verifyAudit({ ...file, ...change });
      assert.ok(!ok && faults.some(({ problem }) => problem === 'signature'), JSON.stringify(change));
    }
  });

  test('and signed with another key is found by who kept the key or a head', async () => {
    const { file: other } = await logged(COUNT);
    assert.equal((await verifyAudit(other)).ok, true);
    assert.deepEqual(problems(await verifyAudit(other, { publicKey: file.publicKey })), [['key', COUNT, COUNT]]);
    assert.deepEqual(problems(await verifyAudit(other, { expect: file.head })), [['head', COUNT, COUNT]]);
    const mixed = { ...other, publicKey: file.publicKey };
    assert.deepEqual(problems(await verifyAudit(mixed, { publicKey: file.publicKey })), [['signature', COUNT, COUNT]]);
  });
});

test('a head that was kept shows an older state that is brought back', async () => {
  const { log, file: old } = await logged(5);
  await log.append(event());
  const { head, publicKey } = log;
  assert.equal((await verifyAudit(old, { publicKey })).ok, true);
  assert.deepEqual(problems(await verifyAudit(old, { publicKey, expect: head })), [['head', 5, 5]]);
  const file = await log.export();
  for (const expect of [old.anchor, old.head, head]) assert.equal((await verifyAudit(file, { expect })).ok, true);
  assert.equal((await verifyAudit(file, { expect: { ...head, hash: old.head.hash } })).ok, false);
});

describe('a limit', () => {
  for (const limit of [1, 2, 5, 40, 300]) {
    test(`of ${limit} is kept, and what is left verifies`, async () => {
      const store = memoryStore();
      const log = await AuditLog.open(store, { limit });
      const block = Math.min(64, Math.ceil(limit / 16));
      for (let round = 0; round < 60; round++) {
        await Promise.all(Array.from({ length: round % 7 ? round % 3 + 1 : 50 }, (_, i) => log.append(event(i))));
        const file = await log.export();
        const report = await verifyAudit(file, { expect: log.head, publicKey: log.publicKey });
        assert.deepEqual(report.faults, []);
        const kept = Math.min(limit, log.head.sequence);
        assert.ok(report.entries <= kept && report.entries > kept - block, `${report.entries} of ${kept}`);
        assert.equal(report.from, log.head.sequence - report.entries + 1);
      }
      const stored = (await store.list('audit/log/block/')).flatMap(([, entries]) => entries);
      assert.equal(stored.length, (await log.export()).entries.length);
    });
  }

  test('may be another when the log is opened again', async () => {
    const { store } = await logged(50, { limit: 100 });
    const log = await AuditLog.open(store, { limit: 10 });
    await log.append(event());
    const { ok, entries, to } = await verifyAudit(await log.export());
    assert.deepEqual([ok, entries, to], [true, 10, 51]);
    assert.equal((await verifyAudit(await log.export(), { expect: { sequence: 3, hash: '00'.repeat(32) } })).faults[0].problem, 'head');
  });
});

describe('appends', () => {
  test('10,000 at once are one chain, in the order of the calls, written by groups', async () => {
    const inner = memoryStore();
    let writes = 0;
    const store = { ...inner, set: (changes) => (writes++, inner.set(changes)) };
    const log = await AuditLog.open(store);
    await Promise.all(Array.from({ length: 10_000 }, (_, i) => log.append({ ...event(), samples: i })));
    const file = await log.export();
    assert.equal((await verifyAudit(file)).ok, true);
    assert.deepEqual(file.entries.map(({ samples }) => samples), Array.from({ length: 10_000 }, (_, i) => i));
    assert.ok(writes <= 22, `${writes} writes`);
  });

  test('are written when they resolve, and all of a group or none', async () => {
    const inner = memoryStore();
    const states = [await records(inner)];
    const store = {
      ...inner,
      set: async (changes) => {
        await inner.set(changes);
        states.push(await records(inner));
      },
    };
    const log = await AuditLog.open(store, { limit: 700 });
    const appends = Array.from({ length: 2000 }, (_, i) => log.append(event(i)));
    await Promise.all(appends);
    for (let i = 0; i < 5; i++) await log.append(event(i));
    assert.equal(states.length, 1 + 1 + 4 + 5);
    // A worker that was killed behind each of the writes.
    for (const [index, state] of states.entries()) {
      const store = await restored(state);
      const again = await AuditLog.open(store, { limit: 700 });
      assert.equal(again.head.sequence, index < 2 ? 0 : Math.min((index - 1) * 512, 2000) + Math.max(index - 5, 0));
      await again.append(event());
      const file = await again.export();
      assert.deepEqual((await verifyAudit(file)).faults, []);
      // The chain goes on from the written head.
      const head = state.get('audit/log/head')?.head;
      if (head?.sequence > 0) assert.equal(file.entries.at(-1).previous, head.hash);
    }
  });

  test('that the store refuses are refused, and the chain goes on without them', async () => {
    const inner = memoryStore();
    let full = false;
    const store = { ...inner, set: async (changes) => (full ? Promise.reject(new NearsideError('memory', 'full')) : inner.set(changes)) };
    const { log } = await logged(3, {}, store);
    full = true;
    const refusals = await Promise.allSettled([log.append(event()), log.append(event())]);
    assert.deepEqual(refusals.map(({ reason }) => reason.kind), ['memory', 'memory']);
    full = false;
    await log.append(event());
    const report = await verifyAudit(await log.export());
    assert.deepEqual([report.ok, report.to], [true, 4]);
  });

  test('that the store has written and yet calls failed do not fork the chain', async () => {
    const inner = memoryStore();
    let failing = false;
    const store = { ...inner, set: async (changes) => (await inner.set(changes), failing ? Promise.reject(new Error('lost')) : undefined) };
    const { log } = await logged(3, {}, store);
    failing = true;
    await assert.rejects(log.append(event()));
    failing = false;
    await log.append(event());
    const report = await verifyAudit(await log.export());
    assert.deepEqual([report.ok, report.to], [true, 5]);
  });

  test('of two workers with one store are one chain', async () => {
    const store = memoryStore();
    const logs = [await AuditLog.open(store, { limit: 20 }), await AuditLog.open(store, { limit: 20 })];
    for (let i = 0; i < 100; i++) await logs[(i * 7) % 5 % 2].append(event(i));
    // One that has slept while all it knew was dropped.
    for (let i = 0; i < 50; i++) await logs[0].append(event(i));
    await logs[1].append(event());
    const report = await verifyAudit(await logs[0].export());
    assert.deepEqual([report.ok, report.to], [true, 151]);
  });
});

describe('a stored log', () => {
  test('that was edited, in any record, is refused with the place, and can be put aside', async () => {
    const { store, file } = await logged(30, { limit: 20 });
    const sound = await records(store);
    const changes = [];
    for (const [key, value] of sound) {
      changes.push([key, undefined], [key, null], [key, 7], [key, []], [key, {}]);
      if (!key.includes('/block/')) continue;
      for (const field of Object.keys(value[0])) changes.push([key, value.map((entry) => ({ ...entry, [field]: 'edited' }))]);
      changes.push([key, value[0]], [key, [...value, ...value]], [`${key}x`, value], [`${key}x`, []]);
    }
    const { head, anchor, ...signed } = sound.get('audit/log/head');
    for (const part of [{ head: { ...head, sequence: 29 } }, { anchor: { ...anchor, sequence: 1 } }, { publicKey: 'ab'.repeat(32) }, { signature: 'ab'.repeat(64) }]) {
      changes.push(['audit/log/head', { ...signed, head, anchor, ...part }]);
    }
    changes.push(['audit/log/key', (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])).privateKey]);
    assert.ok(changes.length > 100);
    for (const [key, value] of changes) {
      const edited = await restored(sound);
      await edited.set([[key, value]]);
      const what = `${key}: ${JSON.stringify(value)}`;
      await refused('integrity', /does not verify (from entry \d+ on|at all|further): .*AuditLog\.archive/, () => AuditLog.open(edited)).catch((error) => assert.fail(`${what}: ${error.message}`));
      await refused('integrity', /./, () => AuditLog.open(edited)); // not anew, however often it is tried
      const before = new Map(await edited.list('audit/log/'));
      const archived = await AuditLog.archive(edited);
      const [[, kept]] = await edited.list('audit/archive/');
      assert.deepEqual(kept, archived);
      const entries = [...before].flatMap(([name, block]) => (name.includes('/block/') ? block : []));
      assert.deepEqual(archived.entries, entries);
      const log = await AuditLog.open(edited);
      assert.deepEqual(log.head.sequence, 0);
      assert.notEqual(log.publicKey, file.publicKey);
    }
    const place = await restored(sound);
    const [[key, block]] = await place.list('audit/log/block/');
    await place.set([[key, block.map((entry) => ({ ...entry, outcome: 'edited' }))]]);
    await refused('integrity', new RegExp(`from entry ${block[0].sequence} on`), () => AuditLog.open(place));
  });

  test('that is changed or deleted while it is open is not gone on with', async () => {
    const act = async (change) => {
      const { log, store } = await logged(10);
      await change(store);
      await refused('integrity', /does not verify/, () => log.append(event()));
      await refused('integrity', /does not verify/, () => log.export());
    };
    await act(async (store) => store.set((await store.list('')).map(([key]) => [key, undefined])));
    await act(async (store) => store.set([['audit/log/head', undefined]]));
    await act(async (store) => store.set(await (await logged(20)).store.list('')));
    const { store: older } = await logged(10);
    const before = await older.list('');
    const log = await AuditLog.open(older);
    await log.append(event());
    const keys = (await older.list('')).map(([key]) => [key, undefined]);
    await older.set([...keys, ...before]);
    await refused('integrity', /entry 11 with the hash/, () => log.append(event()));
  });

  test('is exported whole, also while it is appended to', async () => {
    const { log } = await logged(0, { limit: 50 });
    const exports = [];
    for (let i = 0; i < 200; i++) {
      void log.append(event(i));
      if (i % 20 === 0) exports.push(log.export());
    }
    for (const [i, file] of (await Promise.all(exports)).entries()) {
      const { ok, to } = await verifyAudit(file);
      assert.ok(ok && to >= i * 20 + 1);
    }
  });
});

describe('files that are no logs', () => {
  test('are refused as such', async () => {
    const { file } = await logged(2);
    const without = (name) => JSON.parse(JSON.stringify({ ...file, [name]: undefined }));
    const cases = ['', '{', 'null', '7', '"x"', '[]', '{}', new Uint8Array(), new Uint8Array([0xff]), null, undefined, 7, () => 1, 7n, [], {}, ...Object.keys(file).map(without),
      { ...file, version: 2 }, { ...file, version: { toString: 1, valueOf: 1 } }, { ...file, entries: {} }, { ...file, anchor: 1 }, { ...file, head: { ...file.head, more: 1 } }, { ...file, publicKey: file.publicKey.toUpperCase() },
      '['.repeat(100_000), `{"format":"nearside-audit","entries":${'['.repeat(100_000)}${']'.repeat(100_000)}}`];
    const cycle = { ...file };
    cycle.entries = [cycle];
    for (const damaged of [...cases, cycle]) await refused('format', /audit log/, () => verifyAudit(damaged));
  });

  test('and are large are answered in time', async () => {
    const { file } = await logged(3);
    const started = performance.now();
    for (const filling of [{}, 7, file.entries[0]]) {
      const { faults } = await verifyAudit({ ...file, entries: Array(50_000).fill(filling) });
      assert.ok(faults.length > 49_000);
    }
    assert.ok(performance.now() - started < 20_000, 'not linear');
  });

  test('4,000 damaged ones give a report that is not ok, or a format error', async () => {
    const below = seeded(1);
    const { file } = await logged(8, { limit: 6 });
    const text = JSON.stringify(file);
    const pick = (list) => list[below(list.length)];
    const values = [null, 0, -1, 1.5, 2 ** 53, '', 'x', [], {}, true, file.entries[0], file.head.hash, [[]], { sequence: 1 }];
    const structure = () => {
      const damaged = copy(file);
      let at = damaged;
      for (let depth = below(4); depth > 0; depth--) {
        const inner = Object.values(at).filter((value) => typeof value === 'object' && value !== null && Object.keys(value).length);
        if (inner.length) at = pick(inner);
      }
      const key = pick(Object.keys(at));
      if (Array.isArray(at) && below(2)) at.splice(below(at.length + 1), below(3), ...Array(below(3)).fill(pick(values)));
      else if (below(4) === 0) delete at[key];
      else at[key] = copy(pick(values));
      return JSON.stringify(damaged);
    };
    const bytes = () => {
      const damaged = Buffer.from(text);
      if (below(8) === 0) return damaged.subarray(0, below(damaged.length));
      for (let places = below(3); places >= 0; places--) {
        if (below(2)) damaged[below(damaged.length)] = [0, 0xff, below(256), 48 + below(10)][below(4)];
        else damaged.copyWithin(below(damaged.length), below(damaged.length), below(damaged.length));
      }
      return damaged;
    };
    const seen = { report: 0, error: 0 };
    for (let round = 0; round < 4000; round++) {
      const damaged = round % 2 ? structure() : bytes();
      try {
        const { ok } = await verifyAudit(damaged);
        seen.report++;
        if (ok) assert.deepEqual(JSON.parse(String(damaged)), file, `round ${round}`);
      } catch (error) {
        if (error.code === 'ERR_ASSERTION') throw error;
        assert.ok(error instanceof NearsideError && error.kind === 'format', `round ${round}: ${error.stack}`);
        seen.error++;
      }
    }
    assert.ok(seen.report > 500 && seen.error > 500, JSON.stringify(seen));
  });
});
