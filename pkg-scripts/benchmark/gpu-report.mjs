// The measurements on WebGPU in Markdown.
import { nameOf } from './contenders.mjs';
import { operations } from './models.mjs';
import { section, spread } from './report.mjs';
import { digits, median } from './statistics.mjs';

export function gpuMarkdown({ machine, browser, command, date, rounds, first, measured }) {
  const { adapter, software } = measured[0].limits[0];
  const honesty = software
    ? `**The adapter, ${adapter}, is software: it computes on the processor. Ratios mean something here, times do not.**`
    : `The adapter is ${adapter}.`;
  return `# Benchmark on WebGPU

${date}, ${machine}, ${browser} headless, by \`${command}\`. ${honesty}

What is timed goes from a typed array to a typed array, so that uploading and reading back are in it. All contenders have the
same weights and inputs, random and not zero, and lie in one browser: each of ${rounds} rounds has a block of calls of every
contender, 20 ms or one call long, and begins with another one. Numbers are medians over the rounds, with the quartiles in
brackets. After every block outputs are compared with a forward pass in double precision for every sample; the column *error*
is the largest difference found, as a part of the largest output.
${firstAnswer(first)}${ratios(measured)}${measured.map(table).join('')}`;
}

function firstAnswer(first) {
  if (first.length === 0) return '';
  const text = `From \`load\`, or what the peer has in its place, to the first answer of the model mnist for one sample, in a frame of its own
each time; files come from the browser's cache. Nearside's has its comparison with the CPU in it. Before that the script is
loaded, which is the second column.`;
  const body = first.map((contender) => [nameOf(contender), spread(contender.answers), spread(contender.scripts)]);
  return section('First answer', text, ['', 'ms', 'script, ms'], body);
}

function ratios(measured) {
  const peers = measured[0].rows.filter(({ family }) => family !== 'nearside');
  const own = ({ rows }) => rows.find(({ family }) => family === 'nearside');
  if (peers.length === 0 || !own(measured[0])) return '';
  const text = `The peer's time as a multiple of nearside's: more than 1 is for nearside. Each is the median of the rounds' ratios. The last
column is nearside's time as a multiple of an empty submission's that is read back.`;
  const over = (a, b) => spread(a.times.map((time, round) => time / b.times[round]));
  const body = measured.map((entry) => [
    `${entry.model.name}, ${entry.batch}`,
    ...peers.map(({ family }) => over(entry.rows.find((row) => row.family === family), own(entry))),
    over(own(entry), entry.limits[0]),
  ]);
  return section('Ratios', text, ['model, batch', ...peers.map(nameOf), 'empty submission'], body);
}

function table({ model, batch, rows, limits }) {
  const body = [...rows, ...limits].map((row) => {
    const speed = row.probe ? '–' : digits((operations(model) * batch) / median(row.times) / 1e6);
    return [nameOf(row), spread(row.times), speed, row.probe ? '–' : row.difference.toExponential(1)];
  });
  const units = [model.layers[0].from, ...model.layers.map(({ to, activation }) => `${to} (${activation})`)];
  return section(`${model.name}, batch ${batch}`, units.join(' → '), ['', 'ms', 'GFLOP/s', 'error'], body);
}
