// The measurements in Markdown.
import { COLD_TIMES } from './cold.mjs';
import { DTYPES, FAMILIES, nameOf } from './contenders.mjs';
import { operations, weightBytes } from './models.mjs';
import { digits, median } from './statistics.mjs';
import { layersOf, percent, ratio, section, spread } from './tables.mjs';

const ABSENT = 'not in this package';
const PEERS = Object.keys(FAMILIES).filter((family) => family !== 'nearside');

/** The whole report. `chart` is the picture's file name. */
export function markdown({ machine, browser, command, date, rounds, isolated, plain, cold, chart }) {
  const { processor, cores } = machine;
  return `# Benchmark

${date}, ${processor}, ${cores} cores, ${browser} headless, by \`${command}\`. ${conditions(machine, isolated)}

What is timed goes from a typed array to a typed array: a call of nearside's \`predict\`, or of what the peer has in its
place. All contenders have the same weights and inputs, random and not zero, and lie in one browser: each of ${rounds} rounds
has a block of calls of every contender, 20 ms or one call long, and begins with another one. Numbers are medians over the
rounds, with the quartiles in brackets. After every block outputs are compared with a forward pass in double precision for
every sample; the column *error* is the largest difference found, as a part of the largest output.

![Speed as a part of the fastest one's, for each model and batch](${chart})
${[ratios(isolated), ...isolated.map(pair), limits(isolated), withoutIsolation(plain), coldStart(cold)].join('')}`;
}

/** Other work on the machine spoils the times, above all those of two threads. */
function conditions({ busy }, isolated) {
  const [one, two] = [1, 2].map((threads) => median(isolated.map(({ limits }) => rate(limitOf(limits, 'madd', threads)))));
  const gain = `Two threads computed ${digits(two / one)} times as much as one in the loop that only computes`;
  const doubts = [
    ...(busy > 0.05 ? [`other work kept ${percent(busy)} of the processors busy when it began`] : []),
    ...(two < 1.5 * one ? ['the second processor was not free, or is half of a core'] : []),
  ];
  return doubts.length > 0 ? `${gain}. **Do not rely on these times: ${doubts.join('; ')}.**` : `${gain}.`;
}

/** The row that a page gets without asking for anything but threads, or a peer's. */
export function usualRow(rows, family, threads) {
  return rows.find((row) => {
    const usual = row.family === family && row.threads === threads && row.dtype === 'f32' && !row.sync && !row.absent;
    return usual && (row.options.build ?? 'default') === 'default';
  });
}

function ratios(isolated) {
  const has = (family, threads) => isolated.some(({ rows }) => usualRow(rows, family, threads));
  const columns = [1, 2]
    .flatMap((threads) => PEERS.map((family) => ({ threads, family })))
    .filter(({ family, threads }) => has(family, threads) && has('nearside', threads));
  if (columns.length === 0) return '';
  const text = `nearside's time as a part of the peer's with as many threads, both with f32: less than 1 is faster. Each is the median of
the rounds' ratios.`;
  const head = columns.map(({ family, threads }) => `${FAMILIES[family]}, ${threads}`);
  const body = isolated.map(({ model, batch, rows }) => [
    `${model.name}, ${batch}`,
    ...columns.map(({ family, threads }) => ratio(usualRow(rows, 'nearside', threads), usualRow(rows, family, threads))),
  ]);
  return section('Ratios', text, ['model, batch', ...head], body);
}

function pair({ model, batch, rows, limits }) {
  const single = batch === 1;
  const head = ['', 'ms', 'GFLOP/s', 'of the peak', ...(single ? ['of reading memory'] : []), 'error'];
  const body = rows.map((row) => {
    const name = nameOf(row);
    if (row.absent) return [name, ABSENT, ...head.slice(2).map(() => '–')];
    const { times, threads, dtype, difference } = row;
    const seconds = median(times) / 1000;
    const limit = (id) => rate(limitOf(limits, id, threads));
    const speed = (operations(model) * batch) / seconds;
    const peak = row.simd === 'simd128' ? limit('muladd') : limit('madd');
    const memory = weightBytes(model, DTYPES[dtype].size) / seconds / limit('read');
    const parts = [speed / peak, ...(single ? [memory] : [])];
    return [name, spread(times), digits(speed / 1e9), ...parts.map(percent), difference.toExponential(1)];
  });
  return section(`${model.name}, batch ${batch}`, layersOf(model), head, body);
}

function limitOf(limits, id, threads) {
  return limits.find((limit) => limit.probe.id === id && limit.threads === threads);
}

/** Operations or bytes a second. */
function rate({ probe, times }) {
  return probe.work / (median(times) / 1000);
}

function limits(isolated) {
  const text = `Loops of WebAssembly in the same rounds: sums of vectors in registers, as many as fit, and 128 MB for each thread that are
read, or half of them copied to the other half. *Of the peak* above is the part of \`relaxed_madd\`'s with as many threads, for
nearside's simd128 build of multiplication and addition's. *Of reading memory* is the weights' bytes in the time of a call, as
a part of what the reading loop gets through: more than 100 % where caches hold the weights.`;
  const body = isolated[0].limits.map((limit, i) => {
    const times = isolated.flatMap(({ limits }) => limits[i].times);
    const unit = ['madd', 'muladd'].includes(limit.probe.id) ? 'GFLOP/s' : 'GB/s';
    return [nameOf(limit), `${spread(times.map((time) => limit.probe.work / time / 1e6))} ${unit}`];
  });
  return section('What the machine can do', text, ['loop', 'rate'], body);
}

function withoutIsolation(plain) {
  const body = plain.flatMap(({ model, batch, rows }) => {
    return rows
      .filter(({ sync }) => !sync)
      .map((row) => [`${model.name}, ${batch}`, nameOf(row), ...(row.absent ? [ABSENT, '–'] : [spread(row.times), ratio(row, rows[0])])]);
  });
  if (body.length === 0) return '';
  const text = `Pages that are served without COOP and COEP share no memory between threads: ONNX Runtime Web and TensorFlow.js have one
thread there, nearside's workers have memories of their own. The last column is the time as a part of the first contender's.`;
  return section('Without cross-origin isolation', text, ['model, batch', '', 'ms', 'ratio'], body);
}

function coldStart(cold) {
  if (!cold) return '';
  const text = `From an empty page to the first prediction of the model mnist, on one thread, with nothing cached. Files come plain from a
local server; brotli is what it would make of them. The weights are random, which compresses a little less than trained ones.`;
  const isModel = ({ name }) => name.startsWith('mnist');
  const body = cold.map(({ name, runs, files }) => {
    const parts = [files.filter((file) => !isModel(file)), files.filter(isModel)];
    const sizes = parts.flatMap((files) => ['raw', 'brotli'].map((form) => files.reduce((sum, file) => sum + file[form], 0)));
    return [name, ...COLD_TIMES.map(({ time }) => spread(runs.map(time))), ...sizes.map((size) => digits(size / 1000))];
  });
  const head = ['', ...COLD_TIMES.map(({ title }) => title), 'runtime, KB', 'brotli', 'model, KB', 'brotli'];
  return section('Cold start', text, head, body);
}
