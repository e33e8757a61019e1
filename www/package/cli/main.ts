#!/usr/bin/env node
/** The command line: `nearside COMMAND`. Exits with 0, with 1 when a file, model or input is at fault, 2 for wrong usage. */
import { readFileSync } from 'node:fs';
import { NearsideError } from '../node.js';
import { UsageError } from './arguments.js';
import * as convert from './convert.js';
import * as evaluate from './evaluate.js';
import { STANDARD, isBrokenPipe, writeParts } from './files.js';
import * as inspect from './inspect.js';
import * as open from './open.js';
import * as predict from './predict.js';
import { report } from './report.js';
import * as seal from './seal.js';
import * as serve from './serve.js';
import * as token from './token.js';

const HELP = `Usage: nearside COMMAND FILE [options]

Runs neural networks: Keras, ONNX, TensorFlow.js and safetensors files, as they are.

Commands:
  inspect FILE...                 print what a model file holds
  predict FILE --input VALUES     print a model's answers for samples in a .npy, .csv or .json file
  evaluate FILE --x X --y Y       print the loss and the metrics for samples whose targets are known
  serve FILE...                   answer the Open Inference Protocol over HTTP
  token KEY --origin O --scope S  print a token for a service
  convert FILE --to FORMAT        write a model as h5, keras, onnx or safetensors
  seal FILE --output FILE         encrypt a file, sign it, or both
  open FILE --output FILE         open a file that was sealed

FILE is a path or an address. Files that belong to it, such as weights beside a model.json, are found next to it.

Options:
  -h, --help      print this, or a command's own help behind it
      --version   print the version

Exit status: 0, 1 when a file, a model or an input is at fault, 2 for wrong usage.
`;

const COMMANDS: Record<string, { HELP: string; run: (args: string[]) => Promise<void> }> = { inspect, predict, evaluate, convert, seal, open, serve, token };

// What cannot be printed is reported where it is written.
process.stdout.on('error', () => {});

const [name, ...args] = process.argv.slice(2);
try {
  await main(name, args);
} catch (error) {
  end(error);
}

async function main(name: string | undefined, args: string[]): Promise<void> {
  if (name === '--help' || name === '-h') return print(HELP);
  if (name === '--version') return print(`${version()}\n`);
  if (name === undefined) throw new UsageError('no command given');
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) throw new UsageError(`there is no command '${name}'`);
  if (args.includes('--help') || args.includes('-h')) return print(command.HELP);
  return command.run(args);
}

function print(text: string): Promise<void> {
  return writeParts(STANDARD, [text]);
}

function version(): string {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
}

/** Says what went wrong, and sets the exit status. */
function end(error: unknown): void {
  if (isBrokenPipe(error)) return; // whoever read it has seen enough
  if (error instanceof NearsideError) return report(error);
  if (!(error instanceof UsageError)) return report(new NearsideError('internal', String(error), {}, { cause: error }));
  const help = name !== undefined && Object.hasOwn(COMMANDS, name) ? `nearside ${name} --help` : 'nearside --help';
  process.stderr.write(`nearside: ${error.message}; see ${help}\n`);
  process.exitCode = 2;
}
