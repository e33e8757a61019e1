/** What a service worker and a worker that computes for it say to each other, over a port. */
import type { Cost, DeviceReport, ErrorContext, ErrorKind, LoadOptions, TensorSpec } from '../nearside.js';

/** What is asked. `model` is the key that it is kept under. */
export type Question =
  /** A container may be left out: the worker may have the model already, from a service worker that was stopped. */
  | { ask: 'open'; model: string; container?: Uint8Array; options?: LoadOptions }
  | { ask: 'predict'; model: string; inputs: Float32Array[] }
  | { ask: 'close'; model: string };

export type Request = Question & { id: number };

/** What a worker knows of an open model. */
export interface OpenedModel {
  format: string;
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  parameterCount: number;
  device: DeviceReport;
  /** Of one sample and of two: what a batch costs grows evenly. */
  costs: [Cost, Cost];
}

/** `null` for a model that the worker does not have. */
export type Answer = { id: number } & ({ value: OpenedModel | null | Float32Array[] | undefined; device?: DeviceReport } | { error: { kind: ErrorKind; message: string; context: ErrorContext } });

/** How a worker offers itself: the port, and the name of a lock that it holds for as long as it lives. */
export interface Offer {
  nearside: 'engine';
  lock: string;
}
