// What the bodies of requests hold: values of every datatype, and everything that a caller may get wrong or make up.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { createService } from '../../pkg/service.js';
import { HEADER_LENGTH, ask, assertRefused, echo, infer, policy, values } from './ask.mjs';

let service;
before(async () => {
  const models = { echo: '', wide: '', pair: '', scalar: '' };
  const spec = (name, shape) => ({ name, shape, dtype: 'float32' });
  const computers = {
    echo: echo(),
    wide: echo({ shape: [null, 784] }),
    pair: echo({ inputs: [spec('a', [null, 2]), spec('b', [null, 1])], outputs: [spec('c', [null, 2]), spec('d', [null, 1])] }),
    scalar: echo({ shape: [] }),
  };
  service = createService({ policy, models, open: async (name) => computers[name], maxBody: 2 ** 20 });
  await service.ready();
});
after(() => service.dispose());

const input = (data, datatype = 'FP32') => ({ name: 'x', shape: [data.length, 1], datatype, data });
const binary = (bytes, datatype, count) => ({ name: 'x', shape: [count, 1], datatype, parameters: { binary_data_size: bytes.length } });
const inBytes = { parameters: { binary_data_output: true } };
const little = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Values that JSON gives are refused or arrive as they are, and a right request is answered after it. */
async function assertServes() {
  assert.deepEqual(values(await infer(service, 'echo', { inputs: [input([1, -2.5])] }), 'y'), [1, -2.5]);
}

async function refused(message, kind, pattern, options) {
  assertRefused(await infer(service, 'echo', message, options), 400, kind, pattern);
}

describe('datatypes', () => {
  // Bits, and the value that they stand for in FP32; for those that JSON can write also what is written.
  const BYTES = {
    BOOL: [Uint8Array.of(0, 1), [0, 1]],
    UINT8: [Uint8Array.of(0, 255), [0, 255]],
    INT8: [Int8Array.of(-128, 127), [-128, 127]],
    UINT16: [Uint16Array.of(0, 65535), [0, 65535]],
    INT16: [Int16Array.of(-32768, 32767), [-32768, 32767]],
    UINT32: [Uint32Array.of(0, 2 ** 24 + 1, 2 ** 32 - 1), [0, 2 ** 24, 2 ** 32]],
    INT32: [Int32Array.of(-(2 ** 31), 2 ** 31 - 1, -(2 ** 24) - 3), [-(2 ** 31), 2 ** 31, -(2 ** 24) - 4]],
    UINT64: [BigUint64Array.of(0n, 2n ** 53n + 1n, 2n ** 64n - 1n), [0, 2 ** 53, 2 ** 64]],
    INT64: [BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, -(2n ** 53n) - 1n), [-(2 ** 63), 2 ** 63, -(2 ** 53)]],
    FP16: [
      Uint16Array.of(0x0000, 0x0001, 0x03ff, 0x0400, 0x3555, 0x7bff, 0x8001, 0xfbff, 0x7c00, 0xfc00, 0x7e00),
      [0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 0.333251953125, 65504, -(2 ** -24), -65504, Infinity, -Infinity, NaN],
    ],
    BF16: [
      Uint16Array.of(0x0000, 0x0001, 0x007f, 0x0080, 0x3f81, 0x7f7f, 0x8001, 0xff7f, 0x7f80, 0xff80, 0x7fc0),
      [0, 2 ** -133, 127 * 2 ** -133, 2 ** -126, 1.0078125, 255 * 2 ** 120, -(2 ** -133), -255 * 2 ** 120, Infinity, -Infinity, NaN],
    ],
    FP32: [Float32Array.of(2 ** -149, 1.5, -3.4028234663852886e38, NaN, -Infinity), [2 ** -149, 1.5, -3.4028234663852886e38, NaN, -Infinity]],
    FP64: [Float64Array.of(2 ** -149, 2 ** -151, 0.1, 3.4028235e38, NaN, Infinity), [2 ** -149, 0, Math.fround(0.1), 3.4028234663852886e38, NaN, Infinity]],
  };

  for (const [datatype, [array, right]] of Object.entries(BYTES)) {
    test(`${datatype} in bytes and in JSON, at its extremes`, async () => {
      const bytes = little(array);
      const answer = await infer(service, 'echo', { inputs: [binary(bytes, datatype, array.length)], ...inBytes }, { bytes });
      assert.deepEqual(values(answer, 'y'), right);
      // Whole numbers are written with all their digits, the others as FP32 has them: JSON has no NaN or infinity.
      const isWhole = /INT|BOOL/.test(datatype);
      const finite = right.filter((value) => Number.isFinite(value));
      const texts = isWhole ? Array.from(array, String) : finite.map(String);
      const message = JSON.stringify({ inputs: [input(finite, datatype)] }).replace(/"data":\[[^\]]*/, `"data":[${texts}`);
      assert.deepEqual(values(await infer(service, 'echo', message), 'y'), finite);
    });
  }

  test('BOOL is true and false, or 1 and 0', async () => {
    assert.deepEqual(values(await infer(service, 'echo', { inputs: [input([true, false, 1, 0], 'BOOL')] }), 'y'), [1, 0, 1, 0]);
    const bytes = Uint8Array.of(0, 2);
    await refused({ inputs: [binary(bytes, 'BOOL', 2)] }, 'value', /element 1 is 2/, { bytes });
  });

  test('values that a datatype does not have are refused with their place', async () => {
    const odd = { BOOL: [2, -1, 0.5], UINT8: [-1, 256, 1.5], INT8: [-129, 128], UINT16: [65536], INT16: [32768], UINT32: [-1, 2 ** 32], INT32: [2 ** 31], UINT64: [-1, 2 ** 65], INT64: [2 ** 64, 0.5], FP16: [65520, -1e6], BF16: [3.4e38], FP32: [3.5e38, -1e300], FP64: [1e39] };
    for (const [datatype, all] of Object.entries(odd)) {
      for (const value of all) await refused({ inputs: [input([0, value], datatype)] }, 'value', /element 1 is/);
    }
    const bytes = little(Float64Array.of(1, -1e300));
    await refused({ inputs: [binary(bytes, 'FP64', 2)] }, 'value', /element 1 is -1e\+300/, { bytes });
    for (const value of ['1', null, {}, [], [1], 'NaN']) await refused({ inputs: [input([0, value])] }, 'value', /element 1 is no number/);
    for (const datatype of ['FP8', 'fp32', 'BYTES', '', null, 5, ['FP32'], '__proto__', 'constructor', 'x'.repeat(1e5)]) {
      await refused({ inputs: [input([1], datatype)] }, 'unsupported', /datatype.*use BOOL/);
    }
    await assertServes();
  });

  test('a scalar has one value and no axis', async () => {
    const scalar = { name: 'x', shape: [], datatype: 'FP32', data: [7] };
    assert.deepEqual(values(await infer(service, 'scalar', { inputs: [scalar] }), 'y'), [7]);
    for (const data of [[], [1, 2], [[7]], 7]) assert.equal((await infer(service, 'scalar', { inputs: [{ ...scalar, data }] })).status, 400);
  });
});

