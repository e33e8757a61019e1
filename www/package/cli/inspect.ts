import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { NearsideError, type Model, type ModelFormat, type TensorSpec } from '../node.js';
import { UsageError, parse } from './arguments.js';
import { STANDARD, writeParts } from './files.js';
import { loadModel } from './load.js';
import { report } from './report.js';

export const HELP = `Usage: nearside inspect FILE... [options]

Prints what each model file holds: format, size, inputs, outputs, layers, number of parameters.

Options:
      --json          print a JSON object a line, one for each file
      --config FILE   the architecture (JSON), where a file holds only weights
  -h, --help          print this

Examples:
  nearside inspect model.h5
  nearside inspect --json models/*.onnx | jq .parameterCount
`;

const OPTIONS = {
  json: { type: 'boolean' },
  config: { type: 'string' },
} as const;

/** The most classes that are named. */
const LISTED = 10;

const FORMATS: Record<ModelFormat, string> = {
  h5: 'Keras HDF5 (.h5)',
  keras: 'Keras archive (.keras)',
  onnx: 'ONNX',
  safetensors: 'safetensors',
  tfjs: 'TensorFlow.js layers model',
};

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals: files } = parse(args, OPTIONS);
  if (files.length === 0) throw new UsageError('no model file given');
  for (const [i, file] of files.entries()) {
    try {
      const model = await loadModel(file, options.config, { device: 'cpu' });
      const size = await sizeOf(file);
      const text = options.json ? `${JSON.stringify(toJson(file, size, model))}\n` : `${i ? '\n' : ''}${toText(file, size, model)}`;
      model.dispose();
      await writeParts(STANDARD, [text]);
    } catch (error) {
      if (!(error instanceof NearsideError)) throw error;
      report(error); // the other files may be sound
    }
  }
}

/** Bytes of a local file. */
async function sizeOf(file: string): Promise<number | undefined> {
  const path = file.startsWith('file:') ? fileURLToPath(file) : file;
  return (await stat(path).catch(() => undefined))?.size;
}

function toJson(file: string, size: number | undefined, model: Model): object {
  const { name, format, parameterCount, inputs, outputs, layers } = model;
  return { file, format, size, name, parameterCount, inputs, outputs, layers };
}

function toText(file: string, size: number | undefined, model: Model): string {
  const rows = [
    ['format', FORMATS[model.format]],
    ...(size === undefined ? [] : [['size', `${size.toLocaleString('en-US')} bytes`]]),
    ...model.inputs.map((spec) => ['input', describe(spec)]),
    ...model.outputs.map((spec) => ['output', describe(spec)]),
  ];
  const lines = rows.map(([title, value]) => `${title!.padEnd(8)}${value}\n`);
  return `${file}\n${lines.join('')}\n${model.summary()}\n`;
}

function describe({ name, dtype, shape, classes = [] }: TensorSpec): string {
  const named = classes.slice(0, LISTED).join(', ') + (classes.length > LISTED ? `, … ${classes.length} in all` : '');
  return `${name}: ${dtype} (${shape.map((axis) => axis ?? 'batch').join(', ')})${named && `, classes ${named}`}`;
}
