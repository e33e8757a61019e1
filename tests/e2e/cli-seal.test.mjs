// `nearside seal` and `nearside open`: keys, passphrases and signatures from files, the environment and the terminal.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

const MAIN = resolve('pkg/cli/main.js');
const DRESS = resolve('tests/fixtures/dress.h5');

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), 'nearside-seal-'))));
after(() => rmSync(folder, { recursive: true, force: true }));

function nearside(args, { input = '', passphrase } = {}) {
  return new Promise((done) => {
    const { NEARSIDE_PASSPHRASE: _, ...rest } = process.env;
    const env = passphrase === undefined ? rest : { ...rest, NEARSIDE_PASSPHRASE: passphrase };
    const child = execFile(process.execPath, [MAIN, ...args], { cwd: folder, env, encoding: 'buffer', timeout: 60_000 }, (error, stdout, stderr) => {
      done({ status: error ? error.code : 0, stdout, stderr: String(stderr) });
    });
    child.stdin.on('error', () => {}); // of a command that does not read it
    child.stdin.end(input);
  });
}

/** What the command prints, when it succeeds. */
async function printed(args, how) {
  const { status, stdout, stderr } = await nearside(args, how);
  assert.deepEqual([status, stderr], [0, ''], args.join(' '));
  return String(stdout);
}

/** The command fails with this status and this one line, prints nothing and writes nothing. */
async function refused(args, status, message, how) {
  const answer = await nearside([...args, '--output', 'no.h5'], how);
  assert.equal(String(answer.stdout), '', args.join(' '));
  assert.match(answer.stderr, message);
  assert.match(answer.stderr, /^nearside: .*\n$/, 'one line');
  assert.deepEqual([answer.status, existsSync(join(folder, 'no.h5'))], [status, false], answer.stderr);
}

/** The file is the model again. */
function assertOpened(file) {
  assert.deepEqual(readFileSync(join(folder, file)), readFileSync(DRESS));
  rmSync(join(folder, file));
}

const modeOf = (file) => (statSync(join(folder, file)).mode & 0o777).toString(8);

