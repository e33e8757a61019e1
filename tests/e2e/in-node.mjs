// Runs in a project that has installed the package: `node in-node.mjs ACT …` prints what it found as JSON.
import { copyFileSync, readFileSync, readdirSync } from 'node:fs';
import { relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { NearsideError, load } from 'nearside';
import { distance, given, readNpz } from './keras.mjs';

async function check(source, recorded) {
  const arrays = readNpz(readFileSync(recorded));
  return distance(await (await load(source)).predict(given(arrays)), arrays);
}

async function caught(act) {
  try {
    await act();
    return null;
  } catch (error) {
    const { name, kind, message, context } = error;
    return { ours: error instanceof NearsideError, name, kind, message, context };
  }
}

const acts = {
  async distances(files) {
    const found = [];
    for (const [file, recorded] of JSON.parse(files)) found.push(await check(file, recorded));
    return found;
  },

  async sources(path, server) {
    const bytes = readFileSync(path);
    const sources = {
      'relative path': 'with space #1.h5',
      'absolute path': path,
      'file address': pathToFileURL(path).href,
      'file URL': pathToFileURL(path),
      address: `${server}dress.h5`,
      URL: new URL('dress.h5', server),
      Buffer: bytes,
      Uint8Array: new Uint8Array(bytes),
      ArrayBuffer: new Uint8Array(bytes).buffer,
      Blob: new Blob([bytes]),
      Response: new Response(bytes),
    };
    const found = {};
    for (const [name, source] of Object.entries(sources)) found[name] = await check(source, path.replace('.h5', '.io.npz'));
    return found;
  },

  async several(fixtures) {
    const folder = `${fixtures}/tfjs/chain`;
    const path = `${folder}/model.json`;
    const files = Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(`${folder}/${name}`)]));
    const sources = { path, 'relative path': relative('.', path), 'file address': pathToFileURL(path).href, 'file URL': pathToFileURL(path), files };
    const distances = {};
    for (const [name, source] of Object.entries(sources)) distances[name] = await check(source, `${folder}.io.npz`);
    copyFileSync(path, 'alone.json');
    return { distances, missing: await caught(() => load('alone.json')) };
  },

  async threads(path) {
    const [one, two] = [await load(path, { threads: 1 }), await load(path, { threads: 2 })];
    const x = Float32Array.from({ length: 512 * 784 }, (_, i) => ((i * 7919) % 256) / 255);
    const [right, answer] = [await one.predict(x), await two.predict(x)];
    return { device: two.device, same: answer.data.every((value, i) => value === right.data[i]) };
  },

  async failures(path) {
    const model = await load(path);
    const saved = await model.save('safetensors');
    // Parts are longer than asked for: WebAssembly code that copies them stops in a trap.
    const subarray = (start, end) => Uint8Array.prototype.subarray.call(saved, start, start > 8 ? end + 1 : end);
    const lying = Object.defineProperty(saved, 'subarray', { value: subarray });
    const errors = {
      path: await caught(() => load('nowhere.h5')),
      file: await caught(() => load('file:///nowhere.h5')),
      folder: await caught(() => load('.')),
      empty: await caught(() => load('')),
      address: await caught(() => load('http://localhost:1/model.h5')),
      gpu: await caught(() => load(path, { device: 'gpu' })),
      laterGpu: await caught(() => model.predict(new Float32Array(20), { device: 'gpu' })),
      bytes: await caught(() => load(Buffer.from('not a model'))),
      integrity: await caught(() => load(path, { integrity: `sha256-${btoa('0'.repeat(32))}` })),
      aborted: await caught(() => load(path, { signal: AbortSignal.abort() })),
      fault: await caught(() => load(lying)),
    };
    return { device: model.device, errors, distance: await check(path, path.replace('.h5', '.io.npz')) };
  },
};

const [act, ...args] = process.argv.slice(2);
console.log(JSON.stringify(await acts[act](...args)));
