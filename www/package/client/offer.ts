/** Starts a worker when the service worker asks for one, and hands it a port. */

/** What connects to the worker, once it was asked for. */
let worker: { post(message: object, transfer: Transferable[]): void } | undefined;
const containers = new WeakSet<ServiceWorkerContainer>();

export function offerWorker(container: ServiceWorkerContainer): void {
  if (containers.has(container)) return;
  containers.add(container);
  container.addEventListener('message', ({ data, source }) => {
    if (data?.nearside !== 'engine?') return;
    worker ??= start();
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data: offer, ports }) => (source as ServiceWorker).postMessage(offer, [...ports]);
    worker.post({ nearside: 'connect' }, [port2]);
  });
  container.startMessages();
}

function start(): NonNullable<typeof worker> {
  const options = { type: 'module', name: 'nearside engine' } as const;
  if (typeof SharedWorker === 'function') {
    const { port } = new SharedWorker(new URL('./worker.js', import.meta.url), options);
    return { post: (message, transfer) => port.postMessage(message, transfer) };
  }
  const dedicated = new Worker(new URL('./worker.js', import.meta.url), options);
  return { post: (message, transfer) => dedicated.postMessage(message, transfer) };
}
