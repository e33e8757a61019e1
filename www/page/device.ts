import type { Model } from './nearside/nearside.js';
import { find } from './dom.js';
import { sentence } from './format.js';

export type Kind = 'cpu' | 'gpu';

const NAMES: Record<Kind, string> = { cpu: 'CPU', gpu: 'GPU' };

/** The switch between CPU and GPU, and the line that says which of them computed the answer, and why. */
export class DeviceSwitch {
  readonly #buttons: Record<Kind, HTMLButtonElement> = { cpu: find('device-cpu'), gpu: find('device-gpu') };
  readonly #reason = find('device-reason');
  readonly #absent = find('device-absent');
  #model: Model | null = null;
  #choice: Kind | null = null;

  constructor(private readonly onChoice: () => void) {
    for (const kind of ['cpu', 'gpu'] as const) {
      this.#buttons[kind].addEventListener('click', () => this.choose(kind));
    }
  }

  /** What the person chose; null leaves it to the model. */
  get choice(): Kind | null {
    return this.#choice;
  }

  get used(): Kind {
    return this.#choice ?? this.#model?.device.kind ?? 'cpu';
  }

  /** What to pass to `predict`. */
  get options(): { device?: Kind } {
    return this.#choice ? { device: this.#choice } : {};
  }

  choose(kind: Kind): void {
    this.#choice = kind;
    this.refresh();
    this.onChoice();
  }

  follow(model: Model): void {
    this.#model = model;
    this.refresh();
  }

  gpuWorks(): void {
    this.#buttons.gpu.disabled = false;
    this.#absent.hidden = true;
  }

  /** Greys the GPU out and says why; whoever had chosen it goes back to the CPU. */
  gpuFails(why: string): void {
    this.#buttons.gpu.disabled = true;
    this.#absent.textContent = `No GPU here: ${sentence(why, false)}`;
    this.#absent.hidden = why === this.#model?.device.reason; // said already
    if (this.#choice === 'gpu') this.choose('cpu');
  }

  refresh(): void {
    if (!this.#model) return;
    const { used } = this;
    for (const kind of ['cpu', 'gpu'] as const) {
      this.#buttons[kind].setAttribute('aria-pressed', String(kind === used));
    }
    const report = this.#model.device;
    const why = `Your choice. Left to itself, nearside takes the ${NAMES[report.kind]}: ${sentence(report.reason, false)}`;
    this.#reason.textContent = used === report.kind ? sentence(report.reason) : why;
    find('device-detail').textContent = detail(report, used);
  }
}

function detail(report: Model['device'], used: Kind): string {
  if (used !== report.kind) return '';
  if (used === 'gpu') return report.adapter ? `GPU, ${report.adapter}` : '';
  return report.simd === 'none' ? 'CPU, WebAssembly without SIMD' : `CPU, WebAssembly with ${report.simd}`;
}
