/** Answers requests: finds out what is asked and who asks, does it, and writes down how it went. */
import { type Model, type ModelSource, NearsideError } from '../nearside.js';
import { Access, type Admission, type Caller } from './access.js';
import { AuditLog } from './audit.js';
import { createBackup, readBackup } from './backup.js';
import { HttpError, errorResponse, readBody, respond, statusOf } from './http.js';
import { describeConfig, describeModel, describeServer } from './metadata.js';
import { type Computer, Models, type ServedModel, type Version, isModel, openHere, toTensor } from './models.js';
import { HEADER_LENGTH, type Written, parseObject, readInfer, writeInfer, writeJson } from './protocol.js';
import { type Action, type Asked, routeOf } from './routes.js';
import type { Scheduler } from './scheduler.js';
import type { RequestRecord, ServedVersion, Service, ServiceOptions } from './service.js';
import { toTriton } from './statistics.js';
import { type Store, memoryStore } from './store.js';
import { readUpload } from './upload.js';

/** A request that is allowed. */
interface Exchange extends Asked {
  request: Request;
  admission: Admission;
  record: RequestRecord;
  /** When it came, by the clock of `performance`. */
  start: number;
}

/** Uploaded models are kept under this, by name and version. */
const KEPT = 'model/';

/** What is kept of an uploaded model. */
interface Kept {
  name: string;
  served: ServedModel;
}

/** What is logged where it succeeds; refusals are in any case. */
const LOGGED: Action[] = ['infer', 'load', 'unload', 'audit', 'backup', 'restore'];

export class Handler implements Service {
  audit: Promise<AuditLog> | undefined;
  readonly access: Access;
  readonly #models: Models;
  readonly #store: Store;
  readonly #maxBody: number;
  readonly #onRequest: ServiceOptions['onRequest'];
  readonly #auditOptions: Exclude<ServiceOptions['audit'], undefined>;
  /** Whether answers wait for the log. */
  #durable = false;
  /** The last event is in the log, or could not be written. */
  #logged: Promise<unknown> = Promise.resolve();
  /** Why the log cannot be written. */
  #logFault: NearsideError | undefined;
  /** Resolves when the models that were uploaded before are there. */
  readonly #complete: Promise<void>;

  constructor({ models, policy, store = memoryStore(), audit = true, maxBody, onRequest, open }: ServiceOptions) {
    this.#store = store;
    this.#onRequest = onRequest;
    this.access = new Access(policy, store);
    this.#maxBody = maxBody ?? this.access.maxBody;
    this.#models = new Models(open ?? ((_, served) => openHere(served)));
    for (const [name, given] of Object.entries(models)) {
      for (const served of versionsOf(given)) this.#models.add(name, served);
    }
    this.#auditOptions = audit;
    this.#openAudit();
    this.#complete = this.#addKept();
    void this.ready();
  }