describe('shapes', () => {
  test('what does not fit its shape is refused', async () => {
    const x = (shape, data) => ({ inputs: [{ name: 'x', shape, datatype: 'FP32', data }] });
    const odd = [
      [x([2, 1], [1]), 'shape'], [x([2, 1], [1, 2, 3]), 'shape'], [x([2, 1], [[1], [2], [3]]), 'shape'], [x([2, 1], [[1, 2]]), 'shape'], [x([2, 1], [[1], 2]), 'shape'],
      [x([1, 2], [1, 2]), 'shape'], [x([2], [1, 2]), 'shape'], [x([], [1]), 'shape'], [x([1, 1, 1], [1]), 'shape'], [x([0, 1], []), 'shape'], [x([-0, 1], []), 'shape'],
      [x([-1, 1], [1]), 'value'], [x([1.5, 1], [1]), 'value'], [x(['1', 1], [1]), 'value'], [x([null, 1], [1]), 'value'], [x([2 ** 53, 1], [1]), 'value'], [x([[1], 1], [1]), 'value'],
      [x({ 0: 1, 1: 1, length: 2 }, [1]), 'value'], [x('1,1', [1]), 'value'], [x(undefined, [1]), 'value'],
      [x([1, 1], { 0: 1, length: 1 }), 'value'], [x([1, 1], '1'), 'value'], [x([1, 1], undefined), 'value'], [x([1, 1], null), 'value'], [x([1, 1], [[[1]]]), 'value'], [x(Array(1e5).fill(1), [1]), 'shape'],
    ]; // prettier-ignore
    for (const [message, kind] of odd) await refused(message, kind);
    await assertServes();
  });

  test('memory is not taken for a shape that is only claimed', async () => {
    const wide = (shape, more) => infer(service, 'wide', { inputs: [{ name: 'x', shape, datatype: 'FP32', ...more }] }, more.parameters && { bytes: new Uint8Array(4) });
    for (const axis of [1e15, 2 ** 53 - 1, 4294967296, 2 ** 31, 1e9]) {
      assertRefused(await wide([axis, 784], { data: [1] }), 400, 'shape', /1 values given/);
      assertRefused(await wide([axis, 784], { data: [[1]] }), 400, 'shape', /a row of/);
      assertRefused(await wide([axis, 784], { parameters: { binary_data_size: 4 } }), 400, 'shape', /4 bytes given/);
      assertRefused(await wide([axis, 0], { data: [] }), 400, 'shape', /needed/);
    }
    const { rss } = process.memoryUsage();
    assert.ok(rss < 2 ** 30, `${rss} bytes`);
  });

  test('inputs must have the same number of samples, and each be given once', async () => {
    const [a, b] = [{ name: 'a', shape: [1, 2], datatype: 'FP32', data: [1, 2] }, { name: 'b', shape: [1, 1], datatype: 'FP32', data: [3] }];
    const pair = (...inputs) => infer(service, 'pair', { inputs });
    assert.deepEqual(values(await pair(b, a), 'c'), [1, 2]);
    assertRefused(await pair(a, { ...b, shape: [2, 1], data: [3, 4] }), 400, 'shape', /2 samples, 'a' has 1/);
    assertRefused(await pair(a), 400, 'value', /'b': it is missing/);
    assertRefused(await pair(), 400, 'value', /missing/);
    assertRefused(await pair(a, b, a), 400, 'value', /given twice/);
    assertRefused(await pair(a, b, { ...b, name: 'z'.repeat(1e5) }), 400, 'value', /no input 'z+…'; it has a, b/);
    assertRefused(await infer(service, 'pair', { inputs: [a, b], outputs: [{ name: 'c' }, { name: 'c' }] }), 400, 'value', /asked for twice/);
    assertRefused(await infer(service, 'pair', { inputs: [a, b], outputs: [{ name: '__proto__' }] }), 400, 'value', /no output '__proto__'; it has c, d/);
  });
});

