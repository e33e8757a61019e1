// What the package's source holds and its entry points need not publish, for tests in Node and in a page.
import { build } from 'esbuild';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Bundles these modules of www/package/ into source.js of a new folder, `folder`; `remove` deletes it. */
export async function bundleSource(modules, platform = 'neutral') {
  const folder = mkdtempSync(join(tmpdir(), 'nearside-source-'));
  const contents = modules.map((name) => `export * from ${JSON.stringify(resolve(`www/package/${name}.ts`))};`).join('\n');
  const conditions = platform === 'neutral' ? { mainFields: ['module', 'main'], conditions: ['browser'] } : {};
  await build({ stdin: { contents, resolveDir: '.' }, bundle: true, format: 'esm', target: 'es2022', outfile: join(folder, 'source.mjs'), platform, logLevel: 'warning', ...conditions });
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The same, imported into Node. */
export async function importSource(...modules) {
  const { folder, remove } = await bundleSource(modules, 'node');
  const exports = await import(pathToFileURL(join(folder, 'source.mjs')).href);
  remove();
  return exports;
}

/** Writes a page into `folder` that has all of source.mjs as globals, and `script` run behind it. */
export function writePage(folder, script = '') {
  const html = `<!doctype html>\n<title>The source</title>\n<link rel="icon" href="data:,">\n<script type="module">
import * as source from './source.mjs';
Object.assign(globalThis, source);
${script}
document.documentElement.dataset.state = 'ready';
</script>\n`;
  writeFileSync(join(folder, 'page.html'), html);
}

/** Park and Miller's minimal standard: a function that gives whole numbers below `end`. */
export function seeded(state) {
  return (end) => (state = (state * 48271) % 2147483647) % end;
}
