// The command line as users run it: `npx nearside` in a project that has installed the package.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { inflateRawSync } from 'node:zlib';
import { serve } from '../../pkg-scripts/serve.mjs';
import { distance, readCases, readNpy, readNpz, unzip } from './keras.mjs';
import { TOLERANCE, installPackage } from './support.mjs';

const FIXTURES = resolve('tests/fixtures');
const DRESS = join(FIXTURES, 'dress.h5');
const BRANCHES = join(FIXTURES, 'branches.h5');
const { version } = JSON.parse(readFileSync('pkg/package.json', 'utf8'));

let project, remove;
before(() => ({ project, remove } = installPackage()));
after(() => remove());

/** Runs the command in the project, with `input` as its standard input. */
function nearside(args, input = '') {
  return shell([join(project, 'node_modules/.bin/nearside'), ...args], input);
}

function shell([command, ...args], input = '') {
  return new Promise((done) => {
    const options = { cwd: project, timeout: 60_000, maxBuffer: 1e9 };
    const child = execFile(command, args, options, (error, stdout, stderr) => done({ status: error ? error.code : 0, stdout, stderr }));
    child.stdin.on('error', () => {}); // of a command that ends before it has read everything
    child.stdin.end(input);
  });
}

/** What the command prints, when it succeeds. */
async function printed(args, input) {
  const { status, stdout, stderr } = await nearside(args, input);
  assert.deepEqual([status, stderr], [0, ''], args.join(' '));
  return stdout;
}

/** The command fails with this status and this one line, and prints nothing. */
async function refused(args, status, message, input) {
  const answer = await nearside(args, input);
  assert.equal(answer.stdout, '', args.join(' '));
  assert.match(answer.stderr, message);
  assert.match(answer.stderr, /^nearside: .*\n$/, 'one line');
  assert.equal(answer.status, status, answer.stderr);
}

/** A model whose samples have two axes, before and behind: in nearside's own format, which needs no tool to write. */
const CUBE = (() => {
  const layers = [
    { name: 'x', type: 'InputLayer', weights: [], shape: [2, 2] },
    { name: 'y', type: 'Activation', weights: [], activation: { name: 'relu' } },
  ];
  const nodes = [{ layer: 0, inputs: [] }, { layer: 1, inputs: [0] }];
  const architecture = { version: 1, name: 'cube', batched: true, layers, nodes, outputs: [1] };
  const header = JSON.stringify({ __metadata__: { nearside: JSON.stringify(architecture) } });
  return Buffer.concat([new BigUint64Array([BigInt(header.length)]), new TextEncoder().encode(header)].map((part) => new Uint8Array(part.buffer)));
})();

/** Keras's answers for a fixture. */
function recorded(name) {
  return readNpz(readFileSync(join(FIXTURES, `${name}.io.npz`)));
}

/** Writes the inputs of a fixture's record into the project, as `save` makes them. Their names and paths. */
function samples(name, ending, save) {
  const files = Object.entries(unzip(readFileSync(join(FIXTURES, `${name}.io.npz`)))).filter(([key]) => key.startsWith('in:'));
  return files.map(([key, file], i) => {
    const path = join(project, `${name}-${i}.${ending}`);
    writeFileSync(path, save(file));
    return [key.slice(3), path];
  });
}

const SAVE = {
  npy: (file) => file, // as NumPy wrote it
  json: (file) => JSON.stringify(nest(readNpy(file))),
  csv: (file) => table(readNpy(file), ','),
};

function table({ data, shape: [rows] }, delimiter) {
  const width = data.length / rows;
  return Array.from({ length: rows }, (_, row) => [...data.subarray(row * width, (row + 1) * width)].join(delimiter)).join('\n');
}

function nest({ data, shape: [length, ...sample] }) {
  if (length === undefined) return data[0];
  const step = data.length / length;
  return Array.from({ length }, (_, i) => nest({ data: data.subarray(i * step, (i + 1) * step), shape: sample }));
}

/** Nested arrays as `distance` takes an answer. */
function tensor(nested) {
  const shape = [];
  for (let level = nested; Array.isArray(level); level = level[0]) shape.push(level.length);
  return { data: Float32Array.from(nested.flat(Infinity)), shape };
}

function parseCsv(text) {
  assert.match(text, /\n$/);
  return text.trimEnd().split('\n').map((line) => line.split(',').map(Number));
}

