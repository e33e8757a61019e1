// Uses of the service that must compile, in a browser's project and in Node's.
import type { Model, NearsideError } from 'nearside';
import { type Batching, type Caller, type ModelStatistics, type RequestRecord, type ServedModel, type ServedVersion, type Service, type ServiceOptions, type State, type Store, createService, memoryStore } from 'nearside/service';

export function services(model: Model, bytes: Uint8Array): Service {
  const batching: Batching = { maxBatchSize: 32, maxDelay: 2, maxQueue: 100 };
  const digits: ServedModel = { source: 'mnist.h5', version: '2', options: { device: 'cpu' }, watts: 10, ...batching };
  const store: Store = memoryStore();
  const onRequest = ({ action, status, duration }: RequestRecord) => console.log(action, status, duration);
  const options: ServiceOptions = { models: { digits: [digits], model, bytes, address: 'model.onnx' }, store, maxBody: 2 ** 20, audit: false, onRequest };
  return createService(options);
}

export async function uses(service: Service, request: Request): Promise<Response> {
  const caller: Caller = { client: 'a tab' };
  await service.ready();
  const [version]: ServedVersion[] = service.models();
  const state: State | undefined = version?.state;
  const statistics: ModelStatistics | undefined = version?.statistics;
  console.log(state, statistics?.compute.p99);
  await service.add('more', { source: new Uint8Array(8) });
  await service.remove('more', '1');
  await service.restore(await service.backup());
  await service.dispose();
  return service.fetch(request, caller);
}

/** As runtimes have them: what they give besides a request is theirs. */
type Handler<Info extends object> = (request: Request, info: Info) => Response | Promise<Response>;

export function handlers(service: Service): unknown[] {
  const deno: Handler<{ remoteAddr: { hostname: string } }> = service.fetch;
  const edge: { fetch: Handler<{ SECRET: string }> } = service;
  const { fetch } = service;
  return [deno, edge, fetch];
}

export function why(error: NearsideError): boolean {
  return error.kind === 'busy' || error.kind === 'denied' || error.kind === 'timeout';
}
