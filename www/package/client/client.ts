/** The page's side of services: in its own service worker, and in pages of other origins. */
export * from './register.js';
