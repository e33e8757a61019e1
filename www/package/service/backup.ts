/** Models, settings and the audit log in one file. */
import { unzipSync, zipSync } from 'fflate';
import { NearsideError } from '../errors.js';
import { type AuditFile, verifyAudit } from './audit-file.js';
import { isHex, sha256 } from './digest.js';
import { canonicalJson } from './json.js';
import { isName } from './names.js';

/** A version of a model: its file, and how it is served. */
export interface BackupModel {
  name: string;
  version: string;
  bytes: Uint8Array;
  /** Whatever JSON can hold. */
  settings?: object;
}

/** What a backup holds. */
export interface Backup {
  /** In the order of their names and versions. */
  models: Required<BackupModel>[];
  /** The service's settings: whatever JSON can hold. */
  settings?: unknown;
  audit?: AuditFile;
}

const MANIFEST = 'manifest.json';
const CONTENTS = 'contents.json';
const AUDIT = 'audit.json';
/** Names in a backup are those that createBackup gives. None is a path out of a folder, or the name of a prototype. */
const NAMES = /^(manifest\.json|contents\.json|audit\.json|models\/(0|[1-9]\d{0,5}))$/;

interface Contents {
  models: { name: string; version: string; settings: object }[];
  settings?: unknown;
}

/**
 * A .zip of the models, the settings and the log, and a manifest.json with the size and SHA-256 of each. The same content
 * always gives the same bytes. The checksums find damage; who made it they do not say: that a log is the one it claims to
 * be is for `verifyAudit` with a key kept elsewhere, and a model's file can be sealed.
 * @throws `value` for settings that JSON can't hold; `integrity` for a log that does not verify.
 */
export async function createBackup(content: { models: BackupModel[]; settings?: unknown; audit?: AuditFile | undefined }): Promise<Uint8Array> {
  const { models, settings, audit } = content;
  const parts = models.map(({ name, version, bytes, settings = {} }) => ({ name, version, bytes, settings })).sort(byName);
  parts.forEach((model, index) => {
    const what = `the model '${model.name}' of version '${model.version}'`;
    if (!isModel(model)) throw new NearsideError('value', `${what} can't be in a backup: its name, version or settings are none`);
    if (!(model.bytes instanceof Uint8Array)) throw new NearsideError('value', `${what} has no bytes`);
    if (index > 0 && byName(parts[index - 1]!, model) === 0) throw new NearsideError('value', `${what} is there twice`);
  });
  const contents: Contents = { models: parts.map(({ bytes: _, ...described }) => described), settings };
  if (audit) await assertSound(audit);
  const files: [string, Uint8Array][] = [
    [CONTENTS, encode(contents)],
    ...(audit ? [[AUDIT, encode(audit)] as [string, Uint8Array]] : []),
    ...parts.map(({ bytes }, index): [string, Uint8Array] => [`models/${index}`, bytes]),
  ];
  const entries: [string, unknown][] = [];
  for (const [name, bytes] of files) entries.push([name, { size: bytes.length, sha256: await sha256(bytes) }]);
  return zip([[MANIFEST, encode({ format: 'nearside-backup', version: 1, entries: Object.fromEntries(entries) })], ...files]);
}

/**
 * What `createBackup` was given. Everything is verified before anything is returned.
 * @throws `format` for what is no backup; `integrity`, with the entry's name, for one that was changed.
 */
export async function readBackup(bytes: Uint8Array): Promise<Backup> {
  const files = unzip(bytes);
  await assertManifest(files);
  const contents = contentsOf(files);
  const models = contents.models.map(({ name, version, settings }, index) => ({ name, version, settings, bytes: files.get(`models/${index}`)! }));
  const backup: Backup = { models };
  if (contents.settings !== undefined) backup.settings = contents.settings;
  if (files.has(AUDIT)) backup.audit = decode(files, AUDIT) as AuditFile;
  // That verifies the log, and what no entry shows: headers, times, bytes between entries. A backup has one spelling.
  const again = await createBackup(backup);
  const at = bytes.length === again.length ? again.findIndex((byte, index) => byte !== bytes[index]) : Math.min(bytes.length, again.length);
  if (at >= 0) throw new NearsideError('integrity', `the backup has other bytes than its content makes, from byte ${at} on`, { offset: at });
  return backup;
}

/** Uncompressed: weights would lose a tenth, and what is never inflated can't be a bomb. */
function zip(files: [string, Uint8Array][]): Uint8Array {
  // In local time, which is what the format has: the same fields everywhere.
  const mtime = new Date(1980, 0, 1);
  return zipSync(Object.fromEntries(files), { level: 0, mtime });
}

