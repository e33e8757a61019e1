/** Who asked which model, when, and with which outcome: a log in which every entry vouches for those before it. */
import { NearsideError, assertKnown } from '../errors.js';
import { type AuditEntry, type AuditEvent, type AuditFile, type AuditHead, verifyAudit } from './audit-file.js';
import { NOTHING, hashOf, headMessage, noEd25519 } from './audit-file.js';
import { subtle, toHex } from './digest.js';
import type { Store } from './store.js';

/** Everything of the log, which is listed at once so that it is read as it was at one moment. */
const LOG = 'audit/log/';
const HEAD = `${LOG}head`;
const KEY = `${LOG}key`;
/**
 * A few entries that were written together. Records are written once and dropped whole, so that neither an append nor a
 * drop has to read or rewrite entries.
 */
const BLOCKS = `${LOG}block/`;
const ARCHIVE = 'audit/archive/';

/** Entries that are written at a time: under load, waiting ones share a signature and a write, and none waits for long. */
const MAX_GROUP = 512;
/** The oldest are dropped by blocks; the log is up to one block shorter than its limit. */
const MAX_BLOCK = 64;
/** What callers make up, as names of models, does not fill the log. */
const MAX_TEXT = 256;

/** Where the log ends, signed. */
interface Signed {
  publicKey: string;
  anchor: AuditHead;
  head: AuditHead;
  signature: string;
}

/** What is known of a block without reading it. */
interface Block {
  key: string;
  entries: number;
  last: AuditHead;
}

/** The log as it was last read or written. */
interface State extends Signed {
  privateKey: CryptoKey;
  blocks: Block[];
}

interface Waiting {
  event: Omit<AuditEntry, 'sequence' | 'previous'>;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * An append-only log of who asked which model, when, and with which outcome; never of inputs or outputs.
 *
 * Entries are chained by their hashes, and the last hash is signed with a key that the log makes for itself: `verifyAudit`
 * finds what was edited, inserted, moved or cut since, and says what that proves.
 */
export class AuditLog {
  #waiting: Waiting[] = [];
  /** Settles when nothing is being read or written. */
  #idle: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly store: Store,
    private readonly limit: number,
    private state: State,
  ) {}

  /**
   * Continues the log of a store, or begins it.
   * @param options `limit`: how many entries are kept; 10,000 unless given. The oldest are dropped behind it.
   * @throws `integrity` if the stored log does not verify. `AuditLog.archive` puts it aside, for a new one to begin.
   */
  static async open(store: Store, options: { limit?: number } = {}): Promise<AuditLog> {
    assertKnown(options, ['limit']);
    const { limit = 10_000 } = options;
    if (!Number.isSafeInteger(limit) || limit < 1) throw new NearsideError('value', `limit is ${limit}, not a whole number from 1`);
    const state = await exclusively(async () => (await read(store)) ?? (await begin(store)));
    return new AuditLog(store, limit, state);
  }

  /**
   * Puts the stored log aside as it is, also one that does not verify: the next `open` begins a new one, with a new key.
   * What was stored is kept under `audit/archive/` and the time, and returned; undefined if nothing was.
   */
  static async archive(store: Store): Promise<unknown> {
    return exclusively(async () => {
      const records = await store.list(LOG);
      if (records.length === 0) return undefined;
      const removed = records.map(([key]): [string, undefined] => [key, undefined]);
      const archived = toFile(new Map(records));
      await store.set([...removed, [`${ARCHIVE}${new Date().toISOString()}`, archived]]);
      return archived;
    });
  }

  /** The last entry that is written: kept elsewhere, it shows later that nothing before it was changed. */
  get head(): AuditHead {
    return this.state.head;
  }

  /** The key that the log is signed with, for `verifyAudit`. */
  get publicKey(): string {
    return this.state.publicKey;
  }

