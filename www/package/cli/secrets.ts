/** Keys and passphrases. They are read from files, the environment and the terminal, for arguments are seen by every user. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { NearsideError } from '../node.js';
import { importKey, type Jwk, type Key, type Secret } from '../seal/seal.js';
import { UsageError } from './arguments.js';
import { STANDARD, decodeText, nameOf, readBytes } from './files.js';
import { readJson } from './json.js';
import { naming } from './load.js';

const VARIABLE = 'NEARSIDE_PASSPHRASE';

/** The two options of a secret. */
interface Given {
  key?: string | undefined;
  'passphrase-file'?: string | undefined;
}

/** @throws `UsageError` for two secrets, and for two things that are to come from standard input. */
export function assertOneSecret(file: string, { key, 'passphrase-file': passphrase }: Given): void {
  if (key !== undefined && passphrase !== undefined) throw new UsageError('--key and --passphrase-file exclude each other');
  if ([file, key, passphrase].filter((path) => path === STANDARD).length > 1) throw new UsageError('- is given more than once');
}

/** The secret in one of these files. Without one, and if there should be a passphrase, it is that of the environment or the user. */
export async function readSecret({ key, 'passphrase-file': file }: Given, passphrase: 'needed' | 'new' | 'none'): Promise<Secret> {
  if (key !== undefined) return { key: await readKey(key) };
  if (file !== undefined) return { passphrase: await readPassphrase(file) };
  if (passphrase === 'none') return {};
  return { passphrase: process.env[VARIABLE] ?? (await ask(passphrase === 'new' ? ['Passphrase: ', 'Again: '] : ['Passphrase: '])) };
}

/** A file's text, less the line's end that editors add. */
async function readPassphrase(path: string): Promise<string> {
  const bytes = await readBytes(path);
  return naming(nameOf(path), () => decodeText(bytes).replace(/\r?\n$/, ''));
}

export async function readKey(path: string): Promise<Key> {
  const bytes = await readBytes(path);
  return naming(nameOf(path), () => importKey(readJson(decodeText(bytes)) as unknown as Jwk));
}

/** Has the same line typed at the terminal as often as there are prompts, without showing it. */
async function ask(prompts: string[]): Promise<string> {
  if (!process.stdin.isTTY) throw new UsageError(`no passphrase given: use --passphrase-file or --key, or set ${VARIABLE}`);
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: unseen, terminal: true, historySize: 0 });
  terminal.on('SIGINT', () => {
    terminal.close(); // which gives the terminal its echo back
    process.kill(process.pid, 'SIGINT');
  });
  const lines = terminal[Symbol.asyncIterator]();
  const typed: string[] = [];
  for (const prompt of prompts) {
    process.stderr.write(prompt);
    const { value, done } = await lines.next();
    process.stderr.write('\n');
    if (done) throw new NearsideError('value', 'no passphrase was typed');
    typed.push(value);
  }
  terminal.close();
  if (typed.some((line) => line !== typed[0])) throw new NearsideError('value', 'the second passphrase is not the first: try again');
  return typed[0]!;
}

/** Writes keys to new files. A secret one only its owner may read. */
export async function writeKeys(keys: Record<string, Jwk>): Promise<void> {
  for (const path of Object.keys(keys)) {
    // What it has sealed would be lost with it.
    if (existsSync(path)) throw new NearsideError('value', `${path} exists, and no key is replaced: choose another name`);
  }
  for (const [path, key] of Object.entries(keys)) {
    const secret = key.kty === 'oct' || key.d !== undefined;
    try {
      await writeFile(path, `${JSON.stringify(key)}\n`, { flag: 'wx', mode: secret ? 0o600 : 0o644 });
    } catch (cause) {
      throw new NearsideError('network', `${path} could not be written: ${(cause as Error).message}`, { url: path }, { cause });
    }
  }
}
