/** The first bytes of a sealed file, whose layout is documented in seal.ts. */
import { NearsideError } from '../errors.js';

/** A PNG begins alike, for the same reason: a transfer as text changes one of these bytes. */
const MAGIC = Uint8Array.of(0x89, 0x4e, 0x53, 0x45, 0x41, 0x4c, 0x0d, 0x0a);
const VERSION = 1;
const ENCRYPTED_BY = ['nothing', 'key', 'passphrase'] as const;

/** @internal Bytes of every sealed file that say how to open it. */
export const PRELUDE = 11;
/** @internal Where the salt begins. */
export const SALT = 15;
const COMMITMENT = 47;
/** @internal Bytes before the chunks. */
export const HEADER = 79;
/** @internal Bytes at the end of a signed file. */
export const SIGNATURE = 64;

/**
 * OWASP's figure for PBKDF2-HMAC-SHA-256, as of November 2026:
 * https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#pbkdf2. It takes 0.2 s on a PC.
 */
const ITERATIONS = 600_000;
/** A file that asks for more, which is made to keep the reader busy, is refused; so is one that asks for fewer. */
const MOST_ITERATIONS = 10_000_000;

/** How a file says that it is sealed. */
export interface Seal {
  /** What is needed to read it. */
  encryptedBy: 'nothing' | 'key' | 'passphrase';
  /** Whether a signature is needed to open it. */
  signed: boolean;
}

/** Whether a file begins as sealed ones do. */
export function isSealed(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

/**
 * What a sealed file is to be opened with, by its first bytes, which only `unseal` checks.
 * @throws `format` for a file that is not sealed, or by a newer version.
 */
export function readSeal(bytes: Uint8Array): Seal {
  if (!isSealed(bytes)) throw damaged('the file is not a sealed one', 0);
  if (bytes.length < PRELUDE) throw damaged('the file is truncated: get it again', bytes.length);
  const [version, by, signed] = bytes.subarray(MAGIC.length, PRELUDE);
  if (version !== VERSION) throw damaged(`the file is sealed in version ${version} of the format, and this nearside opens version ${VERSION}: update it`, 8);
  const encryptedBy = ENCRYPTED_BY[by!];
  if (encryptedBy === undefined) throw damaged(`the file is encrypted in a way, ${by}, that version ${VERSION} does not have`, 9);
  if (signed! > 1 || (encryptedBy === 'nothing' && !signed)) throw damaged('the file says neither that it is signed nor that it is encrypted', 10);
  return { encryptedBy, signed: signed === 1 };
}

/** @internal */
export function writePrelude(file: Uint8Array, { encryptedBy, signed }: Seal): void {
  file.set([...MAGIC, VERSION, ENCRYPTED_BY.indexOf(encryptedBy), Number(signed)]);
}

/** @internal What an encrypted file's key is derived with, and held to. */
export interface Header {
  iterations: number;
  salt: Uint8Array<ArrayBuffer>;
  commitment: Uint8Array<ArrayBuffer>;
}

/** @internal Fills in everything but the commitment. */
export function writeHeader(file: Uint8Array<ArrayBuffer>, encryptedBy: Seal['encryptedBy']): Header {
  const header = headerOf(file, encryptedBy === 'passphrase' ? ITERATIONS : 0);
  crypto.getRandomValues(header.salt);
  viewOf(file).setUint32(PRELUDE, header.iterations);
  return header;
}

/** @internal @throws `integrity` for a truncated header, `format` for one that was made to keep the reader busy. */
export function readHeader(file: Uint8Array<ArrayBuffer>, encryptedBy: Seal['encryptedBy']): Header {
  if (file.length < HEADER) throw new NearsideError('integrity', 'the file is truncated: get it again', { offset: file.length });
  const header = headerOf(file, viewOf(file).getUint32(PRELUDE));
  const { iterations } = header;
  const sound = encryptedBy === 'passphrase' ? iterations >= ITERATIONS && iterations <= MOST_ITERATIONS : iterations === 0;
  if (sound) return header;
  throw damaged(`the file asks for ${iterations} iterations of PBKDF2, and nearside does ${ITERATIONS} to ${MOST_ITERATIONS} for a passphrase`, PRELUDE);
}

function headerOf(file: Uint8Array<ArrayBuffer>, iterations: number): Header {
  return { iterations, salt: file.subarray(SALT, COMMITMENT), commitment: file.subarray(COMMITMENT, HEADER) };
}

function viewOf({ buffer, byteOffset }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset);
}

function damaged(message: string, offset: number): NearsideError {
  return new NearsideError('format', message, { offset });
}