/** The entries, none of which is trusted yet. Their sizes are bounded by the file's. */
function unzip(bytes: Uint8Array): Map<string, Uint8Array> {
  const seen = new Set<string>();
  let total = 0;
  const filter = ({ name, size, originalSize, compression }: { name: string; size: number; originalSize: number; compression: number }) => {
    const quoted = JSON.stringify(name.slice(0, 80));
    if (!NAMES.test(name)) throw new NearsideError('format', `the backup has an entry ${quoted}, which is none of a backup's`);
    if (seen.has(name)) throw new NearsideError('format', `the backup has two entries ${quoted}`);
    if (compression !== 0) throw new NearsideError('format', `the backup's entry ${quoted} is compressed, and those of a backup are not: it was packed anew`);
    if (size !== originalSize) throw new NearsideError('format', `the backup's entry ${quoted} has two sizes: ${size} and ${originalSize}`);
    seen.add(name);
    // Or a small file would be copied many times over.
    if ((total += size) > bytes.length) throw new NearsideError('format', `the backup's entries overlap, or it is cut off within ${quoted}`);
    return true;
  };
  try {
    return new Map(Object.entries(unzipSync(bytes, { filter })));
  } catch (cause) {
    if (cause instanceof NearsideError) throw cause;
    throw new NearsideError('format', `this is no backup: ${(cause as Error).message}`, {}, { cause });
  }
}

/** Holds each entry to the manifest, and the manifest to the entries. */
async function assertManifest(files: Map<string, Uint8Array>): Promise<void> {
  if (!files.has(MANIFEST)) throw new NearsideError('format', `this is no backup: it has no ${MANIFEST}`);
  const { format, version, entries } = Object(decode(files, MANIFEST));
  if (format !== 'nearside-backup') throw new NearsideError('format', `this is no backup: the 'format' of ${MANIFEST} is not 'nearside-backup'`);
  // What is no number may not even have a text: { "toString": 1 }.
  const other = typeof version === 'number' ? `version ${version}` : 'no version';
  if (version !== 1) throw new NearsideError('format', `the backup is of ${other}; this nearside reads version 1`);
  const fault = (name: string, problem: string) => new NearsideError('integrity', `the backup's entry ${JSON.stringify(name.slice(0, 80))} ${problem}`);
  const listed = new Map(Object.entries(Object(entries) as Record<string, unknown>));
  for (const name of listed.keys()) if (!files.has(name)) throw fault(name, 'is missing');
  for (const [name, bytes] of files) {
    if (name === MANIFEST) continue;
    if (!listed.has(name)) throw fault(name, `is not in ${MANIFEST}`);
    const { size, sha256: expected } = Object(listed.get(name));
    if (size !== bytes.length) throw fault(name, `has ${bytes.length} bytes, and others in ${MANIFEST}`);
    if (!isHex(expected, 32) || expected !== (await sha256(bytes))) throw fault(name, `has another SHA-256 than ${MANIFEST} says`);
  }
}

function contentsOf(files: Map<string, Uint8Array>): Contents {
  if (!files.has(CONTENTS)) throw new NearsideError('format', `this is no backup: it has no ${CONTENTS}`);
  const contents = Object(decode(files, CONTENTS)) as Contents;
  const { models } = contents;
  const isList = Array.isArray(models) && models.every(isModel);
  if (!isList) throw new NearsideError('format', `the backup's ${CONTENTS} does not list models by name, version and settings`);
  const stored = [...files.keys()].filter((name) => name.startsWith('models/'));
  const missing = models.findIndex((_, index) => !files.has(`models/${index}`));
  if (missing >= 0) throw new NearsideError('format', `the backup's entry 'models/${missing}' is missing`);
  if (stored.length !== models.length) throw new NearsideError('format', `the backup has ${stored.length} models, its ${CONTENTS} lists ${models.length}`);
  const twice = models.find((model, index) => index > 0 && byName(models[index - 1]!, model) >= 0);
  if (twice) throw new NearsideError('format', `the backup's ${CONTENTS} lists the model '${twice.name}' twice, or not in order`);
  return contents;
}

function byName(a: Contents['models'][number], b: Contents['models'][number]): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  if (a.version !== b.version) return a.version < b.version ? -1 : 1;
  return 0;
}

function isModel(model: unknown): boolean {
  const { name, version, settings } = Object(model);
  return isPlainName(name) && isPlainName(version) && typeof settings === 'object' && settings !== null && !Array.isArray(settings);
}

/** `__proto__` would be more than a name where models are an object's properties. */
function isPlainName(name: unknown): boolean {
  return isName(name) && name !== '__proto__';
}

async function assertSound(audit: AuditFile): Promise<void> {
  const [first] = (await verifyAudit(audit)).faults;
  if (first) throw new NearsideError('integrity', `the audit log, ${AUDIT}, does not verify: ${first.message}`);
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(canonicalJson(value));
}

function decode(files: Map<string, Uint8Array>, name: string): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(files.get(name)!);
    return JSON.parse(text, (key, value) => {
      if (key === '__proto__') throw new Error("a property is named '__proto__'");
      return value;
    });
  } catch (cause) {
    throw new NearsideError('format', `the backup's entry '${name}' is no JSON: ${(cause as Error).message}`, {}, { cause });
  }
}