  /**
   * Appends an event, and resolves when it is written. Events keep the order of the calls; those that wait are written
   * together. Texts are cut behind 256 characters.
   * @throws `integrity` if the stored log was changed or deleted meanwhile; what the store throws.
   */
  async append(event: AuditEvent): Promise<void> {
    const checked = { time: new Date().toISOString(), ...check(event) };
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event: checked, resolve, reject });
      // Those that come until its turn are written with it.
      if (this.#waiting.length === 1) void this.#inTurn(() => this.#writeWaiting());
    });
  }

  /** The log as it can be given away: plain data, for `JSON.stringify`. All that was appended before is part of it. */
  export(): Promise<AuditFile> {
    return this.#inTurn(() =>
      exclusively(async () => {
        this.state = await reread(this.store, this.state);
        return toFile(new Map(await this.store.list(LOG))) as AuditFile;
      }),
    );
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#idle.then(act);
    this.#idle = done.catch(() => undefined);
    return done;
  }

  async #writeWaiting(): Promise<void> {
    const waiting = this.#waiting.splice(0);
    const size = Math.min(MAX_GROUP, this.limit);
    for (let start = 0; start < waiting.length; start += size) {
      const group = waiting.slice(start, start + size);
      try {
        await exclusively(() => this.#write(group.map(({ event }) => event)));
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
  }

  /** Entries, head and drops in one `set`: a worker that is killed has written all of it or nothing. */
  async #write(events: Waiting['event'][]): Promise<void> {
    this.state = await reread(this.store, this.state);
    const { privateKey, publicKey, blocks } = this.state;
    let { head, anchor } = this.state;
    const records: [string, unknown][] = [];
    const added: Block[] = [];
    const size = Math.min(MAX_BLOCK, Math.ceil(this.limit / 16));
    for (let start = 0; start < events.length; start += size) {
      const entries: AuditEntry[] = [];
      for (const event of events.slice(start, start + size)) {
        const entry = { sequence: head.sequence + 1, ...event, previous: head.hash };
        head = { sequence: entry.sequence, hash: await hashOf(entry) };
        entries.push(entry);
      }
      const key = BLOCKS + String(entries[0]!.sequence).padStart(16, '0');
      records.push([key, entries]);
      added.push({ key, entries: entries.length, last: head });
    }
    let excess = head.sequence - anchor.sequence - this.limit;
    let dropped = 0;
    for (; excess > 0; dropped++) {
      const { key, entries, last } = blocks[dropped]!;
      records.push([key, undefined]);
      anchor = last;
      excess -= entries;
    }
    const signed = { publicKey, anchor, head, signature: await sign(privateKey, anchor, head) };
    await this.store.set([...records, [HEAD, signed]]);
    blocks.splice(0, dropped);
    blocks.push(...added);
    this.state = { ...signed, privateKey, blocks };
  }
}

/**
 * One at a time among the tabs and workers of the origin, which may have the same store: two that append behind the same
 * head would fork the chain. The lock of a worker that is killed is released. Where there are no locks, as in Node 20, a
 * store belongs to one process.
 */
function exclusively<T>(act: () => Promise<T>): Promise<T> {
  const { locks } = globalThis.navigator ?? {};
  return locks ? (locks.request('nearside-audit', act) as Promise<T>) : act();
}

/** The stored log; undefined if there is none. `known` is what was read or written before. */
async function read(store: Store, known?: State): Promise<State | undefined> {
  const records = new Map(await store.list(LOG));
  if (records.size === 0 && !known) return undefined;
  const file = toFile(records);
  await assertSound(file, known);
  const { publicKey, anchor, head, signature, entries } = file as AuditFile;
  const privateKey = await privateKeyOf(records.get(KEY), publicKey);
  const stored = [...records].filter(([key]) => key.startsWith(BLOCKS));
  const blocks = stored.map(([key, block]) => {
    if (!Array.isArray(block) || block.length === 0) throw damaged(`further: the record '${key}' is no block of entries`);
    const { sequence } = block.at(-1);
    // The next entry has its hash.
    return { key, entries: block.length, last: { sequence, hash: entries[sequence - anchor.sequence]?.previous ?? head.hash } };
  });
  return { publicKey, anchor, head, signature, privateKey, blocks };
}

/** What is known, unless another worker has written, or something has been changed since. */
async function reread(store: Store, known: State): Promise<State> {
  const stored = await store.get<Signed>(HEAD);
  return stored?.signature === known.signature ? known : (await read(store, known))!;
}

