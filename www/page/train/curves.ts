// uPlot draws thousands of points in a millisecond, with axes and a legend that follows the pointer, in 20 KB.
import uPlot from 'uplot';
import { find, make } from '../dom.js';

/** Points of the loss by batches, in all and an epoch, at most: as many as can be told apart. */
const POINTS = 2000;
const POINTS_OF_EPOCH = 40;
/** Epochs up to which each is marked. */
const MARKED = 40;
const HEIGHT = 220;

interface Line {
  label: string;
  /** Custom property of the style sheet. */
  colour: string;
  /** A line through epochs, which are marked where they are few. */
  marked: boolean;
}

const TRAINING: Line = { label: 'training', colour: '--idle', marked: true };
const VALIDATION: Line = { label: 'validation', colour: '--accent', marked: true };
const BATCHES: Line = { label: 'batches', colour: '--faint', marked: false };

/** One plot over the epochs: values are added from left to right. */
export class Curves {
  #plot: uPlot | null = null;
  #xs: number[] = [];
  #lines: (number | null)[][] = [];
  #stale = false;
  #bucket: number[] = [];
  #pointsOfEpoch = POINTS_OF_EPOCH;
  readonly #place: HTMLElement;

  /** `batches`: whether the loss of the batches between is plotted, too. */
  constructor(
    id: string,
    private readonly batches: boolean,
  ) {
    this.#place = find(id);
    new ResizeObserver(() => this.#resize()).observe(this.#place);
    // The style sheet's colours are read when it is drawn.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#plot?.redraw(false));
  }

  begin(title: string, epochs: number, format: (value: number) => string, top?: number): void {
    this.#plot?.destroy();
    this.#xs = [];
    this.#pointsOfEpoch = Math.min(POINTS_OF_EPOCH, POINTS / epochs);
    const lines = this.batches ? [BATCHES, TRAINING, VALIDATION] : [TRAINING, VALIDATION];
    this.#lines = lines.map(() => []);
    this.#place.replaceChildren(make('h3', { text: title }));
    this.#plot = new uPlot(options(this.#width(), epochs, lines, format, top), this.#data(), this.#place);
  }

  /** The loss of a batch, `at` epochs from the start. */
  batch(at: number, loss: number, ofEpoch: number): void {
    this.#bucket.push(loss);
    if (this.#bucket.length < ofEpoch / this.#pointsOfEpoch) return;
    const mean = this.#bucket.reduce((sum, value) => sum + value, 0) / this.#bucket.length;
    this.#bucket = [];
    this.#add(at, [mean, null, null]);
  }

  /** What was trained and what was validated, behind an epoch. */
  epoch(at: number, training: number, validation: number): void {
    this.#bucket = [];
    this.#add(at, this.batches ? [null, training, validation] : [training, validation]);
    this.#place.setAttribute('aria-label', `${this.#place.dataset.label} by epoch; the last: training ${training.toPrecision(3)}, validation ${validation.toPrecision(3)}`);
  }

  /** Forgets what came after `at` epochs. */
  rewind(at: number): void {
    this.#bucket = [];
    while (this.#xs.length > 0 && this.#xs.at(-1)! > at) {
      this.#xs.pop();
      this.#lines.forEach((line) => line.pop());
    }
    this.#redraw();
  }

  #add(at: number, values: (number | null)[]): void {
    // The last batch and the epoch's end are one place.
    if (at <= (this.#xs.at(-1) ?? 0)) {
      values.forEach((value, i) => value !== null && (this.#lines[i]![this.#xs.length - 1] = value));
    } else {
      this.#xs.push(at);
      values.forEach((value, i) => this.#lines[i]!.push(value));
    }
    this.#redraw();
  }

  /** At most once a frame: batches come faster. */
  #redraw(): void {
    if (this.#stale) return;
    this.#stale = true;
    requestAnimationFrame(() => {
      this.#stale = false;
      this.#plot?.setData(this.#data());
    });
  }

  #data(): uPlot.AlignedData {
    return [this.#xs, ...this.#lines];
  }

  #resize(): void {
    const width = this.#width();
    if (width > 0 && this.#plot?.width !== width) this.#plot?.setSize({ width, height: HEIGHT });
  }

  #width(): number {
    return this.#place.clientWidth;
  }
}

function options(width: number, epochs: number, lines: Line[], format: (value: number) => string, top?: number): uPlot.Options {
  const axis: uPlot.Axis = { stroke: () => colour('--quiet'), font: '12px system-ui', ticks: { show: false }, grid: { stroke: () => colour('--line'), width: 1 } };
  return {
    width,
    height: HEIGHT,
    scales: { x: { time: false, range: [0, epochs] }, y: { range: (_, low, high) => extent(low, high, top) } },
    axes: [
      { ...axis, grid: { show: false }, size: 28, values: (_, splits) => splits.map((at) => (Number.isInteger(at) ? String(at) : '')) },
      { ...axis, size: 52, values: (_, splits) => splits.map(format) },
    ],
    series: [
      { label: 'epoch', value: (_, at) => (at === null ? '–' : String(Number(at?.toFixed(2)))) },
      ...lines.map((line) => series({ ...line, marked: line.marked && epochs <= MARKED }, format)),
    ],
    cursor: { drag: { x: false, y: false }, dataIdx: (plot, line, at) => nearest(plot.data[line]!, at) },
  };
}

function series({ label, colour: name, marked }: Line, format: (value: number) => string): uPlot.Series {
  return {
    label,
    stroke: () => colour(name),
    width: name === BATCHES.colour ? 1 : 2,
    spanGaps: true,
    points: { show: marked, size: 5, fill: () => colour(name) },
    value: (_, value) => (value === null || value === undefined ? '–' : format(value)),
  };
}

/** The place of the value nearest to `at`: each line has values where others have none. */
function nearest(values: ArrayLike<number | null | undefined>, at: number): number {
  for (let distance = 0; distance < values.length; distance++) {
    const found = [at - distance, at + distance].find((i) => typeof values[i] === 'number');
    if (found !== undefined) return found;
  }
  return at;
}

/** Room around the values; from 0 where that is near, and never above `top`. */
function extent(low: number | null, high: number | null, top = Infinity): [number, number] {
  if (low === null || high === null) return [0, Math.min(1, top)];
  const room = (high - low || Math.abs(high) || 1) * 0.1;
  const from = low - room < high * 0.3 ? 0 : low - room;
  return [Math.min(from, low), Math.min(top, high + room)];
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
