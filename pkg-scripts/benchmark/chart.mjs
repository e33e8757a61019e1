// The measurements as a picture: grouped bars in SVG.
import { FAMILIES } from './contenders.mjs';
import { usualRow } from './report.mjs';
import { digits, median } from './statistics.mjs';

/** With one thread and with two; all visible on white and on black. */
const COLOURS = {
  nearside: ['#79b8ff', '#0969da'],
  ort: ['#fbc36b', '#c2570c'],
  tfjs: ['#c4b5fd', '#7c3aed'],
  jax: ['#86d9b0', '#0a7d58'],
};

const BAR = 11;
const GAP = 26;
const PLOT = { left: 46, top: 92, height: 230 };
const LABELS = 44;
/** Of a letter, on average: a picture in a page cannot measure its text. */
const LETTER = 6.7;

/** Bars are the speed as a part of the fastest one's, for each model and batch. */
export function chart(isolated) {
  const series = Object.keys(FAMILIES)
    .flatMap((family) => [1, 2].map((threads) => ({ family, threads })))
    .filter(({ family, threads }) => isolated.some(({ rows }) => usualRow(rows, family, threads)));
  const groupWidth = series.length * BAR + GAP;
  const width = Math.max(820, PLOT.left + isolated.length * groupWidth + 10);
  const height = PLOT.top + PLOT.height + LABELS;
  const step = (width - PLOT.left - 10) / isolated.length;

  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-labelledby="title">
<title id="title">Speed of nearside and its peers, as a part of the fastest one's</title>
<style>
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .small { font-size: 11px; fill: #59636e; }
  .line { stroke: #d1d9e0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .small { fill: #9198a1; }
    .line { stroke: #3d444d; }
  }
</style>
${legend(series)}
${[0, 25, 50, 75, 100].map((part) => gridLine(part, width)).join('\n')}
${isolated.map((pair, i) => group(pair, series, PLOT.left + (i + 0.5) * step)).join('\n')}
</svg>
`;
}

function legend(series) {
  let left = PLOT.left;
  const entries = Object.keys(FAMILIES).flatMap((family) => {
    const own = series.filter((one) => one.family === family);
    const names = own.map(({ threads }) => `${FAMILIES[family]}, ${threads} thread${threads > 1 ? 's' : ''}`);
    const x = left;
    left += Math.max(0, ...names.map((name) => 40 + LETTER * name.length));
    return own.map(({ threads }, i) => {
      const y = threads === 1 ? 8 : 28;
      const square = `<rect x="${x.toFixed(1)}" y="${y}" width="11" height="11" rx="2" ${fill(family, threads)}/>`;
      return `${square}<text x="${(x + 17).toFixed(1)}" y="${y + 10}">${names[i]}</text>`;
    });
  });
  const caption = "Speed as a part of the fastest one's, whose time is below; f32, longer is faster";
  return [...entries, `<text class="small" x="${PLOT.left}" y="${PLOT.top - 12}">${caption}</text>`].join('\n');
}

function fill(family, threads) {
  return `fill="${COLOURS[family][threads - 1]}"`;
}

function gridLine(part, width) {
  const y = PLOT.top + PLOT.height * (1 - part / 100);
  const label = `<text class="small" text-anchor="end" x="${PLOT.left - 6}" y="${y + 4}">${part} %</text>`;
  return `<line class="line" x1="${PLOT.left}" x2="${width - 10}" y1="${y}" y2="${y}"/>${label}`;
}

function group({ model, batch, rows }, series, centre) {
  const times = series.map(({ family, threads }) => {
    const row = usualRow(rows, family, threads);
    return row ? median(row.times) : Infinity;
  });
  const fastest = Math.min(...times);
  const left = centre - (series.length * BAR) / 2;
  const bars = series.map(({ family, threads }, i) => {
    const height = (PLOT.height * fastest) / times[i];
    const [x, y] = [left + i * BAR, PLOT.top + PLOT.height - height].map((at) => at.toFixed(1));
    const title = `<title>${FAMILIES[family]}, ${threads}: ${digits(times[i])} ms</title>`;
    return `<rect x="${x}" y="${y}" width="${BAR - 1}" height="${height.toFixed(1)}" ${fill(family, threads)}>${title}</rect>`;
  });
  const text = (line, words, kind = '') =>
    `<text${kind} text-anchor="middle" x="${centre.toFixed(1)}" y="${PLOT.top + PLOT.height + 16 * line}">${words}</text>`;
  const labels = [text(1, `${model.name}, ${batch}`), text(2, `${digits(fastest)} ms`, ' class="small"')];
  return [...bars, ...labels].join('\n');
}
