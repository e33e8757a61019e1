// The files of numbers that the command line reads and writes, against NumPy's own.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const NUMPY = JSON.parse(readFileSync('tests/fixtures/npy.json', 'utf8')).cases.map(({ file, ...rest }) => {
  return { ...rest, file: new Uint8Array(Buffer.from(file, 'base64')) };
});
const READ = NUMPY.filter(({ refused }) => !refused);
const REFUSED = NUMPY.filter(({ refused }) => refused);

let folder;
/** The modules under test. */
let npy, csv, json;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nearside-'));
  const entryPoints = ['npy', 'csv', 'json'].map((name) => `www/package/cli/${name}.ts`);
  const options = { bundle: true, format: 'esm', platform: 'node', outExtension: { '.js': '.mjs' }, logLevel: 'warning' };
  await build({ ...options, entryPoints, outdir: folder, plugins: [{ name: 'built package', setup: usePackage }] });
  [npy, csv, json] = await Promise.all(['npy', 'csv', 'json'].map((name) => import(join(folder, `${name}.mjs`))));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function usePackage({ onResolve }) {
  const path = pathToFileURL(resolve('pkg/node.js')).href;
  onResolve({ filter: /^\.\.\/(node|errors|tensor)\.js$/ }, () => ({ path, external: true }));
}

/** What `act` throws, which must be a NearsideError of this kind. */
function refused(act, kind, message) {
  let error;
  assert.throws(act, (thrown) => Boolean((error = thrown)));
  assert.equal(error.name, 'NearsideError', String(error.stack));
  assert.equal(error.kind, kind, error.message);
  if (message) assert.match(error.message, message);
  return error;
}

function numpy(name) {
  return NUMPY.find((entry) => entry.name === name).file;
}

/** A file of version 1.0 with this header. */
function npyOf(header, data = []) {
  const text = Buffer.from(header, 'latin1');
  return Uint8Array.from([...numpy('<f4').subarray(0, 6), 1, 0, text.length & 255, text.length >> 8, ...text, ...data]);
}

test('arrays of every type and order are read as NumPy reads them', () => {
  assert.ok(READ.length >= 30);
  for (const { name, file, shape, values } of READ) {
    const tensor = npy.readNpy(file);
    assert.deepEqual(tensor.shape, shape, name);
    assert.deepEqual([...tensor.data], values.map((value) => (value === 'nan' ? NaN : Number(value))), name);
  }
});

test('an array is written byte for byte as NumPy writes it', () => {
  const same = READ.filter(({ name }) => ['<f4', 'version (1, 0)', 'one value', 'empty'].includes(name));
  assert.equal(same.length, 4);
  for (const { name, file } of same) assert.deepEqual(Buffer.concat([...npy.writeNpy(npy.readNpy(file))]), Buffer.from(file), name);
});

test('arrays that hold no numbers are refused by the name of their type', () => {
  assert.ok(REFUSED.length >= 7);
  for (const { name, file } of REFUSED) {
    const error = refused(() => npy.readNpy(file), 'unsupported', /the array's type is ['[].+; one of f2, f4/);
    assert.equal(error.context.offset, 10, name);
  }
});

test('every prefix of an array file is refused, with the place', () => {
  for (const name of ['<f4', 'version (2, 0)', 'version (3, 0)']) {
    const file = numpy(name);
    for (let length = 0; length < file.length; length++) {
      const error = refused(() => npy.readNpy(file.subarray(0, length)), 'format');
      assert.equal(typeof error.context.offset, 'number', error.message);
    }
  }
});

test('damaged arrays give an array or an error', () => {
  const seeds = READ.map(({ file }) => file);
  let state = 1;
  const below = (end) => (state = (state * 48271) % 2147483647) % end; // Park and Miller's minimal standard
  let failed = 0;
  for (let round = 0; round < 20_000; round++) {
    const file = Uint8Array.from(seeds[round % seeds.length]);
    for (let damage = below(4); damage >= 0; damage--) file[below(Math.min(file.length, 128))] = below(2) ? below(256) : 0x20 + below(96);
    try {
      const { data, shape } = npy.readNpy(file);
      assert.equal(data.length, shape.reduce((product, axis) => product * axis, 1));
    } catch (error) {
      assert.equal(error.name, 'NearsideError', String(error.stack));
      failed++;
    }
  }
  assert.ok(failed > 1000 && failed < 20_000, `${failed} failed`);
});

test('headers are read in any order and spacing, and refused where they are not understood', () => {
  const data = [0, 0, 128, 63];
  const sound = [
    "{'shape': (1,), 'fortran_order': False, 'descr': '<f4'}",
    '{"descr":"<f4","fortran_order":True,"shape":(1)}\n',
    " { 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 1 , 1L , ) , }  \n",
  ];
  for (const header of sound) assert.deepEqual([...npy.readNpy(npyOf(header, data)).data], [1], header);
  const damaged = {
    "{'descr': '<f4', 'fortran_order': False}": /'descr', 'fortran_order' and 'shape' are needed/,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'extra': 1}": /expected \(at byte 66\)/,
    "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}": /'descr' twice/,
    "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}": /a value of 'fortran_order' expected/,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}": /a value of 'shape' expected/,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1 1,)}": /the shape \(1 1,\) is none/,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}": /the shape .* is none/,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740991, 9007199254740991)}": /the file is truncated: .* 4 are there/,
    [`{'descr': '<f4', 'fortran_order': False, 'shape': (${'1,'.repeat(65)})}`]: /the shape .* is none/,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} 1": /nothing behind the \}/,
    "{'descr': '|f4', 'fortran_order': False, 'shape': (1,)}": /byte order of the type '\|f4'/,
    "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}": /',' or '\}' expected/,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}": /truncated: shape \(2\) needs 8 bytes, 4 are there/,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}": /more follows the array/,
    '': /'\{' expected \(at byte 10\)/,
  };
  for (const [header, message] of Object.entries(damaged)) refused(() => npy.readNpy(npyOf(header, data)), 'format', message);
  refused(() => npy.readNpy(npyOf("{'descr': '<toString', 'fortran_order': False, 'shape': (1,)}", data)), 'unsupported');
});

