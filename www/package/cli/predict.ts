import { NearsideError, Tensor, type InputValues, type Model, type ModelInput, type ModelOutput } from '../node.js';
import { UsageError, oneOf, onlyFile, parse, wholeNumber } from './arguments.js';
import { STANDARD } from './files.js';
import { loadModel } from './load.js';
import { Table, isValues, kindOf, printedKind, readValues, writeValues } from './values.js';

export const HELP = `Usage: nearside predict FILE --input [NAME=]VALUES [options]

Prints the model's answer for each sample.

Options:
  -i, --input [NAME=]VALUES   the samples: a .npy, .csv or .json file, or - for standard input; for a model with
                              several inputs one for each, by name, or one .json file of { "NAME": [...] }
  -o, --output [NAME=]FILE    where the answer goes: a .npy, .csv or .json file, or - for standard output, as
                              without it; NAME= takes one output of several
      --json                  print JSON, where CSV would be printed
      --batch-size N          samples computed at once; all of them unless given
      --device DEVICE         cpu, gpu or auto (default: auto)
      --config FILE           the architecture (JSON), where FILE holds only weights
  -h, --help                  print this

A .csv file has a sample a line, in as many columns as a sample has values; they are separated by , ; or a tab, and
the first line may name them. A .json file has nested arrays. What is printed is CSV where the answer is one output
with a row of values for each sample, and JSON where it is more. Class labels are text, in .npy files their indices.

Examples:
  nearside predict model.h5 --input samples.csv
  nearside predict model.onnx --input pixels.npy --output probabilities.npy
  echo '[[5.1, 3.5, 1.4, 0.2]]' | nearside predict iris.keras --input -
`;

const OPTIONS = {
  input: { type: 'string', short: 'i', multiple: true },
  output: { type: 'string', short: 'o', multiple: true },
  json: { type: 'boolean' },
  'batch-size': { type: 'string' },
  device: { type: 'string' },
  config: { type: 'string' },
} as const;

export async function run(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args, OPTIONS);
  const file = onlyFile(positionals);
  const device = oneOf(['auto', 'cpu', 'gpu'], 'device', options.device ?? 'auto');
  const batchSize = options['batch-size'] === undefined ? {} : { batchSize: wholeNumber('batch-size', options['batch-size']) };
  const [inputs, outputs] = [options.input ?? [], options.output ?? [STANDARD]];
  if (inputs.length === 0) throw new UsageError('no samples given: use --input');
  assertOnce(inputs, 'input');
  assertOnce(outputs, 'output');
  for (const output of outputs) {
    if (!isStandard(output) && !kindOf(output)) throw new UsageError(`--output is '${output}'; end it in .npy, .csv or .json`);
  }

  const model = await loadModel(file, options.config, { device });
  const targets = outputs.map((output) => splitName(output, 'output', model));
  const answer = named(await model.predict<ModelOutput>(await readInputs(inputs, model), batchSize), model);
  for (const { name, path } of targets) {
    const chosen = name === undefined ? answer : { [name]: answer[name]! };
    const kind = path === STANDARD ? (options.json ? 'json' : printedKind(chosen)) : kindOf(path)!;
    await writeValues(path, kind, chosen);
  }
}

function isStandard(argument: string): boolean {
  return argument === STANDARD || argument.endsWith(`=${STANDARD}`);
}

function assertOnce(given: string[], option: string): void {
  if (given.filter(isStandard).length > 1) throw new UsageError(`--${option} is - more than once`);
}

/** Takes NAME=PATH apart, by the names that the model has. A path of that form can be written ./NAME=PATH. */
function splitName(argument: string, what: 'input' | 'output', model: Model): { name?: string; path: string } {
  const names = model[`${what}s`].map(({ name }) => name);
  const name = names.find((name) => argument.startsWith(`${name}=`));
  if (name !== undefined) return { name, path: argument.slice(name.length + 1) };
  const unknown = /^([^/\\]*)=/.exec(argument)?.[1];
  if (unknown === undefined) return { path: argument };
  const message = `the model has no ${what} '${unknown}'; it has ${names.join(', ')}`;
  throw new NearsideError('value', message, { tensor: unknown });
}

async function readInputs(given: string[], model: Model): Promise<ModelInput> {
  const files = given.map((input) => splitName(input, 'input', model));
  const [only, another] = files;
  if (only!.name === undefined && another === undefined) return readOnlyInput(only!.path, model);
  for (const [i, { name, path }] of files.entries()) {
    if (name === undefined) throw new UsageError(`--input ${path} names no input; write ${example(model)}`);
    if (files.findIndex((file) => file.name === name) < i) throw new UsageError(`the input '${name}' is given twice`);
  }
  const inputs: Record<string, InputValues> = {};
  for (const { name, path } of files as { name: string; path: string }[]) {
    const values = await readValues(path);
    const spec = model.inputs.find((input) => input.name === name)!;
    if (values instanceof Table) inputs[name] = values.toTensor(spec);
    else if (isValues(values)) inputs[name] = values;
    else throw new NearsideError('value', `${path}: one input's array expected, not an object of several`, { tensor: name });
  }
  return inputs;
}

async function readOnlyInput(path: string, model: Model): Promise<ModelInput> {
  const values = await readValues(path);
  if (!(values instanceof Table) && !isValues(values)) return values; // each by its name
  if (model.inputs.length > 1) {
    throw new NearsideError('value', `${path} holds one input, and the model has several; write ${example(model)}`);
  }
  return values instanceof Table ? values.toTensor(model.inputs[0]!) : values;
}

function example(model: Model): string {
  return model.inputs.map(({ name }) => `--input ${name}=FILE`).join(' ');
}

function named(answer: ModelOutput, model: Model): Record<string, Tensor> {
  return answer instanceof Tensor ? { [model.outputs[0]!.name]: answer } : answer;
}
