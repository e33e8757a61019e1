/** The audit log as a file: its entries, how they are hashed and signed, and whether that holds (docs/audit.md). */
import { NearsideError } from '../errors.js';
import { fromHex, isHex, sha256, subtle } from './digest.js';

/** What happened. Neither inputs nor outputs are ever part of it. */
export interface AuditEvent {
  /** Who asked, as far as that is known. */
  caller: {
    /** The origin of the page that asked. */
    origin?: string | undefined;
    /** Which of its tabs or addresses. */
    client?: string | undefined;
    /** The token's id. */
    token?: string | undefined;
  };
  /** What was asked for: `'infer'`, `'explain'`, `'metadata'`, `'manage'` … */
  action: string;
  model?: string | undefined;
  version?: string | undefined;
  /** How many samples were given. */
  samples?: number | undefined;
  /** `'ok'`, or the kind of the error. */
  outcome: string;
  /** The HTTP status that was answered. */
  status?: number | undefined;
}

/** An event and its place in the log. */
export interface AuditEntry extends AuditEvent {
  /** From 1, without gaps. */
  sequence: number;
  /** When it was appended, by the device's clock: `2026-11-28T14:03:07.123Z`. */
  time: string;
  /** Hash of the entry before. */
  previous: string;
}

/** A place in the log: a sequence number and the hash of that entry, which stands for all entries up to it. */
export interface AuditHead {
  sequence: number;
  hash: string;
}

/** A log as it is exported. Hashes, key and signature are hexadecimal digits. */
export interface AuditFile {
  format: 'nearside-audit';
  version: 1;
  /** Ed25519, of the key that the log has made for itself. */
  publicKey: string;
  /** The last entry that was dropped: what is left begins behind it. Sequence 0 where all are there. */
  anchor: AuditHead;
  /** The last entry. */
  head: AuditHead;
  /** Of anchor and head. */
  signature: string;
  entries: AuditEntry[];
}

/** What an entry, or the log, is at fault with. */
export type AuditProblem =
  /** A field is missing, unknown or of another type. */
  | 'malformed'
  /** Entries before this one are missing. */
  | 'gap'
  /** It was moved, repeated or inserted: an entry of this sequence, or a later one, came before. */
  | 'order'
  /** It is not the entry that the next one, or the head, follows. */
  | 'edited'
  /** The first entry does not follow the anchor. */
  | 'start'
  /** Entries at the end are missing. */
  | 'cut'
  /** Entries behind the head. */
  | 'added'
  /** Anchor and head were not signed by the log's key. */
  | 'signature'
  /** The key is not the one that was expected. */
  | 'key'
  /** The head that was kept elsewhere is not part of this log. */
  | 'head';

/** A fault of a log. */
export interface AuditFault {
  /** Sequence number of the entry that is at fault, or missing. */
  sequence: number;
  /** Its index in `entries`; their number for a fault behind the last. */
  index: number;
  problem: AuditProblem;
  /** The problem in words. */
  message: string;
}

/** What `verifyAudit` has found. */
export interface AuditReport {
  /** There is no fault. */
  ok: boolean;
  /** How many there are. */
  entries: number;
  /** Sequence number of the first entry, by the anchor. */
  from: number;
  /** Sequence number of the last entry, by the head; less than `from` where there is none. */
  to: number;
  /** To be kept elsewhere: a later export that lacks this head, or has another key, is found out. */
  head: AuditHead;
  publicKey: string;
  /** In the order of the entries. */
  faults: AuditFault[];
}

/** @internal Hash of what is before the first entry. */
export const NOTHING = '0'.repeat(64);

/**
 * @internal An array of fixed length as JSON, which has one spelling: text can't run over into the next field, and what is
 * missing, null, is not the same as what is empty. The first element keeps entries and heads apart.
 */
export function hashOf({ sequence, time, caller, action, model, version, samples, outcome, status, previous }: AuditEntry): Promise<string> {
  const { origin, client, token } = caller;
  return sha256(JSON.stringify(['nearside-audit-entry-1', sequence, time, orNull(origin), orNull(client), orNull(token), action,
    orNull(model), orNull(version), orNull(samples), outcome, orNull(status), previous]));
}

