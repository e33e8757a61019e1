/** What looks on while a model is trained, and may end it. */
import type { Logs } from './fit.js';

/** A training under way, as callbacks see it. */
export interface Training {
  /** The learning rate of the next step. Setting it ends a schedule. */
  learningRate: number;
  /** Bytes of memory that the training takes, the samples not counted: behind an epoch. */
  readonly memory: number;
  /** Ends the training behind the present epoch. */
  stop(): void;
  /** Keeps the model as it is now, for `restore` or `save`. */
  keep(): void;
  /** What was kept last is the model that the training leaves. */
  restore(): void;
  /** The model as it is now, as `Model.save` gives it. */
  save(format: 'h5' | 'keras' | 'onnx' | 'safetensors'): Promise<Uint8Array>;
}

/**
 * What is called in a training. It waits for promises behind epochs, not behind batches. `epoch` and `batch` count from 0;
 * logs hold the loss and the metrics, and those of the validation by `val_NAME`.
 */
export interface Callback {
  onTrainBegin?(training: Training): void | Promise<void>;
  onEpochBegin?(epoch: number, training: Training): void | Promise<void>;
  onBatchEnd?(batch: number, logs: { loss: number }, training: Training): void;
  onEpochEnd?(epoch: number, logs: Logs, training: Training): void | Promise<void>;
  onTrainEnd?(training: Training): void | Promise<void>;
}

/** Which log is looked at, and when it counts as better. */
export interface Monitor {
  /** `val_loss` unless given; `loss` where there is no validation. */
  monitor?: string;
  /** Unless given, `'max'` for accuracies and the like, else `'min'`. */
  mode?: 'min' | 'max';
  /** What the change must be more than; 0 unless given. */
  minDelta?: number;
  /** Epochs without a better one that are waited. */
  patience?: number;
}

/** The best so far. */
class Best {
  value: number | undefined;
  wait = 0;

  constructor(private options: Monitor) {}

  /** Whether these logs are better than all before. */
  sees(logs: Logs): boolean {
    const name = this.options.monitor ?? ('val_loss' in logs ? 'val_loss' : 'loss');
    const value = logs[name];
    if (typeof value !== 'number') {
      throw new TypeError(`there is no log '${name}' to monitor; there are ${Object.keys(logs).join(', ')}`);
    }
    const larger = (this.options.mode ?? (/acc|auc|precision|recall|f1|r2/.test(name) ? 'max' : 'min')) === 'max';
    const delta = Math.abs(this.options.minDelta ?? 0);
    const better = this.value === undefined || (larger ? value - delta > this.value : value + delta < this.value);
    if (better) this.value = value;
    this.wait = better ? 0 : this.wait + 1;
    return better;
  }
}

/** Ends a training when a log has not become better for `patience` epochs. */
export function earlyStopping(options: Monitor & { restoreBestWeights?: boolean } = {}): Callback {
  let best = new Best(options);
  const { patience = 0, restoreBestWeights = false } = options;
  return {
    onTrainBegin: () => void (best = new Best(options)),
    onEpochEnd(_, logs, training) {
      if (best.sees(logs)) {
        if (restoreBestWeights) training.keep();
      } else if (best.wait >= Math.max(1, patience)) training.stop();
    },
    onTrainEnd: (training) => void (restoreBestWeights && best.value !== undefined && training.restore()),
  };
}

/** Lowers the learning rate when a log has not become better for `patience` epochs. */
export function reduceLROnPlateau(options: Monitor & { factor?: number; minLR?: number; cooldown?: number } = {}): Callback {
  const { patience = 10, factor = 0.1, minLR = 0, cooldown = 0, minDelta = 1e-4 } = options;
  let best = new Best({ ...options, minDelta });
  let rest = 0;
  return {
    onTrainBegin: () => void (best = new Best({ ...options, minDelta })),
    onEpochEnd(_, logs, training) {
      logs['learning_rate'] = training.learningRate;
      const better = best.sees(logs);
      if (rest > 0) {
        rest--;
        best.wait = 0;
      } else if (!better && best.wait >= patience && training.learningRate > minLR) {
        training.learningRate = Math.max(training.learningRate * factor, minLR);
        rest = cooldown;
        best.wait = 0;
      }
    },
  };
}

/** Hands over the model behind each epoch, or only behind those that are the best so far. */
export function modelCheckpoint(
  onSave: (file: Uint8Array, epoch: number, logs: Logs) => void | Promise<void>,
  options: Monitor & { saveBestOnly?: boolean; format?: 'h5' | 'keras' | 'onnx' | 'safetensors' } = {},
): Callback {
  const best = new Best(options);
  return {
    async onEpochEnd(epoch, logs, training) {
      if (options.saveBestOnly && !best.sees(logs)) return;
      await onSave(await training.save(options.format ?? 'h5'), epoch, logs);
    },
  };
}