  #openAudit(): void {
    const options = this.#auditOptions;
    if (options === false) return;
    const { durable = false, ...how } = options === true ? {} : options;
    this.#durable = durable;
    this.audit = AuditLog.open(this.#store, how);
    this.audit.then(() => (this.#logFault = undefined), (thrown: unknown) => (this.#logFault = notLogged(thrown)));
  }

  async #addKept(): Promise<void> {
    for (const [, { name, served }] of await this.#store.list<Kept>(KEPT)) this.#models.add(name, served);
  }

  async ready(): Promise<void> {
    await this.#complete;
    await Promise.allSettled(this.#models.all().map((version) => version.open()));
  }

  models(): ServedVersion[] {
    return this.#models.all().map(({ model, version, state, reason, statistics }) => ({ name: model, version, state, reason, statistics: statistics.report() }));
  }

  async add(name: string, served: ServedModel): Promise<void> {
    await this.#models.open(name, served);
  }

  async remove(name: string, version?: string): Promise<void> {
    const versions = this.#models.versions(name).filter((one) => version === undefined || one.version === version);
    await this.#store.set(versions.map((one) => [`${KEPT}${name}/${one.version}`, undefined]));
    for (const one of versions) await this.#models.remove(name, one.version);
  }

  async dispose(): Promise<void> {
    for (const { model, version } of this.#models.all()) await this.#models.remove(model, version);
  }

  /** A field, for runtimes call it as a function. */
  readonly fetch = async (request: Request, given?: object): Promise<Response> => {
    const caller = callerOf(given);
    const preflight = this.access.preflight(request, caller);
    if (preflight) return preflight;
    const start = performance.now();
    const record: RequestRecord = { time: Date.now(), caller: '', action: 'unknown', status: 200, outcome: 'ok', duration: 0, received: 0, sent: 0 };
    let response: Response;
    try {
      response = await this.#answer(request, caller, record, start);
    } catch (thrown) {
      const error = toError(thrown);
      Object.assign(record, { outcome: error.kind, status: statusOf(error) });
      response = errorResponse(error);
    }
    for (const [name, value] of Object.entries(this.access.corsHeaders(request, caller))) response.headers.set(name, value);
    if (request.method === 'HEAD') response = new Response(null, response);
    else record.sent = Number(response.headers.get('content-length'));
    record.duration = performance.now() - start;
    this.#onRequest?.(record);
    return response;
  };

  async #answer(request: Request, caller: Caller, record: RequestRecord, start: number): Promise<Response> {
    const asked = routeOf(request);
    const { action, model, version } = asked;
    Object.assign(record, { action, ...(model !== undefined && { model }), ...(version !== undefined && { version }) });
    let admission: Admission | undefined;
    try {
      admission = await this.access.admit(request, caller, asked.scope, asked.model);
      record.caller = admission.caller;
      if (this.#logFault && LOGGED.includes(asked.action)) throw this.#logFault;
      await this.#complete;
      const written = await this.#act({ ...asked, request, admission, record, start });
      if (LOGGED.includes(asked.action)) await this.#log(record, caller, admission);
      return respond(written);
    } catch (thrown) {
      const error = toError(thrown);
      await this.#log({ ...record, outcome: error.kind, status: statusOf(error) }, caller, admission);
      throw error;
    }
  }

  /** Writes an event into the log: before the answer if the log is durable, and else beside it. */
  async #log({ action, model, version, samples, outcome, status }: RequestRecord, { origin, client }: Caller, admission?: Admission): Promise<void> {
    if (!this.audit) return;
    const caller = { origin: admission?.origin ?? origin, client, token: admission?.tokenId };
    const appended = this.audit.then((log) => log.append({ caller, action, model, version, samples, outcome, status }));
    this.#logged = appended.then(
      () => (this.#logFault = undefined),
      // What cannot be written down is not done: the next request is refused.
      (thrown: unknown) => (this.#logFault = notLogged(thrown)),
    );
    if (this.#durable) await appended;
  }

  async flush(): Promise<void> {
    await this.#logged;
  }

  async #act(exchange: Exchange): Promise<Written> {
    switch (exchange.action) {
      case 'live':
        return writeJson({ live: true });
      case 'ready':
        return this.#health();
      case 'server':
        return writeJson(describeServer());
      case 'index':
        return this.#index(exchange);
      case 'model':
        return this.#describe(exchange);
      case 'model-ready':
        return this.#modelReady(exchange);
      case 'config': {
        const version = this.#find(exchange);
        return writeJson(describeConfig(version, (await this.#open(version)).computer));
      }
      case 'statistics':
        return this.#statistics(exchange);
      case 'infer':
        return this.#infer(exchange);
      case 'load':
        return this.#load(exchange);
      case 'unload':
        for (const version of this.#findAll(exchange)) await version.unload();
        return writeJson({});
      case 'audit':
        return writeJson(await (await this.#assertAudit()).export());
      case 'archive':
        await this.#assertAudit().catch(() => undefined);
        await AuditLog.archive(this.#store);
        this.#openAudit();
        await this.audit;
        return writeJson({});
      case 'backup':
        return { bytes: (await this.backup()) as Uint8Array<ArrayBuffer>, headers: { 'content-type': 'application/zip' } };
      case 'restore':
        await this.restore(await this.#body(exchange));
        return writeJson({});
    }
  }

  #health(): Written {
    const odd = this.#models.all().find(({ state }) => state === 'loading' || state === 'unavailable');
    if (!odd) return writeJson({ ready: true });
    throw unavailable(odd);
  }

  #modelReady(exchange: Exchange): Written {
    const version = this.#find(exchange);
    if (version.state === 'ready') return writeJson({ name: version.model, ready: true });
    throw unavailable(version);
  }

  async #describe(exchange: Exchange): Promise<Written> {
    const version = this.#find(exchange);
    const { computer } = await this.#open(version);
    const versions = exchange.version === undefined ? this.#models.versions(version.model) : [version];
    return writeJson(describeModel(versions, version, computer));
  }

  async #index({ request, admission }: Exchange): Promise<Written> {
    const body = await readBody(request, this.#maxBody);
    const onlyReady = body.length > 0 && parseObject(body)['ready'] === true;
    const versions = this.#models.all().filter(({ model, state }) => admission.permits('infer', model) && !(onlyReady && state !== 'ready'));
    const states = { ready: 'READY', loading: 'LOADING', unavailable: 'UNAVAILABLE', unloaded: 'UNAVAILABLE' };
    return writeJson(versions.map(({ model, version, state, reason }) => ({ name: model, version, state: states[state], reason })));
  }

  #statistics(exchange: Exchange): Written {
    const versions = exchange.model === undefined ? this.#models.all().filter(({ model }) => exchange.admission.permits('infer', model)) : this.#findAll(exchange);
    return writeJson({ model_stats: versions.map(({ model, version, statistics }) => toTriton(model, version, statistics.report())) });
  }

  async #infer(exchange: Exchange): Promise<Written> {
    const { request, admission, record, start } = exchange;
    const body = await this.#body(exchange);
    const version = this.#find(exchange);
    record.version = version.version;
    const { computer, scheduler } = await this.#open(version);
    const { statistics } = version;
    try {
      const asked = readInfer(body, request.headers.get(HEADER_LENGTH), computer.inputs, computer.outputs);
      record.samples = asked.samples;
      const timeout = asked.timeout === undefined ? undefined : asked.timeout - (performance.now() - start);
      const { inputs, samples } = asked;
      const outputs = await scheduler.submit({ inputs, samples, caller: admission.caller, signal: request.signal, timeout });
      const tensors = new Map(computer.outputs.map((spec, i) => [spec.name, toTensor(outputs[i]!, spec)]));
      const written = writeInfer(version.model, version.version, asked, tensors);
      statistics.answered(body.length, written.bytes.length);
      return written;
    } catch (thrown) {
      if (!isCounted(toError(thrown))) statistics.ended('fail');
      throw thrown;
    }
  }

  /** Loads a model again, or versions that come with the request. */
  async #load(exchange: Exchange): Promise<Written> {
    const body = await this.#body(exchange);
    const name = exchange.model!;
    const uploaded = body.length ? readUpload(parseObject(body)) : [];
    for (const served of uploaded) await this.#keep(name, served);
    if (!uploaded.length) for (const version of this.#findAll(exchange)) await this.#open(version, true);
    return writeJson({});
  }

  async #keep(name: string, served: ServedModel): Promise<void> {
    await this.add(name, served);
    await this.#store.set([[`${KEPT}${name}/${served.version ?? '1'}`, { name, served } satisfies Kept]]);
  }

  async #body({ request, record }: Exchange): Promise<Uint8Array> {
    const body = await readBody(request, this.#maxBody);
    record.received = body.length;
    return body;
  }

  #find({ model = '', version }: Exchange): Version {
    const found = this.#models.find(model, version);
    if (found) return found;
    const all = this.#models.versions(model).map((one) => one.version);
    const what = all.length ? `the model '${model}' has no version '${version}'; it has ${all.join(', ')}` : `there is no model '${model}'`;
    throw new HttpError(404, 'value', what);
  }

  #findAll(exchange: Exchange): Version[] {
    const one = this.#find(exchange);
    return exchange.version === undefined ? this.#models.versions(one.model) : [one];
  }

  /** A version's model, opened now if it was not; one that was unloaded, only if that is what is asked. */
  async #open(version: Version, anew = false): Promise<{ computer: Computer; scheduler: Scheduler }> {
    if (version.state === 'unloaded' && !anew) throw unavailable(version);
    try {
      return await version.open();
    } catch (thrown) {
      throw new HttpError(503, toError(thrown).kind, `the model '${version.model}' could not be opened: ${toError(thrown).message}`);
    }
  }

  async #assertAudit(): Promise<AuditLog> {
    const log = await this.audit;
    if (log) return log;
    throw new HttpError(404, 'value', 'this service keeps no log');
  }

  async backup(): Promise<Uint8Array> {
    const models = await Promise.all(
      this.#models.all().map(async (version) => {
        const { computer } = await this.#open(version);
        const { maxBatchSize, maxDelay, maxQueue, watts, options: { device, dtype } = {} } = version.served;
        const settings = defined({ maxBatchSize, maxDelay, maxQueue, watts, options: defined({ device, dtype }) });
        return { name: version.model, version: version.version, bytes: await computer.save(), settings };
      }),
    );
    return createBackup({ models, audit: await (await this.audit)?.export() });
  }

