import { readSeal, unseal } from '../seal/seal.js';
import { UsageError, onlyFile, parse } from './arguments.js';
import { nameOf, readBytes, writeResult } from './files.js';
import { naming } from './load.js';
import { assertOneSecret, readKey, readSecret } from './secrets.js';

export const HELP = `Usage: nearside open FILE --output FILE [options]

Opens a model file that nearside seal has sealed: all of it, or nothing if it was changed or the key is another.

Options:
  -o, --output FILE            where it goes, or - for standard output
      --passphrase-file FILE   the passphrase is in FILE, or - for standard input
      --key FILE               the key is in FILE
      --verify FILE            the signer's public key is in FILE; needed for a file that is signed
  -h, --help                   print this

Without --passphrase-file a passphrase is that in NEARSIDE_PASSPHRASE, or it is asked for.

Examples:
  nearside open model.sealed --output model.safetensors
  nearside open model.sealed --key model.key --verify author.pub --output model.h5
`;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  'passphrase-file': { type: 'string' },
  key: { type: 'string' },
  verify: { type: 'string' },
} as const;

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args, OPTIONS);
  const { output, verify } = options;
  const file = onlyFile(positionals);
  if (output === undefined) throw new UsageError('no output given: use --output');
  assertOneSecret(file, options);
  const bytes = await readBytes(file);
  const content = await naming(nameOf(file), async () => {
    const secret = await readSecret(options, readSeal(bytes).encryptedBy === 'passphrase' ? 'needed' : 'none');
    return unseal(bytes, { ...secret, ...(verify !== undefined && { verify: await readKey(verify) }) });
  });
  await writeResult(output, content);
}
