/** The store of a browser. */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import { NearsideError } from '../errors.js';
import type { Store } from './store.js';

interface Schema extends DBSchema {
  records: { key: string; value: unknown };
}

/** A store in IndexedDB, which all pages and workers of the origin share. */
export function indexedDbStore(name = 'nearside'): Store {
  let opened: Promise<IDBPDatabase<Schema>> | undefined;
  const forget = () => (opened = undefined);
  const open = () => {
    opened ??= openDB<Schema>(name, 1, {
      upgrade: (database) => void database.createObjectStore('records'),
      // Whoever wants to delete the database, or has a newer version of it, is not kept waiting.
      blocking: (_current, _blocked, event) => {
        (event.target as IDBDatabase).close();
        forget();
      },
      terminated: forget,
    });
    opened.catch(forget);
    return opened;
  };
  return {
    get: <T>(key: string) => typed(name, async () => (await (await open()).get('records', key)) as T | undefined),
    set: (changes) =>
      typed(name, async () => {
        // As they are now, not when the database is open.
        const values = structuredClone(changes);
        await write(await open(), values);
      }),
    list: <T>(prefix: string) => typed(name, async () => list<T>(await open(), prefix)),
  };
}

async function write(database: IDBPDatabase<Schema>, changes: [string, unknown][]): Promise<void> {
  // Relaxed: it does not wait until the disk has it, which takes milliseconds; a crash of the browser loses nothing.
  const transaction = database.transaction('records', 'readwrite', { durability: 'relaxed' });
  const requests: Promise<unknown>[] = [transaction.done];
  try {
    for (const [key, value] of changes) {
      requests.push(value === undefined ? transaction.store.delete(key) : transaction.store.put(value, key));
    }
    // By itself a transaction commits when this worker has heard that its requests are done. One that is killed before
    // never hears it, and the transaction would be undone; told now, the database goes on without the worker.
    transaction.commit();
  } catch (error) {
    // The records before the one at fault must not stay.
    transaction.abort();
    await Promise.allSettled(requests);
    throw error;
  }
  await Promise.all(requests);
}

async function list<T>(database: IDBPDatabase<Schema>, prefix: string): Promise<[string, T][]> {
  const { store } = database.transaction('records');
  // No key has U+FFFF, which is no character, behind the prefix.
  const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
  const [keys, values] = await Promise.all([store.getAllKeys(range), store.getAll(range)]);
  return keys.map((key, index) => [key, values[index] as T]);
}

async function typed<T>(name: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const { name: reason, message } = cause as DOMException;
    if (reason === 'QuotaExceededError') throw new NearsideError('memory', `the browser's storage is full: ${message}`, {}, { cause });
    if (reason === 'DataCloneError') throw new NearsideError('value', `a value can't be stored: ${message}`, {}, { cause });
    throw new NearsideError('unsupported', `the database '${name}' of this browser can't be used: ${message}`, {}, { cause });
  }
}
