/**
 * Models as a service: one handler from `Request` to `Response`, which speaks the Open Inference Protocol, version 2, in a
 * service worker, a page, a worker, Node, Deno, Bun or an edge runtime.
 *
 * ```js
 * import { createService } from 'nearside/service';
 * const service = createService({ models: { mnist: 'mnist.h5' } });
 * const answer = await service.fetch(new Request('http://localhost/v2/models/mnist/infer', { method: 'POST', body }));
 * ```
 */
import { type Model, type ModelSource, type NearsideError, assertKnown } from '../nearside.js';
import type { Access, Caller } from './access.js';
import type { AuditLog } from './audit.js';
import { Handler } from './handler.js';
import type { Open, ServedModel, State } from './models.js';
import type { Policy } from './policy.js';
import type { ModelStatistics } from './statistics.js';
import type { Store } from './store.js';

export type { Access, Admission, Caller, Clock } from './access.js';
export type { ServedModel, State } from './models.js';
export type { Grant, Policy } from './policy.js';
export type { Rate } from './rate.js';
export type { Batching } from './scheduler.js';
export type { Scope } from './scopes.js';
export type { Energy, ModelStatistics, Outcome, Times } from './statistics.js';
export { AuditLog } from './audit.js';
export { verifyAudit, type AuditEntry, type AuditEvent, type AuditFault, type AuditFile, type AuditHead, type AuditProblem, type AuditReport } from './audit-file.js';
export { createBackup, readBackup, type Backup, type BackupModel } from './backup.js';
export { indexedDbStore } from './indexed-db.js';
export { type Store, memoryStore } from './store.js';
export { issueToken, type JsonKey, type TokenKey, type TokenOptions, type WebCryptoKey } from './tokens.js';

/** What a service is made of. */
export interface ServiceOptions {
  /** Models by name: how each is served, its versions, or just what `load` takes. */
  models: { [name: string]: ServedModel | ServedModel[] | ModelSource | Model };
  /** Who may do what; the service's own origin may infer and explain, and nobody else anything, unless given. */
  policy?: Policy;
  /** Where the log, uploaded models and used tokens are kept; in memory unless given. */
  store?: Store;
  /** Whether to log who asked what; true unless given. What cannot be logged is not answered. */
  audit?: boolean | AuditOptions;
  /** Bytes that a request may have, decompressed; 64 MiB unless given. */
  maxBody?: number;
  /** Called behind every answer. */
  onRequest?: (request: RequestRecord) => void;
  /** @internal Where models compute. */
  open?: Open;
}

/** How the log is kept. */
export interface AuditOptions {
  /** Entries that are kept; 10,000 unless given. The oldest make room. */
  limit?: number;
  /**
   * Whether an answer waits until it is in the log, which takes some milliseconds; false unless given: entries of the last
   * moment are then missing where the process is killed.
   */
  durable?: boolean;
}

/** A request and how it was answered; nothing of its values. */
export interface RequestRecord {
  /** Milliseconds since 1970. */
  time: number;
  caller: string;
  action: string;
  model?: string;
  version?: string;
  samples?: number;
  status: number;
  /** `'ok'`, or the error's kind. */
  outcome: string;
  /** Milliseconds from the request to the answer. */
  duration: number;
  /** Bytes of both bodies. */
  received: number;
  sent: number;
}

/** A version of a model, as a service has it. */
export interface ServedVersion {
  name: string;
  version: string;
  state: State;
  /** Why it is not ready. */
  reason: string;
  /** What failed, where it could not be opened. */
  fault?: NearsideError;
  statistics: ModelStatistics;
}

/** Models that are served. */
export interface Service {
  /**
   * Answers a request. It never rejects: what goes wrong is an answer, too. Runtimes take it as it is, as in
   * `Deno.serve(service.fetch)`; of what they give beside the request nothing is taken but what a `Caller` has.
   */
  readonly fetch: (request: Request, caller?: Caller | object) => Promise<Response>;
  /** Adds a version, or takes it in another's place, which answers until the new one is ready. */
  add(name: string, model: ServedModel): Promise<void>;
  /** Takes away a version, or all of a model, once what waits for it is answered. */
  remove(name: string, version?: string): Promise<void>;
  /** Resolves when every model is open, or has failed to. */
  ready(): Promise<void>;
  /** All versions of all models, and how each does. */
  models(): ServedVersion[];
  /** The log; none where it was not wanted. */
  readonly audit: Promise<AuditLog> | undefined;
  readonly access: Access;
  /** Resolves when all that was answered is in the log. */
  flush(): Promise<void>;
  /** All models, and the log, in one file. */
  backup(): Promise<Uint8Array>;
  /** Takes the models of a backup, in the place of those of the same name and version. The file is verified first. */
  restore(backup: Uint8Array): Promise<void>;
  /** Gives all memory back, once what waits is answered. */
  dispose(): Promise<void>;
}

const OPTIONS = ['models', 'policy', 'store', 'audit', 'maxBody', 'onRequest', 'open'];

/** Makes a service. Models are opened at once, behind it. @throws `value` for options that cannot be. */
export function createService(options: ServiceOptions): Service {
  assertKnown(options, OPTIONS);
  return new Handler(options);
}
