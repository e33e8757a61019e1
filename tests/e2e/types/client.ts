// Uses of `nearside/client` and of `nearside/service-worker` that are right, and one that is not.
import { NearsideError, connectService, exposeService, registerService, type Caller, type RegisteredService, type ServiceConnection } from 'nearside/client';
import { type ServiceWorkerOptions, serve } from 'nearside/service-worker';

const answer = async (request: Request, caller: Caller): Promise<Response> => Response.json([request.url, caller.origin]);
exposeService(answer, { origins: ['https://app.example'], maxBody: 1000 }).close();

const frame = document.querySelector('iframe')!;
const service: ServiceConnection = await connectService(frame, { origin: 'https://models.example', token: 'ey', signal: AbortSignal.timeout(1000) });
try {
  const response: Response = await service.fetch('/v2/models/mnist/infer', { method: 'POST', body: new Float32Array(4) });
  console.log(response.status);
} catch (error) {
  if (error instanceof NearsideError && error.kind === 'busy') console.log(error.context.retryAfter, error.context.token);
}
service.close();

const own: RegisteredService = await registerService('sw.js', { scope: '/', worker: false, persist: true });
await own.fetch('/v2/models/mnist/infer', { method: 'POST', body: '{}' });

const options: ServiceWorkerOptions = { models: { mnist: 'mnist.h5' }, offline: ['index.html'] };
await serve(options).ready();

// @ts-expect-error The origin is needed.
await connectService(window, {});

export {};
