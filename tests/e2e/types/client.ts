// The page's side of services, and its service worker's.
import { type RegisterOptions, type RegisteredService, registerService } from 'nearside/client';
import { type ServiceWorkerOptions, serve } from 'nearside/service-worker';

export async function page(): Promise<Response> {
  const options: RegisterOptions = { scope: '/', worker: false, persist: true, signal: AbortSignal.timeout(1000) };
  const service: RegisteredService = await registerService('sw.js', options);
  return service.fetch('/v2/models/mnist/infer', { method: 'POST', body: '{}' });
}

export function worker(): Promise<void> {
  const options: ServiceWorkerOptions = { models: { mnist: 'mnist.h5' }, offline: ['index.html'] };
  return serve(options).ready();
}
