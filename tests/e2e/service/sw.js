import { serve } from '/service-worker.js';
serve({ models: { mnist: 'mnist_784_128_128_10.h5' }, offline: ['/service/page.html', '/client.js', '/nearside.js', '/engine-relaxed.wasm'] });
