import { NearsideError } from '../errors.js';

/**
 * An origin as browsers spell it: `https://host` or `https://host:port`. Exactness is what every check relies on: two
 * spellings of one origin would be two origins, and a pattern would let in whoever finds a name that fits it.
 * @throws `value`, with the spelling that may be meant.
 */
export function readOrigin(text: unknown, where: string): string {
  if (typeof text !== 'string') throw new NearsideError('value', `${where}: an origin is text such as 'https://app.example'`);
  if (text.includes('*')) throw new NearsideError('value', `${where}: '${text}' is a pattern; list each origin by its exact name`);
  if (text === 'null') {
    throw new NearsideError('value', `${where}: 'null' is what sandboxed frames and local files of anybody call themselves; it cannot be listed`);
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new NearsideError('value', `${where}: '${text}' is no origin; write one as 'https://app.example'`);
  }
  if (url.origin !== text) throw new NearsideError('value', `${where}: '${text}' is no exact origin; '${url.origin}' is`);
  return text;
}
