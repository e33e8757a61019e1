import { pixels } from './draw.js';
import { SIDE } from './digit.js';
import { find, make } from './dom.js';
import { count } from './format.js';

const PIXELS = SIDE * SIDE;
/** Divides into whole rows at every width of the layout. */
const SHOWN = 30;

export interface Sample {
  index: number;
  label: number;
  image: Float32Array;
}

/** Labelled test images: N × 784 bytes, then N labels. */
export class Samples {
  constructor(private readonly file: Uint8Array) {
    if (file.length === 0 || file.length % (PIXELS + 1) !== 0) {
      throw new RangeError(`the test images hold ${file.length} bytes, which is not a whole number of images`);
    }
  }

  get length(): number {
    return this.file.length / (PIXELS + 1);
  }

  at(index: number): Sample {
    const image = Float32Array.from(this.file.subarray(index * PIXELS, (index + 1) * PIXELS), (byte) => byte / 255);
    return { index, label: this.file[this.length * PIXELS + index]!, image };
  }

  /** All images as one batch, row by row. */
  batch(): Float32Array {
    const pixels = this.file.subarray(0, this.length * PIXELS);
    const batch = new Float32Array(pixels.length);
    // A loop: for ten thousand images `Float32Array.from` takes a second.
    for (let i = 0; i < pixels.length; i++) batch[i] = pixels[i]! / 255;
    return batch;
  }

  get labels(): Uint8Array {
    return this.file.subarray(this.length * PIXELS);
  }
}

/** Thumbnails in one tab stop: arrows move between them, Enter shows one. */
export class Gallery {
  readonly #grid = find('samples');
  #first = 0;
  #chosen: Sample | null = null;

  constructor(
    private readonly samples: Samples,
    private readonly onChoose: (sample: Sample) => void,
  ) {
    this.#grid.addEventListener('keydown', (event) => this.#key(event));
    const more = find<HTMLButtonElement>('samples-more');
    more.hidden = samples.length <= SHOWN;
    more.addEventListener('click', () => this.#fill((this.#first + SHOWN) % samples.length));
    this.#fill(0);
  }

  /** Tells the gallery what the canvas shows, so that only a sample on it is marked. */
  shows(image: Float32Array | null): Sample | null {
    if (this.#chosen?.image !== image) this.#chosen = null;
    this.#mark();
    return this.#chosen;
  }

  #fill(first: number): void {
    this.#first = first;
    const end = Math.min(first + SHOWN, this.samples.length);
    const thumbnails = Array.from({ length: end - first }, (_, i) => this.#thumbnail(this.samples.at(first + i)));
    thumbnails[0]!.tabIndex = 0;
    this.#grid.replaceChildren(...thumbnails);
    find('samples-range').textContent =
      `${count(first + 1)} to ${count(end)} of ${count(this.samples.length)} MNIST test images`;
    this.#mark();
  }

  #thumbnail(sample: Sample): HTMLButtonElement {
    const canvas = pixels(sample.image);
    canvas.className = 'ink';
    const label = make('span', { text: String(sample.label) });
    const button = make(
      'button',
      { class: 'sample', label: `Test image ${sample.index + 1}, labelled ${sample.label}` },
      canvas,
      label,
    );
    button.type = 'button';
    button.tabIndex = -1;
    button.dataset.label = String(sample.label);
    button.dataset.index = String(sample.index);
    button.addEventListener('click', () => {
      this.#chosen = sample;
      this.#focus(button);
      this.onChoose(sample);
    });
    return button;
  }

  #mark(): void {
    for (const button of this.#buttons()) {
      button.setAttribute('aria-pressed', String(button.dataset.index === String(this.#chosen?.index)));
    }
  }

  #key(event: KeyboardEvent): void {
    const buttons = this.#buttons();
    const here = buttons.indexOf(document.activeElement as HTMLButtonElement);
    if (here < 0) return;
    const columns = buttons.filter((button) => button.offsetTop === buttons[0]!.offsetTop).length;
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
      Home: -here,
      End: buttons.length - 1 - here,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = buttons[here + step];
    if (next) this.#focus(next);
  }

  #focus(button: HTMLButtonElement): void {
    for (const other of this.#buttons()) other.tabIndex = other === button ? 0 : -1;
    button.focus();
  }

  #buttons(): HTMLButtonElement[] {
    return [...this.#grid.querySelectorAll<HTMLButtonElement>('button')];
  }
}
