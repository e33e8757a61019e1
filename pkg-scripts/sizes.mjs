// Prints what the package's files weigh, raw and compressed, and which crates the WebAssembly modules are made of.
// Fails beyond the budgets. node sizes.mjs [FOLDER OF THE PACKAGE [FOLDER OF ITS MODULES WITH NAMES]]
import { readFileSync, readdirSync } from 'node:fs';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { codeByCrate, codeByFormat } from './wasm-crates.mjs';

const [, , pkg = 'pkg', named = 'www/generated'] = process.argv;

/** What a page downloads, and the most it may weigh after brotli, in bytes. */
const DOWNLOADS = [
  { name: 'engine', files: ['engine.wasm', 'nearside.js'], budget: 100_000 },
  { name: 'engine-relaxed', files: ['engine-relaxed.wasm', 'nearside.js'], budget: 100_000 },
  { name: 'GPU', files: ['gpu.wasm', 'gpu.js'], budget: 65_000 },
  { name: 'training', files: ['train.wasm', 'train.js', 'browser-trainer.js'], budget: 102_000 },
  { name: 'training on a GPU', files: ['train-gpu.wasm', 'train.js', 'browser-gpu-trainer.js'], budget: 165_000 },
  { name: 'service worker', files: ['service-worker.js'], budget: 52_000 },
  { name: 'client of a service', files: ['client.js'], budget: 5_000 },
  { name: 'formats', files: ['formats.wasm', 'formats.js'], budget: 315_000 },
];

const isCode = (file) => /\.(js|wasm)$/.test(file);
const weights = Object.fromEntries(readdirSync(pkg).filter(isCode).map((file) => [file, weigh(readFileSync(`${pkg}/${file}`))]));

row('KB, of 1000 bytes', ['raw', 'gzip -9', 'brotli -q 11']);
for (const [file, weight] of Object.entries(weights)) row(file, weight.map(kilobytes));
for (const { name, files, budget } of DOWNLOADS) {
  const total = files.map((file) => weights[file]).reduce((a, b) => a.map((bytes, i) => bytes + b[i]));
  row(`${name}: ${files.join(' + ')}`, total.map(kilobytes), `of ${kilobytes(budget)}`);
  if (total[2] <= budget) continue;
  console.error(`${name} is ${kilobytes(total[2] - budget)} KB beyond its budget of ${kilobytes(budget)} KB`);
  process.exitCode = 1;
}

console.log('\nCode by crate, raw; a generic function counts for the crate that wrote it');
for (const name of ['engine', 'gpu', 'train', 'formats']) {
  const crates = codeByCrate(readFileSync(`${named}/${name}_bg.wasm`));
  const all = crates.reduce((sum, [, bytes]) => sum + bytes, 0);
  const largest = crates.slice(0, 3).map(([crate, bytes]) => `${crate} ${kilobytes(bytes)}`);
  console.log(`${name}: ${largest.join(', ')}, of ${kilobytes(all)}`);
}

const costs = codeByFormat(readFileSync(`${named}/formats_bg.wasm`)).map(([format, bytes]) => `${format} ${kilobytes(bytes)}`);
console.log(`Code by format, raw: ${costs.join(', ')}`);

function weigh(bytes) {
  const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } };
  return [bytes, gzipSync(bytes, { level: 9 }), brotliCompressSync(bytes, brotli)].map((form) => form.length);
}

function kilobytes(bytes) {
  return (bytes / 1000).toFixed(1);
}

function row(name, cells, note = '') {
  console.log(name.padEnd(36), ...cells.map((cell) => cell.padStart(12)), note);
}
