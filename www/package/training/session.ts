/** The page's side of the worker that trains: one for each training, which takes its memory along when it ends. */
import type { ErrorContext, ErrorKind, PlainError } from '../errors.js';
import type { Column, ModelInput } from '../input.js';
import type { TensorSpec } from '../model.js';
import type { Port } from '../platform.js';
import type { Answer, Reply, Request } from './requests.js';

/** What the training's part of the package uses of the rest, of which it has no copy. */
export interface Host {
  /** @throws `device` where there is no worker that trains on this device. */
  start: (device: 'cpu' | 'gpu') => Port<Request, Reply>;
  module: (device: 'cpu' | 'gpu') => Promise<WebAssembly.Module>;
  /** The values of each of these, in the form in which they were given if it is a typed array. */
  columns: (x: ModelInput, specs: TensorSpec[]) => Column[];
  error: (kind: ErrorKind, message: string, context?: ErrorContext) => Error;
  toError: (error: PlainError) => Error;
}

export class Session {
  #port: Port<Request, Reply>;
  #waiting: { resolve: (answer: Answer) => void; reject: (cause: unknown) => void }[] = [];
  #lost: Error | undefined;

  private constructor(
    private host: Host,
    device: 'cpu' | 'gpu',
    module: WebAssembly.Module,
  ) {
    this.#port = host.start(device);
    this.#port.listen(
      (reply) => this.#settle(reply),
      (cause) => this.#lose(`the worker that trains failed: ${String(cause)}`),
    );
    this.ask({ act: 'start', module }).catch(() => undefined); // whoever asks next is told
  }

  static async open(host: Host, device: 'cpu' | 'gpu' = 'cpu'): Promise<Session> {
    return new Session(host, device, await host.module(device));
  }

  /** Answers come in the order of requests. */
  ask(request: Request, transfer: Transferable[] = []): Promise<Answer> {
    if (this.#lost) return Promise.reject(this.#lost);
    const answer = new Promise<Answer>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#port.post(request, transfer);
    return answer;
  }

  close(): void {
    this.#lose('the training has ended');
  }

  #lose(message: string): void {
    this.#lost ??= this.host.error('internal', message);
    this.#port.terminate();
    this.#waiting.splice(0).forEach(({ reject }) => reject(this.#lost));
  }

  #settle(reply: Reply): void {
    if ('fault' in reply) return this.#lose(`nearside failed in training: ${reply.fault}`);
    const { resolve, reject } = this.#waiting.shift()!;
    if ('error' in reply) reject(this.host.toError(reply.error));
    else resolve(reply.answer);
  }
}
