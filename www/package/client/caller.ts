/** What a page and its service worker agree on: which addresses are the service's, and for whom a page asks. */
import type { Caller } from '../service/access.js';

/** Whether the service answers there: `/v2`, and all below it. */
export function isOfService(pathname: string): boolean {
  return /^\/v2(\/|$)/.test(pathname);
}

/** The header. Only pages of the service's own origin reach its service worker, and so only they can set it there. */
export const CALLER = 'nearside-caller';

/** What the header says; nothing where it is missing. @throws `TypeError` or `SyntaxError` for what no page of ours has written. */
export function readCaller(headers: Headers): Caller {
  const told = JSON.parse(headers.get(CALLER) ?? '{}') as Caller;
  const isText = (text: unknown) => text === undefined || typeof text === 'string';
  if (typeof told !== 'object' || told === null || !isText(told.origin) || !isText(told.client)) throw new TypeError(`the header ${CALLER} is malformed`);
  return { ...(told.origin !== undefined && { origin: told.origin }), ...(told.client !== undefined && { client: told.client }) };
}
