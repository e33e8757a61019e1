import { NearsideError, Tensor, type InputValues } from '../node.js';
import { UsageError, onlyFile, parse, wholeNumber } from './arguments.js';
import { STANDARD, writeParts } from './files.js';
import { loadModel } from './load.js';
import { Table, isValues, readValues } from './values.js';

export const HELP = `Usage: nearside evaluate FILE --x VALUES --y VALUES [options]

Prints the loss and the metrics of a model for samples whose targets are known, as JSON.

Options:
      --x VALUES        the samples: a .npy, .csv or .json file
      --y VALUES        their targets: as many values a sample as the model has outputs, or the index of its class
      --loss NAME       as Keras names it, such as mse or sparse_categorical_crossentropy; the one that a Keras file
                        was compiled with unless given
      --metrics NAMES   separated by commas, such as accuracy,auc
      --batch-size N    samples at a time; it changes nothing but the speed
      --config FILE     the architecture (JSON), where FILE holds only weights
  -h, --help            print this

Example:
  nearside evaluate model.keras --x test.npy --y labels.csv --loss sparse_categorical_crossentropy --metrics accuracy
`;

const OPTIONS = {
  x: { type: 'string' },
  y: { type: 'string' },
  loss: { type: 'string' },
  metrics: { type: 'string' },
  'batch-size': { type: 'string' },
  config: { type: 'string' },
} as const;

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args, OPTIONS);
  const file = onlyFile(positionals);
  if (options.x === undefined || options.y === undefined) throw new UsageError('samples and targets are needed: --x and --y');
  if (options.metrics !== undefined && options.loss === undefined) throw new UsageError('--metrics needs a --loss');
  const batchSize = options['batch-size'] === undefined ? {} : { batchSize: wholeNumber('batch-size', options['batch-size']) };
  const model = await loadModel(file, options.config, { device: 'cpu', compile: options.loss === undefined });
  const [x, y] = [await readArray(options.x), await readArray(options.y)];
  const metrics = options.metrics?.split(',').map((name) => name.trim());
  const how = { ...(options.loss !== undefined && { loss: options.loss }), ...(metrics && { metrics }), ...batchSize };
  const logs = await model.evaluate(flat(x), flat(y), how);
  await writeParts(STANDARD, [`${JSON.stringify(logs)}\n`]);
}

async function readArray(path: string): Promise<InputValues> {
  const values = await readValues(path);
  if (values instanceof Table) return values.tensor;
  if (isValues(values)) return values;
  throw new NearsideError('value', `${path}: one array expected, not an object of several`);
}

/** Samples one behind the other: how many values each has, the model knows. */
function flat(values: InputValues): InputValues {
  return values instanceof Tensor ? values.data : values;
}
