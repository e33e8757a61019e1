import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError, oneOf, onlyFile, parse } from './arguments.js';
import { writeResult } from './files.js';
import { loadModel } from './load.js';

export const HELP = `Usage: nearside convert FILE --to FORMAT [options]

Writes a model in another format.

Options:
      --to FORMAT     h5 or keras (Keras), onnx, safetensors (nearside's own: pages load it without the formats module)
      --dtype TYPE    how weights are kept: f32, f16 or int8 (default: f32)
  -o, --output PATH   where it goes, or - for standard output (default: FILE with the format's ending)
      --config FILE   the architecture (JSON), where FILE holds only weights
  -h, --help          print this

Examples:
  nearside convert model.h5 --to safetensors --dtype f16
  nearside convert model.json --to keras --output model.keras
`;

const OPTIONS = {
  to: { type: 'string' },
  dtype: { type: 'string' },
  output: { type: 'string', short: 'o' },
  config: { type: 'string' },
} as const;

const FORMATS = ['h5', 'keras', 'onnx', 'safetensors'] as const;

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args, OPTIONS);
  const file = onlyFile(positionals);
  if (options.to === undefined) throw new UsageError(`no format given: use --to with one of ${FORMATS.join(', ')}`);
  const format = oneOf(FORMATS, 'to', options.to);
  const dtype = oneOf(['f32', 'f16', 'int8'], 'dtype', options.dtype ?? 'f32');
  const output = options.output ?? beside(file, format);

  const model = await loadModel(file, options.config, { device: 'cpu' });
  const bytes = await model.save(format, { dtype });
  await writeResult(output, bytes);
}

/** The file's path with another ending; for an address in the working folder. */
function beside(file: string, format: string): string {
  const address = /^[a-z][a-z0-9+.-]+:/i.test(file) && !file.startsWith('file:');
  const path = address ? basename(new URL(file).pathname) : file.startsWith('file:') ? fileURLToPath(file) : file;
  const output = join(dirname(path), `${basename(path).replace(/\.[^.]*$/, '') || 'model'}.${format}`);
  if (resolve(output) === resolve(path)) throw new UsageError(`the result would replace ${file}; use --output`);
  return output;
}
