/** Bytes in and out: files, and `-` for standard input and output. */
import { readFile, writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { NearsideError } from '../node.js';

/** Standard input, or output. */
export const STANDARD = '-';

/** How much is written at once. */
const CHUNK = 64 * 1024;

export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return path === STANDARD ? await buffer(process.stdin) : await readFile(path);
  } catch (cause) {
    throw new NearsideError('network', `${nameOf(path)} could not be read: ${(cause as Error).message}`, { url: path }, { cause });
  }
}

/** What messages call an input. */
export function nameOf(path: string): string {
  return path === STANDARD ? 'standard input' : path;
}

/** @throws `format` for bytes that are no UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new NearsideError('format', 'the text is not UTF-8; save it as that', {}, { cause });
  }
}

/** Replaces a file. */
export async function writeParts(path: string, parts: Iterable<string | Uint8Array>): Promise<void> {
  try {
    if (path === STANDARD) await print(parts);
    else await writeFile(path, joined(parts));
  } catch (cause) {
    if (isBrokenPipe(cause)) throw cause;
    const name = path === STANDARD ? 'standard output' : path;
    throw new NearsideError('network', `${name} could not be written: ${(cause as Error).message}`, { url: path }, { cause });
  }
}

/** Writes a command's file, and says how large it is. */
export async function writeResult(path: string, bytes: Uint8Array): Promise<void> {
  await writeParts(path, [bytes]);
  if (path !== STANDARD) await writeParts(STANDARD, [`${path}: ${bytes.length.toLocaleString('en-US')} bytes\n`]);
}

/** Whether nobody reads what is printed any more, as behind `| head`. */
export function isBrokenPipe(thrown: unknown): boolean {
  return (thrown as NodeJS.ErrnoException | undefined)?.code === 'EPIPE';
}

async function print(parts: Iterable<string | Uint8Array>): Promise<void> {
  for (const part of joined(parts)) {
    await new Promise<void>((resolve, reject) => process.stdout.write(part, (error) => (error ? reject(error) : resolve())));
  }
}

/** The same, in parts that are worth a system call. */
function* joined(parts: Iterable<string | Uint8Array>): Generator<string | Uint8Array> {
  let text = '';
  for (const part of parts) {
    if (typeof part === 'string' && text.length < CHUNK) {
      text += part;
      continue;
    }
    if (text) yield text;
    text = '';
    if (typeof part === 'string') text = part;
    else yield part;
  }
  if (text) yield text;
}
