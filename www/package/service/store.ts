/** Small records that outlive the process, by key. */
export interface Store {
  /** The record of a key; undefined if there is none. */
  get<T>(key: string): Promise<T | undefined>;
  /** Writes all records, or none, and resolves when that is certain to happen. A value of `undefined` deletes. */
  set(records: [key: string, value: unknown][]): Promise<void>;
  /** The records whose keys begin with a prefix, in the order of the keys. */
  list<T>(prefix: string): Promise<[key: string, value: T][]>;
  /** Set where values are kept as JSON: a CryptoKey is not, so that keys have to be extractable and kept as JWKs. */
  readonly json?: true;
}

/** A store for as long as the process lasts. */
export function memoryStore(): Store {
  const records = new Map<string, unknown>();
  return {
    get: async <T>(key: string) => copy(records.get(key)) as T | undefined,
    set: async (changes) => {
      for (const [key, value] of changes.map(([key, value]) => [key, copy(value)] as const)) {
        if (value === undefined) records.delete(key);
        else records.set(key, value);
      }
    },
    list: async <T>(prefix: string) => {
      const found = [...records].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
      return found.map(([key, value]) => [key, copy(value) as T]);
    },
  };
}

/** Whoever has a copy may change it. A key cannot be changed, and workerd clones none; where it is insecure there are none. */
function copy(value: unknown): unknown {
  return typeof CryptoKey === 'function' && value instanceof CryptoKey ? value : structuredClone(value);
}