describe('binary tensors', () => {
  const bytes = little(Float32Array.of(1, 2));

  test('a size that lies is refused', async () => {
    for (const size of [-1, -8, 7, 9, 8.5, 1e9, 2 ** 53, 1e300, '8', null, true, [8], {}, 'x'.repeat(1e5)]) {
      const message = { inputs: [{ ...binary(bytes, 'FP32', 2), parameters: { binary_data_size: size } }] };
      assert.equal((await infer(service, 'echo', message, { bytes })).status, 400, String(size).slice(0, 20));
    }
    const message = { inputs: [binary(bytes, 'FP32', 2)] };
    for (const more of [new Uint8Array(), new Uint8Array(4), new Uint8Array(12)]) await refused(message, 'value', /bytes/, { bytes: more });
    await refused({ inputs: [{ ...binary(bytes, 'FP32', 2), data: [1, 2] }] }, 'value', /both/, { bytes });
    await refused({ inputs: [binary(bytes, 'FP32', 3)] }, 'shape', /8 bytes given.*12/, { bytes });
    await refused({ inputs: [binary(bytes, 'FP32', 2)], parameters: { binary_data_output: 'yes' } }, 'value', /neither true nor false/, { bytes });
    await refused({ inputs: [input([1])], outputs: [{ name: 'y', parameters: { binary_data: 1 } }] }, 'value', /neither true nor false/);
    await assertServes();
  });

  test('a header that lies of the JSON is refused', async () => {
    const json = new TextEncoder().encode(JSON.stringify({ inputs: [binary(bytes, 'FP32', 2)] }));
    const body = new Uint8Array([...json, ...bytes]);
    const send = (length) => ask(service, 'POST', '/v2/models/echo/infer', { body, headers: { [HEADER_LENGTH]: length } });
    assert.deepEqual(values(await send(String(json.length)), 'y'), [1, 2]);
    assert.deepEqual(values(await send(`0${json.length}`), 'y'), [1, 2]);
    const { length } = json;
    for (const odd of ['', '-1', '+5', '0', '1', 'x', '1e2', '0x20', `${length}.0`, `${length}, ${length}`, String(length - 1), String(length + 1), String(body.length), String(body.length + 1), '9'.repeat(30), '9'.repeat(5000), 'Infinity', 'NaN']) {
      assertRefused(await send(odd), 400, 'value');
    }
    assertRefused(await ask(service, 'POST', '/v2/models/echo/infer', { body }), 400, 'value', /no JSON/);
    await assertServes();
  });

  test('shared memory and sequences are refused by name', async () => {
    for (const name of ['shared_memory_region', 'shared_memory_byte_size']) {
      await refused({ inputs: [{ ...input([1]), parameters: { [name]: 'a' } }] }, 'unsupported', new RegExp(name));
      await refused({ inputs: [input([1])], outputs: [{ name: 'y', parameters: { [name]: 'a' } }] }, 'unsupported', new RegExp(name));
    }
    for (const name of ['sequence_id', 'sequence_start', 'sequence_end', 'priority']) {
      await refused({ inputs: [input([1])], parameters: { [name]: 1 } }, 'unsupported', new RegExp(name));
    }
    // What callers note for themselves is their own.
    assert.equal((await infer(service, 'echo', { inputs: [input([1])], parameters: { mine: 'a' } })).status, 200);
  });
});

