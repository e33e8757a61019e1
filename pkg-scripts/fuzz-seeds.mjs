// What fuzzing starts from: small real files, and the models in them as nearside writes them.
// node fuzz-seeds.mjs OUT [FOLDER…], by default those of tests/fixtures.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { load } from '../pkg/node.js';
import { readCases } from '../tests/e2e/keras.mjs';

const [, , out, ...folders] = process.argv;
/** Larger files are mutated more slowly, and hold nothing else. */
const MAX_BYTES = 64 * 1024;
/** What `save` writes, and the reader that it is for. */
const WRITTEN = { safetensors: 'container', keras: 'keras_archive', h5: 'keras_h5', onnx: 'onnx' };

const files = (folders.length ? folders : ['tests/fixtures']).flatMap((folder) =>
  readdirSync(folder, { recursive: true }).map((name) => join(folder, name)),
);
const counts = {};
for (const path of files) {
  if (path.endsWith('_cases.npz')) readCases(readFileSync(path), inflateRawSync).forEach(({ model }, i) => seed('onnx', `${path}-${i}`, model));
  const target = targetOf(path);
  if (!target) continue;
  seed(target, path, together(target, path));
  const model = await load(path, { device: 'cpu' }).catch(() => null);
  for (const [format, reader] of model ? Object.entries(WRITTEN) : []) {
    const written = await model.save(format).catch(() => null); // not every format has words for every model
    if (written) seed(reader, `${path}.${format}`, written);
  }
}
console.log(`seeds: ${Object.entries(counts).map(([target, count]) => `${count} ${target}`).join(', ')}`);

/** The reader that a file is for. */
function targetOf(path) {
  if (basename(path) === 'model.json') return 'tfjs';
  if (path.endsWith('.weights.h5')) return 'keras_config';
  const ending = /\.(\w+)$/.exec(path)?.[1];
  return { h5: 'keras_h5', keras: 'keras_archive', onnx: 'onnx', safetensors: 'safetensors' }[ending];
}

/** A model's file; with others that belong to it, as `nearside_fuzz::split` takes them apart. */
function together(target, path) {
  const stem = basename(path).replace(/\.\w+$/, '');
  const config = (name) => name === `${stem}.config.json`;
  const belongs = {
    tfjs: (name) => name.endsWith('.bin'),
    onnx: (name) => name.startsWith(`${stem}.onnx.`) || name.startsWith(`${stem}.data`),
    safetensors: config,
    keras_config: config,
  }[target];
  if (!belongs) return readFileSync(path);
  const names = readdirSync(dirname(path)).filter((name) => name !== basename(path) && belongs(name));
  if (!names.length && target === 'onnx') return readFileSync(path);
  const part = (name) => [Buffer.from(`\n==> ${name}\n`), readFileSync(join(dirname(path), name))];
  return Buffer.concat([basename(path), ...names].flatMap(part));
}

function seed(target, path, bytes) {
  if (bytes.length > MAX_BYTES) return;
  mkdirSync(join(out, target), { recursive: true });
  writeFileSync(join(out, target, path.replaceAll(/[/\\]/g, '-')), bytes);
  counts[target] = (counts[target] ?? 0) + 1;
}