const orNull = (value: string | number | undefined) => value ?? null;

/** @internal What is signed. */
export function headMessage(anchor: AuditHead, head: AuditHead): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(['nearside-audit-head-1', anchor.sequence, anchor.hash, head.sequence, head.hash]));
}

/**
 * Checks that a log is complete and unchanged between its anchor and its head, and that both were signed by its key.
 *
 * That alone does not show that it is the log: who controls the browser's profile can delete it, put another with another
 * key in its place, have new entries signed, or bring back an older state that they kept. A public key or a head that was
 * kept elsewhere does, up to that head.
 * @param options `publicKey`: the key that it has to be signed by. `expect`: a head that has to be part of it.
 * @throws `format` for what is no audit log at all; whatever is wrong with one is in the report.
 */
export async function verifyAudit(
  file: AuditFile | string | Uint8Array,
  { publicKey, expect }: { publicKey?: string | undefined; expect?: AuditHead | undefined } = {},
): Promise<AuditReport> {
  const audit = parse(file);
  const { anchor, head, entries } = audit;
  const hashes = await hashesOf(entries);
  const faults = [...chainFaults(audit, hashes)];
  const behind = (problem: AuditProblem, message: string) => faults.push({ sequence: head.sequence, index: entries.length, problem, message });
  if (!(await isSigned(audit))) behind('signature', 'anchor and head were not signed by the key of the log');
  if (publicKey !== undefined && publicKey !== audit.publicKey) behind('key', `the key of the log is ${audit.publicKey}, not ${publicKey}`);
  if (expect && !holds(audit, hashes, expect)) {
    const why = expect.sequence < anchor.sequence ? `, which has dropped its entries up to ${anchor.sequence}` : '';
    behind('head', `entry ${expect.sequence} with the hash ${expect.hash} is not in the log${why}`);
  }
  const { publicKey: key } = audit;
  return { ok: faults.length === 0, entries: entries.length, from: anchor.sequence + 1, to: head.sequence, head, publicKey: key, faults };
}

/** What it reads is plain data then, whatever it was given. */
function parse(file: AuditFile | string | Uint8Array): Omit<AuditFile, 'entries'> & { entries: unknown[] } {
  let audit;
  try {
    const text = file instanceof Uint8Array ? new TextDecoder('utf-8', { fatal: true }).decode(file) : file;
    audit = JSON.parse(typeof text === 'string' ? text : JSON.stringify(text));
  } catch (cause) {
    throw new NearsideError('format', `this is no audit log: ${(cause as Error).message}`, {}, { cause });
  }
  const { format, version, publicKey, anchor, head, signature, entries } = Object(audit);
  if (format !== 'nearside-audit') throw new NearsideError('format', "this is no audit log: its 'format' is not 'nearside-audit'");
  // What is no number may not even have a text: { "toString": 1 }.
  const other = typeof version === 'number' ? `version ${version}` : 'no version';
  if (version !== 1) throw new NearsideError('format', `the audit log is of ${other}; this nearside reads version 1`);
  const sound = { publicKey: isHex(publicKey, 32), anchor: isHead(anchor), head: isHead(head), signature: isHex(signature, 64), entries: Array.isArray(entries) };
  const wrong = Object.entries(sound).find(([, isSound]) => !isSound);
  if (wrong) throw new NearsideError('format', `the audit log's '${wrong[0]}' is missing or malformed`);
  return { format, version, publicKey, anchor, head, signature, entries };
}

