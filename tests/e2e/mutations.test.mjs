// Damaged files, read by the very modules that are published: a model or a typed error, never a trap.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

const { load } = await import(pathToFileURL(resolve('pkg/node.js')).href);

const FOLDER = 'tests/fixtures';
/** Larger fixtures hold nothing that the smaller ones do not. */
const MAX_BYTES = 64 * 1024;
const ROUNDS = 2000;

/** Park and Miller's minimal standard: a number below `end`. */
let state = 1;
function below(end) {
  state = (state * 48271) % 2147483647;
  return state % end;
}

/** Sets bytes, copies a range elsewhere, or cuts the file short. */
function damage(bytes) {
  const damaged = Uint8Array.from(bytes);
  if (below(8) === 0) return damaged.subarray(0, below(damaged.length));
  for (let places = below(4); places >= 0; places--) {
    const [from, at] = [below(damaged.length), below(damaged.length)];
    if (below(2)) damaged[at] = [0, 0xff, below(256), damaged[at] ^ (1 << below(8))][below(4)];
    else damaged.copyWithin(at, from, from + below(24));
  }
  return damaged;
}

/** The files of a model by name, and its architecture if that is one of them. */
function together(path) {
  const beside = (name) => (path.endsWith('model.json') ? name.endsWith('.bin') : name === `${basename(path).replace(/\.\w+$/, '')}.config.json`);
  const names = [basename(path), ...readdirSync(dirname(path)).filter(beside)];
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(dirname(path), name))]));
}

const KINDS = { h5: /\.h5$/, keras: /\.keras$/, onnx: /\.onnx$/, safetensors: /\.safetensors$/, tfjs: /(^|[\\/])model\.json$/ };
const found = readdirSync(FOLDER, { recursive: true }).map((name) => join(FOLDER, name));

for (const [format, fits] of Object.entries(KINDS)) {
  test(`damaged ${format} files give a model or an error that is typed`, async () => {
    const sound = found.filter((path) => fits.test(path) && statSync(path).size <= MAX_BYTES).map(together);
    assert.ok(sound.length > 1, 'the fixtures are not there');
    let loaded = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const files = { ...sound[round % sound.length] };
      const name = Object.keys(files)[below(Object.keys(files).length)];
      files[name] = damage(files[name]);
      try {
        const model = await load(files, { device: 'cpu' });
        model.dispose();
        loaded++;
      } catch (error) {
        assert.equal(error.name, 'NearsideError', `${name}, round ${round}: ${error.stack}`);
        const typed = error.kind !== 'internal' && !/stopped the reader/.test(error.message);
        assert.ok(typed, `${name}, round ${round}: ${error.kind}: ${error.message}`);
      }
    }
    assert.ok(loaded > 0 && loaded < ROUNDS, `${loaded} of ${ROUNDS} were read`);
  });
}
