import { NearsideError, type FitOptions, type Logs, type Model } from '../nearside/nearside.js';
import { compilation, type Samples, type Task } from './task.js';

export interface Settings {
  optimizer: NonNullable<FitOptions['optimizer']>;
  batchSize: number;
  epochs: number;
  seed: number;
}

/** Where a training is. */
export interface Progress {
  /** Epochs behind it. */
  done: number;
  batch: number;
  batches: number;
  /** Of this epoch so far, without its validation. */
  samplesPerSecond: number;
  /** Time spent training, without pauses. */
  ms: number;
}

interface RunEvents {
  onBatch(progress: Progress, loss: number): void;
  onEpoch(progress: Progress, logs: Logs): void;
}

/** One training, which can be halted and gone on with. */
export class Run {
  #done = 0;
  #begun = false;
  #halt: AbortController | null = null;
  #epochStart = 0;
  #before = 0;
  #start = 0;

  constructor(
    readonly model: Model,
    private readonly task: Task,
    private readonly samples: Samples,
    private readonly settings: Settings,
    private readonly events: RunEvents,
  ) {}

  /** Trains the epochs that are left. An epoch that was halted begins anew: its batches are another order's by then. */
  async go(): Promise<'done' | 'halted'> {
    const { settings, task, samples } = this;
    this.#halt = new AbortController();
    this.#start = performance.now();
    // Without a loss and an optimizer it goes on with those it has, and with what that optimizer remembers.
    const compiled = this.#begun ? {} : { ...compilation(task), optimizer: settings.optimizer };
    this.#begun = true;
    try {
      await this.model.fit(samples.x, samples.y, {
        ...compiled,
        batchSize: settings.batchSize,
        epochs: settings.epochs - this.#done,
        seed: settings.seed + this.#done,
        validationSplit: task.validationSplit,
        signal: this.#halt.signal,
        callbacks: [this.#callback()],
      });
      return 'done';
    } catch (error) {
      if (!(error instanceof NearsideError && error.kind === 'aborted')) throw error;
      return this.#done === settings.epochs ? 'done' : 'halted';
    } finally {
      this.#before += performance.now() - this.#start;
      this.#halt = null;
    }
  }

  /** Ends it behind the batches under way. */
  halt(): void {
    this.#halt?.abort();
  }

  #callback(): NonNullable<FitOptions['callbacks']>[number] {
    return {
      onEpochBegin: () => void (this.#epochStart = performance.now()),
      onBatchEnd: (batch, { loss }) => this.events.onBatch(this.#progress(batch + 1), loss),
      onEpochEnd: (_, logs) => {
        this.#done++;
        this.events.onEpoch(this.#progress(0), logs);
      },
    };
  }

  #progress(batch: number): Progress {
    const { batchSize } = this.settings;
    const trained = Math.floor(this.samples.count * (1 - this.task.validationSplit));
    const now = performance.now();
    return {
      done: this.#done,
      batch,
      batches: Math.ceil(trained / batchSize),
      samplesPerSecond: (Math.min(batch * batchSize, trained) / (now - this.#epochStart)) * 1000,
      ms: this.#before + now - this.#start,
    };
  }
}
