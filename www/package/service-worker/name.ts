/** Name of the cache and of the database of a service worker with this scope. */
export function storageName(scope: string): string {
  return `nearside ${scope}`;
}
