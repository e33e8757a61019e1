import type { DeviceCost, DeviceReport, Model } from './nearside/nearside.js';
import { find } from './dom.js';
import { clearError, showError } from './errors.js';
import { count, duration, plural, rowLength } from './format.js';

/** Values of a batch that is measured, about: as many as a phone's GPU takes at once. */
const VALUES = 2 ** 18;
const MOST_ROWS = 512;
/** The plot, in its own units. */
const WIDTH = 640;
const HEIGHT = 220;
const MARGIN = { left: 64, right: 52, top: 14, bottom: 30 };
const NAMES = { cpu: 'CPU', gpu: 'GPU' } as const;

/** Measures a model on the CPU and the GPU, and plots what a batch costs each. */
export class Measure {
  readonly #button = find<HTMLButtonElement>('measure');
  readonly #state = find('measure-state');
  readonly #plot = find('measure-plot');
  #model: Model | null = null;

  constructor(private readonly onMeasured: () => void) {
    this.#button.addEventListener('click', () => void this.#measure());
  }

  follow(model: Model): void {
    this.#model = model;
    this.#show(model.device);
  }

  /** There is a GPU, or there is none. */
  enable(works: boolean): void {
    find('measuring').hidden = !works;
  }

  async #measure(): Promise<void> {
    const model = this.#model;
    const batch = model && makeBatch(model);
    if (!model || !batch) return;
    clearError();
    this.#button.disabled = true;
    this.#state.textContent = 'Measuring…';
    try {
      const report = await model.calibrate(batch);
      if (model === this.#model) this.#show(report);
      this.onMeasured();
    } catch (error) {
      this.#state.textContent = '';
      showError(find('measure-errors'), error);
    } finally {
      this.#button.disabled = false;
    }
  }

  #show({ calibration, adapter = 'GPU' }: DeviceReport): void {
    this.#plot.hidden = !calibration;
    this.#state.textContent = '';
    if (!calibration) return;
    this.#plot.replaceChildren(plot(calibration));
    const { crossover } = calibration;
    this.#state.textContent = crossover === undefined ? `The CPU is faster than ${adapter} for any number of samples.` : `${adapter} is faster than the CPU from ${plural(crossover, 'sample')} on.`;
  }
}

/** Random numbers for every input of a model; nothing where an input's size is not known. */
function makeBatch(model: Model): Record<string, Float32Array> | null {
  const widths = model.inputs.map(({ shape }) => rowLength(shape));
  const all = widths.reduce<number>((sum, width) => sum + (width ?? NaN), 0);
  if (Number.isNaN(all)) return null;
  const batched = model.inputs.every(({ shape }) => shape[0] === null);
  const rows = batched ? Math.min(MOST_ROWS, Math.max(1, Math.floor(VALUES / all))) : 1;
  return Object.fromEntries(model.inputs.map(({ name }, i) => [name, Float32Array.from({ length: rows * widths[i]! }, Math.random)]));
}

type Calibration = NonNullable<DeviceReport['calibration']>;

/** Milliseconds against samples, both by powers. */
function plot(calibration: Calibration): SVGElement {
  const cost = ({ overhead, perSample }: DeviceCost, samples: number) => Math.max(overhead + samples * perSample, 1e-4);
  const most = 4096;
  const ends = (['cpu', 'gpu'] as const).flatMap((device) => [1, most].map((samples) => Math.log10(cost(calibration[device], samples))));
  const [low, high] = [Math.floor(Math.min(...ends)), Math.ceil(Math.max(...ends) + 1e-9)];
  const x = (samples: number) => MARGIN.left + ((WIDTH - MARGIN.left - MARGIN.right) * Math.log2(samples)) / Math.log2(most);
  const y = (ms: number) => HEIGHT - MARGIN.bottom - ((HEIGHT - MARGIN.top - MARGIN.bottom) * (Math.log10(ms) - low)) / (high - low);

  const svg = element('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': 'Time of a batch against its number of samples, on the CPU and on the GPU' });
  for (let power = low; power <= high; power++) {
    svg.append(line('grid-line', MARGIN.left, y(10 ** power), WIDTH - MARGIN.right, y(10 ** power)));
    svg.append(label('axis', MARGIN.left - 8, y(10 ** power) + 4, duration(10 ** power), 'end'));
  }
  for (let samples = 1; samples <= most; samples *= 8) svg.append(label('axis', x(samples), HEIGHT - 10, samples === 1 ? '1 sample' : count(samples), 'middle'));
  const { crossover } = calibration;
  if (crossover !== undefined && crossover <= most) {
    svg.append(line('crossover', x(crossover), MARGIN.top, x(crossover), HEIGHT - MARGIN.bottom));
  }
  for (const device of ['cpu', 'gpu'] as const) {
    const samples = Array.from({ length: 49 }, (_, i) => most ** (i / 48));
    const points = samples.map((samples) => `${x(samples).toFixed(1)},${y(cost(calibration[device], samples)).toFixed(1)}`);
    svg.append(element('polyline', { class: device, points: points.join(' ') }));
    svg.append(label(device, WIDTH - MARGIN.right + 8, y(cost(calibration[device], most)) + 4, NAMES[device], 'start'));
  }
  return svg;
}

function line(name: string, x1: number, y1: number, x2: number, y2: number): SVGElement {
  return element('line', { class: name, x1: String(x1), y1: String(y1), x2: String(x2), y2: String(y2) });
}

function label(name: string, x: number, y: number, text: string, anchor: string): SVGElement {
  const made = element('text', { class: name, x: String(x), y: String(y), 'text-anchor': anchor });
  made.textContent = text;
  return made;
}

function element(tag: string, attributes: Record<string, string>): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