const PARSE = {
  npy: (path) => readNpy(readFileSync(path)),
  csv: (path) => tensor(parseCsv(readFileSync(path, 'utf8'))),
  json: (path) => tensor(JSON.parse(readFileSync(path, 'utf8'))),
};

function assertNear(answer, name) {
  const difference = distance(answer, recorded(name));
  assert.ok(difference <= TOLERANCE, `${name}: ${difference}`);
}

test('help says what there is, for the whole and for each command', async () => {
  const whole = await printed(['--help']);
  for (const word of ['inspect', 'predict', 'convert', 'seal', 'open', '--version', 'Exit status']) assert.ok(whole.includes(word), word);
  assert.equal(await printed(['-h']), whole);
  const options = { inspect: ['--json', '--config'], predict: ['--input', '--output', '--json', '--batch-size', '--device', '--config'], convert: ['--to', '--dtype', '--output', '--config'], seal: ['--output', '--passphrase-file', '--key', '--sign', '--new-key', '--new-signing-key'], open: ['--output', '--passphrase-file', '--key', '--verify'] };
  for (const [command, named] of Object.entries(options)) {
    const help = await printed([command, '--help']);
    assert.match(help, new RegExp(`^Usage: nearside ${command} `));
    for (const option of named) assert.ok(help.includes(option), `${command}: ${option}`);
    assert.ok(help.split('\n').every((line) => line.length <= 120), command);
    assert.equal(await printed([command, 'model.h5', '-h']), help);
  }
});

test('the version is the package\'s', async () => assert.equal(await printed(['--version']), `${version}\n`));

test('wrong usage ends with status 2, what is wrong, and where help is', async () => {
  const wrong = [
    [[], /no command given; see nearside --help/],
    [['train', 'x'], /there is no command 'train'; see nearside --help/],
    [['toString'], /there is no command 'toString'/],
    [['inspect'], /no model file given; see nearside inspect --help/],
    [['inspect', '--jsno', DRESS], /Unknown option '--jsno'; see nearside inspect --help/],
    [['predict', '--input', 'x.csv'], /no model file given; see nearside predict --help/],
    [['predict', DRESS], /no samples given: use --input; see nearside predict --help/],
    [['predict', DRESS, 'x.csv'], /'x\.csv' is another/],
    [['predict', DRESS, '--input'], /argument missing/],
    [['predict', DRESS, '--input', 'x.csv', '--device', 'tpu'], /--device is 'tpu'; use auto, cpu or gpu/],
    [['predict', DRESS, '--input', 'x.csv', '--batch-size', '0'], /--batch-size is '0'; use a whole number from 1/],
    [['predict', DRESS, '--input', 'x.csv', '--batch-size=-1'], /--batch-size is '-1'/],
    [['predict', DRESS, '--input', 'x.csv', '--output', 'y.txt'], /--output is 'y\.txt'; end it in \.npy, \.csv or \.json/],
    [['predict', DRESS, '--input', '-', '--input', 'a=-'], /--input is - more than once/],
    [['predict', BRANCHES, '--input', 'a=x.csv', '--input', 'y.csv'], /--input y\.csv names no input; write --input a=FILE --input b=FILE/],
    [['convert', DRESS], /no format given: use --to with one of h5, keras, onnx, safetensors/],
    [['convert', DRESS, '--to', 'pb'], /--to is 'pb'; use h5, keras, onnx or safetensors/],
    [['convert', DRESS, '--to', 'h5', '--dtype', 'f8'], /--dtype is 'f8'; use f32, f16 or int8/],
    [['convert', DRESS, '--to', 'h5'], /the result would replace .*dress\.h5; use --output/],
  ];
  writeFileSync(join(project, 'x.csv'), '1,2');
  for (const [args, message] of wrong) await refused(args, 2, message);
});

test('inspect prints what a file holds', async () => {
  const text = await printed(['inspect', DRESS]);
  assert.match(text, /^.*dress\.h5\nformat +Keras HDF5 \(\.h5\)\nsize +27,472 bytes\n/);
  assert.match(text, /\ninput +input_layer_2: float32 \(batch, 20\)\noutput +dense_4: float32 \(batch, 3\)\n/);
  assert.match(text, /\ndense_3 +Dense \(relu\) +\(batch, 16\) +336\n/);
  assert.match(text, /\nTotal parameters: 387\n/);
});

