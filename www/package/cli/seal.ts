import { generateKey, generateSigningKey, seal } from '../seal/seal.js';
import { UsageError, onlyFile, parse } from './arguments.js';
import { STANDARD, nameOf, readBytes, writeParts, writeResult } from './files.js';
import { naming } from './load.js';
import { assertOneSecret, readKey, readSecret, writeKeys } from './secrets.js';

export const HELP = `Usage: nearside seal FILE --output FILE [options]
       nearside seal --new-key FILE
       nearside seal --new-signing-key FILE

Encrypts a model file, signs it, or both, for disks, servers and caches that are not trusted. nearside open undoes it.

Options:
  -o, --output FILE            where it goes, or - for standard output
      --passphrase-file FILE   encrypt by the passphrase in FILE, or - for standard input
      --key FILE               encrypt by the key in FILE
      --sign FILE              sign by the private key in FILE; alone, it signs what stays readable
      --new-key FILE           make a key
      --new-signing-key FILE   make a private key, and in FILE.pub the public key that belongs to it
  -h, --help                   print this

Without --passphrase-file, --key and --sign the passphrase is that in NEARSIDE_PASSPHRASE, or it is asked for.
Secret keys are in files that only you can read. A lost one, or a forgotten passphrase, cannot be replaced: keep a copy.

Examples:
  nearside seal model.safetensors --output model.sealed
  nearside seal --new-key model.key && nearside seal model.h5 --key model.key --output model.sealed
`;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  'passphrase-file': { type: 'string' },
  key: { type: 'string' },
  sign: { type: 'string' },
  'new-key': { type: 'string' },
  'new-signing-key': { type: 'string' },
} as const;

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args, OPTIONS);
  const { output, sign, 'new-key': newKey, 'new-signing-key': newSigningKey } = options;
  if (newKey !== undefined || newSigningKey !== undefined) {
    if (Object.keys(options).length + positionals.length > 1) throw new UsageError('a key is made by --new-key FILE or --new-signing-key FILE alone');
    return newKey !== undefined ? makeKey(newKey) : makeSigningKey(newSigningKey!);
  }
  const file = onlyFile(positionals);
  if (output === undefined) throw new UsageError('no output given: use --output');
  assertOneSecret(file, options);
  const secret = await readSecret(options, sign === undefined ? 'new' : 'none');
  const how = { ...secret, ...(sign !== undefined && { sign: await readKey(sign) }) };
  const bytes = await readBytes(file);
  await writeResult(output, await naming(nameOf(file), () => seal(bytes, how)));
}

async function makeKey(file: string): Promise<void> {
  await writeKeys({ [file]: await generateKey() });
  await writeParts(STANDARD, [`${file}: a key, to be kept secret\n`]);
}

async function makeSigningKey(file: string): Promise<void> {
  const { privateKey, publicKey } = await generateSigningKey();
  await writeKeys({ [file]: privateKey, [`${file}.pub`]: publicKey });
  await writeParts(STANDARD, [`${file}: a private key, to be kept secret\n${file}.pub: the public key, for whoever opens what it signs\n`]);
}
