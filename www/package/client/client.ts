/** The page's side of services: in its own service worker, and in pages of other origins. */
export * from './register.js';
export * from './remove.js';
export * from './frame.js';
export type { Caller } from '../service/access.js';
export { NearsideError } from '../errors.js';
export type { ErrorContext, ErrorKind } from '../errors.js';
