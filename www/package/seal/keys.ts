/** Keys: where they come from, how they are written down, and what is derived from them. */
import { NearsideError } from '../errors.js';

/** A `CryptoKey`, by whichever types a project has for it. */
export type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** A JSON Web Key (RFC 7517, RFC 8037), the form in which keys are kept in files: whoever reads it has the key. */
export interface Jwk {
  /** `oct`: a key to encrypt by; `OKP`: one to sign with or to verify by. */
  kty: string;
  /** The bytes of a key to encrypt by, in base64url. */
  k?: string;
  /** `Ed25519`. */
  crv?: string;
  /** The public key, in base64url. */
  x?: string;
  /** The private key, in base64url. */
  d?: string;
}

/** Bytes of a key, and of what is derived from it. */
const KEY = 32;
const PREFIX = 7;

/** A new key to encrypt files by: 256 random bits. */
export async function generateKey(): Promise<Jwk> {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY));
  const k = btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace('=', '');
  return { kty: 'oct', k };
}

/** A new Ed25519 key to sign files with, and the public one that tells its signatures from others. */
export async function generateSigningKey(): Promise<{ privateKey: Jwk; publicKey: Jwk }> {
  const pair = await subtle().generateKey('Ed25519', true, ['sign', 'verify']).catch(missing('Ed25519')) as CryptoKeyPair;
  const { x, d } = await subtle().exportKey('jwk', pair.privateKey);
  const publicKey = { kty: 'OKP', crv: 'Ed25519', x: x! };
  return { privateKey: { ...publicKey, d: d! }, publicKey };
}

/**
 * A key as `seal` and `unseal` take it. It cannot be read out again, so that a page may keep it in IndexedDB; those to
 * encrypt by are of HKDF, for each file is encrypted by a key of its own that is derived from it.
 * @throws `value` for what is no such key.
 */
export async function importKey(jwk: Jwk): Promise<Key> {
  const { kty, k, crv, x, d } = jwk ?? {};
  if (kty === 'oct' && /^[\w-]{43}$/.test(k ?? '')) {
    const bytes = Uint8Array.from(atob(k!.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0));
    return importMaster(bytes);
  }
  if (kty === 'OKP' && crv === 'Ed25519' && typeof x === 'string') {
    const own = { kty, crv, x, ...(d !== undefined && { d }) };
    return subtle().importKey('jwk', own, 'Ed25519', false, [d === undefined ? 'verify' : 'sign']).catch((cause) => {
      if (cause?.name === 'NotSupportedError') return missing('Ed25519')(cause);
      throw new NearsideError('value', 'the Ed25519 key is damaged: its parts do not belong together', {}, { cause });
    });
  }
  throw new NearsideError('value', 'the key is neither a 256-bit one (kty oct) nor an Ed25519 one (kty OKP); generateKey and generateSigningKey make them');
}

/** What each option takes. AES-GCM keys are not taken: they can encrypt, but no file's own key can be derived from one. */
const USES = {
  key: { algorithm: 'HKDF', usage: 'deriveBits', purpose: 'to encrypt by: generateKey and importKey, or nearside seal --new-key' },
  sign: { algorithm: 'Ed25519', usage: 'sign', purpose: 'to sign with: generateSigningKey and importKey, or nearside seal --new-signing-key' },
  verify: { algorithm: 'Ed25519', usage: 'verify', purpose: 'to verify by, the public one: generateSigningKey and importKey, or nearside seal --new-signing-key' },
} as const;

/** @internal @throws `value` for another key than the option takes. */
export function assertUsable(option: keyof typeof USES, key: Key): void {
  subtle(); // where it is missing, so is CryptoKey
  const { algorithm, usage, purpose } = USES[option];
  if (key instanceof CryptoKey && key.algorithm.name === algorithm && key.usages.includes(usage)) return;
  throw new NearsideError('value', `${option} is no ${algorithm} key ${purpose}, make one`);
}

/** @internal What the key of a file is derived from. */
export async function masterOf({ passphrase, key }: { passphrase?: string; key?: Key }, salt: Uint8Array<ArrayBuffer>, iterations: number): Promise<Key> {
  if (key) return key;
  // The same letter can be typed as one character or two: on another keyboard it must be the same passphrase.
  const text = new TextEncoder().encode(passphrase!.normalize('NFC'));
  const base = await subtle().importKey('raw', text, 'PBKDF2', false, ['deriveBits']);
  const parameters = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations };
  // Cloudflare's Workers do 100,000 iterations at most.
  return importMaster(await subtle().deriveBits(parameters, base, 8 * KEY).catch(missing(`PBKDF2 with ${iterations} iterations; use a key`)));
}

function importMaster(bytes: BufferSource): Promise<Key> {
  return subtle().importKey('raw', bytes, 'HKDF', false, ['deriveBits']);
}

/** @internal What one file is encrypted by. */
export interface FileKey {
  key: Key;
  prefix: Uint8Array;
  commitment: Uint8Array;
}

/** @internal */
export async function deriveFileKey(master: Key, salt: Uint8Array<ArrayBuffer>, info: Uint8Array<ArrayBuffer>): Promise<FileKey> {
  const parameters = { name: 'HKDF', hash: 'SHA-256', salt, info };
  const bits = new Uint8Array(await subtle().deriveBits(parameters, master, 8 * (KEY + PREFIX + KEY)));
  const key = await subtle().importKey('raw', bits.subarray(0, KEY), 'AES-GCM', false, ['encrypt', 'decrypt']);
  return { key, prefix: bits.subarray(KEY, KEY + PREFIX), commitment: bits.subarray(KEY + PREFIX) };
}

/** @internal @throws `unsupported` where there is none. */
export function subtle(): SubtleCrypto {
  if (globalThis.crypto?.subtle) return crypto.subtle;
  throw new NearsideError('unsupported', 'WebCrypto is missing: pages have it on https:// and localhost only');
}

function missing(what: string): (cause: unknown) => never {
  return (cause) => {
    throw new NearsideError('unsupported', `WebCrypto here has no ${what}`, {}, { cause });
  };
}