test('a key and a signature go round', async () => {
  assert.equal(await printed(['seal', '--new-key', 'model.key']), 'model.key: a key, to be kept secret\n');
  assert.match(await printed(['seal', '--new-signing-key', 'author']), /^author: a private key, to be kept secret\nauthor\.pub: the public key/);
  await printed(['seal', '--new-signing-key', 'other']);
  if (process.platform !== 'win32') assert.deepEqual(['model.key', 'author', 'author.pub'].map(modeOf), ['600', '600', '644']);
  assert.ok(!readFileSync(join(folder, 'author.pub'), 'utf8').includes('"d"'));

  const size = (statSync(DRESS).size + 79 + 16 + 64).toLocaleString('en-US');
  assert.equal(await printed(['seal', DRESS, '--key', 'model.key', '--sign', 'author', '--output', 'both']), `both: ${size} bytes\n`);
  await printed(['open', 'both', '--key', 'model.key', '--verify', 'author.pub', '--output', 'both.h5']);
  assertOpened('both.h5');
  await printed(['seal', DRESS, '--sign', 'author', '-o', 'signed']);
  await printed(['open', 'signed', '--verify', 'author.pub', '-o', 'signed.h5']);
  assertOpened('signed.h5');

  await printed(['seal', '--new-key', 'other.key']);
  await refused(['open', 'both', '--key', 'other.key', '--verify', 'author.pub'], 1, /^nearside: integrity: both: the key is wrong/);
  await refused(['open', 'both', '--key', 'model.key', '--verify', 'other.pub'], 1, /^nearside: integrity: both: the signature is not that of verify's key/);
  await refused(['open', 'both', '--key', 'model.key'], 1, /^nearside: integrity: both: the file is signed: give the signer's public key, as verify/);
  await refused(['open', 'both', '--verify', 'author.pub'], 1, /^nearside: value: both: the file is encrypted: give the key/);
  await refused(['open', 'both', '--key', 'author', '--verify', 'author.pub'], 1, /^nearside: value: both: key is no HKDF key to encrypt by: .*nearside seal --new-key/);
});

test('a passphrase comes from a file, standard input or the environment', async () => {
  writeFileSync(join(folder, 'words'), 'several good words\r\n');
  await printed(['seal', DRESS, '--passphrase-file', 'words', '--output', 'sealed']);
  await printed(['open', 'sealed', '--passphrase-file', 'words', '--output', 'file.h5']);
  assertOpened('file.h5');
  await printed(['open', 'sealed', '--passphrase-file', '-', '--output', 'input.h5'], { input: 'several good words\n' });
  assertOpened('input.h5');
  await printed(['open', 'sealed', '--output', 'variable.h5'], { passphrase: 'several good words' });
  assertOpened('variable.h5');
  await printed(['seal', DRESS, '--output', 'again'], { passphrase: 'words' });
  await printed(['open', 'again', '--output', 'again.h5'], { passphrase: 'words' });
  assertOpened('again.h5');

  await refused(['open', 'sealed'], 1, /^nearside: integrity: sealed: the passphrase is wrong, or the file's header was changed\n/, { passphrase: 'wrong' });
  await refused(['open', 'sealed'], 2, /no passphrase given: use --passphrase-file or --key, or set NEARSIDE_PASSPHRASE; see nearside open --help/);
  await refused(['seal', DRESS], 2, /no passphrase given: .*; see nearside seal --help/);
  await refused(['seal', DRESS], 1, /^nearside: value: .*dress\.h5: the passphrase is empty/, { passphrase: '' });
});

test('a changed file is refused, and what was there is left', async () => {
  const file = Buffer.from(readFileSync(join(folder, 'both')));
  file[500] ^= 1;
  writeFileSync(join(folder, 'flipped'), file);
  writeFileSync(join(folder, 'kept.h5'), 'kept');
  const { status, stderr } = await nearside(['open', 'flipped', '--key', 'model.key', '--verify', 'author.pub', '--output', 'kept.h5']);
  assert.equal(status, 1);
  assert.match(stderr, /^nearside: integrity: flipped: the signature is not that/);
  assert.equal(readFileSync(join(folder, 'kept.h5'), 'utf8'), 'kept');
});

test('standard input and output do for files', async () => {
  const { stdout } = await nearside(['seal', '-', '--key', 'model.key', '--output', '-'], { input: readFileSync(DRESS) });
  const { stdout: opened } = await nearside(['open', '-', '--key', 'model.key', '--output', '-'], { input: stdout });
  assert.deepEqual(opened, readFileSync(DRESS));
});

test('no key is replaced', async () => {
  const before = readFileSync(join(folder, 'author.pub'), 'utf8');
  rmSync(join(folder, 'author'));
  for (const [option, file, existing] of [['--new-key', 'model.key', 'model.key'], ['--new-signing-key', 'author', 'author.pub']]) {
    const { status, stderr } = await nearside(['seal', option, file]);
    assert.equal(status, 1);
    assert.equal(stderr, `nearside: value: ${existing} exists, and no key is replaced: choose another name\n`);
  }
  assert.equal(readFileSync(join(folder, 'author.pub'), 'utf8'), before);
  assert.equal(existsSync(join(folder, 'author')), false);
});

test('wrong usage and files at fault are told', async () => {
  writeFileSync(join(folder, 'broken'), '{"kty"');
  const usage = [
    [['seal'], /no model file given/],
    [['seal', DRESS, '--key', 'a', '--passphrase-file', 'b'], /--key and --passphrase-file exclude each other/],
    [['seal', '-', '--passphrase-file', '-'], /- is given more than once/],
    [['seal', DRESS, '--new-key', 'a'], /a key is made by --new-key FILE or --new-signing-key FILE alone/],
    [['seal', DRESS, '--passphrase', 'secret'], /Unknown option '--passphrase'/],
    [['open', DRESS, DRESS], /is another/],
  ];
  for (const [args, message] of usage) await refused(args, 2, message);
  const { status, stderr } = await nearside(['open', DRESS]);
  assert.deepEqual([status, stderr], [2, 'nearside: no output given: use --output; see nearside open --help\n']);
  await refused(['open', DRESS, '--key', 'model.key'], 1, /^nearside: format: .*dress\.h5: the file is not a sealed one/);
  await refused(['seal', DRESS, '--key', 'nowhere'], 1, /^nearside: network: nowhere could not be read/);
  await refused(['seal', DRESS, '--key', 'broken'], 1, /^nearside: format: broken: not JSON/);
  await refused(['seal', DRESS, '--sign', 'model.key'], 1, /^nearside: value: .*sign is no Ed25519 key to sign with/);
});

test('at a terminal the passphrase is asked for, and not shown', { skip: spawnSync('script', ['--version']).error !== undefined }, () => {
  const type = (args, ...lines) => {
    const keys = lines.map((line) => `sleep 1; printf '${line}\\r'`).join('; ');
    const command = `( ${keys}; sleep 1 ) | script -qec "'${process.execPath}' '${MAIN}' ${args}" /dev/null`;
    return spawnSync('sh', ['-c', command], { cwd: folder, encoding: 'utf8', timeout: 60_000 });
  };
  const sealed = type(`seal '${DRESS}' --output typed`, 'a few words', 'a few words');
  assert.match(sealed.stdout, /^Passphrase: \s+Again: \s+typed: 27,567 bytes\s+$/);
  const opened = type('open typed --output typed.h5', 'a few words');
  assert.match(opened.stdout, /^Passphrase: \s+typed\.h5: 27,472 bytes\s+$/);
  assertOpened('typed.h5');
  const differing = type(`seal '${DRESS}' --output typed`, 'a few words', 'other words');
  assert.match(differing.stdout, /value: the second passphrase is not the first: try again/);
  assert.equal(differing.status, 1);
});
