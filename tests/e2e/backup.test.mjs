// Backups: what goes in comes out, and whatever was changed in between is refused by name.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { crc32, deflateRawSync } from 'node:zlib';
import { importSource, seeded } from './from-source.mjs';

const { AuditLog, NearsideError, createBackup, memoryStore, readBackup } = await importSource('errors', 'service/audit', 'service/store', 'service/backup');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const text = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const plain = (backup) => ({ ...backup, models: backup.models.map(({ bytes, settings = {}, ...model }) => ({ ...model, settings, bytes: Buffer.from(bytes).toString('hex') })) });

async function exported() {
  const log = await AuditLog.open(memoryStore());
  for (let i = 0; i < 3; i++) await log.append({ caller: { origin: 'https://page.example' }, action: 'infer', model: 'mnist', samples: i, outcome: 'ok' });
  return log.export();
}
const audit = await exported();
const m = (changes) => ({ name: 'm', version: '1', bytes: new Uint8Array([1]), ...changes });
const CONTENT = {
  models: [
    { name: 'iris', version: '1', bytes: new Uint8Array() },
    { name: 'mnist', version: '10', bytes: new Uint8Array([1, 2, 3, 250]), settings: { watts: 3, options: { dtype: 'int8' } } },
    { name: 'mnist', version: '2', bytes: new Uint8Array([7]) },
  ],
  settings: { origins: ['https://page.example'], limits: { rate: 5 }, name: 'ü' },
  audit,
};

/** A .zip as the format's specification has it. Entries are [name, bytes, changes], where `changes` are header fields. */
function zip(entries, { end = {}, between = Buffer.alloc(0), comment = '' } = {}) {
  const parts = [];
  const central = [];
  let offset = 0;
  for (const [name, bytes, changes = {}] of entries) {
    const data = changes.data ?? bytes;
    const fields = { method: 0, flags: 0, size: data.length, original: bytes.length, crc: crc32(bytes), offset, ...changes };
    const encoded = Buffer.from(name);
    const common = (flags, method) => {
      const header = Buffer.alloc(26);
      header.writeUInt16LE(20, 0);
      header.writeUInt16LE(flags, 2);
      header.writeUInt16LE(method, 4);
      header.writeUInt32LE(0x00210000, 6);
      header.writeUInt32LE(fields.crc, 10);
      header.writeUInt32LE(fields.size, 14);
      header.writeUInt32LE(fields.original, 18);
      header.writeUInt16LE(encoded.length, 22);
      return header;
    };
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common(fields.flags, fields.method), Buffer.from(changes.localName ?? encoded), data, between]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(fields.offset, 10);
    central.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common(fields.flags, fields.method), tail, encoded);
    parts.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const trailer = Buffer.alloc(22);
  trailer.write('PK\x05\x06', 'latin1');
  trailer.writeUInt16LE(end.entries ?? entries.length, 8);
  trailer.writeUInt16LE(end.entries ?? entries.length, 10);
  trailer.writeUInt32LE(directory.length, 12);
  trailer.writeUInt32LE(end.offset ?? offset, 16);
  trailer.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...parts, directory, trailer, Buffer.from(comment)]);
}

/** A backup's entries; `change` gets them before their manifest is made, `manifest` the manifest. */
function entriesOf({ files = {}, manifest = (value) => value } = {}) {
  const all = { 'contents.json': text('{"models":[{"name":"m","settings":{},"version":"1"}]}'), 'models/0': Buffer.from([1, 2, 3]), ...files };
  const given = Object.entries(all).filter(([, bytes]) => bytes);
  const listed = Object.fromEntries(given.map(([name, bytes]) => [name, { sha256: sha256(bytes), size: bytes.length }]));
  return [['manifest.json', text(manifest({ entries: listed, format: 'nearside-backup', version: 1 }))], ...given];
}

async function refused(kinds, message, bytes, what = String(message)) {
  const error = await readBackup(bytes).then(() => assert.fail(`${what}: it was read`), (thrown) => thrown);
  assert.ok(error instanceof NearsideError, `${what}: ${error.stack}`);
  assert.ok(kinds.includes(error.kind), `${what}: ${error.kind}: ${error.message}`);
  assert.match(error.message, message, what);
}

