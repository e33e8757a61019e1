/** The entry point for Node: the same package, reading local files. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { NearsideError } from './errors.js';
import { platform } from './platform.js';

platform.readModule = async (url) => (url.protocol === 'file:' ? readFile(url) : fetch(url));

platform.readFile = async (source) => {
  const text = String(source);
  // A Windows path such as C:\model.h5 parses as an address too, of a one-letter protocol.
  const protocol = /^([a-z][a-z0-9+.-]+):/i.exec(text)?.[1];
  if (protocol !== undefined && protocol !== 'file') return null;
  const path = protocol === 'file' ? fileURLToPath(text) : text;
  try {
    return await readFile(path);
  } catch (cause) {
    throw new NearsideError('network', `${path} could not be read: ${(cause as Error).message}`, { url: text }, { cause });
  }
};

export * from './nearside.js';