  async restore(backup: Uint8Array): Promise<void> {
    const { models } = await readBackup(backup);
    for (const { name, version, bytes, settings } of models) await this.#keep(name, { ...settings, version, source: bytes });
  }
}

/** Without what is not set. */
function defined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function versionsOf(given: ServiceOptions['models'][string]): ServedModel[] {
  if (Array.isArray(given)) return given as ServedModel[];
  return isServed(given) ? [given] : [{ source: given as ModelSource | Model }];
}

function isServed(given: ServiceOptions['models'][string]): given is ServedModel {
  return typeof given === 'object' && 'source' in given && !isModel(given);
}

/** What is given of a caller. Where a runtime gives something of its own, that may be all secrets of its environment. */
function callerOf(given: object | undefined): Caller {
  const { origin, client } = (given ?? {}) as Record<string, unknown>;
  return { ...(typeof origin === 'string' && { origin }), ...(typeof client === 'string' && { client }) };
}

/** Whether the queue has counted how it ended. */
function isCounted({ kind }: NearsideError): boolean {
  return kind === 'busy' || kind === 'aborted' || kind === 'timeout';
}

function unavailable({ model, version, state, reason }: Version): HttpError {
  const why = state === 'loading' ? 'it is being loaded' : reason;
  return new HttpError(503, 'busy', `version ${version} of the model '${model}' is not ready: ${why}`, state === 'loading' ? { 'retry-after': '1' } : {});
}

function notLogged(thrown: unknown): NearsideError {
  const { kind, message } = toError(thrown);
  return new HttpError(503, kind, `the audit log cannot be written, and nothing is answered that is not logged: ${message}; POST /v2/audit puts it aside and begins a new one`);
}

function toError(thrown: unknown): NearsideError {
  if (thrown instanceof NearsideError) return thrown;
  return new NearsideError('internal', `nearside failed: ${String(thrown)}`, {}, { cause: thrown });
}
