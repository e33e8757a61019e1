/** The store of a process with files. Never part of what browsers load. */
import { appendFile, open, readFile, rename, stat, truncate } from 'node:fs/promises';
import { NearsideError } from '../errors.js';
import { canonicalJson } from './json.js';
import type { Store } from './store.js';

/** Only the process's user reads it: what the log signs with is in it. */
const MODE = 0o600;
/** Records that were overwritten or deleted may take as much as those that were not, and this, before they are left out. */
const SLACK = 1 << 20;

/**
 * A store in one file, for one process at a time: JSON only, so that keys are kept as JWKs, and the file for its user only
 * (mode 0600).
 *
 * Each line is what one `set` has written, an array of `[key, value]` or, deleted, `[key]`: a process that is killed
 * leaves at most a line without its end, which was not written then. From time to time the file is replaced by one
 * without what was overwritten.
 */
export function fileStore(path: string): Store {
  let opened: Promise<Journal> | undefined;
  let idle: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(act: (journal: Journal) => Promise<T> | T): Promise<T> => {
    const done = idle.then(async () => act(await (opened ??= Journal.open(path)))).catch((cause) => {
      if (cause instanceof NearsideError) throw cause;
      const kind = cause.code === 'ENOSPC' ? 'memory' : 'network';
      throw new NearsideError(kind, `${path} could not be read or written: ${cause.message}`, { url: path }, { cause });
    });
    idle = done.catch(() => (opened = undefined));
    return done;
  };
  return {
    json: true,
    get: <T>(key: string) => inTurn(({ records }) => parsed<T>(records.get(key))),
    set: async (changes) => {
      const encoded = changes.map(([key, value]): Change => [key, value === undefined ? undefined : canonicalJson(value)]);
      return inTurn((journal) => journal.write(encoded));
    },
    list: <T>(prefix: string) =>
      inTurn(({ records }) => {
        const found = [...records].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
        return found.map(([key, value]): [string, T] => [key, parsed<T>(value)!]);
      }),
  };
}

/** A key and its value as JSON; undefined deletes. */
type Change = [key: string, json: string | undefined];

function parsed<T>(json: string | undefined): T | undefined {
  return json === undefined ? undefined : JSON.parse(json);
}

class Journal {
  /** Values as JSON: whoever gets one can change it without changing the store. */
  readonly records = new Map<string, string>();
  /** Of the file. */
  #size = 0;
  /** Of what in it is up to date. */
  #live = 0;

  private constructor(private readonly path: string) {}

  static async open(path: string): Promise<Journal> {
    const journal = new Journal(path);
    const bytes = await readFile(path).catch((error) => {
      if (error.code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    });
    const end = bytes.lastIndexOf('\n') + 1;
    for (let start = 0; start < end; ) {
      const next = bytes.indexOf('\n', start) + 1;
      journal.#apply(changesOf(bytes.toString('utf8', start, next), path, start));
      start = next;
    }
    if (end < bytes.length) await truncate(path, end);
    journal.#size = end;
    return journal;
  }

  async write(changes: Change[]): Promise<void> {
    const line = lineOf(changes);
    const { size } = await stat(this.path).catch(() => ({ size: 0 }));
    if (size !== this.#size) {
      throw new NearsideError('integrity', `${this.path} was changed by someone else: each process needs a file of its own`, { url: this.path });
    }
    try {
      await appendFile(this.path, line, { mode: MODE });
    } catch (error) {
      await truncate(this.path, this.#size).catch(() => undefined);
      throw error;
    }
    this.#size += Buffer.byteLength(line);
    this.#apply(changes);
    if (this.#size > 2 * this.#live + SLACK) await this.#compact();
  }

  #apply(changes: Change[]): void {
    for (const [key, json] of changes) {
      this.#live -= this.#cost(key);
      if (json === undefined) this.records.delete(key);
      else this.records.set(key, json);
      this.#live += this.#cost(key);
    }
  }

  /** How many bytes the record takes, but for its brackets. */
  #cost(key: string): number {
    const json = this.records.get(key);
    return json === undefined ? 0 : Buffer.byteLength(key) + Buffer.byteLength(json);
  }

  async #compact(): Promise<void> {
    const line = lineOf([...this.records]);
    const written = `${this.path}.new`;
    const file = await open(written, 'w', MODE);
    try {
      await file.writeFile(line);
      // Else a power failure could leave the new name with an empty file.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(written, this.path);
    this.#size = Buffer.byteLength(line);
  }
}

function lineOf(changes: Change[]): string {
  const pairs = changes.map(([key, json]) => `[${JSON.stringify(key)}${json === undefined ? '' : `,${json}`}]`);
  return `[${pairs.join(',')}]\n`;
}

function changesOf(line: string, path: string, offset: number): Change[] {
  try {
    const changes: unknown = JSON.parse(line);
    const isChange = (change: unknown) => Array.isArray(change) && typeof change[0] === 'string' && (change.length === 1 || change.length === 2);
    if (!Array.isArray(changes) || !changes.every(isChange)) throw new Error('it is no array of records');
    return changes.map(([key, ...value]) => [key, value.length ? JSON.stringify(value[0]) : undefined]);
  } catch (cause) {
    throw new NearsideError('format', `${path} is damaged in its line at byte ${offset}: ${(cause as Error).message}`, { url: path, offset }, { cause });
  }
}
