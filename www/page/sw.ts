/** The site's service worker: it serves the digits model to the site's pages, and keeps them for when there is no network. */
import { serve } from './nearside/service-worker.js';
import { type Fetched, type Told, CHANNEL } from './service/channel.js';

const DIGITS = 'models/mnist_784_128_128_10.h5';

/** All but the images to train with, which are larger than the rest together. */
const PAGE = ['./', 'index.html', 'icon.svg', 'page.css', 'train.css', 'service.css', 'chunk.js', 'page.js', 'train/train.js', 'service/service.js', 'samples.bin', DIGITS];
/** Of modules in two variants each browser takes one, and which is not known before it asks. */
const PACKAGE = [
  ...['nearside.js', 'client.js', 'service.js', 'worker.js', 'browser-worker.js', 'browser-trainer.js', 'formats.js', 'gpu.js', 'pool.js', 'train.js'],
  ...['engine.wasm', 'engine-relaxed.wasm', 'formats.wasm', 'gpu.wasm', 'train.wasm', 'train-relaxed.wasm'],
];

const channel = new BroadcastChannel(CHANNEL);
const tell = (what: Told): void => channel.postMessage(what);

serve({
  models: { mnist: DIGITS },
  offline: [...PAGE, ...PACKAGE.map((file) => `nearside/${file}`)],
  // The tab shows the log, and takes models: to do so is managing.
  policy: { grants: { self: ['infer', 'explain', 'manage'] } },
  onRequest: (record) => tell({ record }),
});

/** What this worker itself fetched goes to the network, and pages are not told of it by the browser. */
const fetched: Fetched[] = [];
new PerformanceObserver((list) => {
  const entries = list.getEntries() as PerformanceResourceTiming[];
  fetched.push(...entries.map(({ name, startTime, transferSize, responseStatus }) => ({ url: name, time: performance.timeOrigin + startTime, status: responseStatus, bytes: transferSize })));
  fetched.splice(0, fetched.length - 1000);
  tell({ fetched });
}).observe({ type: 'resource', buffered: true });
// A page that was not listening yet asks. Another service worker may be on the channel, too: one that this one replaces.
channel.onmessage = ({ data }: MessageEvent<Told>) => data.asks && tell({ fetched });
