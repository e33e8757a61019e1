/** Small records that outlive the process, by key. */
export interface Store {
  /** The value of a key; `undefined` if there is none. */
  get<T>(key: string): Promise<T | undefined>;
  /** Writes all records, or none, and resolves when that is certain to happen. A value of `undefined` deletes. */
  set(records: [key: string, value: unknown][]): Promise<void>;
  /** The records whose keys begin with a prefix, in the order of the keys. */
  list<T>(prefix: string): Promise<[key: string, value: T][]>;
}

/** A store for as long as the process lasts. */
export function memoryStore(): Store {
  const records = new Map<string, unknown>();
  return {
    get: async <T>(key: string) => structuredClone(records.get(key)) as T | undefined,
    set: async (changes) => {
      for (const [key, value] of structuredClone(changes)) {
        if (value === undefined) records.delete(key);
        else records.set(key, value);
      }
    },
    list: async <T>(prefix: string) => {
      const found = [...records].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
      return structuredClone(found) as [string, T][];
    },
  };
}
