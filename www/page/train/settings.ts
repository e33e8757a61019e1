import { adagrad, adam, adamW, rmsprop, sgd, type FitOptions } from '../nearside/nearside.js';
import { find, make } from '../dom.js';
import type { Settings } from './run.js';
import type { Network } from './task.js';

const ACTIVATIONS = ['relu', 'gelu', 'silu', 'elu', 'selu', 'tanh', 'sigmoid', 'linear'];
const MOST_LAYERS = 8;

type Optimizer = (learningRate: number) => NonNullable<FitOptions['optimizer']>;

/** By the name in the form: the optimizer, and the learning rate that suits most networks of this size. */
const OPTIMIZERS: Record<string, [Optimizer, number]> = {
  adam: [(learningRate) => adam({ learningRate }), 0.001],
  adamw: [(learningRate) => adamW({ learningRate }), 0.001],
  sgd: [(learningRate) => sgd({ learningRate }), 0.05],
  momentum: [(learningRate) => sgd({ learningRate, momentum: 0.9 }), 0.01],
  rmsprop: [(learningRate) => rmsprop({ learningRate }), 0.001],
  adagrad: [(learningRate) => adagrad({ learningRate }), 0.01],
};

/** The form: which network, and how it is trained. */
export class SettingsForm {
  readonly #form = find<HTMLFormElement>('train-form');
  readonly #list = find<HTMLOListElement>('hidden-layers');
  readonly #add = find<HTMLButtonElement>('layer-add');

  constructor(events: { onNetwork(): void; onSeed(): void; onSubmit(): void }) {
    this.#add.addEventListener('click', () => {
      const units = this.#inputs().at(-1)?.valueAsNumber || 32;
      this.#layer(units, this.#list.querySelector<HTMLSelectElement>('li:last-child select')?.value ?? 'relu').focus();
      events.onNetwork();
    });
    this.#list.addEventListener('click', (event) => {
      if (!(event.target instanceof HTMLButtonElement)) return;
      event.target.closest('li')!.remove();
      this.#renumber();
      this.#add.focus(); // the button that had the focus is gone
      events.onNetwork();
    });
    this.#list.addEventListener('input', () => events.onNetwork());
    find('dropout').addEventListener('input', () => events.onNetwork());
    find('seed').addEventListener('change', () => events.onSeed());
    find('optimizer').addEventListener('change', () => {
      find<HTMLInputElement>('learning-rate').value = String(OPTIMIZERS[this.#text('optimizer')]![1]);
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      events.onSubmit();
    });
    this.#layer(128, 'relu');
    this.#layer(64, 'relu');
  }

  /** Whether all fields hold what they may; if not, the browser says so at the first that does not. */
  check(): boolean {
    return this.#form.reportValidity();
  }

  /** As `check`, silently. */
  get valid(): boolean {
    return [...this.#form.elements].every((field) => !(field instanceof HTMLInputElement) || field.validity.valid);
  }

  get network(): Network {
    const hidden = [...this.#list.children].map((row) => ({
      units: row.querySelector('input')!.valueAsNumber,
      activation: row.querySelector('select')!.value,
    }));
    return { hidden, dropout: this.#number('dropout') };
  }

  get settings(): Settings {
    const [optimizer] = OPTIMIZERS[this.#text('optimizer')]!;
    return {
      optimizer: optimizer(this.#number('learning-rate')),
      batchSize: this.#number('batch-size'),
      epochs: this.#number('epochs'),
      seed: this.seed,
    };
  }

  get seed(): number {
    return this.#number('seed') || 0;
  }

  /** While a model is trained with them. */
  lock(locked: boolean): void {
    for (const group of this.#form.querySelectorAll('fieldset')) group.disabled = locked;
  }

  #layer(units: number, activation: string): HTMLInputElement {
    const input = make('input');
    Object.assign(input, { type: 'number', min: '1', max: '4096', required: true, value: String(units) });
    const select = make('select', {}, ...ACTIVATIONS.map((name) => make('option', { text: name })));
    select.value = activation;
    const remove = make('button', { text: '×' });
    remove.type = 'button';
    this.#list.append(make('li', {}, input, select, remove));
    this.#renumber();
    return input;
  }

  #renumber(): void {
    [...this.#list.children].forEach((row, i) => {
      const layer = `hidden layer ${i + 1}`;
      row.querySelector('input')!.setAttribute('aria-label', `Units of ${layer}`);
      row.querySelector('select')!.setAttribute('aria-label', `Activation of ${layer}`);
      row.querySelector('button')!.setAttribute('aria-label', `Remove ${layer}`);
    });
    this.#add.disabled = this.#list.children.length >= MOST_LAYERS;
  }

  #inputs(): HTMLInputElement[] {
    return [...this.#list.querySelectorAll('input')];
  }

  #number(id: string): number {
    return find<HTMLInputElement>(id).valueAsNumber;
  }

  #text(id: string): string {
    return find<HTMLSelectElement>(id).value;
  }
}
