import type { RegisteredService } from '../nearside/client.js';
import { find, make } from '../dom.js';
import { pixels } from '../draw.js';
import { clearError } from '../errors.js';
import { count, duration, percent, plural } from '../format.js';
import type { Samples } from '../samples.js';
import { type Answered, type Metadata, ask, pathOf } from './ask.js';
import { onClick } from './button.js';

const MANY = 100;
const PIXELS = 784;

/** Asks a model: by code that is shown, and by buttons that do what it says. */
export class Caller {
  readonly #model = find<HTMLSelectElement>('service-model');
  readonly #digit = find<HTMLSelectElement>('service-digit');
  #metadata: Metadata | null = null;

  constructor(
    private readonly service: () => RegisteredService,
    private readonly samples: () => Samples | null,
    private readonly onModel: () => void,
  ) {
    this.#model.addEventListener('change', () => void this.choose().then(this.onModel));
    this.#digit.addEventListener('change', () => this.#showDigit());
    onClick('service-copy', 'call-errors', () => this.#copy());
    onClick('service-send', 'call-errors', () => this.#one());
    onClick('service-send-row', 'call-errors', () => this.#many('one after the other', async (send) => {
      for (let i = 0; i < MANY; i++) await send(i);
    }));
    onClick('service-send-together', 'call-errors', () => this.#many('all at once', async (send) => {
      await Promise.all(Array.from({ length: MANY }, (_, i) => send(i)));
    }));
  }

  /** The model that is asked; without a version, the newest. */
  get model(): { name: string; version: string | undefined } {
    const [name = '', version] = this.#model.value.split('/');
    return { name, version };
  }

  /** Models to choose among. */
  offer(names: string[]): void {
    if (names.join() === [...this.#model.options].map(({ value }) => value).join()) return;
    const { value } = this.#model;
    this.#model.replaceChildren(...names.map((text) => make('option', { text })));
    if (names.includes(value)) this.#model.value = value;
  }

  async choose(name?: string): Promise<void> {
    if (name !== undefined) this.#model.value = name;
    clearError();
    find('service-answer').textContent = '';
    this.#metadata = await ask<Metadata>(this.service(), this.#path);
    find('service-code').textContent = exampleOf(`${this.#path}/infer`, this.#metadata);
    const samples = this.samples();
    const digits = this.#readsDigits && samples;
    find('service-sample').hidden = !digits;
    if (!digits || this.#digit.length > 0) return;
    this.#digit.append(...Array.from({ length: samples.length }, (_, i) => make('option', { text: `${samples.at(i).label}, test image ${i + 1}` })));
    this.#digit.selectedIndex = 7;
    this.#showDigit();
  }

  get #path(): string {
    const { name, version } = this.model;
    return pathOf(name, version);
  }

  get #readsDigits(): boolean {
    const [first, ...others] = this.#metadata?.inputs ?? [];
    return first !== undefined && others.length === 0 && sizeOf(first.shape) === PIXELS;
  }

  #showDigit(): void {
    pixels(this.samples()!.at(this.#digit.selectedIndex).image, find<HTMLCanvasElement>('service-image'));
  }

  async #copy(): Promise<void> {
    await navigator.clipboard.writeText(find('service-code').textContent);
    find('service-copied').textContent = 'Copied. It runs in the console of this page.';
  }

  /** The sample that was chosen, or one behind it; random numbers for a model that reads no digits. */
  #send(behind = 0): Promise<Answered> {
    const samples = this.#readsDigits ? this.samples() : null;
    const image = samples?.at((this.#digit.selectedIndex + behind) % samples.length).image;
    const inputs = this.#metadata!.inputs.map(({ name, datatype, shape }) => {
      const data = image ? Array.from(image) : Array.from({ length: sizeOf(shape) }, Math.random);
      return { name, datatype, shape: oneOf(shape), data };
    });
    return ask<Answered>(this.service(), `${this.#path}/infer`, { inputs });
  }

  async #one(): Promise<void> {
    const start = performance.now();
    const { outputs } = await this.#send();
    const ms = performance.now() - start;
    const { data } = outputs[0]!;
    const best = data.indexOf(Math.max(...data));
    const said = this.#readsDigits && data.length === 10 ? `${best}, ${percent(data[best]!)}` : data.slice(0, 6).map((value) => Number(value.toPrecision(3))).join(', ') + (data.length > 6 ? ' …' : '');
    find('service-answer').dataset.outputs = JSON.stringify(data);
    this.#say(`${said}, in ${duration(ms)}`);
  }

  async #many(how: string, all: (send: (i: number) => Promise<void>) => Promise<void>): Promise<void> {
    const start = performance.now();
    let answered = 0;
    this.#say(`Sending ${plural(MANY, 'request')}…`);
    await all(async (i) => {
      await this.#send(i);
      answered += 1;
    });
    const ms = performance.now() - start;
    this.#say(`${count(answered)} of ${plural(MANY, 'request')} answered, ${how}, in ${duration(ms)}: ${duration(ms / MANY)} each`);
  }

  #say(text: string): void {
    find('service-answer').textContent = text;
  }
}

/** What asks the same from any page of this site. */
function exampleOf(path: string, { inputs }: Metadata): string {
  const tensors = inputs.map(({ name, datatype, shape }) => {
    const fields = `name: ${quote(name)}, datatype: ${quote(datatype)}, shape: [${oneOf(shape).join(', ')}]`;
    return `      { ${fields},\n        data: Array(${sizeOf(shape)}).fill(0) },`;
  });
  return `const response = await fetch('${path}', {
  method: 'POST',
  body: JSON.stringify({
    inputs: [
${tensors.join('\n')}
    ],
  }),
});
const { outputs } = await response.json();
console.log(outputs[0].data);`;
}

function quote(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`;
}

/** The shape of one sample. */
function oneOf(shape: number[]): number[] {
  return shape.map((axis) => (axis < 0 ? 1 : axis));
}

function sizeOf(shape: number[]): number {
  return oneOf(shape).reduce((size, axis) => size * axis, 1);
}