test('inspect --json prints a line for each file, of what the model says', async () => {
  const files = [DRESS, BRANCHES, pathToFileURL(DRESS).href];
  const lines = (await printed(['inspect', '--json', ...files])).trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ file, name, size }) => [file, name, size]), [
    [DRESS, 'dress', 27472],
    [BRANCHES, 'branches', statSync(BRANCHES).size],
    [files[2], 'dress', 27472],
  ]);
  assert.equal(lines[0].format, 'h5');
  assert.deepEqual(lines[0].inputs, [{ name: 'input_layer_2', shape: [null, 20], dtype: 'float32' }]);
  assert.deepEqual(lines[1].outputs.map(({ name, shape }) => [name, shape]), [['second', [null, 2]], ['first', [null, 3]]]);
  assert.equal(lines[1].parameterCount, 65);
  assert.deepEqual(lines[0].layers.at(-1), { name: 'dense_4', type: 'Dense', outputShape: [null, 3], parameterCount: 51, activation: 'softmax' });
});

test('every format is read, with the files that belong to it', async () => {
  const files = {
    h5: 'dress.h5',
    keras: 'dress.keras',
    onnx: 'onnx/pytorch_style.onnx',
    safetensors: 'torch/sequential.safetensors',
    tfjs: 'tfjs/chain/model.json',
  };
  for (const [format, file] of Object.entries(files)) {
    const config = format === 'safetensors' ? ['--config', join(FIXTURES, 'torch/sequential.config.json')] : [];
    for (const path of [join(FIXTURES, file), pathToFileURL(join(FIXTURES, file)).href]) {
      const { format: found, parameterCount } = JSON.parse(await printed(['inspect', '--json', path, ...config]));
      assert.deepEqual([found, parameterCount > 0], [format, true], path);
    }
  }
  const external = join(FIXTURES, 'one_model_many_formats/o_external.onnx');
  assert.equal(JSON.parse(await printed(['inspect', '--json', external])).parameterCount, 118282);
});

test('weights without their architecture say what is missing; --config gives it', async () => {
  const weights = join(FIXTURES, 'dress.weights.h5');
  await refused(['inspect', weights], 1, /^nearside: unsupported: .*dress\.weights\.h5: .*config/);
  await refused(['inspect', weights, '--config', 'nowhere.json'], 1, /^nearside: network: nowhere\.json could not be read/);
  const config = ['--config', join(FIXTURES, 'dress.weights.config.json')];
  const [[, path]] = samples('dress', 'npy', SAVE.npy);
  assertNear(tensor(parseCsv(await printed(['predict', weights, ...config, '--input', path]))), 'dress');
  await printed(['convert', weights, ...config, '--to', 'keras', '--output', 'whole.keras']);
  assertNear(tensor(parseCsv(await printed(['predict', 'whole.keras', '--input', path]))), 'dress');
});

test('files that belong to a model and are not there are named', async () => {
  writeFileSync(join(project, 'model.json'), readFileSync(join(FIXTURES, 'tfjs/chain/model.json')));
  await refused(['inspect', 'model.json'], 1, /^nearside: network: .*weights-1of4\.bin could not be read/);
});

test('class labels are printed as they are, and written to .npy as their indices', async () => {
  const archive = readCases(readFileSync(join(FIXTURES, 'onnx/sklearn_cases.npz')), inflateRawSync);
  const { model, 'in:X': x, 'text:output_label': labels, 'names:output_probability': classes, 'out:output_probability': probabilities } =
    archive.find(({ name }) => name === 'three_classes_of_strings');
  writeFileSync(join(project, 'wine.onnx'), model);
  const text = table({ data: x, shape: [12] }, ',');
  const answer = JSON.parse(await printed(['predict', 'wine.onnx', '--input', '-'], text));
  assert.deepEqual(answer.output_label, labels.split('|'));
  answer.output_probability.flat().forEach((value, i) => assert.ok(Math.abs(value - probabilities[i]) < 1e-5));
  const outputs = ['csv', 'npy'].flatMap((ending) => ['--output', `output_label=label.${ending}`]);
  await printed(['predict', 'wine.onnx', '--input', '-', ...outputs], text);
  assert.deepEqual(readFileSync(join(project, 'label.csv'), 'utf8').trimEnd().split('\n'), labels.split('|'));
  const names = classes.split('|');
  assert.deepEqual([...PARSE.npy(join(project, 'label.npy')).data].map((index) => names[index]), labels.split('|'));
  assert.match(await printed(['inspect', 'wine.onnx']), /\noutput +output_label: string \(batch\), classes barbera, barolo, grignolino\n/);
});