/** What the records of a log make together; in a damaged one that may be anything. */
function toFile(records: Map<string, unknown>): unknown {
  const head = Object(records.get(HEAD)) as Partial<Signed>;
  const { publicKey, anchor, head: last, signature } = head;
  const entries = [...records].flatMap(([key, block]) => (key.startsWith(BLOCKS) ? (block as AuditEntry[]) : []));
  return { format: 'nearside-audit', version: 1, publicKey, anchor, head: last, signature, entries };
}

async function assertSound(file: unknown, known: State | undefined): Promise<void> {
  const { anchor } = file as AuditFile;
  // What was known may have been dropped by another worker; that is later then, and by the same key.
  const expect = known && !(anchor?.sequence > known.head.sequence) ? known.head : undefined;
  const problem = await verifyAudit(file as AuditFile, { publicKey: known?.publicKey, expect }).then(
    ({ faults: [first] }) => first && `from entry ${first.sequence} on: ${first.message}`,
    (error: NearsideError) => {
      if (error.kind === 'format') return `at all: ${error.message}`;
      throw error;
    },
  );
  if (problem) throw damaged(problem);
}

function damaged(problem: string): NearsideError {
  const next = 'AuditLog.archive(store) puts it aside as it is, for a new one to begin';
  return new NearsideError('integrity', `the stored audit log does not verify ${problem}. ${next}`);
}

async function begin(store: Store): Promise<State> {
  const generated = subtle().generateKey('Ed25519', store.json ?? false, ['sign', 'verify']) as Promise<CryptoKeyPair>;
  const keys = await generated.catch((cause) => {
    throw noEd25519(cause);
  });
  const publicKey = toHex(new Uint8Array(await subtle().exportKey('raw', keys.publicKey)));
  const nothing = { sequence: 0, hash: NOTHING };
  const signed = { publicKey, anchor: nothing, head: nothing, signature: await sign(keys.privateKey, nothing, nothing) };
  await store.set([
    [KEY, store.json ? await subtle().exportKey('jwk', keys.privateKey) : keys.privateKey],
    [HEAD, signed],
  ]);
  return { ...signed, privateKey: keys.privateKey, blocks: [] };
}

async function sign(key: CryptoKey, anchor: AuditHead, head: AuditHead): Promise<string> {
  return toHex(new Uint8Array(await subtle().sign('Ed25519', key, headMessage(anchor, head))));
}

/** The stored key, which has to be the one that the log is signed with. */
async function privateKeyOf(stored: unknown, publicKey: string): Promise<CryptoKey> {
  try {
    const key = stored instanceof CryptoKey ? stored : await subtle().importKey('jwk', stored as JsonWebKey, 'Ed25519', false, ['sign']);
    const nothing = { sequence: 0, hash: NOTHING };
    const signature = await sign(key, nothing, nothing);
    const { faults } = await verifyAudit({ format: 'nearside-audit', version: 1, publicKey, anchor: nothing, head: nothing, signature, entries: [] });
    if (faults.length === 0) return key;
  } catch {
    // Missing, or no key: said below.
  }
  throw damaged('further: its key is missing, or another');
}

/** The event's own fields and no others, so that nothing else ever gets into the log. */
function check(event: AuditEvent): AuditEvent {
  assertKnown(event, ['caller', 'action', 'model', 'version', 'samples', 'outcome', 'status']);
  const { caller, action, model, version, samples, outcome, status } = event;
  assertKnown(caller, ['origin', 'client', 'token']);
  const needed = { action: text(action, 'action'), outcome: text(outcome, 'outcome') };
  return { caller: given(caller, text), ...needed, ...given({ model, version }, text), ...given({ samples, status }, count) };
}

/** Those that are not undefined, checked. */
function given<T extends object>(fields: T, check: (value: unknown, name: string) => unknown): T {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present.map(([name, value]) => [name, check(value, name)])) as T;
}

function text(value: unknown, name: string): string {
  if (typeof value === 'string') return value.slice(0, MAX_TEXT);
  throw new NearsideError('value', `'${name}' of an event is no text`);
}

function count(value: unknown, name: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new NearsideError('value', `'${name}' of an event is no whole number from 0`);
}
