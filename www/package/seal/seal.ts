/**
 * Models at rest: a sealed file is encrypted, signed, or both, so that it can lie on disks and servers that are not trusted.
 *
 * The file, its numbers big-endian:
 *
 * | offset | bytes |                                                                    |
 * |-------:|------:|--------------------------------------------------------------------|
 * |      0 |     8 | `89 4e 53 45 41 4c 0d 0a`, which a transfer as text would change   |
 * |      8 |     1 | version of the format: 1                                           |
 * |      9 |     1 | encrypted by: 0 nothing, 1 a key, 2 a passphrase                   |
 * |     10 |     1 | 1 if the file is signed, else 0                                    |
 * |     11 |     4 | if encrypted: iterations of PBKDF2, 0 with a key                   |
 * |     15 |    32 | if encrypted: salt, random                                         |
 * |     47 |    32 | if encrypted: commitment to the key                                |
 * |     79 |     … | chunks; of a file that is not encrypted the content, from offset 11 |
 * |        |    64 | if signed: Ed25519 signature of all bytes before it                |
 *
 * - The master is the key, or of a passphrase (Unicode NFC, UTF-8) PBKDF2-HMAC-SHA-256 with salt and iterations, 32 bytes.
 * - HKDF-SHA-256 of the master, with the salt and bytes 0 to 15 as info, gives 71 bytes: the key of the content (32), the
 *   nonces' prefix (7), the commitment (32). No two files share a key, so that no nonce can be used twice with one.
 * - The content is encrypted in chunks of 64 KiB, of which the last has what is left and an empty file one of 0 bytes:
 *   AES-256-GCM, with the tag (16 bytes) behind; nonce: prefix (7) ‖ number of the chunk, from 0 (4) ‖ 1 for the last, else 0
 *   (1); additional data: bytes 0 to 79. This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption
 *   and its Nonce-Reuse Misuse-Resistance, 2015): chunks cannot be left out, doubled, moved or taken from another file.
 * - AES-GCM alone would let one file be made that opens, to different contents, by several keys (Len, Grubbs, Ristenpart:
 *   Partitioning Oracle Attacks, 2021): the commitment ties it to one, and tells a wrong key from a damaged file.
 */
import { NearsideError, assertKnown } from '../errors.js';
import { decrypt, encrypt, encryptedSize } from './chunks.js';
import { HEADER, PRELUDE, SALT, SIGNATURE, readHeader, readSeal, writeHeader, writePrelude } from './header.js';
import { type Key, assertUsable, deriveFileKey, masterOf, subtle } from './keys.js';

export { isSealed, readSeal, type Seal } from './header.js';
export { generateKey, generateSigningKey, importKey, type Jwk, type Key } from './keys.js';

/** What a file is encrypted by: one of them. */
export interface Secret {
  /** What a user remembers. It is as strong as it is hard to guess: better several words than one. */
  passphrase?: string;
  /** A key from `importKey`: of HKDF, which WebCrypto never gives out again. */
  key?: Key;
}

/** How a file is sealed: encrypted, signed, or both. */
export interface SealOptions extends Secret {
  /** A private Ed25519 key, from `importKey` or WebCrypto: who has the public one can tell that the file is yours. */
  sign?: Key;
}

/** What a sealed file is opened with: what it was sealed with, no less and no more. */
export interface UnsealOptions extends Secret {
  /** The signer's public Ed25519 key. */
  verify?: Key;
}

/**
 * Seals a file: encrypts it by a passphrase or a key, signs it, or both.
 * @throws `value` for options that do not fit together.
 */
export async function seal(bytes: Uint8Array, options: SealOptions): Promise<Uint8Array> {
  assertKnown(options, ['passphrase', 'key', 'sign']);
  assertBytes(bytes);
  const { sign } = options;
  const encryptedBy = secretOf(options);
  if (sign !== undefined) assertUsable('sign', sign);
  else if (encryptedBy === 'nothing') throw new NearsideError('value', 'nothing to seal with: give a passphrase, a key, or sign');

  const start = encryptedBy === 'nothing' ? PRELUDE : HEADER;
  const size = encryptedBy === 'nothing' ? bytes.length : encryptedSize(bytes.length);
  const file = new Uint8Array(start + size + (sign ? SIGNATURE : 0));
  writePrelude(file, { encryptedBy, signed: sign !== undefined });
  const body = file.subarray(start, start + size);
  if (encryptedBy === 'nothing') body.set(bytes);
  else {
    const { salt, iterations, commitment } = writeHeader(file, encryptedBy);
    const fileKey = await deriveFileKey(await masterOf(options, salt, iterations), salt, file.subarray(0, SALT));
    commitment.set(fileKey.commitment);
    await encrypt(fileKey, file.subarray(0, HEADER), bytes, body);
  }
  if (sign) file.set(new Uint8Array(await subtle().sign('Ed25519', sign, file.subarray(0, -SIGNATURE))), start + size);
  return file;
}

