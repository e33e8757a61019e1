import { load, type Model } from '../nearside/nearside.js';
import { find } from '../dom.js';
import { download } from '../download.js';
import { clearError, message, showError } from '../errors.js';
import { bytes, percent, plural, sentence } from '../format.js';
import { Evaluation } from './evaluation.js';
import { Monitor } from './monitor.js';
import { Run } from './run.js';
import { SettingsForm } from './settings.js';
import { Source } from './source.js';
import { build, type Samples, type Task } from './task.js';

/** `halting` lasts until the batches under way are done; `evaluating` locks what would change the model. */
type State = 'idle' | 'fetching' | 'running' | 'halting' | 'paused' | 'evaluating' | 'trained';

const BUSY: State[] = ['fetching', 'running', 'halting', 'evaluating'];

/** Opens the tab that trains. `onUse` takes a copy of the trained model to where it is tried. */
export function openTraining(onUse: (model: Model, name: string) => void): void {
  new TrainPanel(onUse);
}

class TrainPanel {
  readonly #monitor = new Monitor();
  readonly #evaluation = new Evaluation();
  readonly #form: SettingsForm;
  readonly #source: Source;
  readonly #buttons = Object.fromEntries(
    ['start', 'pause', 'stop', 'evaluate', 'download', 'use'].map((name) => [name, find<HTMLButtonElement>(`train-${name}`)]),
  );
  #state: State = 'idle';
  #run: Run | null = null;
  #task: Task | null = null;
  #test: Samples | null = null;
  #fetching: AbortController | null = null;
  /** Whether a halt is the end. */
  #ends = false;

  constructor(private readonly onUse: (model: Model, name: string) => void) {
    this.#form = new SettingsForm({
      onNetwork: () => this.#describe(),
      onSeed: () => this.#source.seedChanged(),
      onSubmit: () => this.#when('start', () => this.#start()),
    });
    this.#source = new Source(() => this.#form.seed, () => this.#describe());
    this.#on('pause', () => (this.#state === 'paused' ? this.#drive() : this.#halt(false)));
    this.#on('stop', () => this.#stop());
    this.#on('evaluate', () => this.#evaluate());
    this.#on('download', () => this.#download());
    this.#on('use', () => this.#use());
    this.#describe();
    this.#enter('idle');
  }

  #on(name: string, act: () => Promise<void> | void): void {
    this.#buttons[name]!.addEventListener('click', () => this.#when(name, act));
  }

  /** Buttons keep the focus while they cannot be used, which `disabled` would take away. */
  #when(name: string, act: () => Promise<void> | void): void {
    if (this.#buttons[name]!.getAttribute('aria-disabled') === 'true') return;
    clearError();
    Promise.resolve(act()).catch((error: unknown) => showError(find('train-errors'), error));
  }

  #enter(state: State): void {
    this.#state = state;
    find('panel-train').dataset.state = state;
    const can: Record<string, boolean> = {
      start: state === 'idle' || state === 'trained',
      pause: state === 'running' || state === 'paused',
      stop: ['fetching', 'running', 'paused'].includes(state),
      evaluate: state === 'paused' || state === 'trained',
      download: state === 'paused' || state === 'trained',
      use: state === 'paused' || state === 'trained',
    };
    for (const [name, button] of Object.entries(this.#buttons)) button.setAttribute('aria-disabled', String(!can[name]));
    this.#buttons['pause']!.textContent = state === 'paused' ? 'Resume' : 'Pause';
    this.#buttons['start']!.textContent = state === 'trained' ? 'Train anew' : 'Train';
    const locked = BUSY.includes(state) || state === 'paused';
    this.#form.lock(locked);
    this.#source.lock(locked);
  }

  /** The network in a line: its layers' widths, and how many parameters they have. */
  #describe(): void {
    const line = find('network-facts');
    try {
      const task = this.#source.task();
      const { hidden } = this.#form.network;
      const widths = [task.features, ...hidden.map(({ units }) => units), task.classes?.length ?? 1];
      find('network-input').textContent = plural(task.features, 'input');
      find('network-output').textContent = task.classes ? `${plural(task.classes.length, 'output')}, softmax` : '1 output, linear';
      if (!this.#form.valid) return void (line.textContent = '');
      const { parameterCount } = build(task, this.#form.network, 0);
      line.textContent = `${widths.join(' → ')}: ${plural(parameterCount, 'parameter')}, ${bytes(parameterCount * 4)}`;
    } catch (error) {
      line.textContent = sentence(message(error));
    }
  }

  async #start(): Promise<void> {
    if (!this.#form.check()) return;
    const task = this.#source.task();
    const { settings, network } = this.#form;
    this.#run?.model.dispose();
    this.#run = null;
    this.#evaluation.clear();
    this.#monitor.begin(task, settings.epochs);
    const samples = await this.#fetch(task);
    if (!samples) return;
    this.#task = task;
    this.#test = samples.test;
    this.#run = new Run(build(task, network, settings.seed), task, samples.train, settings, {
      onBatch: (progress, loss) => this.#monitor.batch(progress, loss),
      onEpoch: (progress, logs) => this.#monitor.epoch(progress, logs),
    });
    await this.#drive();
  }

  /** Null where it was stopped. */
  async #fetch(task: Task): Promise<{ train: Samples; test: Samples } | null> {
    const { signal } = (this.#fetching = new AbortController());
    this.#enter('fetching');
    try {
      return await task.samples(signal, (share) => this.#monitor.say(`Fetching the images, ${percent(share)}`));
    } catch (error) {
      this.#monitor.say('');
      this.#enter('idle');
      if (signal.aborted) return null;
      throw error;
    } finally {
      this.#fetching = null;
    }
  }

  /** Trains until the end, or until it is halted. */
  async #drive(): Promise<void> {
    const run = this.#run!;
    this.#ends = false;
    this.#enter('running');
    try {
      const outcome = await run.go();
      if (outcome === 'halted') this.#monitor.halted(this.#ends);
      if (outcome === 'halted' && !this.#ends) return this.#enter('paused');
    } catch (error) {
      // Its weights may be of no use: what was not finite once stays so.
      run.model.dispose();
      this.#run = null;
      this.#enter('idle');
      throw error;
    }
    this.#enter('trained');
    await this.#evaluate();
  }

  #halt(ends: boolean): void {
    this.#ends = ends;
    this.#enter('halting');
    this.#run!.halt();
  }

  async #stop(): Promise<void> {
    if (this.#fetching) return this.#fetching.abort();
    if (this.#state === 'running') return this.#halt(true);
    this.#monitor.halted(true);
    this.#enter('trained'); // paused until now
    await this.#evaluate();
  }

  async #evaluate(): Promise<void> {
    const before = this.#state;
    this.#enter('evaluating');
    try {
      await this.#evaluation.show(this.#run!.model, this.#task!, this.#test!);
    } finally {
      this.#enter(before);
    }
  }

  async #download(): Promise<void> {
    const file = await this.#run!.model.save('h5');
    download(file as Uint8Array<ArrayBuffer>, 'model.h5', 'application/x-hdf5');
  }

  /** A copy, so that either can be put away without the other. */
  async #use(): Promise<void> {
    const copy = await load(await this.#run!.model.save('safetensors'));
    this.onUse(copy, `${this.#task!.name} (trained here)`);
  }
}
