/** The service's answers, as the Open Inference Protocol has them. */
import type { RegisteredService } from '../nearside/client.js';
import { NearsideError, type DeviceReport, type ErrorContext, type ErrorKind } from '../nearside/nearside.js';
import type { ModelStatistics } from '../nearside/service.js';

/** An entry of the index. */
export interface Indexed {
  name: string;
  version: string;
  state: 'READY' | 'LOADING' | 'UNAVAILABLE';
  reason: string;
}

/** A model's metadata: -1 is an axis of any length. */
export interface Metadata {
  inputs: { name: string; datatype: string; shape: number[] }[];
  outputs: { name: string; datatype: string; shape: number[] }[];
}

export interface Configuration {
  nearside: { device: DeviceReport; parameters: number; maxBatchSize: number; maxDelay: number; maxQueue: number };
}

export interface Answered {
  outputs: { name: string; shape: number[]; data: number[] }[];
}

export interface Reported {
  model_stats: { version: string; nearside: ModelStatistics }[];
}

/** Where a version of a model is asked, or without one the newest. */
export function pathOf(name: string, version?: string): string {
  return `/v2/models/${name}${version === undefined ? '' : `/versions/${version}`}`;
}

/** What the service answers to GET, or with a body to POST. @throws what it says is wrong, as an error of the same kind. */
export async function ask<T>(service: RegisteredService, path: string, body?: object): Promise<T> {
  const response = await service.fetch(path, body ? { method: 'POST', body: JSON.stringify(body) } : {});
  const answer: unknown = await response.json();
  if (response.ok) return answer as T;
  const { kind, error, context } = answer as { kind: ErrorKind; error: string; context: ErrorContext };
  throw new NearsideError(kind, error, context);
}