test('inspect goes on behind a file that is at fault', async () => {
  const { status, stdout, stderr } = await nearside(['inspect', '--json', 'nowhere.h5', join(FIXTURES, 'conv2d.h5'), DRESS]);
  assert.equal(status, 1);
  assert.equal(JSON.parse(stdout).name, 'dress');
  assert.match(stderr, /^nearside: network: nowhere\.h5 could not be read: .*\nnearside: unsupported: .*conv2d\.h5: layer 'conv2d'.*\n$/);
});

test('a model comes from an address too', async () => {
  const { url, stop } = await serve([FIXTURES]);
  const [json, missing] = [await printed(['inspect', '--json', `${url}dress.h5`]), await nearside(['inspect', `${url}no.h5`])];
  await stop();
  assert.equal(JSON.parse(json).name, 'dress');
  assert.equal(JSON.parse(json).size, undefined);
  assert.match(missing.stderr, /^nearside: network: http.*no\.h5 answered 404/);
});

for (const ending of Object.keys(SAVE)) {
  test(`predict reads .${ending} files, and standard input`, async () => {
    const [[, path]] = samples('dress', ending, SAVE[ending]);
    const fromFile = await printed(['predict', DRESS, '--input', path]);
    assertNear(tensor(parseCsv(fromFile)), 'dress');
    assert.equal(await printed(['predict', DRESS, '-i', '-'], readFileSync(path)), fromFile);
    assert.equal(await printed(['predict', DRESS, '--input', `input_layer_2=${path}`]), fromFile);
  });

  test(`predict writes .${ending} files`, async () => {
    const [[, path]] = samples('dress', 'npy', SAVE.npy);
    assert.equal(await printed(['predict', DRESS, '--input', path, '--output', `answer.${ending}`]), '');
    assertNear(PARSE[ending](join(project, `answer.${ending}`)), 'dress');
    await printed(['predict', DRESS, '--input', path, '--output', `dense_4=named.${ending}`]);
    assertNear(PARSE[ending](join(project, `named.${ending}`)), 'dress');
  });

  test(`predict takes several inputs from .${ending} files by name`, async () => {
    const inputs = samples('branches', ending, SAVE[ending]).flatMap(([name, path]) => ['--input', `${name}=${path}`]);
    const answer = JSON.parse(await printed(['predict', BRANCHES, ...inputs]));
    assertNear({ first: tensor(answer.first), second: tensor(answer.second) }, 'branches');
    const outputs = ['--output', `first=first.${ending}`, '--output', `second=second.${ending}`];
    assert.equal(await printed(['predict', BRANCHES, ...inputs, ...outputs]), '');
    const [first, second] = ['first', 'second'].map((name) => PARSE[ending](join(project, `${name}.${ending}`)));
    assertNear({ first, second }, 'branches');
  });
}

test('predict takes several inputs from one JSON object, and answers in one', async () => {
  const { 'in:a': a, 'in:b': b } = recorded('branches');
  const text = JSON.stringify({ b: nest(b), a: nest(a) });
  await printed(['predict', BRANCHES, '--input', '-', '--output', 'answers.json'], text);
  const { first, second } = JSON.parse(readFileSync(join(project, 'answers.json'), 'utf8'));
  assertNear({ first: tensor(first), second: tensor(second) }, 'branches');
});

test('a table has a sample a line, however many axes a sample has', async () => {
  const [[, path]] = samples('rank3', 'csv', SAVE.csv);
  assertNear(tensor(parseCsv(await printed(['predict', join(FIXTURES, 'rank3.h5'), '--input', path]))), 'rank3');
});

test('a table may have names, other separators, quotes', async () => {
  const input = recorded('dress')['in:'];
  const header = Array.from({ length: 20 }, (_, i) => `"column; ${i}"`).join(';');
  const text = `\ufeff${header}\r\n${table(input, ';').replaceAll('\n', '\r\n')}\r\n`;
  assertNear(tensor(parseCsv(await printed(['predict', DRESS, '--input', '-'], text))), 'dress');
});

