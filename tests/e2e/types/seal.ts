// Uses of sealed files that must compile, with whichever types of WebCrypto there are.
import { generateKey, generateSigningKey, importKey, isSealed, readSeal, seal, unseal, type Jwk, type Key, type Seal } from 'nearside/seal';

export async function sealed(bytes: Uint8Array): Promise<Uint8Array> {
  const jwk: Jwk = await generateKey();
  const key: Key = await importKey(jwk);
  const { privateKey, publicKey } = await generateSigningKey();
  const file = await seal(bytes, { key, sign: await importKey(privateKey) });
  const { encryptedBy, signed }: Seal = readSeal(file);
  if (!isSealed(file) || encryptedBy === 'passphrase' || !signed) return seal(bytes, { passphrase: 'several words' });
  return unseal(file, { key, verify: await importKey(publicKey) });
}

// @ts-expect-error a key in its written form is not one to seal with
void seal(new Uint8Array(1), { key: { kty: 'oct' } });
// @ts-expect-error who opens has no private key
void unseal(new Uint8Array(1), { sign: undefined as unknown as Key });
