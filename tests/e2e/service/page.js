// What the tests of the service worker call in the page.
import { registerService } from '/client.js';
import { load } from '/nearside.js';
import { given, readNpz } from '/keras.mjs';

const MNIST = '/mnist_784_128_128_10';

Object.assign(globalThis, {
  load,
  registerService,
  /** Registers the service, and keeps it for what follows. */
  async start(script, options) {
    globalThis.service = await registerService(script, { scope: '/', ...options });
  },
  /** The test images: 256 rows of pixels. */
  async images() {
    const arrays = readNpz(new Uint8Array(await (await fetch(`${MNIST}.io.npz`)).arrayBuffer()));
    return given(arrays);
  },
  /** What a model says of one image, asked by `ask`: the page's own `fetch`, or the service's. */
  async infer(pixels, { model = 'mnist', ask = fetch } = {}) {
    const body = JSON.stringify({ inputs: [{ name: 'input_layer', shape: [1, 784], datatype: 'FP32', data: Array.from(pixels) }] });
    const response = await ask(`/v2/models/${model}/infer`, { method: 'POST', body });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${response.status}: ${answer.error}`);
    return answer.outputs[0].data;
  },
});
document.documentElement.dataset.state = 'ready';
