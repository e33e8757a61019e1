// Makes what the pages load: models in every contender's format, the peers' bundles, the probes.
import { build } from 'esbuild';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MODELS, container, makeInput, makeModel, reference, tfjsModel, weightsFile } from './models.mjs';
import { probeModules } from './probes.mjs';

const TFJS = 'node_modules/@tensorflow/tfjs-backend-wasm/wasm-out';

/** What is used of each peer: a bundler leaves the rest out where the peer lets it. */
const BUNDLES = {
  tfjs: `export * from '@tensorflow/tfjs-core';
    export { loadLayersModel } from '@tensorflow/tfjs-layers';
    export { getThreadsCount, setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';`,
  'tfjs-train': `export { env, oneHot, setBackend, tensor1d, tensor2d } from '@tensorflow/tfjs-core';
    export { layers, sequential } from '@tensorflow/tfjs-layers';
    export { setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';`,
  'tfjs-webgpu': `import '@tensorflow/tfjs-backend-webgpu';
    export { getBackend, setBackend, tensor2d } from '@tensorflow/tfjs-core';
    export { loadLayersModel } from '@tensorflow/tfjs-layers';`,
  jax: `export { defaultDevice, init, jit, nn, numpy, tree } from '@jax-js/jax';`,
};

/** The folders to serve, of which `site` has been made, with bundles of the `peers`. Resolves to them and the models. */
export async function makeSite({ site, pkg, names, peers }) {
  rmSync(site, { recursive: true, force: true });
  mkdirSync(site, { recursive: true });
  await bundlePeers(site, peers);
  for (const kind of ['simd', 'threaded-simd']) {
    const file = `tfjs-backend-wasm-${kind}.wasm`;
    copyFileSync(`${TFJS}/${file}`, `${site}/${file}`);
  }
  for (const [file, bytes] of Object.entries(probeModules())) writeFileSync(`${site}/${file}`, bytes);

  const { load } = await import(pathToFileURL(resolve(pkg, 'node.js')));
  const models = [];
  for (const name of names) {
    console.log(`making ${name}`);
    models.push(await writeModel(site, name, load));
  }
  return { models, folders: [site, 'pkg-scripts/benchmark/page', pkg, 'node_modules/onnxruntime-web/dist'] };
}

async function writeModel(site, name, load) {
  const model = makeModel(name);
  const write = (file, bytes) => writeFileSync(`${site}/${file}`, bytes);
  const bytes = container(model);
  write(`${name}.safetensors`, bytes);
  write(`${name}.weights.bin`, weightsFile(model));
  write(`${name}.json`, tfjsModel(model, `${name}.weights.bin`));
  const loaded = await load(new Uint8Array(bytes), { device: 'cpu' });
  write(`${name}.onnx`, await loaded.save('onnx'));
  loaded.dispose();
  for (const batch of MODELS[name].batches) {
    const input = makeInput(model, batch);
    write(`${name}-${batch}.input.bin`, Buffer.from(input.buffer));
    write(`${name}-${batch}.expected.bin`, Buffer.from(reference(model, input).buffer));
  }
  return model;
}

export async function bundlePeers(site, peers) {
  const entryPoints = peers.map((name) => {
    writeFileSync(`${site}/${name}.entry.js`, BUNDLES[name]);
    return { in: `${site}/${name}.entry.js`, out: name };
  });
  // Split, so that what a peer imports when it needs it is fetched only then.
  const common = { bundle: true, minify: true, format: 'esm', target: 'es2022', splitting: true, legalComments: 'none', logLevel: 'error' };
  await build({ ...common, entryPoints, outdir: site, chunkNames: 'chunk-[hash]', platform: 'browser' });
}
