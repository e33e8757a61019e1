// What `nearside serve` answers to clients of the Open Inference Protocol that others wrote.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';

const FIXTURES = ['mnist_784_128_128_10', 'functional_100_64_10', 'branches', 'embeddings'].map((name) => resolve('tests/fixtures', `${name}.h5`));

const servers = [];
let folder, managed, unmanaged;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nearside-'));
  writeFileSync(join(folder, 'echo.safetensors'), echo());
  [managed, unmanaged] = await Promise.all([serve('--manage'), serve()]);
});
after(async () => {
  for (const server of servers) {
    if (server.exitCode !== null) continue;
    server.kill();
    await once(server, 'exit');
  }
  rmSync(folder, { recursive: true });
});

/** A model that answers rows of four values with themselves, in nearside's own format. */
function echo() {
  const layers = [
    { name: 'x', type: 'InputLayer', weights: [], shape: [4] },
    { name: 'y', type: 'Activation', weights: [], activation: { name: 'linear' } },
  ];
  const nodes = [{ layer: 0, inputs: [] }, { layer: 1, inputs: [0] }];
  const architecture = { version: 1, name: 'echo', batched: true, layers, nodes, outputs: [1] };
  const header = Buffer.from(JSON.stringify({ __metadata__: { nearside: JSON.stringify(architecture) } }));
  return Buffer.concat([new Uint8Array(BigUint64Array.of(BigInt(header.length)).buffer), header]);
}

/** Starts the command. The address where it listens. */
async function serve(...options) {
  const args = ['serve', ...FIXTURES, join(folder, 'echo.safetensors'), '--port', '0', ...options];
  const server = spawn(process.execPath, [resolve('pkg/cli/main.js'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  servers.push(server);
  const [line] = await Promise.race([once(createInterface(server.stdout), 'line'), once(server, 'exit')]);
  const [, url] = /(http:.*)\/v2 /.exec(line) ?? assert.fail(`nearside serve said: ${line}`);
  return url;
}

/** Runs a script of tests/python, which fails with what it prints. */
function python(script, ...args) {
  return new Promise((done, reject) => {
    const command = [`${process.env.NEARSIDE_PYTHON}/bin/python`, [join('tests/python', script), ...args]];
    execFile(...command, { maxBuffer: 1e9 }, (error, stdout, stderr) => (error ? reject(new Error(`${script}:\n${stdout}${stderr}`)) : done(stdout)));
  });
}

test("Triton's, KServe's and the protocol's own clients get Keras's answers, and errors they understand", async () => {
  assert.match(await python('clients.py', managed, unmanaged), /(\d+) of \1 checks of clients passed/);
});

test("requests made up from the protocol's OpenAPI file are answered as it says", async () => {
  const said = await python('openapi.py', unmanaged);
  // Hundreds for each path, right and wrong ones.
  assert.ok([...said.matchAll(/(\d+) generated, \1 passed/g)].map(([, count]) => Number(count)).reduce((a, b) => a + b, 0) > 1500, said);
});
