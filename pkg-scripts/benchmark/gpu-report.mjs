// The measurements on WebGPU in Markdown.
import { LOAD_TIMES } from './cold.mjs';
import { GPU_FAMILIES } from './gpu-contenders.mjs';
import { layersOf, percent, ratio, section, spread } from './tables.mjs';
import { digits, median } from './statistics.mjs';

export function gpuMarkdown({ machine, browser, command, date, rounds, measured, first }) {
  const { processor, cores } = machine;
  return `# Benchmark on WebGPU

${date}, ${processor}, ${cores} cores, ${browser} headless, by \`${command}\`. ${conditions(machine, measured)}

What is timed goes from a typed array to a typed array: a call of nearside's \`predict\`, or of what the peer has in its
place, with the outputs read back. All contenders have the same weights and inputs, random and not zero, and lie in one
page: each of ${rounds} rounds has a block of calls of every contender, 200 ms or one call long, and begins with another one.
Numbers are medians over the rounds, with the quartiles in brackets. After every block outputs are compared with a forward
pass in double precision for every sample: a difference of more than 1e-4 of the largest output ends the run.

That all of them run on WebGPU: nearside's \`model.device.kind\` and TensorFlow.js's \`getBackend\` say so after every block;
ONNX Runtime makes no session when a node would go to its CPU provider (\`session.disable_cpu_ep_fallback\`); jax-js is
given no other device. A prediction of each is watched before it is timed, and every peer must run a kernel a layer at least.
${[ratios(measured), times(measured), errors(measured), requests(measured), firstAnswers(first)].join('')}`;
}

/** The run takes minutes: other work that began meanwhile is seen at its end. */
function conditions({ busy, busyAfter }, measured) {
  const { vendor, architecture, description } = adapterOf(measured);
  const name = [vendor, architecture, description].filter(Boolean).join(', ');
  const kind = isSoftware(adapterOf(measured))
    ? `Adapter: ${name}. **It is a software adapter, which computes on the CPU: read the ratios, not the times, and neither as those of a GPU.**`
    : `Adapter: ${name}.`;
  const doubt = `**Do not rely on these times: other work kept ${percent(busy)} of the processors busy when it began, ${percent(busyAfter)} when it ended.**`;
  return Math.max(busy, busyAfter) > 0.05 ? `${kind} ${doubt}` : kind;
}

function adapterOf(measured) {
  return measured[0].limits[0].adapter;
}

function isSoftware({ isFallbackAdapter, architecture, description }) {
  return isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${architecture} ${description}`);
}

function labelOf({ model, batch }) {
  return `${model.name}, ${batch}`;
}

function rowOf({ rows }, family) {
  return rows.find((row) => row.family === family);
}

/** The families that ran, nearside first. */
function familiesOf([{ rows }]) {
  return Object.keys(GPU_FAMILIES).filter((family) => rows.some((row) => row.family === family));
}

function ratios(measured) {
  const [own, ...peers] = familiesOf(measured);
  if (own !== 'nearside') return '';
  const text = `nearside's time as a part of the peer's: less than 1 is faster. Each is the median of the rounds' ratios. The last column is
its time as a multiple of what a single submission that copies 40 bytes takes until they are read, the least for any answer
from this GPU; for one sample only.`;
  const names = peers.map((family) => GPU_FAMILIES[family]);
  const head = ['model, batch', ...names, ...(peers.length > 0 ? ['the fastest peer'] : []), 'empty submission'];
  const body = measured.map((one) => {
    const nearside = rowOf(one, 'nearside');
    const others = peers.map((family) => rowOf(one, family));
    const empty = one.batch === 1 ? ratio(nearside, one.limits[0]) : '';
    return [labelOf(one), ...others.map((row) => ratio(nearside, row)), ...fastest(nearside, others), empty];
  });
  return section('Ratios', text, head, body);
}

function fastest(nearside, others) {
  if (others.length === 0) return [];
  const [best] = others.toSorted((a, b) => median(a.times) - median(b.times));
  return [`${ratio(nearside, best)} ${best.title}`];
}

function times(measured) {
  const families = familiesOf(measured);
  const head = ['model, batch', ...families.map((family) => GPU_FAMILIES[family]), measured[0].limits[0].title];
  const body = measured.map((one) => {
    return [labelOf(one), ...[...families.map((family) => rowOf(one, family)), one.limits[0]].map((row) => spread(row.times))];
  });
  const models = new Map(measured.map(({ model }) => [model.name, layersOf(model)]));
  const text = ['Milliseconds of a call.', ...[...models].map(([name, layers]) => `${name}: ${layers}.`)].join(' ');
  return section('Times', text, head, body);
}

function errors(measured) {
  const families = familiesOf(measured);
  const text = 'The largest difference from double precision found, as a part of the largest output.';
  const head = ['model, batch', ...families.map((family) => GPU_FAMILIES[family])];
  const body = measured.map((one) => [labelOf(one), ...families.map((family) => rowOf(one, family).difference.toExponential(1))]);
  return section('Errors', text, head, body);
}

function requests(measured) {
  const text = `Watched once before the rounds. A kernel stands with its workgroups, as many times as it runs in a row.`;
  const counted = [['submit', 'submissions'], ['writeBuffer', 'writes'], ['createBuffer', 'buffers'], ['createBindGroup', 'bind groups']];
  const head = ['model, batch', '', 'kernels', ...counted.map(([, title]) => title), 'workgroups'];
  const body = measured.flatMap((one) => {
    return one.rows.map(({ title, seen: { counts, dispatches } }) => {
      return [labelOf(one), title, dispatches.length, ...counted.map(([method]) => counts[method] ?? 0), runs(dispatches)];
    });
  });
  return section('What a prediction asks of WebGPU', text, head, body);
}

/** The sizes of dispatches, equal neighbours together. */
function runs(dispatches) {
  const all = [];
  for (const { size } of dispatches) {
    const text = size.join('×').replace(/(×1)+$/, '');
    if (all.at(-1)?.text === text) all.at(-1).count++;
    else all.push({ text, count: 1 });
  }
  return all.map(({ text, count }) => (count > 1 ? `${count} of ${text}` : text)).join('; ');
}

function firstAnswers(first) {
  if (!first) return '';
  const text = `A new page in a running browser, the model mnist, batch 1: the time of importing the runtime's script, then from the call
that loads the model to the first answer, with whatever the runtime fetches, compiles and tries for it. *Empty caches* is a
host that the browser has not seen, *full caches* one that it has seen three times. Files come plain from a local server.`;
  const kinds = [['full caches', first.warm], ['empty caches', first.cold]];
  const head = ['', ...kinds.flatMap(([kind]) => LOAD_TIMES.map(({ title }) => `${kind}: ${title}`)), 'files, KB'];
  const body = first.cold.map(({ name, files }, i) => {
    const cells = kinds.flatMap(([, contenders]) => LOAD_TIMES.map(({ time }) => spread(contenders[i].runs.map(time))));
    return [name, ...cells, digits(files.reduce((sum, { raw }) => sum + raw, 0) / 1000)];
  });
  return section('First answer', text, head, body);
}
