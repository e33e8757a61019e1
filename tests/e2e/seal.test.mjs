// Sealed files: what is sealed opens again to the byte, and what was changed anywhere does not open.
import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createPrivateKey, createPublicKey, hkdfSync, pbkdf2Sync, randomBytes, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { NearsideError } from '../../pkg/nearside.js';
import { generateKey, generateSigningKey, importKey, isSealed, readSeal, seal, unseal } from '../../pkg/seal.js';
import { inBrowser } from './support.mjs';

const CHUNK = 64 * 1024;
const [PRELUDE, HEADER, TAG, SIGNATURE] = [11, 79, 16, 64];
const SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 9 * CHUNK + 7];

let secret, signer, key, otherKey, own, other;
before(async () => {
  [secret, signer] = [await generateKey(), await generateSigningKey()];
  const pair = async ({ privateKey, publicKey }) => ({ sign: await importKey(privateKey), verify: await importKey(publicKey) });
  [key, otherKey] = [await importKey(secret), await importKey(await generateKey())];
  [own, other] = [await pair(signer), await pair(await generateSigningKey())];
});

/** Ways to seal, and what opens each. */
const ways = () => ({
  'a key': [{ key }, { key }],
  'a key, signed': [{ key, sign: own.sign }, { key, verify: own.verify }],
  'a passphrase': [{ passphrase: 'correct horse' }, { passphrase: 'correct horse' }],
  'a passphrase, signed': [{ passphrase: 'correct horse', sign: own.sign }, { passphrase: 'correct horse', verify: own.verify }],
  'a signature alone': [{ sign: own.sign }, { verify: own.verify }],
});

/** It is not opened, for a reason of one of these kinds. The error. */
async function refused(act, kinds, message = /./) {
  const error = await act.then(() => assert.fail('it was not refused'), (error) => error);
  assert.ok(error instanceof NearsideError, String(error.stack));
  assert.ok([kinds].flat().includes(error.kind), `${error.kind}: ${error.message}`);
  assert.match(error.message, message);
  return error;
}

const changed = (file, at, bits) => file.with(at, file[at] ^ bits);

