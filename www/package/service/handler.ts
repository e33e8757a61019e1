/** Answers requests: finds out what is asked and who asks, does it, and writes down how it went. */
import { type ErrorKind, type Model, type ModelSource, NearsideError } from '../nearside.js';
import { Access, type Admission, type Caller } from './access.js';
import { AuditLog } from './audit.js';
import { createBackup, readBackup } from './backup.js';
import { HttpError, errorResponse, readBody, respond, statusOf } from './http.js';
import { describeConfig, describeModel, describeServer } from './metadata.js';
import { Models, type Opened, type ServedModel, type Version, isModel, openHere, toTensor } from './models.js';
import { HEADER_LENGTH, type Written, parseObject, readInfer, writeInfer, writeJson } from './protocol.js';
import { type Action, type Asked, routeOf } from './routes.js';
import type { RequestRecord, ServedVersion, Service, ServiceOptions } from './service.js';
import { toTriton } from './statistics.js';
import { type Store, memoryStore } from './store.js';
import { excerpt } from './tensors.js';
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
    if (typeof models !== 'object' || models === null) throw new NearsideError('value', "'models' is no object: give each model by its name");
    for (const [name, given] of Object.entries(models)) this.#addAll(name, versionsOf(given));
    this.#auditOptions = audit;
    this.#openAudit();
    this.#complete = this.#addKept();
    this.ready().catch(() => undefined); // every request is told
  }

  #addAll(name: string, all: ServedModel[]): void {
    for (const served of all) {
      const { version = '1' } = served;
      if (this.#models.find(name, version)) throw new NearsideError('value', `version '${version}' of the model '${name}' is given twice`);
      this.#models.add(name, served);
    }
  }

  #openAudit(): void {
    const options = this.#auditOptions;
    if (options === false) return;
    const { durable = false, ...how } = options === true ? {} : options;
    this.#durable = durable;
    this.audit = AuditLog.open(this.#store, how);
    this.audit.then(() => (this.#logFault = undefined), (thrown: unknown) => (this.#logFault = notLogged(thrown)));
  }

  /** Uploaded models take the place of those that the service is made with. */
  async #addKept(): Promise<void> {
    for (const [, { name, served }] of await this.#store.list<Kept>(KEPT)) this.#models.add(name, served);
  }

  async ready(): Promise<void> {
    await this.#complete;
    const wanted = this.#models.all().filter(({ state }) => state !== 'unloaded');
    await Promise.allSettled(wanted.map((version) => version.open()));
  }

  models(): ServedVersion[] {
    return this.#models.all().map(({ model, version, state, reason, fault, statistics }) => ({
      name: model,
      version,
      state,
      reason,
      ...(fault && { fault }),
      statistics: statistics.report(),
    }));
  }

  async add(name: string, served: ServedModel): Promise<void> {
    await this.#complete;
    await this.#models.open(name, served);
  }

  async remove(name: string, version?: string): Promise<void> {
    await this.#complete;
    const versions = this.#models.versions(name).filter((one) => version === undefined || one.version === version);
    await this.#store.set(versions.map((one) => [`${KEPT}${name}/${one.version}`, undefined]));
    await Promise.all(versions.map((one) => this.#models.remove(name, one.version)));
  }

  async dispose(): Promise<void> {
    await this.#models.dispose();
  }

  /** A field, for runtimes call it as a function. */
  readonly fetch = async (request: Request, given?: object): Promise<Response> => {
    const caller = callerOf(given);
    const preflight = this.access.preflight(request, caller);
    if (preflight) return preflight;
    const start = performance.now();
    const record: RequestRecord = { time: Date.now(), caller: '', action: 'unknown', status: 200, outcome: 'ok', duration: 0, received: 0, sent: 0 };
    let response = await this.#answer(request, caller, record, start).catch((thrown: unknown) => {
      const error = toError(thrown);
      Object.assign(record, { outcome: error.kind, status: statusOf(error) });
      return errorResponse(error);
    });
    for (const [name, value] of Object.entries(this.access.corsHeaders(request, caller))) response.headers.set(name, value);
    if (request.method === 'HEAD') response = new Response(null, response);
    else record.sent = Number(response.headers.get('content-length'));
    record.duration = performance.now() - start;
    this.#tell(record);
    return response;
  };

  /** Calls the listener. Who asked is answered even if it throws. */
  #tell(record: RequestRecord): void {
    try {
      this.#onRequest?.(record);
    } catch (error) {
      console.error('nearside: onRequest threw', error);
    }
  }

  async #answer(request: Request, caller: Caller, record: RequestRecord, start: number): Promise<Response> {
    this.#models.assertLive();
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
      case 'config':
        return this.#use(exchange, async (version, { computer }) => writeJson(describeConfig(version, computer)));
      case 'statistics':
        return this.#statistics(exchange);
      case 'infer':
        return this.#infer(exchange);
      case 'load':
        return this.#load(exchange);
      case 'unload':
        await Promise.all(this.#findAll(exchange).map((version) => version.unload()));
        return writeJson({});
      case 'audit':
        return writeJson(await (await this.#assertAudit()).export());
      case 'archive':
        await this.audit?.catch(() => undefined); // one that does not verify is put aside, too
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

  #describe(exchange: Exchange): Promise<Written> {
    return this.#use(exchange, async (version, { computer }) => {
      const versions = exchange.version === undefined ? this.#models.versions(version.model) : [version];
      return writeJson(describeModel(versions, version, computer));
    });
  }

  async #index(exchange: Exchange): Promise<Written> {
    const body = await this.#body(exchange);
    const { ready = false } = body.length ? parseObject(body) : {};
    if (typeof ready !== 'boolean') throw new NearsideError('value', "'ready' is neither true nor false");
    const versions = this.#models.all().filter(({ model, state }) => exchange.admission.permits('infer', model) && (!ready || state === 'ready'));
    const states = { ready: 'READY', loading: 'LOADING', unavailable: 'UNAVAILABLE', unloaded: 'UNAVAILABLE' };
    return writeJson(versions.map(({ model, version, state, reason }) => ({ name: model, version, state: states[state], reason })));
  }

  #statistics(exchange: Exchange): Written {
    const versions = exchange.model === undefined ? this.#models.all().filter(({ model }) => exchange.admission.permits('infer', model)) : this.#findAll(exchange);
    return writeJson({ model_stats: versions.map(({ model, version, statistics }) => toTriton(model, version, statistics.report())) });
  }

  async #infer(exchange: Exchange): Promise<Written> {
    const body = await this.#body(exchange);
    return this.#use(exchange, async (version, opened) => {
      try {
        return await this.#compute(exchange, body, version, opened);
      } catch (thrown) {
        version.statistics.failed(OUTCOMES[toError(thrown).kind] ?? 'fail', performance.now() - exchange.start);
        throw thrown;
      }
    });
  }

  async #compute({ request, admission, record, start }: Exchange, body: Uint8Array, { model, version, statistics }: Version, { computer, scheduler }: Opened): Promise<Written> {
    record.version = version;
    const asked = readInfer(body, request.headers.get(HEADER_LENGTH), computer.inputs, computer.outputs);
    const { inputs, samples, timeout } = asked;
    record.samples = samples;
    const deadline = timeout === undefined ? undefined : start + timeout;
    const outputs = await scheduler.submit({ inputs, samples, caller: admission.caller, signal: request.signal, deadline });
    const tensors = new Map(computer.outputs.map((spec, i) => [spec.name, toTensor(outputs[i]!, spec)]));
    const written = writeInfer(model, version, asked, tensors);
    statistics.answered(performance.now() - start, body.length, written.bytes.length);
    return written;
  }

  /** Loads a model again, or versions that come with the request. */
  async #load(exchange: Exchange): Promise<Written> {
    const body = await this.#body(exchange);
    const uploaded = body.length ? readUpload(parseObject(body)) : [];
    for (const served of uploaded) await this.#keep(exchange.model!, served);
    if (!uploaded.length) await Promise.all(this.#findAll(exchange).map((version) => this.#open(version, true)));
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
    const what = all.length ? `the model '${model}' has no version '${excerpt(version!)}'; it has ${all.join(', ')}` : `there is no model '${excerpt(model)}'`;
    throw new HttpError(404, 'value', what);
  }

  #findAll(exchange: Exchange): Version[] {
    const one = this.#find(exchange);
    return exchange.version === undefined ? this.#models.versions(one.model) : [one];
  }

  /** Does something with the version that is asked for, which stays open meanwhile. */
  async #use<T>(exchange: Exchange, act: (version: Version, opened: Opened) => Promise<T>): Promise<T> {
    const version = this.#find(exchange);
    return version.hold(this.#open(version).then((opened) => act(version, opened)));
  }

  /** A version's model, opened now if it was not; one that was unloaded, only if that is what is asked. */
  async #open(version: Version, anew = false): Promise<Opened> {
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
        const bytes = await version.hold(this.#open(version).then(({ computer }) => computer.save()));
        const { maxBatchSize, maxDelay, maxQueue, watts, options: { device, dtype } = {} } = version.served;
        const settings = defined({ maxBatchSize, maxDelay, maxQueue, watts, options: defined({ device, dtype }) });
        return { name: version.model, version: version.version, bytes, settings };
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
  if (isServed(given)) return [given];
  if (Array.isArray(given) && given.every(isServed)) return given;
  return [{ source: given as ModelSource | Model }]; // an array of `File`s, too
}

function isServed(given: unknown): given is ServedModel {
  return typeof given === 'object' && given !== null && 'source' in given && !isModel(given);
}

/** How requests end that have no answer, by the error's kind; all others failed. */
const OUTCOMES: Partial<Record<ErrorKind, 'rejected' | 'cancelled' | 'expired'>> = { busy: 'rejected', aborted: 'cancelled', timeout: 'expired' };
/** What is given of a caller. Where a runtime gives something of its own, that may be all secrets of its environment. */
function callerOf(given: object | undefined): Caller {
  const { origin, client } = (given ?? {}) as Record<string, unknown>;
  return { ...(typeof origin === 'string' && { origin }), ...(typeof client === 'string' && { client }) };
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
