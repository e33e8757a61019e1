/** What the service says of itself and its models. */
import type { TensorSpec } from '../nearside.js';
import { type Computer, type Version, batchingOf, isBatched } from './models.js';

declare const NEARSIDE_VERSION: string;

/** Server metadata. The extensions are Triton's. */
export function describeServer(): object {
  const extensions = ['binary_tensor_data', 'classification', 'model_configuration', 'model_repository', 'parameters', 'statistics'];
  return { name: 'nearside', version: NEARSIDE_VERSION, extensions };
}

/** Model metadata. Of a version asked for by name only this one is listed. */
export function describeModel(versions: Version[], { model }: Version, computer: Computer): object {
  return {
    name: model,
    versions: versions.map(({ version }) => version),
    platform: platformOf(computer),
    inputs: computer.inputs.map(describeTensor),
    outputs: computer.outputs.map(describeTensor),
  };
}

/**
 * Model configuration, as Triton has it: with `max_batch_size`, dimensions are those of a sample. What it has no word for is
 * under `nearside`.
 */
export function describeConfig({ model, served }: Version, computer: Computer): object {
  const batched = isBatched(computer);
  const batching = batchingOf(served, computer);
  const port = (spec: TensorSpec) => ({
    name: spec.name,
    data_type: spec.dtype === 'string' ? 'TYPE_STRING' : 'TYPE_FP32',
    dims: (batched ? spec.shape.slice(1) : spec.shape).map((axis) => axis ?? -1),
  });
  return {
    name: model,
    platform: platformOf(computer),
    backend: 'nearside',
    // A request of more samples is computed as well, by itself.
    max_batch_size: batched ? batching.maxBatchSize : 0,
    input: computer.inputs.map(port),
    output: computer.outputs.map(port),
    nearside: { device: computer.device(), parameters: computer.parameterCount, ...batching },
  };
}

/** The protocol's PROJECT_FORMAT. */
function platformOf({ format }: Computer): string {
  return { h5: 'keras_h5', keras: 'keras_keras', onnx: 'onnx_onnxv1', safetensors: 'nearside_safetensors', tfjs: 'tensorflowjs_layers' }[format] ?? `nearside_${format}`;
}

/** A tensor's description: -1 is an axis of any length. */
function describeTensor({ name, dtype, shape }: TensorSpec): object {
  return { name, datatype: dtype === 'string' ? 'BYTES' : 'FP32', shape: shape.map((axis) => axis ?? -1) };
}
