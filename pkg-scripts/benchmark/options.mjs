// What a benchmark is asked for, and the machine it runs on.
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { pause } from '../browser.mjs';
import { MODELS } from './models.mjs';

/** Reads the command line. `families` are those that may run, `rounds` how many rounds there are unless it says. */
export function readOptions({ families, rounds: usual }) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: String(usual) },
      models: { type: 'string', default: Object.keys(MODELS).join() },
      only: { type: 'string', default: Object.keys(families).join() },
      out: { type: 'string' },
      pkg: { type: 'string', default: 'pkg' },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds is ${values.rounds}; give a whole number from 1`);
  const names = chosen('models', values.models, MODELS);
  const only = chosen('only', values.only, families);
  const whole = names.length === Object.keys(MODELS).length && only.length === Object.keys(families).length;
  return { rounds, names, only, pkg: values.pkg, out: values.out ?? (whole ? 'docs' : 'target/bench-results') };
}

/** The names that an option lists. */
function chosen(option, list, known) {
  const names = list.split(',');
  const unknown = names.find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return names;
  throw new Error(`--${option} does not take '${unknown}'; it takes ${Object.keys(known).join(', ')}`);
}

/** The command that was run, of the script `script` in package.json. */
export function commandLine(script) {
  return [`npm run ${script}`, ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ');
}

export async function describeMachine() {
  const machine = { processor: cpus()[0].model.trim(), cores: cpus().length, busy: await busyPart() };
  if (machine.busy > 0.05) console.warn(`${(100 * machine.busy).toFixed(0)} % of the processors are busy: the times will be wrong`);
  return machine;
}

/** How much of all processors others use, over two seconds. */
export async function busyPart() {
  const sum = () => {
    const times = cpus().map(({ times }) => times);
    const total = (kinds) => times.reduce((sum, time) => kinds.reduce((sum, kind) => sum + time[kind], sum), 0);
    return { idle: total(['idle']), all: total(Object.keys(times[0])) };
  };
  const before = sum();
  await pause(2000);
  const after = sum();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}