describe('a backup', () => {
  test('gives back what went in', async () => {
    const bytes = await createBackup(CONTENT);
    assert.deepEqual(plain(await readBackup(bytes)), plain(CONTENT));
    assert.deepEqual(await readBackup(await createBackup({ models: [] })), { models: [] });
    const bare = await readBackup(await createBackup({ models: [m()], settings: null }));
    assert.deepEqual(bare, { models: [{ ...m(), settings: {} }], settings: null });
    // Out of a larger buffer, and of a model of a usual size.
    const file = readFileSync('tests/fixtures/mnist_784_128_128_10.h5');
    const large = await createBackup({ models: [m({ bytes: file })] });
    const { models } = await readBackup(Buffer.concat([Buffer.from('x'), large]).subarray(1));
    assert.deepEqual(Buffer.from(models[0].bytes), file);
  });

  test('has the same bytes for the same content', async () => {
    const sorted = (value) => (Array.isArray(value) || typeof value !== 'object' || value === null || value instanceof Uint8Array ? value : Object.fromEntries(Object.entries(value).reverse().map(([key, inner]) => [key, sorted(inner)])));
    const bytes = await createBackup(CONTENT);
    assert.deepEqual(await createBackup(sorted(CONTENT)), bytes);
    assert.deepEqual(await createBackup({ ...CONTENT, models: CONTENT.models.toReversed() }), bytes);
    assert.deepEqual(await createBackup(await readBackup(bytes)), bytes);
  });

  test('is a .zip with a manifest, by an implementation of its own', async () => {
    // Byte by byte: later versions have to read these, and make them anew.
    const { audit: _, ...fixed } = CONTENT;
    const contents = '{"models":[{"name":"iris","settings":{},"version":"1"},{"name":"mnist","settings":{"options":{"dtype":"int8"},"watts":3},"version":"10"},{"name":"mnist","settings":{},"version":"2"}],"settings":{"limits":{"rate":5},"name":"ü","origins":["https://page.example"]}}';
    const entries = entriesOf({ files: { 'contents.json': text(contents), 'models/0': Buffer.alloc(0), 'models/1': Buffer.from([1, 2, 3, 250]), 'models/2': Buffer.from([7]) } });
    assert.deepEqual(Buffer.from(await createBackup(fixed)), zip(entries));
    assert.deepEqual(plain(await readBackup(zip(entriesOf()))), { models: [{ name: 'm', version: '1', settings: {}, bytes: '010203' }] });
  });

  test('is not made of what it could not give back', async () => {
    const refuse = (kind, content) => assert.rejects(createBackup(content), { name: 'NearsideError', kind }, JSON.stringify(content));
    for (const name of ['', '.', '..', 'a/b', '../a', 'ü', 'a'.repeat(129), 'a b', '__proto__', undefined, 7]) {
      await refuse('value', { models: [m({ name })] });
      await refuse('value', { models: [m({ version: name })] });
    }
    for (const bytes of [undefined, [1], new ArrayBuffer(2), 'x']) await refuse('value', { models: [m({ bytes })] });
    for (const settings of [{ scale: NaN }, { more: new Uint8Array(1) }, { f: () => 1 }, [], 7, null]) await refuse('value', { models: [m({ settings })] });
    await refuse('value', { models: [m(), m({ version: '2' }), m()] });
    await refuse('value', { models: [], settings: new Map() });
    await refuse('format', { models: [], audit: {} });
    await refuse('integrity', { models: [], audit: { ...audit, entries: audit.entries.slice(1) } });
  });
});

describe('a backup that was changed', () => {
  test('in any one byte, in several ways, is refused', async () => {
    const bytes = await createBackup(CONTENT);
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [bytes[at] ^ 1, bytes[at] ^ 0x80, bytes[at] ^ 0x20, 0, 0xff, 0x20]) {
        if (value === bytes[at]) continue;
        const damaged = bytes.slice();
        damaged[at] = value;
        await refused(['format', 'integrity'], /./, damaged, `byte ${at}: ${value}`);
      }
    }
  });

  test('by bytes cut off, put before or behind is refused', async () => {
    const bytes = Buffer.from(await createBackup(CONTENT));
    for (let length = 0; length < bytes.length; length++) {
      await refused(['format', 'integrity'], /./, bytes.subarray(0, length), `${length} bytes`);
      if (length) await refused(['format', 'integrity'], /./, bytes.subarray(length), `without ${length} bytes`);
    }
    for (const more of ['x', 'PK\x05\x06', '\0'.repeat(30)]) {
      await refused(['format', 'integrity'], /./, Buffer.concat([bytes, Buffer.from(more)]));
      await refused(['format', 'integrity'], /./, Buffer.concat([Buffer.from(more), bytes]));
    }
    await refused(['format', 'integrity'], /./, Buffer.concat([bytes, bytes]));
  });

  test('3,000 times at random is read as it was, or refused', async () => {
    const below = seeded(7);
    const sound = Buffer.from(await createBackup(CONTENT));
    for (let round = 0; round < 3000; round++) {
      const damaged = Buffer.from(sound);
      for (let places = below(4); places >= 0; places--) {
        const [from, at] = [below(damaged.length), below(damaged.length)];
        if (below(2)) damaged[at] = [0, 0xff, below(256), damaged[at] ^ (1 << below(8))][below(4)];
        else damaged.copyWithin(at, from, from + below(24));
      }
      if (damaged.equals(sound)) continue;
      await refused(['format', 'integrity'], /./, below(8) ? damaged : damaged.subarray(0, below(damaged.length)), `round ${round}`);
    }
  });
});

