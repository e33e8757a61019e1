import { NearsideError } from '../node.js';
import { type Scope, type TokenKey, issueToken } from '../service/service.js';
import { UsageError, oneOf, onlyFile, parse, wholeNumber } from './arguments.js';
import { STANDARD, readBytes, writeParts } from './files.js';
import { naming } from './load.js';

export const HELP = `Usage: nearside token KEY --origin ORIGIN --scope SCOPE [options]

Prints a capability token: what its holder may ask of a service that takes tokens signed with the key.

KEY is a file: a JWK (Ed25519, private, or a secret), or 32 bytes and more as they are.

Options:
      --origin ORIGIN       the only site whose pages may use it, such as https://example.org
      --scope SCOPE         infer, explain, train or manage; may be given several times
      --model NAME          a model that it is for; all unless given; may be given several times
      --expires-in SECONDS  how long it is good for (default: 3600)
      --once                good for one request
      --subject NAME        whom it is for, as the log names it
  -h, --help                print this

Example:
  nearside token secret.key --origin https://example.org --scope infer --model mnist
`;

const OPTIONS = {
  origin: { type: 'string' },
  scope: { type: 'string', multiple: true },
  model: { type: 'string', multiple: true },
  'expires-in': { type: 'string' },
  once: { type: 'boolean' },
  subject: { type: 'string' },
} as const;

const SCOPES: Scope[] = ['infer', 'explain', 'train', 'manage'];

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args, OPTIONS);
  const file = onlyFile(positionals);
  if (options.origin === undefined) throw new UsageError('no --origin given');
  const scopes = (options.scope ?? []).map((scope) => oneOf(SCOPES, 'scope', scope));
  if (!scopes.length) throw new UsageError('no --scope given');
  const expiresIn = options['expires-in'] === undefined ? 3600 : wholeNumber('expires-in', options['expires-in']);
  const token = await issueToken(await readTokenKey(file), {
    scopes,
    origin: options.origin,
    expiresIn,
    ...(options.model && { models: options.model }),
    ...(options.once && { once: true }),
    ...(options.subject !== undefined && { subject: options.subject }),
  });
  await writeParts(STANDARD, [`${token}\n`]);
}

/** A key that tokens are signed with, or checked: a JWK, or a secret as it is. */
export async function readTokenKey(path: string): Promise<TokenKey> {
  const bytes = await readBytes(path);
  if (bytes[0] !== 0x7b) return new Uint8Array(bytes);
  return naming(path, () => {
    try {
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch (cause) {
      throw new NearsideError('format', `the key is no JWK: ${(cause as Error).message}`, {}, { cause });
    }
  });
}
