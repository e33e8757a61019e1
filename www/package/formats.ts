/** The formats module: a file of its own, so that a page that needs no conversion never downloads it. */
export { default, convert, __wbg_reset_state as reset } from '../generated/formats.js';
