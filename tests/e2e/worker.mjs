// The package in a worker: answers which device computed, and how far from Keras's its answers are.
import { distance, given, readNpz } from './keras.mjs';
import { load } from './nearside.js';

onmessage = async ({ data: device }) => {
  const arrays = readNpz(new Uint8Array(await (await fetch('dress.io.npz')).arrayBuffer()));
  const model = await load('dress.h5', { device });
  postMessage({ device: model.device.kind, distance: distance(await model.predict(given(arrays)), arrays) });
};