function* chainFaults({ anchor, head, entries }: ReturnType<typeof parse>, hashes: (string | null)[]): Generator<AuditFault> {
  let { sequence } = anchor;
  let hash: string | null = anchor.hash;
  for (const [index, entry] of entries.entries()) {
    if (!isEntry(entry)) {
      yield { sequence: ++sequence, index, problem: 'malformed', message: `entry ${sequence}: a field is missing, unknown or of another type` };
      hash = null;
      continue;
    }
    if (entry.sequence > sequence + 1) {
      yield { sequence: entry.sequence, index, problem: 'gap', message: `entries ${sequence + 1} to ${entry.sequence - 1} are missing` };
    } else if (entry.sequence <= sequence) {
      yield { sequence: entry.sequence, index, problem: 'order', message: `entry ${entry.sequence} comes behind entry ${sequence}` };
    } else if (hash !== null && entry.previous !== hash) {
      yield index === 0
        ? { sequence: entry.sequence, index, problem: 'start', message: `entry ${entry.sequence} does not follow the anchor` }
        : { sequence, index: index - 1, problem: 'edited', message: `entry ${sequence} is not the one that entry ${entry.sequence} follows` };
    }
    sequence = entry.sequence;
    hash = hashes[index]!;
  }
  const { length } = entries;
  if (sequence < head.sequence) yield { sequence: sequence + 1, index: length, problem: 'cut', message: `entries ${sequence + 1} to ${head.sequence} are missing at the end` };
  if (sequence > head.sequence) yield { sequence: head.sequence + 1, index: length, problem: 'added', message: `entries behind the head, entry ${head.sequence}` };
  if (sequence === head.sequence && hash !== null && hash !== head.hash) {
    yield { sequence, index: Math.max(length - 1, 0), problem: 'edited', message: `entry ${sequence} is not the one that the head names` };
  }
}

/** Digests that WebCrypto is asked for at a time. It takes 40 µs for one and 14 for one of many, by Node on one core. */
const AT_ONCE = 256;

/** Null for what is no entry. */
async function hashesOf(entries: unknown[]): Promise<(string | null)[]> {
  const hashes: (string | null)[] = [];
  for (let start = 0; start < entries.length; start += AT_ONCE) {
    const some = entries.slice(start, start + AT_ONCE).map((entry) => (isEntry(entry) ? hashOf(entry) : null));
    hashes.push(...(await Promise.all(some)));
  }
  return hashes;
}

async function isSigned({ publicKey, anchor, head, signature }: ReturnType<typeof parse>): Promise<boolean> {
  let key;
  try {
    key = await subtle().importKey('raw', fromHex(publicKey), 'Ed25519', true, ['verify']);
  } catch (cause) {
    if ((cause as Error).name === 'NotSupportedError') throw noEd25519(cause);
    return false;
  }
  return subtle().verify('Ed25519', key, fromHex(signature), headMessage(anchor, head));
}

/** @internal */
export function noEd25519(cause: unknown): NearsideError {
  return new NearsideError('unsupported', 'the audit log is signed with Ed25519, which this browser lacks: use one of 2025 or later', {}, { cause });
}

function holds({ anchor, entries }: ReturnType<typeof parse>, hashes: (string | null)[], { sequence, hash }: AuditHead): boolean {
  if (sequence === anchor.sequence) return hash === anchor.hash;
  return entries.some((entry, index) => isEntry(entry) && entry.sequence === sequence && hashes[index] === hash);
}

const isText = (value: unknown) => typeof value === 'string';
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isTime = (value: unknown) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value);
const isHash = (value: unknown) => isHex(value, 32);
const isCaller = (value: unknown) => has(value, {}, { origin: isText, client: isText, token: isText });

function isHead(value: unknown): value is AuditHead {
  return has(value, { sequence: isCount, hash: isHash }, {});
}

function isEntry(value: unknown): value is AuditEntry {
  return has(value, REQUIRED, OPTIONAL);
}

type Fields = Record<string, (value: unknown) => boolean>;
const REQUIRED: Fields = { sequence: isCount, time: isTime, caller: isCaller, action: isText, outcome: isText, previous: isHash };
const OPTIONAL: Fields = { model: isText, version: isText, samples: isCount, status: isCount };

/** Whether it is an object of these fields and no others: one that is not hashed could say anything. */
function has(value: unknown, required: Fields, optional: Fields): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const fits = ([name, field]: [string, unknown]) => {
    const check = Object.hasOwn(required, name) ? required[name] : Object.hasOwn(optional, name) && optional[name];
    return check ? check(field) : false;
  };
  return Object.entries(value).every(fits) && Object.keys(required).every((name) => Object.hasOwn(value, name));
}
