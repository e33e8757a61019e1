/** What went wrong, for programs to branch on. */
export type ErrorKind =
  /** The bytes are damaged, truncated, or not a model file. */
  | 'format'
  /** The file is sound but uses something nearside does not implement. */
  | 'unsupported'
  /** A tensor has the wrong number of elements or dimensions. */
  | 'shape'
  /** An argument has a value outside its domain. */
  | 'value'
  /** A file could not be fetched. */
  | 'network'
  /** A file is not the one that was expected. */
  | 'integrity'
  /** The device asked for is missing, or was lost. */
  | 'device'
  /** More memory is needed than there is. */
  | 'memory'
  /** It is not allowed: the caller's origin or token does not grant it. */
  | 'denied'
  /** Too much is waiting, or was asked for in too short a time: try again later. */
  | 'busy'
  /** The request's deadline has passed. */
  | 'timeout'
  /** The caller's signal was aborted. */
  | 'aborted'
  /** The model was disposed of. */
  | 'disposed'
  /** A fault in nearside itself: please report it. Models loaded before it must be loaded again. */
  | 'internal';

/** Where it went wrong, as far as that is known. */
export interface ErrorContext {
  /** Name of the layer. */
  layer?: string;
  /** Name of the tensor, as the file spells it, or of the model's input. */
  tensor?: string;
  /** Byte offset in the file. */
  offset?: number;
  /** Address of the file. */
  url?: string;
  /** Seconds after which to try again, where it is `busy` for that long. */
  retryAfter?: number;
  /** Where it is `denied` and a capability token would help: none was given, or the one that was is not valid. */
  token?: 'missing' | 'invalid';
}

/** Every error that nearside throws. */
export class NearsideError extends Error {
  override readonly name = 'NearsideError';
  readonly kind: ErrorKind;
  readonly context: ErrorContext;

  constructor(kind: ErrorKind, message: string, context: ErrorContext = {}, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
    this.context = context;
  }
}

/** @internal What the WebAssembly modules throw: a plain object, which has no prototype to check. */
export interface PlainError {
  kind: ErrorKind;
  message: string;
  context: ErrorContext;
  cause?: unknown;
}

/** @internal */
export function isPlainError(thrown: unknown): thrown is PlainError {
  return typeof thrown === 'object' && thrown !== null && !(thrown instanceof Error) && 'kind' in thrown;
}

/** @internal Throws `value` for an option that would be ignored. */
export function assertKnown(options: object, known: string[]): void {
  if (typeof options !== 'object' || options === null) throw new NearsideError('value', 'the options are no object');
  const unknown = Object.keys(options).find((option) => !known.includes(option));
  if (unknown === undefined) return;
  throw new NearsideError('value', `there is no option '${unknown}'; the options are ${known.join(', ')}`);
}

/** @internal Throws `aborted` if the signal is. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal.reason);
}

/** @internal */
export function aborted(cause: unknown): NearsideError {
  return new NearsideError('aborted', 'aborted by the caller', {}, { cause });
}
