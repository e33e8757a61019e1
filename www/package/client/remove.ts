/** Takes a service out of the browser. */
import { NearsideError } from '../nearside.js';
import { storageName } from '../service-worker/name.js';

/**
 * Unregisters a service worker that serves models, and deletes what it kept: models, files for offline use, the log and
 * tokens. Pages that it serves already are answered by it until they are left or loaded anew.
 */
export async function removeService(registration: ServiceWorkerRegistration): Promise<void> {
  await registration.unregister();
  const name = storageName(registration.scope);
  await caches.delete(name);
  await new Promise<void>((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(new NearsideError('internal', `the database '${name}' could not be deleted: ${request.error?.message}`));
  });
}