/**
 * Opens a sealed file: all of it, or nothing. A signature is checked before anything else is made of the file, and a signed
 * file is only opened with `verify`, an encrypted one only with its passphrase or key: no check is left out by oversight.
 * @throws `integrity` for a file that was changed, cut or signed by another, and for a wrong key; `format` for one that is
 * not sealed; `value` for options that do not fit together.
 */
export async function unseal(bytes: Uint8Array, options: UnsealOptions): Promise<Uint8Array> {
  assertKnown(options, ['passphrase', 'key', 'verify']);
  assertBytes(bytes);
  const { verify } = options;
  const given = secretOf(options);
  if (verify !== undefined) assertUsable('verify', verify);

  const file = new Uint8Array(bytes); // so that what was checked is what is opened, whoever writes to `bytes` meanwhile
  const { encryptedBy, signed } = readSeal(file);
  if (verify) await checkSignature(file, signed, verify);
  else if (signed) throw refused("the file is signed: give the signer's public key, as verify");
  if (encryptedBy !== given) throw mismatch(encryptedBy, given);

  const end = file.length - (signed ? SIGNATURE : 0);
  if (encryptedBy === 'nothing') return file.slice(PRELUDE, end);
  const { salt, iterations, commitment } = readHeader(file.subarray(0, end), encryptedBy);
  const fileKey = await deriveFileKey(await masterOf(options, salt, iterations), salt, file.subarray(0, SALT));
  // In constant time: how soon a guess differs would help to guess on.
  const difference = fileKey.commitment.reduce((difference, byte, i) => difference | (byte ^ commitment[i]!), 0);
  if (difference !== 0) throw refused(`the ${encryptedBy} is wrong, or the file's header was changed`);
  return decrypt(fileKey, file.subarray(0, HEADER), file.subarray(HEADER, end));
}

async function checkSignature(file: Uint8Array<ArrayBuffer>, signed: boolean, verify: Key): Promise<void> {
  if (!signed) throw refused('the file is not signed, and verify asks for a signature: get it from who signed it');
  const [message, signature] = [file.subarray(0, -SIGNATURE), file.subarray(-SIGNATURE)];
  if (await subtle().verify('Ed25519', verify, signature, message)) return;
  throw refused("the signature is not that of verify's key, or the file was changed: get it from who signed it");
}

/** Which secret is given. */
function secretOf({ passphrase, key }: Secret): 'nothing' | 'key' | 'passphrase' {
  if (passphrase !== undefined && key !== undefined) throw new NearsideError('value', 'give a passphrase or a key, not both');
  if (passphrase !== undefined && (typeof passphrase !== 'string' || passphrase === '')) {
    throw new NearsideError('value', 'the passphrase is empty or not text');
  }
  if (key !== undefined) assertUsable('key', key);
  return passphrase !== undefined ? 'passphrase' : key !== undefined ? 'key' : 'nothing';
}

/** A file that was changed to say that it is not encrypted must not pass for one that is, nor a wrong secret for none. */
function mismatch(encryptedBy: string, given: string): NearsideError {
  if (given === 'nothing') return new NearsideError('value', `the file is encrypted: give the ${encryptedBy} that it was sealed with`);
  if (encryptedBy === 'nothing') return refused(`the file is signed only, not encrypted, and a ${given} is given`);
  return refused(`the file was sealed with a ${encryptedBy}, and a ${given} is given`);
}

function refused(message: string): NearsideError {
  return new NearsideError('integrity', message);
}

function assertBytes(bytes: unknown): void {
  if (!(bytes instanceof Uint8Array)) throw new NearsideError('value', 'the file is not a Uint8Array');
}