test('--json prints JSON, --batch-size and --device change no answer', async () => {
  const [[, path]] = samples('dress', 'npy', SAVE.npy);
  const whole = await printed(['predict', DRESS, '--input', path, '--json']);
  assertNear(tensor(JSON.parse(whole)), 'dress');
  assert.equal(await printed(['predict', DRESS, '--input', path, '--json', '--batch-size', '2', '--device', 'cpu']), whole);
  await refused(['predict', DRESS, '--input', path, '--device', 'gpu'], 1, /^nearside: device: .*no WebGPU/);
});

test('inputs at fault end with status 1, and say which file and where', async () => {
  const files = {
    'short.csv': ['1,2\n3\n', /^nearside: format: short\.csv: line 2: 1 fields/],
    'word.csv': ['1,2\n3,x\n', /^nearside: format: word\.csv: line 2, column 2: 'x' is not a number/],
    'narrow.csv': ['1,2\n', /^nearside: shape: tensor 'input_layer_2': 2 columns given, a sample has 20 values/],
    'latin.csv': [Buffer.from([0x31, 0xe9]), /^nearside: format: latin\.csv: the text is not UTF-8/],
    'cut.json': ['[[1,', /^nearside: format: cut\.json: not JSON/],
    'ragged.json': ['[[1,2],[3]]', /^nearside: shape: tensor 'input_layer_2': rows of 2 and of 1 values/],
    'null.json': ['[[1,null]]', /^nearside: value: tensor 'input_layer_2': element 1 is null/],
    'named.json': ['{"x":[[1]]}', /^nearside: value: the model has no input 'x'; it has input_layer_2/],
    'bad.npy': ['not numpy', /^nearside: format: bad\.npy: no \.npy file.*\(at byte 0\)/],
  };
  for (const [name, [content, message]] of Object.entries(files)) {
    writeFileSync(join(project, name), content);
    await refused(['predict', DRESS, '--input', name], 1, message);
  }
  await refused(['predict', DRESS, '--input', '-'], 1, /^nearside: format: standard input: the table has no numbers/);
  await refused(['predict', DRESS, '--input', 'nowhere.csv'], 1, /^nearside: network: nowhere\.csv could not be read: ENOENT/);
  await refused(['predict', DRESS, '--input', 'x=word.csv'], 1, /^nearside: value: the model has no input 'x'; it has input_layer_2/);
  await refused(['predict', DRESS, '--input', 'word.csv', '--output', 'x=y.csv'], 1, /^nearside: value: the model has no output 'x'/);
  await refused(['predict', BRANCHES, '--input', '-'], 1, /several; write --input a=FILE --input b=FILE/, '1,2');
  await refused(['predict', BRANCHES, '--input', 'a=-'], 1, /one input's array expected/, '{}');
});

test('a path with = in it is taken from ./', async () => {
  const [[, path]] = samples('dress', 'npy', SAVE.npy);
  writeFileSync(join(project, 'x=1.npy'), readFileSync(path));
  await printed(['predict', DRESS, '--input', './x=1.npy', '--output', './y=1.npy']);
  assertNear(PARSE.npy(join(project, 'y=1.npy')), 'dress');
});

test('outputs that a format does not hold are refused', async () => {
  const branches = JSON.stringify(Object.fromEntries(['a', 'b'].map((name) => [name, nest(recorded('branches')[`in:${name}`])])));
  await refused(['predict', BRANCHES, '--input', '-', '--output', 'y.npy'], 1, /y\.npy holds one output.*--output second=FILE/, branches);
  writeFileSync(join(project, 'cube.safetensors'), CUBE);
  const cube = ['predict', 'cube.safetensors', '--input', '-'];
  await refused([...cube, '--output', 'y.csv'], 1, /^nearside: shape: tensor '.*': shape \[2, 2, 2\] is no table/, '1,2,3,4\n5,6,7,8');
  assert.deepEqual(JSON.parse(await printed(cube, '1,2,3,4\n5,6,7,-8')), [[[1, 2], [3, 4]], [[5, 6], [7, 0]]]);
  const row = `nan${',1'.repeat(19)}`;
  assert.match(await printed(['predict', DRESS, '--input', '-'], row), /^NaN,NaN,NaN\n$/);
  await refused(['predict', DRESS, '--input', '-', '--json'], 1, /^nearside: value: tensor 'dense_4': it holds NaN, which JSON cannot say/, row);
});

for (const [format, dtypes] of Object.entries({ h5: ['f32', 'f16'], keras: ['f32', 'f16'], onnx: ['f32', 'f16', 'int8'], safetensors: ['f32', 'f16', 'int8'] })) {
  test(`convert writes ${format} files that answer as their source`, async () => {
    const [[, path]] = samples('dress', 'npy', SAVE.npy);
    const sizes = [];
    for (const dtype of dtypes) {
      const file = `dress-${dtype}.${format}`;
      await printed(['convert', DRESS, '--to', format, '--dtype', dtype, '--output', file]);
      const { format: found, parameterCount } = JSON.parse(await printed(['inspect', '--json', file]));
      assert.deepEqual([found, parameterCount], [format, 387]);
      const difference = distance(tensor(parseCsv(await printed(['predict', file, '--input', path]))), recorded('dress'));
      assert.ok(difference <= { f32: TOLERANCE, f16: 2e-3, int8: 2e-2 }[dtype], `${file}: ${difference}`);
      sizes.push(statSync(join(project, file)).size);
    }
    assert.deepEqual(sizes, sizes.toSorted((a, b) => b - a), 'each smaller than the one before');
  });
}

test('what a format has no words for is refused', async () => {
  await refused(['convert', DRESS, '--to', 'h5', '--dtype', 'int8', '--output', 'no.h5'], 1, /^nearside: (unsupported|value): /);
});

test('convert names its file after its source', async () => {
  mkdirSync(join(project, 'models'));
  writeFileSync(join(project, 'models/dress.v1.h5'), readFileSync(DRESS));
  const said = await printed(['convert', 'models/dress.v1.h5', '--to', 'safetensors']);
  const size = statSync(join(project, 'models/dress.v1.safetensors')).size;
  assert.equal(said, `models/dress.v1.safetensors: ${size.toLocaleString('en-US')} bytes\n`);
  const [[, path]] = samples('dress', 'npy', SAVE.npy);
  assertNear(tensor(parseCsv(await printed(['predict', 'models/dress.v1.safetensors', '--input', path]))), 'dress');
  await printed(['convert', DRESS, '--to', 'safetensors', '--output', 'other.bin']);
  assert.deepEqual(readFileSync(join(project, 'other.bin')), readFileSync(join(project, 'models/dress.v1.safetensors')));
  for (const format of ['h5', 'keras', 'onnx']) {
    await printed(['convert', DRESS, '--to', format, '--output', `again.${format}`]);
    assertNear(tensor(parseCsv(await printed(['predict', `again.${format}`, '--input', path]))), 'dress');
  }
  await printed(['convert', DRESS, '--to', 'safetensors', '--dtype', 'int8', '--output', 'small.bin']);
  assert.ok(statSync(join(project, 'small.bin')).size < size);
  await refused(['convert', DRESS, '--to', 'keras', '--dtype', 'int8', '--output', 'again.keras'], 1, /'onnx' or 'safetensors'/);
});

test('a pipe that closes early ends the command quietly', { skip: process.platform === 'win32' }, async () => {
  writeFileSync(join(project, 'many.csv'), `${'1,'.repeat(19)}1\n`.repeat(50_000));
  const command = `set -o pipefail; node_modules/.bin/nearside predict '${DRESS}' --input many.csv | head -1`;
  const { status, stdout, stderr } = await shell(['bash', '-c', command]);
  assert.deepEqual([status, stderr], [0, '']);
  assert.equal(stdout.split('\n').length, 2);
});

test('output that cannot be written is an error', async () => {
  const [[, path]] = samples('dress', 'npy', SAVE.npy);
  const message = /^nearside: network: .* could not be written: (ENOENT|EISDIR)/;
  await refused(['predict', DRESS, '--input', path, '--output', 'no/folder.csv'], 1, message);
  await refused(['convert', DRESS, '--to', 'safetensors', '--output', 'no/folder.bin'], 1, message);
  await refused(['convert', DRESS, '--to', 'safetensors', '--output', '.'], 1, message);
});

test('a full disk behind standard output is an error', { skip: !existsSync('/dev/full') }, async () => {
  const { status, stderr } = await shell(['sh', '-c', `node_modules/.bin/nearside inspect '${DRESS}' > /dev/full`]);
  assert.equal(status, 1);
  assert.match(stderr, /^nearside: network: standard output could not be written: ENOSPC.*\n$/);
});