describe('bodies', () => {
  const right = JSON.stringify({ inputs: [input([1, 2])] });
  const send = (body, headers) => ask(service, 'POST', '/v2/models/echo/infer', { body, headers });

  test('compressed bodies are read, and damaged ones refused', async () => {
    for (const [encoding, bytes] of [['gzip', gzipSync(right)], ['GZIP', gzipSync(right)], ['x-gzip', gzipSync(right)], ['deflate', deflateSync(right)], ['identity', right], ['Identity', right]]) {
      assert.deepEqual(values(await send(bytes, { 'content-encoding': encoding }), 'y'), [1, 2], encoding);
    }
    const random = Uint8Array.from({ length: 999 }, (_, i) => (i * 7919) % 256);
    for (const [encoding, bytes] of [['gzip', right], ['gzip', random], ['gzip', gzipSync(right).subarray(0, 30)], ['gzip', new Uint8Array()], ['deflate', gzipSync(right)], ['deflate', random], ['gzip', deflateSync(right)]]) {
      assertRefused(await send(bytes, { 'content-encoding': encoding }), 400, 'value', /could not be read/);
    }
    for (const encoding of ['br', 'gzip, gzip', 'zstd', 'constructor', '__proto__', 'toString', 'x'.repeat(5000)]) {
      assertRefused(await send(right, { 'content-encoding': encoding }), 415, 'unsupported', /gzip or deflate/);
    }
    await assertServes();
  });

  test('a body larger than allowed is refused, however it comes', async () => {
    const spaces = ' '.repeat(2 ** 20 - right.length);
    assert.equal((await send(right + spaces)).status, 200);
    const large = `${right}${spaces} `;
    assertRefused(await send(large), 413, 'memory', /larger than the 1048576 bytes/);
    assertRefused(await send(large, { 'content-length': String(large.length) }), 413, 'memory');
    assertRefused(await send(right, { 'content-length': '99999999999' }), 413, 'memory');
    // A length that lies is no licence.
    for (const length of ['5', 'x', '-1', '0']) assertRefused(await send(large, { 'content-length': length }), 413, 'memory');
    for (const bomb of [gzipSync(Buffer.alloc(2 ** 28)), deflateSync(Buffer.alloc(2 ** 28))]) {
      assertRefused(await send(bomb, { 'content-encoding': bomb[0] === 0x1f ? 'gzip' : 'deflate' }), 413, 'memory');
    }
    await assertServes();
  });

  test('a stream without end is read no further than allowed', async () => {
    let pulled = 0;
    const cancelled = withResolvers();
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(2 ** 16).fill((pulled++, 32))), cancel: cancelled.resolve });
    assertRefused(await send(endless, { 'content-length': '5' }), 413, 'memory');
    await cancelled.promise;
    assert.ok(pulled < 40, String(pulled));
    const broken = new ReadableStream({ pull: (controller) => controller.error(new Error('cable')) });
    assertRefused(await send(broken), 400, 'value', /could not be read.*cable/);
    assertRefused(await send(new ReadableStream({ start: (controller) => (controller.enqueue('text'), controller.close()) })), 400, 'value');
    await assertServes();
  });

  test('a body that was read before is refused', async () => {
    const request = new Request('http://localhost/v2/models/echo/infer', { method: 'POST', body: right });
    await request.text();
    assert.equal((await service.fetch(request)).status, 400);
    const locked = new Request('http://localhost/v2/models/echo/infer', { method: 'POST', body: right });
    locked.body.getReader();
    assert.equal((await service.fetch(locked)).status, 400);
  });

  test('where requests have no stream, as in Firefox, bodies are read nevertheless', async () => {
    for (const [body, headers] of [[right, {}], [gzipSync(right), { 'content-encoding': 'gzip' }]]) {
      const request = new Request('http://localhost/v2/models/echo/infer', { method: 'POST', body, headers });
      Object.defineProperty(request, 'body', { value: undefined });
      assert.equal((await service.fetch(request)).status, 200);
    }
  });

  test('what is no message is refused', async () => {
    const bodies = ['', ' ', 'null', '[]', '5', '"inputs"', '{', '{}', '{"inputs":[]}', '{"inputs":null}', '{"inputs":{}}', '{"inputs":[null]}', '{"inputs":[[]]}', '{"inputs":["x"]}', '{"inputs":[{}]}', '{"inputs":[{"name":5}]}', "{'inputs':[]}", '{"inputs":[],}', '\u0000', 'undefined'];
    for (const body of bodies) assertRefused(await send(body), 400, 'value');
    assertRefused(await ask(service, 'POST', '/v2/models/echo/infer'), 400, 'value', /no JSON/);
    for (const change of [{ outputs: null }, { outputs: 'y' }, { outputs: [null] }, { outputs: [{}] }, { parameters: [] }, { parameters: 'a' }, { parameters: 5 }]) {
      assertRefused(await send(JSON.stringify({ inputs: [input([1])], ...change })), 400, 'value');
    }
    assertRefused(await send(JSON.stringify({ inputs: [{ ...input([1]), parameters: [1] }] })), 400, 'value', /parameters/);
    for (const bytes of [Uint8Array.of(0xff, 0xfe), Uint8Array.of(0xc0, 0x80), new Uint8Array([...Buffer.from('{"inputs":[{"name":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}]}')]), Buffer.from(right, 'utf16le')]) {
      assertRefused(await send(bytes), 400, 'value', /no JSON in UTF-8/);
    }
    await assertServes();
  });

  test('a byte order mark and duplicate keys are as JSON.parse has them', async () => {
    assert.equal((await send(`\ufeff${right}`)).status, 200);
    const { json } = await send(`{"id":"a","inputs":[],"id":"b",${right.slice(1)}`);
    assert.equal(json.id, 'b');
    assertRefused(await send(JSON.stringify({ inputs: [{ ...input([1]), name: '\ud800' }] })), 400, 'value', /no input/);
  });

  test('JSON nested a hundred thousand deep is refused', async () => {
    const deep = '['.repeat(1e5) + ']'.repeat(1e5);
    const objects = '{"a":'.repeat(1e5) + '1' + '}'.repeat(1e5);
    for (const body of [deep, '['.repeat(1e5), `{"inputs":${deep}}`, `{"inputs":[${objects}]}`, right.replace('[1,2]', deep), right.replace('[2,1]', deep), right.replace('"x"', deep), `{"id":${deep},${right.slice(1)}`]) {
      assert.equal((await send(body)).status, 400);
    }
    // Nobody reads it: a parameter of the caller's own.
    assert.equal((await send(`{"parameters":{"mine":${objects}},${right.slice(1)}`)).status, 200);
    await assertServes();
  });

  test('prototypes stay as they are', async () => {
    const polluted = '"__proto__":{"polluted":1,"shape":[1,1],"datatype":"FP32","inputs":[],"binary_data_output":true},"constructor":{"prototype":{"polluted":1}}';
    const bodies = [
      `{${polluted},${right.slice(1)}`,
      right.replace('{"name"', `{${polluted},"name"`),
      right.replace('{"name"', `{"parameters":{${polluted}},"name"`),
      `{"parameters":{${polluted}},"outputs":[{"name":"y",${polluted},"parameters":{${polluted}}}],${right.slice(1)}`,
    ];
    for (const body of bodies) assert.deepEqual(values(await send(body), 'y'), [1, 2]);
    // Nor is anything taken from one.
    assertRefused(await send('{"__proto__":{"inputs":[]}}'), 400, 'value', /'inputs'/);
    assertRefused(await send('{"inputs":[{"name":"x","__proto__":{"shape":[1,1],"datatype":"FP32","data":[1]}}]}'), 400, 'value', /'shape'/);
    for (const path of ['/v2/repository/index', '/v2/repository/models/echo/load']) await ask(service, 'POST', path, { body: `{${polluted},"parameters":{${polluted}}}` });
    assert.equal({}.polluted, undefined);
    assert.equal([].polluted, undefined);
  });
});

function withResolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}
