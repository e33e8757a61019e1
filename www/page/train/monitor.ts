import type { Logs } from '../nearside/nearside.js';
import { find, make, onceAFrame } from '../dom.js';
import { count, percent, plural } from '../format.js';
import { Curves } from './curves.js';
import { clock, significant, tick } from './numbers.js';
import type { Progress } from './run.js';
import { logged, plotted, type Task } from './task.js';

/** Shows a training while it runs: how far it is, its curves, and the same numbers as a table. */
export class Monitor {
  readonly #bar = find<HTMLProgressElement>('train-progress');
  readonly #loss = new Curves('loss-plot', true);
  readonly #other = new Curves('metric-plot', false);
  readonly #log = find('train-log');
  #task!: Task;
  #epochs = 0;
  #progress: Progress | null = null;
  /** Batches come faster than they can be shown. */
  readonly #renderLater = onceAFrame(() => this.#render());

  begin(task: Task, epochs: number): void {
    this.#task = task;
    this.#epochs = epochs;
    this.#progress = null;
    find('train-curves').hidden = false;
    find('train-idle').hidden = true;
    const title = task.classes ? 'Accuracy' : 'Mean absolute error';
    find('metric-plot').dataset.label = title;
    this.#loss.begin(task.classes ? 'Loss' : 'Loss, as a share of the target’s variance', epochs, tick);
    if (task.classes) this.#other.begin(title, epochs, (value) => `${tick(value * 100)}\u202f%`, 1);
    else this.#other.begin(title, epochs, tick);
    const names = ['Epoch', 'Loss', 'Validation loss', title, `Validation ${title.toLowerCase()}`];
    find('train-log-head').replaceChildren(...names.map((text) => make('th', { text })));
    this.#log.replaceChildren();
    this.#bar.value = 0;
    this.say('');
    find('train-detail').textContent = '';
  }

  batch(progress: Progress, loss: number): void {
    this.#loss.batch(progress.done + progress.batch / progress.batches, loss, progress.batches);
    this.#show(progress);
  }

  epoch(progress: Progress, logs: Logs): void {
    const name = plotted(this.#task);
    const [loss, validation, metric, other] = ['loss', 'val_loss', name, `val_${name}`].map((log) => logged(logs, log)) as [number, number, number, number];
    this.#loss.epoch(progress.done, loss, validation);
    this.#other.epoch(progress.done, metric, other);
    const write = (value: number): string => (this.#task.classes ? percent(value) : significant(value));
    const cells = [count(progress.done), significant(loss), significant(validation), write(metric), write(other)];
    this.#log.append(make('tr', {}, ...cells.map((text) => make('td', { text }))));
    this.say(`Epoch ${progress.done} of ${this.#epochs}: validation ${this.#task.classes ? 'accuracy' : 'error'} ${write(other)}`);
    find('train-state').dataset.epoch = String(progress.done);
    this.#show(progress);
  }

  /** The epoch under way was halted: it will begin anew, if at all. */
  halted(ends: boolean): void {
    const done = this.#progress?.done ?? 0;
    this.say(`${ends ? 'Stopped' : 'Paused'} behind epoch ${done} of ${this.#epochs}`);
    this.#loss.rewind(done);
    if (this.#progress) this.#show({ ...this.#progress, batch: 0 });
  }

  /** What is read out: not more often than once an epoch. */
  say(text: string): void {
    find('train-state').textContent = text;
  }

  #show(progress: Progress): void {
    this.#progress = progress;
    this.#renderLater();
  }

  #render(): void {
    if (!this.#progress) return;
    const { done, batch, batches, samplesPerSecond, ms } = this.#progress;
    this.#bar.value = (done + batch / batches) / this.#epochs;
    const where = batch > 0 ? `epoch ${count(done + 1)} of ${count(this.#epochs)}, batch ${count(batch)} of ${count(batches)}` : plural(done, 'epoch');
    const speed = batch > 0 ? ` · ${count(Math.round(samplesPerSecond))} samples/s` : '';
    find('train-detail').textContent = `${where}${speed} · ${clock(ms)}`;
  }
}
