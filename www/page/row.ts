import { Tensor, type Model, type ModelOutput } from './nearside/nearside.js';
import { find, make } from './dom.js';
import { count, plural, rowLength, shape } from './format.js';
import { signature } from './summary.js';

/** Output numbers shown before the rest is summed up in a line. */
const MOST = 200;

/** Tries a model on one row of numbers that the person types or pastes. */
export class RowForm {
  readonly #section = find('row');
  readonly #input = find<HTMLTextAreaElement>('row-input');
  readonly #state = find('row-state');
  readonly #output = find('row-output');
  #model: Model | null = null;
  #length = 0;

  constructor(
    private readonly run: (model: Model, row: Float32Array) => Promise<ModelOutput>,
    private readonly onError: (error: unknown) => void,
  ) {
    this.#input.addEventListener('input', () => this.#say());
    find<HTMLFormElement>('row').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#predict();
    });
    find('row-example').addEventListener('click', () => this.#example());
  }

  open(model: Model): void {
    const [input] = model.inputs;
    const length = model.inputs.length === 1 && input ? rowLength(input.shape) : null;
    this.#model = model;
    this.#length = length ?? 0;
    this.#input.value = '';
    this.#output.replaceChildren();
    this.#section.hidden = false;
    find('row-fields').hidden = length === null;
    find('row-needs').textContent =
      length === null
        ? `It takes ${signature(model.inputs)}. This page can try models with one input of a fixed size; the npm package runs this one.`
        : `It does not read digits, so the canvas stays with the digits model. It takes ${needs(input!.shape, length)} and gives ${signature(model.outputs)}.`;
    this.#say();
  }

  close(): void {
    this.#model = null;
    this.#section.hidden = true;
  }

  #say(): void {
    const { values, wrong } = parse(this.#input.value);
    if (wrong !== undefined) this.#state.textContent = `“${wrong}” is not a number.`;
    else this.#state.textContent = `${count(values.length)} of ${count(this.#length)}`;
    this.#state.classList.toggle('fits', wrong === undefined && values.length === this.#length);
  }

  #example(): void {
    this.#input.value = Array.from({ length: this.#length }, () => Math.random().toFixed(3)).join(', ');
    this.#say();
    void this.#predict();
  }

  async #predict(): Promise<void> {
    const model = this.#model;
    if (!model) return;
    const { values, wrong } = parse(this.#input.value);
    if (wrong !== undefined || values.length !== this.#length) {
      this.#say();
      this.#output.replaceChildren(
        make('p', { text: `This model needs ${plural(this.#length, 'number')}, separated by commas or spaces.` }),
      );
      this.#input.focus();
      return;
    }
    try {
      const outputs = await this.run(model, Float32Array.from(values));
      if (this.#model === model)
        this.#output.replaceChildren(...named(outputs).map(([name, tensor]) => result(name, tensor)));
    } catch (error) {
      this.onError(error);
    }
  }
}

function needs(dimensions: readonly (number | null)[], length: number): string {
  const text = shape(dimensions);
  return text === count(length) ? plural(length, 'number') : `${plural(length, 'number')} (${text})`;
}

/** Numbers separated by commas, semicolons, tabs, spaces or lines; brackets, as in a JSON array, are ignored. */
export function parse(text: string): { values: number[]; wrong?: string } {
  const words = text
    .replace(/[[\]]/g, ' ')
    .split(/[\s,;]+/)
    .filter((word) => word !== '');
  const wrong = words.find((word) => !Number.isFinite(Number(word)));
  return wrong === undefined ? { values: words.map(Number) } : { values: [], wrong };
}

function named(outputs: ModelOutput): [string, Tensor][] {
  return outputs instanceof Tensor ? [['', outputs]] : Object.entries(outputs);
}

function result(name: string, tensor: Tensor): HTMLElement {
  const values = Array.from(tensor.data);
  const highest = values.length > 1 ? values.indexOf(Math.max(...values)) : -1;
  const cells = values.slice(0, MOST).map((value, i) => {
    const cell = make('li', { text: String(Number(value.toPrecision(6))) });
    if (i === highest) cell.className = 'top';
    return cell;
  });
  const rest = values.length > MOST ? `, the first ${MOST} shown` : '';
  const title = `${name ? `${name}: ` : ''}${plural(values.length, 'output')}${rest}`;
  return make('div', {}, make('h3', { text: title }), make('ol', { class: 'numbers' }, ...cells));
}
