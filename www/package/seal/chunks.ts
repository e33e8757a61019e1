/** The content of an encrypted file: STREAM over AES-256-GCM, as seal.ts documents it. */
import { NearsideError } from '../errors.js';
import { HEADER } from './header.js';
import { type FileKey, subtle } from './keys.js';

const CHUNK = 64 * 1024;
const TAG = 16;

/** Chunks under way: one at a time waits for a thread and back, which takes as long as the work. */
const AT_ONCE = 8;

/** How long the chunks of a content of `size` bytes are. */
export function encryptedSize(size: number): number {
  return size + TAG * count(size, CHUNK);
}

/** Encrypts a content into `body`, which has the room. */
export async function encrypt(key: FileKey, header: Uint8Array<ArrayBuffer>, content: Uint8Array, body: Uint8Array): Promise<void> {
  const total = count(content.length, CHUNK);
  await each(total, async (i) => {
    const chunk = new Uint8Array(content.subarray(i * CHUNK, (i + 1) * CHUNK)); // WebCrypto takes no shared memory
    const sealed = await subtle().encrypt(parameters(key, header, i, total), key.key, chunk);
    body.set(new Uint8Array(sealed), i * (CHUNK + TAG));
  });
}

/** @throws `integrity`, and nothing is given out, unless all of the content is as it was encrypted. */
export async function decrypt(key: FileKey, header: Uint8Array<ArrayBuffer>, body: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const total = count(body.length, CHUNK + TAG);
  const size = body.length - TAG * total;
  if (size < CHUNK * (total - 1)) throw damaged((CHUNK + TAG) * (total - 1)); // too short for the last one's tag
  const content = new Uint8Array(size);
  await each(total, async (i) => {
    const start = i * (CHUNK + TAG);
    const chunk = body.subarray(start, start + CHUNK + TAG);
    const opened = await subtle().decrypt(parameters(key, header, i, total), key.key, chunk).catch((cause) => {
      throw damaged(start, cause);
    });
    content.set(new Uint8Array(opened), i * CHUNK);
  });
  return content;
}

function count(size: number, chunk: number): number {
  return Math.max(1, Math.ceil(size / chunk));
}

/** The number is part of the nonce, and whether it is the last: in another place no chunk can be decrypted. */
function parameters({ prefix }: FileKey, header: Uint8Array<ArrayBuffer>, i: number, total: number): AesGcmParams {
  const iv = new Uint8Array(12);
  iv.set(prefix);
  new DataView(iv.buffer).setUint32(prefix.length, i);
  iv[11] = Number(i === total - 1);
  return { name: 'AES-GCM', iv, additionalData: header };
}

async function each(total: number, act: (i: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < total; start += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, total - start) }, (_, i) => act(start + i)));
  }
}

function damaged(start: number, cause?: unknown): NearsideError {
  const offset = HEADER + start;
  const message = `the file was changed or truncated: the chunk at byte ${offset} is not what was sealed there; get the file again`;
  return new NearsideError('integrity', message, { offset }, { cause });
}
