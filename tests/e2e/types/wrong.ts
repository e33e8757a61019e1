// Uses that must not compile: without an error on the next line, each directive is one itself.
import { load, NearsideError, Tensor, type Model } from 'nearside';
import { createService } from 'nearside/service';

// @ts-expect-error a source is needed
void load();
// @ts-expect-error a number is no source
void load(5);
// @ts-expect-error nor are names of files without their content
void load({ 'model.json': 'weights.bin' });
// @ts-expect-error there is no such format
void load('model.h5', { format: 'hdf5' });
// @ts-expect-error there is no such device
void load('model.h5', { device: 'tpu' });
// @ts-expect-error there is no such option
void load('model.h5', { batchSize: 5 });
// @ts-expect-error progress has no such field
void load('model.h5', { onProgress: ({ percent }) => percent });

export async function uses(model: Model): Promise<void> {
  // @ts-expect-error strings are no numbers
  await model.predict(['1', '2']);
  // @ts-expect-error nor are bigints
  await model.predict(new BigInt64Array(4));
  // @ts-expect-error nothing is no input
  await model.predict();
  // @ts-expect-error there is no such option
  await model.predict([[1]], { batchsize: 2 });
  // @ts-expect-error a prediction's device is not left open
  await model.predict([[1]], { device: 'auto' });
  // @ts-expect-error this format cannot be written
  await model.save('pb');
  // @ts-expect-error nor are weights kept so
  await model.save('onnx', { dtype: 'int4' });
  // @ts-expect-error there is no such event
  model.on('loss', () => undefined);
  // @ts-expect-error a model does not change
  model.name = 'other';
  // @ts-expect-error nor does its device
  model.device = { kind: 'gpu', reason: '', simd: '' };
  // @ts-expect-error a layer may have no activation
  model.layers[0].activation.length;
  // @ts-expect-error predict answers later
  model.predict([[1]]).shape;
  // @ts-expect-error private
  model.engine;
}

// @ts-expect-error a Tensor needs its shape
new Tensor(new Float32Array(2));
// @ts-expect-error of numbers
new Tensor(new Float32Array(2), ['2']);
// @ts-expect-error there is no such kind
new NearsideError('oops', 'message');
// @ts-expect-error what is internal is not exported
export { Engine } from 'nearside';
// @ts-expect-error nor reached by its file
export { guard } from 'nearside/types/engine.js';

// @ts-expect-error a service is of models
createService({});
// @ts-expect-error there is no such option
createService({ models: {}, maxbody: 5 });
// @ts-expect-error a version is a string
createService({ models: { a: { source: 'a.h5', version: 1 } } });
// @ts-expect-error a service answers requests
void createService({ models: {} }).fetch('/v2');
