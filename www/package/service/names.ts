/** Whether models and versions may be called so. */
export function isName(text: unknown): text is string {
  return typeof text === 'string' && /^[\w.:@-]{1,128}$/.test(text) && !/^\.+$/.test(text);
}
