/** Which device computes, and why. */
export interface DeviceReport {
  /** Which answered last, or will answer first. */
  kind: 'cpu' | 'gpu';
  /** Why this device, in a sentence. */
  reason: string;
  /** Vector instructions of the CPU build. */
  simd: string;
  /** Threads that compute large batches on the CPU. They are started when there is one. */
  threads: number;
  /** The GPU's name, where there is one in use or it was measured. */
  adapter?: string;
  /** What was measured on `'auto'`, and from how many samples on the GPU is the faster, if it is. */
  calibration?: { cpu: DeviceCost; gpu: DeviceCost; crossover?: number };
  /** Where the GPU was dropped because its answer was not the CPU's. */
  evidence?: WrongAnswer;
}

/** Milliseconds of a batch: `overhead + samples · perSample`. */
export interface DeviceCost {
  overhead: number;
  perSample: number;
}

/** A value that the GPU computed, and what the CPU has for it. */
export interface WrongAnswer {
  adapter: string;
  /** Samples of the batch. */
  samples: number;
  /** Which of the model's outputs, and which value of it. */
  output: number;
  index: number;
  cpu: number;
  gpu: number;
}

/** What computing takes, whichever device does it. */
export interface Cost {
  /** Floating-point operations: a multiplication and an addition count as two. */
  flop: number;
  /** Bytes that must be read and written: inputs, outputs and weights, each once. */
  bytes: number;
}

/** What a step of the plan costs. */
export interface StepProfile extends Cost {
  /** The layer that it computes, or the last of several in one. */
  layer: string;
  /** The kernel. */
  kernel: string;
  /** Milliseconds: by the GPU's own clock, where it has one that may be read. */
  time: number;
}