test('versions of the format that are not known are refused', () => {
  for (const [major, minor] of [[0, 0], [1, 1], [4, 0]]) {
    const file = numpy('<f4').slice();
    file.set([major, minor], 6);
    refused(() => npy.readNpy(file), 'unsupported', new RegExp(`version ${major}\\.${minor}`));
  }
});

test('tables are read with any separator, line end, quotes and column names', () => {
  const tables = ['1,2.5\n-3e2,.5\n', '1,2.5\r\n-3e2,.5', '1;2.5\n-3e2;.5\n\n\r\n', '1\t2.5\r-300\t0.5\r', '\ufeff+1, 2.5 \n -3E+2 ,0.5', '"1","2.5"\n"-300",0.5'];
  const named = ['a,b\n1,2.5\n-300,0.5\n', '"a, first","b ""quoted"""\n1,2.5\n-300,0.5', 'a\tb; c\n1\t2.5\n-300\t0.5', '"two\nlines",b\n1,2.5\n-300,.5', ',b\n1,2.5\n-300,.5'];
  for (const text of [...tables, ...named]) {
    const { data, shape } = csv.readCsv(text);
    assert.deepEqual([shape, [...data]], [[2, 2], [1, 2.5, -300, 0.5]], text);
  }
  assert.deepEqual(csv.readCsv('1').shape, [1, 1]);
  assert.deepEqual([...csv.readCsv('x\nnan\nNaN\ninf\n-Infinity\n+INF\n').data], [NaN, NaN, Infinity, -Infinity, Infinity]);
});

test('what is no table of numbers is refused with its line and column', () => {
  const wrong = {
    '': /^the table has no numbers$/,
    '\n\n': /^the table has no numbers$/,
    'a,b\n': /^the table has no numbers$/,
    '1,2\n3\n': /^line 2: 1 fields, where the lines before have 2$/,
    '1,2\n\n3,4': /^line 2: 1 fields/,
    'a,b\n1,2,3': /^line 2: 3 fields/,
    '1,2\n3,x\n': /^line 2, column 2: 'x' is not a number$/,
    '1,a': /^line 1, column 2: 'a' is not a number$/,
    '1,2\n3,\n': /^line 2, column 2: the field is empty/,
    '1\n\n2': /^line 2, column 1: the field is empty/,
    ',': /^line 1, column 1: the field is empty/,
    '1;2\n1,5;2': /^line 2, column 1: '1,5' is not a number; write a decimal point$/,
    '"1,2': /^line 1, column 1: the quote is not closed$/,
    '1,"2"3': /^line 1, column 2: '3' follows the closing quote$/,
    '"a\nb",c\n1,2\n3,0x10': /^line 4, column 2: '0x10' is not a number$/,
    '1_000': /^the table has no numbers$/,
  };
  for (const [text, message] of Object.entries(wrong)) refused(() => csv.readCsv(text), 'format', message);
});

test('long fields are refused in time that grows with their length alone', { timeout: 60_000 }, () => {
  for (const field of ['1'.repeat(4e6), ' '.repeat(4e6), '"'.repeat(4e6 + 1), '"a'.repeat(2e6)]) {
    refused(() => csv.readCsv(`1,2\n3,${field}x`), 'format');
    refused(() => csv.readCsv(`${field}x,1`), 'format');
  }
});

test('float32 values survive being written as text', () => {
  const values = new Float32Array(3000);
  const bits = new Uint32Array(values.buffer);
  let state = 7;
  for (let i = 0; i < bits.length; i++) bits[i] = (state = (state * 48271) % 2147483647) * 2;
  const finite = values.filter(Number.isFinite);
  const tensor = { data: finite, shape: [finite.length, 1] };
  assert.deepEqual(csv.readCsv([...csv.writeCsv(tensor)].join('')).data, finite);
  const text = [...json.writeJson({ x: tensor })].join('');
  assert.deepEqual(Float32Array.from(json.readJson(text).x.flat()), finite);
  assert.equal([...csv.writeCsv({ data: Float32Array.of(0.1, 1e-7, NaN, 16777216), shape: [2, 2] })].join(''), '0.1,1e-7\nNaN,16777216\n');
});

test('JSON that holds no arrays is refused', () => {
  refused(() => json.readJson('[1,'), 'format', /not JSON/);
  refused(() => json.readJson(''), 'format', /not JSON/);
  refused(() => json.readJson('[NaN]'), 'format', /not JSON/);
  for (const text of ['null', '1', '"a"', 'true']) refused(() => json.readJson(text), 'value', /give an array/);
});
