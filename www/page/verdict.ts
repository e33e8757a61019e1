import { find, make } from './dom.js';
import { percent } from './format.js';

export interface Verdict {
  digit: number;
  probability: number;
  /** The network gave scores, not probabilities: what is shown went through softmax here. */
  softmaxed: boolean;
}

interface Bar {
  row: HTMLLIElement;
  fill: HTMLElement;
  share: HTMLElement;
}

/** The prediction in large type and a bar for each digit. */
export class VerdictPanel {
  readonly #prediction = find('prediction');
  readonly #probability = find('probability');
  readonly #note = find('note');
  readonly #bars: Bar[];

  constructor() {
    const list = find('bars');
    this.#bars = Array.from({ length: 10 }, (_, digit) => {
      const fill = make('span', { class: 'fill' });
      const share = make('span', { class: 'share' });
      const track = make('span', { class: 'track' }, fill);
      const row = make('li', {}, make('span', { class: 'name', text: String(digit) }), track, share);
      row.dataset.digit = String(digit);
      list.append(row);
      return { row, fill, share };
    });
    this.clear();
  }

  show(outputs: ArrayLike<number>, device: 'cpu' | 'gpu'): Verdict {
    const { shares, softmaxed } = probabilities(outputs);
    const digit = shares.indexOf(Math.max(...shares));
    shares.forEach((share, i) => this.#bar(i, share, i === digit));
    this.#prediction.textContent = String(digit);
    this.#prediction.dataset.digit = String(digit);
    this.#prediction.dataset.device = device;
    this.#probability.textContent = percent(shares[digit]!);
    this.#note.textContent = softmaxed ? 'The model gives scores; these are their softmax.' : '';
    return { digit, probability: shares[digit]!, softmaxed };
  }

  clear(): void {
    for (let i = 0; i < 10; i++) this.#bar(i, 0, false);
    this.#prediction.textContent = '';
    delete this.#prediction.dataset.digit;
    delete this.#prediction.dataset.device;
    this.#probability.textContent = '';
    this.#note.textContent = '';
  }

  #bar(digit: number, share: number, top: boolean): void {
    const bar = this.#bars[digit]!;
    bar.fill.style.transform = `scaleX(${share})`;
    bar.share.textContent = share > 0 ? percent(share) : '–';
    bar.row.classList.toggle('top', top);
    bar.row.dataset.probability = String(share);
  }
}

/** The outputs as they are if they are probabilities; else, as for a model that ends in scores, their softmax. */
export function probabilities(outputs: ArrayLike<number>): { shares: number[]; softmaxed: boolean } {
  const values = Array.from(outputs);
  if (!values.every(Number.isFinite))
    throw new RangeError('the model’s output holds values that are not finite numbers');
  const sum = values.reduce((total, value) => total + value, 0);
  if (values.every((value) => value >= 0) && Math.abs(sum - 1) < 1e-3) return { shares: values, softmaxed: false };
  const highest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - highest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return { shares: powers.map((power) => power / total), softmaxed: true };
}
