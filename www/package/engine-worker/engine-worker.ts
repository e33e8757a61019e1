/**
 * A worker that computes for a site's service worker: a shared one where there are such, so that all tabs have one engine,
 * which stays when the service worker is stopped. `registerService(url, { worker: true })` starts it.
 */
import { type Model, NearsideError, load } from '../nearside.js';
import { predictFlat } from '../service/models.js';
import type { Answer, Offer, OpenedModel, Request } from './messages.js';

const models = new Map<string, Promise<Model>>();

const lock = `nearside engine ${crypto.randomUUID()}`;
/** Resolves when it holds the lock, which it does until it ends. */
const held = new Promise<void>((resolve) => {
  void navigator.locks.request(lock, () => {
    resolve();
    return new Promise(() => undefined);
  });
});

// A page asks for a port to hand on, and sends one to answer it by.
const onAsked = ({ ports }: MessageEvent) => ports[0] && void offer(ports[0]);
if ('onconnect' in globalThis) addEventListener('connect', (event) => ((event as MessageEvent).ports[0]!.onmessage = onAsked));
else addEventListener('message', onAsked);

async function offer(page: MessagePort): Promise<void> {
  await held; // whoever asks for the lock before would take the worker for gone
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }: MessageEvent<Request>) => void answer(data, port1);
  page.postMessage({ nearside: 'engine', lock } satisfies Offer, [port2]);
}

async function answer(request: Request, port: MessagePort): Promise<void> {
  const { id } = request;
  try {
    const [value, device] = await act(request);
    port.postMessage({ id, value, ...(device && { device }) } satisfies Answer);
  } catch (thrown) {
    const error = thrown instanceof NearsideError ? thrown : new NearsideError('internal', `nearside failed: ${String(thrown)}`);
    const { kind, message, context } = error;
    port.postMessage({ id, error: { kind, message, context } } satisfies Answer);
  }
}

async function act(request: Request): Promise<[value: OpenedModel | null | Float32Array[] | undefined, device?: Model['device']]> {
  const key = request.model;
  if (request.ask === 'open' && request.container) {
    const opening = load(request.container, request.options);
    models.set(key, opening);
    opening.catch(() => models.delete(key));
  }
  const model = await models.get(key);
  if (!model) return [null];
  switch (request.ask) {
    case 'open':
      return [describe(model)];
    case 'predict':
      return [await predictFlat(model, request.inputs), model.device];
    case 'close':
      models.delete(key);
      model.dispose();
      return [undefined];
  }
}

function describe(model: Model): OpenedModel {
  const { format, inputs, outputs, parameterCount, device } = model;
  return { format, inputs, outputs, parameterCount, device, costs: [model.cost(1), model.cost(2)] };
}
