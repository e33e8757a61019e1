// Uses that must compile, in a project that has installed the package.
import { load, NearsideError, Tensor } from 'nearside';
import type {
  DeviceReport,
  ErrorContext,
  ErrorKind,
  FetchOptions,
  FileContent,
  InputValues,
  LayerInfo,
  LoadOptions,
  Model,
  ModelFormat,
  ModelInput,
  ModelOutput,
  ModelSource,
  NestedArray,
  PredictOptions,
  SaveOptions,
  TensorSpec,
} from 'nearside';

export async function sources(file: File, response: Response): Promise<void> {
  const all: ModelSource[] = ['model.h5', new URL('https://localhost/'), response, file, new Blob([]), new ArrayBuffer(8), new Uint8Array(8)];
  for (const source of all) await load(source);
  const parts: FileContent[] = [file, new ArrayBuffer(8), new Uint8Array(8)];
  const several: ModelSource[] = [[file, file], { 'model.json': file, 'weights.bin': parts[0]! }];
  for (const source of several) await load(source);
}

export async function options(): Promise<Model> {
  const fetched: FetchOptions = { integrity: 'sha384-', signal: new AbortController().signal, requestInit: { credentials: 'include' } };
  const options: LoadOptions = { ...fetched, device: 'gpu', format: 'h5', config: { layers: ['Linear'] }, onProgress: ({ loaded, total }) => console.log(loaded / total) };
  return load('model.h5', options);
}

export async function predictions(model: Model): Promise<number[]> {
  const nested: NestedArray[] = [[1, 2], [3, 4]];
  const values: InputValues[] = [new Float32Array(4), new Float64Array(4), new Uint8ClampedArray(4), nested, [[1, 2]], new Tensor(new Float32Array(2), [1, 2])];
  const inputs: ModelInput[] = [...values, { a: [[1]], b: new Float32Array(1) }];
  const how: PredictOptions = { batchSize: 32, signal: AbortSignal.timeout(1000), device: 'cpu' };
  for (const input of inputs) await model.predict(input, how);
  const output: Tensor = await model.predict([[1, 2]]);
  const data: Float32Array = output.data;
  const rows: NestedArray = output.toArray();
  const several: Record<string, Tensor> = await model.predict<Record<string, Tensor>>({ a: [[1]] });
  const first: Tensor | undefined = several['first'];
  const now: Tensor = model.predictSync(new Float32Array(2));
  const either: ModelOutput = await model.predict<ModelOutput>([[1, 2]]);
  console.log(data.length, rows, first?.shape, now.argMax(), either);
  return output.argMax();
}

export async function facts(model: Model): Promise<void> {
  const name: string = model.name;
  const [input]: TensorSpec[] = model.inputs;
  const batch: number | null | undefined = input?.shape[0];
  const layers: LayerInfo[] = model.layers;
  const activation: string | undefined = layers[0]?.activation;
  const report: DeviceReport = model.device;
  const kind: 'cpu' | 'gpu' = report.kind;
  const adapter: string | undefined = report.adapter;
  const stop: () => void = model.on('device', ({ reason }) => console.log(reason));
  const options: SaveOptions = { dtype: 'f16' };
  const bytes: Uint8Array = await model.save('safetensors');
  const others: Uint8Array[] = [await model.save('h5'), await model.save('keras', options), await model.save('onnx', { dtype: 'int8' })];
  console.log(name, batch, activation, kind, adapter, model.parameterCount, model.summary(), bytes.length, others.length);
  stop();
  model.dispose();
}

export function errors(error: unknown): ErrorKind | undefined {
  if (!(error instanceof NearsideError)) return undefined;
  const where: ErrorContext = error.context;
  const offset: number | undefined = where.offset;
  console.log(error.message, where.layer, where.tensor, where.url, offset, error.cause);
  return error.kind === 'internal' ? undefined : error.kind;
}