/** The layout that seal.ts documents, by another library. */
const reference = {
  keys({ passphrase, bytes }, header) {
    const salt = header.subarray(15, 47);
    const master = bytes ?? pbkdf2Sync(passphrase.normalize('NFC'), salt, header.readUInt32BE(11), 32, 'sha256');
    const okm = Buffer.from(hkdfSync('sha256', master, salt, header.subarray(0, 15), 71));
    return { key: okm.subarray(0, 32), prefix: okm.subarray(32, 39), commitment: okm.subarray(39) };
  },
  nonce(prefix, i, last) {
    const end = Buffer.alloc(5);
    end.writeUInt32BE(i);
    end[4] = last ? 1 : 0;
    return Buffer.concat([prefix, end]);
  },
  parts(bytes, size) {
    return Array.from({ length: Math.max(1, Math.ceil(bytes.length / size)) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
  },
  encrypted(content, secret, { iterations, signed }) {
    const header = Buffer.alloc(79);
    header.write('894e5345414c0d0a01', 'hex');
    header.set([secret.bytes ? 1 : 2, signed ? 1 : 0], 9);
    header.writeUInt32BE(iterations, 11);
    header.set(randomBytes(32), 15);
    const { key, prefix, commitment } = this.keys(secret, header);
    header.set(commitment, 47);
    const chunks = this.parts(content, CHUNK).map((chunk, i, { length }) => {
      const cipher = createCipheriv('aes-256-gcm', key, this.nonce(prefix, i, i === length - 1)).setAAD(header);
      return Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
    });
    return Buffer.concat([header, ...chunks]);
  },
  decrypted(file, secret) {
    const header = Buffer.from(file.subarray(0, 79));
    const { key, prefix, commitment } = this.keys(secret, header);
    assert.deepEqual(commitment, header.subarray(47));
    const chunks = this.parts(file.subarray(79), CHUNK + TAG).map((chunk, i, { length }) => {
      const cipher = createDecipheriv('aes-256-gcm', key, this.nonce(prefix, i, i === length - 1)).setAAD(header);
      cipher.setAuthTag(chunk.subarray(-TAG));
      return Buffer.concat([cipher.update(chunk.subarray(0, -TAG)), cipher.final()]);
    });
    return Buffer.concat(chunks);
  },
};

test('files of every size open again, each way to seal', async () => {
  for (const [name, [how, back]] of Object.entries(ways())) {
    for (const size of SIZES) {
      const content = new Uint8Array(randomBytes(size));
      const file = await seal(content, how);
      assert.deepEqual(await unseal(file, back), content, `${name}: ${size}`);
      assert.deepEqual([isSealed(file), readSeal(file).signed], [true, how.sign !== undefined]);
      const overhead = (how.sign ? SIGNATURE : 0) + (name === 'a signature alone' ? PRELUDE : HEADER + TAG * Math.max(1, Math.ceil(size / CHUNK)));
      assert.equal(file.length, size + overhead, `${name}: ${size}`);
    }
  }
});

test('what is sealed, another library opens by the documented layout; and the other way round', async () => {
  const raw = { bytes: Buffer.from(secret.k, 'base64url') };
  const passphrase = { passphrase: 'cafe\u0301 au lait' };
  const [privateKey, publicKey] = [createPrivateKey({ key: signer.privateKey, format: 'jwk' }), createPublicKey({ key: signer.publicKey, format: 'jwk' })];
  for (const size of SIZES) {
    const content = randomBytes(size);
    for (const [how, by] of [[{ key }, raw], [passphrase, passphrase]]) {
      assert.deepEqual(reference.decrypted(await seal(content, how), by), content);
      const file = reference.encrypted(content, by, { iterations: by.bytes ? 0 : 700_000 });
      assert.deepEqual(await unseal(file, how), new Uint8Array(content));
    }
    const file = await seal(content, { key, sign: own.sign });
    assert.ok(verify(null, file.subarray(0, -SIGNATURE), publicKey, file.subarray(-SIGNATURE)));
    const theirs = reference.encrypted(content, raw, { iterations: 0, signed: true });
    const signed = Buffer.concat([theirs, sign(null, theirs, privateKey)]);
    assert.deepEqual(await unseal(signed, { key, verify: own.verify }), new Uint8Array(content));
    const plain = Buffer.concat([Buffer.from('894e5345414c0d0a010001', 'hex'), content]);
    assert.deepEqual(await unseal(Buffer.concat([plain, sign(null, plain, privateKey)]), { verify: own.verify }), new Uint8Array(content));
  }
});

test('no two files are encrypted alike', async () => {
  const [one, two] = [await seal(new Uint8Array(100), { key }), await seal(new Uint8Array(100), { key })];
  assert.notDeepEqual(one.subarray(15, 47), two.subarray(15, 47));
  assert.notDeepEqual(one.subarray(HEADER), two.subarray(HEADER));
});

test('a passphrase is the same in composed and decomposed letters', async () => {
  const file = await seal(new Uint8Array(3), { passphrase: 'café' });
  assert.deepEqual(await unseal(file, { passphrase: 'cafe\u0301' }), new Uint8Array(3));
});

test('no bit of a file can be changed', async (t) => {
  let tried = 0;
  for (const [name, [how, back]] of Object.entries(ways())) {
    // Each trial derives the key from the passphrase, unless a signature is there to be checked before.
    const slow = name === 'a passphrase';
    const content = randomBytes(slow ? 1 : 40);
    const file = await seal(content, how);
    for (let at = 0; at < file.length; at++) {
      for (const bits of slow ? [1 << at % 8] : Array.from({ length: 8 }, (_, bit) => 1 << bit)) {
        await refused(unseal(changed(file, at, bits), back), ['integrity', 'format']);
        tried++;
      }
    }
    assert.deepEqual(await unseal(file, back), new Uint8Array(content));
  }
  t.diagnostic(`${tried} changed files`);
});

test('no byte of a file can be cut off, or added', async (t) => {
  let tried = 0;
  for (const [name, [how, back]] of Object.entries(ways())) {
    const file = await seal(randomBytes(40), how);
    const step = name === 'a passphrase' ? 7 : 1;
    for (let length = 0; length < file.length; length += step) {
      await refused(unseal(file.subarray(0, length), back), ['integrity', 'format']);
      if (length > 0) await refused(unseal(file.subarray(length), back), 'format', /not a sealed one/);
      tried += 2;
    }
    await refused(unseal(Buffer.concat([file, Buffer.of(0)]), back), 'integrity');
  }
  const long = await seal(randomBytes(2 * CHUNK + 5), { key });
  for (const length of [1, 2].map((chunks) => HEADER + chunks * (CHUNK + TAG))) {
    for (let by = -20; by <= 20; by++) {
      await refused(unseal(long.subarray(0, length + by), { key }), 'integrity', /changed or truncated/);
      tried++;
    }
  }
  t.diagnostic(`${tried} cut files`);
});

test('chunks cannot be moved, doubled, left out, or taken from another file', async () => {
  const content = new Uint8Array(3 * CHUNK); // all chunks alike: only their place tells them apart
  const split = (file) => [file.subarray(0, HEADER), ...reference.parts(file.subarray(HEADER), CHUNK + TAG)];
  const [h, a, b, c] = split(await seal(content, { key }));
  const [h2, a2, b2, c2] = split(await seal(content, { key }));
  const open = (...parts) => unseal(Buffer.concat(parts), { key });
  assert.deepEqual(await open(h, a, b, c), content);
  const forged = {
    'first and second swapped': [h, b, a, c],
    'first and last swapped': [h, c, b, a],
    'second and last swapped': [h, a, c, b],
    'first doubled': [h, a, a, b, c],
    'first in place of second': [h, a, a, c],
    'last doubled': [h, a, b, c, c],
    'first left out': [h, b, c],
    'second left out': [h, a, c],
    'last left out': [h, a, b],
    'all left out': [h],
    'first only': [h, a],
    'last only': [h, c],
    'first from another file': [h, a2, b, c],
    'second from another file': [h, a, b2, c],
    'last from another file': [h, a, b, c2],
    'header from another file': [h2, a, b, c],
    'commitment and chunks from another file': [h.subarray(0, 47), h2.subarray(47), a2, b2, c2],
  };
  for (const [name, parts] of Object.entries(forged)) await refused(open(...parts), 'integrity').catch((error) => assert.fail(`${name}: ${error.message}`));
  const { context, message } = await refused(open(h, a, b, changed(c, 0, 1)), 'integrity', /the chunk at byte 131183 is not what was sealed there; get the file again/);
  assert.equal(context.offset, HEADER + 2 * (CHUNK + TAG), message);
});

test('another key, passphrase or signer is refused, and a signature that is missing', async () => {
  const content = new Uint8Array(10);
  const signed = await seal(content, { sign: own.sign });
  const both = await seal(content, { key, sign: own.sign });
  const byKey = await seal(content, { key });
  const byPassphrase = await seal(content, { passphrase: 'right' });
  const cases = [
    [byKey, { key: otherKey }, /the key is wrong, or the file's header was changed/],
    [byPassphrase, { passphrase: 'wrong' }, /the passphrase is wrong, or/],
    [byPassphrase, { key }, /sealed with a passphrase, and a key is given/],
    [byKey, { passphrase: 'right' }, /sealed with a key, and a passphrase is given/],
    [byKey, { key, verify: own.verify }, /not signed, and verify asks for a signature/],
    [both, { key }, /the file is signed: give the signer's public key/],
    [both, { key, verify: other.verify }, /not that of verify's key/],
    [both, { key: otherKey, verify: own.verify }, /the key is wrong/],
    [both.subarray(0, -SIGNATURE), { key, verify: own.verify }, /not that of verify's key/],
    [changed(both, 10, 1).subarray(0, -SIGNATURE), { key, verify: own.verify }, /not signed/],
    [changed(both, 10, 1).subarray(0, -SIGNATURE), { key }, /the key is wrong, or the file's header was changed/],
    [signed, { verify: other.verify }, /not that of verify's key/],
    [signed, { key, verify: own.verify }, /signed only, not encrypted, and a key is given/],
    [signed, { passphrase: 'right' }, /the file is signed/],
  ];
  for (const [file, options, message] of cases) await refused(unseal(file, options), 'integrity', message);
  await refused(unseal(byKey, { verify: own.verify }), 'integrity', /not signed/);
  await refused(unseal(both, { verify: own.verify }), 'value', /encrypted: give the key/);
});

test('a signature is checked before anything is derived or decrypted', async () => {
  const file = await seal(new Uint8Array(10), { passphrase: 'right', sign: own.sign });
  for (const at of [11, 20, 50, 80]) await refused(unseal(changed(file, at, 1), { passphrase: 'right', verify: own.verify }), 'integrity', /signature/);
});

test('a header that asks for more work than is due, or for less, is refused at once', async () => {
  const file = Buffer.from(await seal(new Uint8Array(10), { passphrase: 'right' }));
  for (const iterations of [0, 1, 599_999, 10_000_001, 2 ** 32 - 1]) {
    file.writeUInt32BE(iterations, 11);
    const start = performance.now();
    const { context } = await refused(unseal(file, { passphrase: 'right' }), 'format', new RegExp(`asks for ${iterations} iterations`));
    assert.ok(performance.now() - start < 1000, `${iterations}`);
    assert.equal(context.offset, 11);
  }
});

test('what is not sealed, and newer versions, are told apart', async () => {
  const file = await seal(new Uint8Array(10), { key });
  for (const bytes of [new Uint8Array(), randomBytes(200), file.subarray(0, 7)]) {
    assert.equal(isSealed(bytes), false);
    await refused(unseal(bytes, { key }), 'format', /not a sealed one/);
  }
  await refused(unseal(file.with(8, 2), { key }), 'format', /version 2 of the format.*update/);
  // Neither signed nor encrypted: nothing vouches for it.
  const bare = Buffer.concat([Buffer.from('894e5345414c0d0a010000', 'hex'), Buffer.alloc(100)]);
  for (const options of [{}, { key }, { verify: own.verify }]) await refused(unseal(bare, options), 'format', /neither that it is signed nor that it is encrypted/);
  assert.throws(() => readSeal(file.with(9, 3)), { kind: 'format', message: /in a way, 3/ });
  assert.deepEqual(readSeal(file), { encryptedBy: 'key', signed: false });
});

test('arguments at fault are told', async () => {
  const bytes = new Uint8Array(10);
  const byKey = await seal(bytes, { key });
  const aes = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
  const cases = [
    [seal(bytes, {}), /nothing to seal with: give a passphrase, a key, or sign/],
    [seal(bytes), /no object/],
    [seal('text', { key }), /not a Uint8Array/],
    [seal(bytes, { passphrase: '' }), /passphrase is empty/],
    [seal(bytes, { passphrase: 12 }), /not text/],
    [seal(bytes, { passphrase: 'a', key }), /not both/],
    [seal(bytes, { key: aes }), /key is no HKDF key to encrypt by: generateKey and importKey/],
    [seal(bytes, { key: secret }), /key is no HKDF key/],
    [seal(bytes, { key: own.sign }), /key is no HKDF key/],
    [seal(bytes, { sign: own.verify }), /sign is no Ed25519 key to sign with/],
    [seal(bytes, { verify: own.verify }), /no option 'verify'/],
    [unseal(byKey, {}), /the file is encrypted: give the key/],
    [unseal(bytes, { verify: own.sign }), /verify is no Ed25519 key to verify by/],
    [unseal(bytes, { passphrase: '' }), /passphrase is empty/],
    [importKey({ kty: 'oct', k: 'short' }), /256-bit/],
    [importKey({ kty: 'RSA' }), /kty oct/],
    [importKey(null), /kty oct/],
    [importKey({ ...signer.privateKey, x: 'AAAA' }), /damaged/],
  ];
  for (const [act, message] of cases) await refused(act, 'value', message);
});

test('whoever writes to the bytes meanwhile does not change what is checked', async () => {
  for (const [how, back] of [[{ sign: own.sign }, { verify: own.verify }], [{ key }, { key }]]) {
    const shared = new Uint8Array(new SharedArrayBuffer(200)).fill(7);
    const file = new Uint8Array(await seal(shared, how));
    const opened = unseal(file, back);
    file.fill(0);
    assert.deepEqual(await opened, new Uint8Array(200).fill(7));
  }
});

inBrowser('in a browser', { webgpu: false }, (context) => {
  test('keys that cannot be read out, from IndexedDB too, seal and open', async () => {
    const { opened, extracted, names } = await context.page.evaluate(async () => {
      const { seal, unseal, generateKey, generateSigningKey, importKey } = await import('./seal.js');
      const { privateKey, publicKey } = await generateSigningKey();
      const keys = { key: await importKey(await generateKey()), sign: await importKey(privateKey), verify: await importKey(publicKey) };
      const request = (request) => new Promise((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: () => reject(request.error) }));
      const opening = indexedDB.open('seal');
      opening.onupgradeneeded = () => opening.result.createObjectStore('keys');
      const store = (await request(opening)).transaction('keys', 'readwrite').objectStore('keys');
      await request(store.put(keys, 'all'));
      const { key, sign, verify } = await request(store.get('all'));
      const content = crypto.getRandomValues(new Uint8Array(60_000));
      const model = Uint8Array.from({ length: 200_000 }, (_, i) => content[i % 60_000]);
      const opened = [];
      for (const [how, back] of [[{ key }, { key }], [{ key, sign }, { key, verify }], [{ sign }, { verify }], [{ passphrase: 'a b' }, { passphrase: 'a b' }]]) {
        const result = await unseal(await seal(model, how), back);
        opened.push(result.length === model.length && result.every((byte, i) => byte === model[i]));
      }
      const extracted = await Promise.all([key, sign].map((key) => crypto.subtle.exportKey('jwk', key).then(() => 'given out', ({ name }) => name)));
      return { opened, extracted, names: [key, sign, verify].map(({ algorithm, extractable }) => [algorithm.name, extractable]) };
    });
    assert.deepEqual(opened, [true, true, true, true]);
    assert.ok(extracted.every((answer) => answer !== 'given out'), String(extracted));
    assert.deepEqual(names, [['HKDF', false], ['Ed25519', false], ['Ed25519', false]]);
  });

  test('a page that has no WebCrypto is told why', async () => {
    const page = await context.browser.newPage();
    await page.route('http://plain.test/**', (route) => {
      const file = new URL(route.request().url()).pathname.slice(1);
      return route.fulfill(file ? { contentType: 'text/javascript', body: readFileSync(`pkg/${file}`) } : { contentType: 'text/html', body: '' });
    });
    await page.goto('http://plain.test/');
    const told = await page.evaluate(async () => {
      const { generateSigningKey, importKey, seal, unseal } = await import('./seal.js');
      const acts = [() => seal(new Uint8Array(1), { passphrase: 'a' }), () => seal(new Uint8Array(1), { key: {} }), () => unseal(new Uint8Array(1), { verify: {} }), () => generateSigningKey(), () => importKey({ kty: 'oct', k: 'A'.repeat(43) })];
      return Promise.all(acts.map((act) => act().then(() => 'nothing', ({ kind, message }) => `${kind}: ${message}`)));
    });
    await page.close();
    for (const message of told) assert.match(message, /^unsupported: WebCrypto is missing: pages have it on https/);
  });

  test('what Node has sealed opens, and no byte of it can be changed', async () => {
    const file = await seal(randomBytes(40), { key, sign: own.sign });
    const trials = await context.page.evaluate(async ({ bytes, secret, publicKey }) => {
      const { unseal, importKey } = await import('./seal.js');
      const options = { key: await importKey(secret), verify: await importKey(publicKey) };
      const file = Uint8Array.from(bytes);
      const kinds = [(await unseal(file, options)).length];
      for (let at = 0; at < file.length; at++) {
        const error = await caught(() => unseal(file.with(at, file[at] ^ (1 << at % 8)), options));
        kinds.push(error?.ours ? error.kind : String(error?.message));
      }
      return kinds;
    }, { bytes: [...file], secret, publicKey: signer.publicKey });
    assert.equal(trials.shift(), 40);
    assert.equal(trials.length, file.length);
    for (const kind of trials) assert.ok(['integrity', 'format'].includes(kind), kind);
  });
});