describe('a hostile backup', () => {
  const hostile = (name, kinds, message, bytes) => test(name, () => refused(kinds, message, bytes));

  for (const name of ['../models/0', '/models/0', 'C:\\models\\0', 'models/../models/0', 'models\\0', 'models/00', 'models/', 'models/0/', '__proto__', 'constructor', 'models/__proto__', 'toString', '', 'MANIFEST.JSON', 'manifest.json\0', 'models/\u0661']) {
    hostile(`with an entry ${JSON.stringify(name)}`, ['format'], /has an entry ".*", which is none/, zip([...entriesOf(), [name, Buffer.from('x')]]));
    hostile(`with an entry ${JSON.stringify(name)} in its manifest, too`, ['format'], /has an entry ".*", which is none/, zip(entriesOf({ files: { [name]: Buffer.from('x') } }).concat(name === '__proto__' ? [[name, Buffer.from('x')]] : [])));
  }
  hostile('with two entries of a name', ['format'], /two entries "models\/0"/, zip([...entriesOf(), ['models/0', Buffer.from([9])]]));
  hostile('with two manifests', ['format'], /two entries "manifest.json"/, zip([...entriesOf(), ...entriesOf().slice(0, 1)]));
  hostile('with an entry more than its manifest lists', ['integrity'], /"models\/1" is not in manifest.json/, zip([...entriesOf(), ['models/1', Buffer.from([9])]]));
  hostile('without an entry that its manifest lists', ['integrity'], /"models\/0" is missing/, zip(entriesOf().slice(0, -1)));
  hostile('without a manifest', ['format'], /no manifest.json/, zip(entriesOf().slice(1)));
  hostile('without contents', ['format'], /no contents.json/, zip(entriesOf({ files: { 'contents.json': undefined } })));
  hostile('without entries', ['format'], /no manifest.json/, zip([]));
  hostile('with another checksum', ['integrity'], /"models\/0" has another SHA-256/, zip(entriesOf({ manifest: (value) => ((value.entries['models/0'].sha256 = '0'.repeat(64)), value) })));
  hostile('with another size', ['integrity'], /"models\/0" has 3 bytes, and others/, zip(entriesOf({ manifest: (value) => ((value.entries['models/0'].size = 4), value) })));
  hostile('with other content', ['integrity'], /"models\/0" has another SHA-256/, zip(entriesOf().map(([name, bytes]) => [name, name === 'models/0' ? Buffer.from([3, 2, 1]) : bytes])));
  hostile('with a manifest that inherits', ['format', 'integrity'], /./, zip(entriesOf({ manifest: (value) => JSON.stringify(value).replace('"entries":{', '"entries":{"__proto__":{"models/1":{}},') })));
  hostile('of a later version', ['format'], /version 2/, zip(entriesOf({ manifest: (value) => ({ ...value, version: 2 }) })));
  hostile('of a version without a text', ['format'], /no version/, zip(entriesOf({ manifest: (value) => ({ ...value, version: { toString: 1, valueOf: 1 } }) })));
  hostile('of a size without a text', ['integrity'], /"models\/0" has 3 bytes/, zip(entriesOf({ manifest: (value) => ((value.entries['models/0'].size = { toString: 1, valueOf: 1 }), value) })));
  hostile('of another format', ['format'], /not 'nearside-backup'/, zip(entriesOf({ manifest: (value) => ({ ...value, format: 'other' }) })));
  for (const manifest of [null, 7, 'x', [], {}]) hostile(`with the manifest ${JSON.stringify(manifest)}`, ['format'], /backup/, zip(entriesOf({ manifest: () => manifest ?? 'null' })));
  hostile('with more in its manifest', ['integrity'], /other bytes than its content makes/, zip(entriesOf({ manifest: (value) => ({ ...value, more: 1 }) })));

  const listing = (...models) => JSON.stringify({ models });
  const one = { name: 'm', version: '1', settings: {} };
  for (const contents of ['null', '7', '{}', '{"models":{}}', listing(7), listing({ name: 'm' }), listing({ ...one, name: '../m' }), listing({ ...one, version: '..' }), listing({ ...one, settings: [] }), listing({ ...one, settings: null }), listing({ ...one, name: '__proto__' }), listing(one).replace('{}', '{"__proto__":{}}'), listing(), listing(one, one), '{', '\xff', '['.repeat(100_000)]) {
    hostile(`with the contents ${contents.slice(0, 60)}`, ['format'], /contents.json|'models\/1' is missing/, zip(entriesOf({ files: { 'contents.json': Buffer.from(contents, 'latin1') } })));
  }
  const two = (...models) => zip(entriesOf({ files: { 'contents.json': text(listing(...models)), 'models/1': Buffer.from([1]) } }));
  hostile('with a model listed twice', ['format'], /the model 'm' twice/, two(one, one));
  hostile('with versions not in order', ['format'], /the model 'm' twice, or not in order/, two({ ...one, version: '2' }, one));
  hostile('with more in its contents', ['integrity'], /other bytes/, zip(entriesOf({ files: { 'contents.json': text('{"models":[{"name":"m","settings":{},"version":"1"}],"more":1}') } })));
  hostile('with more in a model', ['integrity'], /other bytes/, zip(entriesOf({ files: { 'contents.json': text(listing({ more: 1, ...one })) } })));
  hostile('with a log that was edited', ['integrity'], /audit\.json, does not verify/, zip(entriesOf({ files: { 'audit.json': text({ ...audit, entries: audit.entries.slice(1) }) } })));
  hostile('with a log that is none', ['format'], /audit log/, zip(entriesOf({ files: { 'audit.json': text('{}') } })));

  const zeros = Buffer.alloc(1 << 20);
  const bomb = deflateRawSync(zeros);
  hostile('with a bomb', ['format'], /"models\/0" is compressed/, zip(entriesOf({ files: { 'models/0': zeros } }).map(([name, bytes]) => (name === 'models/0' ? [name, bytes, { data: bomb, method: 8 }] : [name, bytes]))));
  hostile('with a bomb as its manifest', ['format'], /"manifest.json" is compressed/, zip([['manifest.json', zeros, { data: bomb, method: 8 }]]));
  hostile('of an unknown compression', ['format'], /"manifest.json" is compressed/, zip([['manifest.json', zeros, { method: 99 }]]));
  hostile('with a size of 4 GB', ['format'], /overlap, or it is cut off/, zip([['manifest.json', text('{}'), { size: 0xfffffffe, original: 0xfffffffe }]]));
  hostile('with two sizes', ['format'], /two sizes/, zip([['manifest.json', text('{}'), { original: 0xfffffffe }]]));
  hostile('with entries that overlap', ['format'], /overlap/, zip(Array.from({ length: 1000 }, (_, i) => [`models/${i}`, i ? Buffer.alloc(0) : zeros, { size: zeros.length, original: zeros.length, offset: 0 }])));
  hostile('with 65,535 entries that are not there', ['format'], /./, zip(entriesOf(), { end: { entries: 65535 } }));
  hostile('whose directory is elsewhere', ['format'], /./, zip(entriesOf(), { end: { offset: 0xffffffff } }));
  hostile('with another name in the entry', ['integrity'], /other bytes/, zip(entriesOf().map(([name, bytes]) => [name, bytes, { localName: Buffer.from(name.replace(/^models.0$/, '../evil0')) }])));
  hostile('with bytes between its entries', ['integrity'], /other bytes/, zip(entriesOf(), { between: Buffer.from('hidden') }));
  hostile('with a comment', ['integrity'], /other bytes/, zip(entriesOf(), { comment: 'hidden' }));
  hostile('with entries in another order', ['integrity'], /other bytes/, zip(entriesOf().reverse()));
  hostile('that is encrypted', ['integrity', 'format'], /./, zip(entriesOf().map(([name, bytes]) => [name, bytes, { flags: 1 }])));
  hostile('with another CRC', ['integrity'], /other bytes/, zip(entriesOf().map(([name, bytes]) => [name, bytes, { crc: 1 }])));
  for (const bytes of [Buffer.alloc(0), Buffer.from('PK'), Buffer.alloc(22), Buffer.alloc(100_000), text('{}')]) hostile(`that is ${bytes.length} bytes`, ['format'], /no backup/, bytes);
});
