import { NearsideError, Tensor, type Model, type ModelOutput } from './nearside/nearside.js';
import type { DeviceSwitch, Kind } from './device.js';
import { find } from './dom.js';
import { pixels } from './draw.js';
import { clearError, message, showError } from './errors.js';
import { duration, percent, plural } from './format.js';
import { Live } from './live.js';
import { VerdictPanel, type Verdict } from './verdict.js';

/** How long predictions are repeated to time them, and how often at most. */
const TRIAL_MS = 20;
const TRIAL_RUNS = 256;

interface ClassifierEvents {
  onVerdict(verdict: Verdict | null): void;
  /** The engine broke down: the model must be loaded again. */
  onFault(error: unknown): void;
}

/** Keeps the verdict up to date with the canvas. */
export class Classifier {
  readonly #verdict = new VerdictPanel();
  readonly #live = new Live(
    () => this.#classify(),
    (overtaken) => this.#settle(overtaken),
  );
  readonly #seen = find<HTMLCanvasElement>('seen');
  #model: Model | null = null;
  #said = '';
  /** The device of the time shown. */
  #timed: Kind | null = null;

  constructor(
    private readonly input: () => Float32Array | null,
    private readonly device: DeviceSwitch,
    private readonly events: ClassifierEvents,
  ) {}

  use(model: Model): void {
    this.#model = model;
    this.device.follow(model);
    this.request();
  }

  request(): void {
    this.#live.request();
  }

  /** The model's answer, from the device that was chosen, if one was. */
  predict(model: Model, rows: Float32Array): Promise<ModelOutput> {
    return model.predict(rows, this.device.options);
  }

  async #classify(): Promise<void> {
    const image = this.input();
    pixels(image, this.#seen);
    const model = this.#model;
    if (!image || !model) return this.#clear();

    const { choice } = this.device;
    const start = performance.now();
    try {
      const output = await this.predict(model, image);
      const ms = performance.now() - start;
      // Read afterwards: a GPU that fails during a prediction hands over to the CPU.
      const used = choice ?? model.device.kind;
      const verdict = this.#verdict.show(single(output).data, used);
      this.events.onVerdict(verdict);
      this.#said = `${verdict.digit}, ${percent(verdict.probability)}, computed on the ${used.toUpperCase()}`;
      if (this.#timed !== used) this.#time(ms, 1, used);
      clearError();
    } catch (error) {
      this.#failed(model, error, choice);
    }
  }

  /** Once the hand rests: says the prediction to screen readers, and times it. */
  async #settle(overtaken: () => boolean): Promise<void> {
    const image = this.input();
    const model = this.#model;
    find('announce').textContent = image && model ? this.#said : '';
    if (!image || !model) return;
    const { choice } = this.device;
    // Browsers round their clocks to 0.1 ms or worse and one prediction takes less: only many of them can be timed.
    try {
      const start = performance.now();
      let runs = 0;
      while (!overtaken() && runs < TRIAL_RUNS && performance.now() - start < TRIAL_MS) {
        await this.predict(model, image);
        runs++;
      }
      if (runs > 0) this.#time((performance.now() - start) / runs, runs, choice ?? model.device.kind);
    } catch (error) {
      this.#failed(model, error, choice);
    }
  }

  #time(ms: number, runs: number, used: Kind): void {
    this.#timed = used;
    find('time').textContent = `${duration(ms)} on the ${used.toUpperCase()}`;
    find('time-note').textContent = runs > 1 ? `mean of ${plural(runs, 'run')}` : 'one run';
  }

  #failed(model: Model, error: unknown, choice: Kind | null): void {
    if (model !== this.#model) return; // replaced, and put away, while it was computing
    if (choice === 'gpu' && error instanceof NearsideError && error.kind === 'device') {
      this.device.gpuFails(message(error));
      return this.request();
    }
    this.#clear();
    if (error instanceof NearsideError && error.kind === 'internal') return this.events.onFault(error);
    showError(find('bench-errors'), error);
  }

  #clear(): void {
    this.#verdict.clear();
    this.events.onVerdict(null);
  }
}

/** The output of a model that has one. */
export function single(output: ModelOutput): Tensor {
  if (output instanceof Tensor) return output;
  throw new TypeError(`the model has several outputs: ${Object.keys(output).join(', ')}`);
}
