/** Workers that pages have offered to compute in, and models that are there. */
import type { Answer, Offer, OpenedModel, Question } from '../engine-worker/messages.js';
import { type Cost, type DeviceReport, type LoadOptions, NearsideError } from '../nearside.js';
import { type Computer, growing } from '../service/models.js';
import { scope } from './scope.js';

/** How long pages are waited for that may have a worker to offer. */
const PATIENCE = 200;

/** A worker. */
class Engine {
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  #id = 0;
  #ended = false;

  constructor(
    private readonly port: MessagePort,
    lock: string,
    onEnd: () => void,
  ) {
    port.onmessage = ({ data }: MessageEvent<Answer>) => {
      this.#waiting.get(data.id)?.resolve(data);
      this.#waiting.delete(data.id);
    };
    // The worker holds the lock for as long as it lives.
    void navigator.locks.request(lock, () => {
      this.#ended = true;
      onEnd();
      for (const { reject } of this.#waiting.values()) reject(new Gone());
    });
  }

  async ask(question: Question): Promise<Extract<Answer, { value: unknown }>> {
    if (this.#ended) throw new Gone();
    const id = this.#id++;
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.port.postMessage({ ...question, id });
    });
    if ('value' in answer) return answer;
    const { kind, message, context } = answer.error;
    throw new NearsideError(kind, message, context);
  }
}

/** The worker has ended. */
class Gone extends Error {}

/** How a model is had where it is not open yet. */
export interface Origin {
  /** What workers keep it under. */
  key: string;
  container: () => Promise<Uint8Array>;
  options: LoadOptions;
  openHere: () => Promise<Computer>;
}

export class Engines {
  #engine: Engine | undefined;
  #wanted: ((engine: Engine) => void)[] = [];

  /** Takes what a page offers, unless there is a worker already. */
  take(port: MessagePort, { lock }: Offer): void {
    if (this.#engine) return;
    const engine = new Engine(port, lock, () => (this.#engine = undefined));
    this.#engine = engine;
    for (const resolve of this.#wanted.splice(0)) resolve(engine);
  }

  /** A worker, if a page has one to offer within a while. */
  async find(): Promise<Engine | undefined> {
    if (this.#engine) return this.#engine;
    const pages = await scope.clients.matchAll({ includeUncontrolled: true });
    if (!pages.length) return undefined;
    for (const page of pages) page.postMessage({ nearside: 'engine?' });
    return new Promise((resolve) => {
      this.#wanted.push(resolve);
      setTimeout(resolve, PATIENCE, undefined);
    });
  }

  /** A model that computes in a worker, or here where there is none. */
  async open(origin: Origin): Promise<Computer> {
    const placed = new Placed(this, origin);
    return (await placed.open()) ?? placed;
  }
}

/** A model in a worker. Where that ends, it goes on in another, or here. */
class Placed implements Computer {
  #opened!: OpenedModel;
  #engine: Engine | undefined;
  #here: Computer | undefined;

  constructor(
    private readonly engines: Engines,
    private readonly origin: Origin,
  ) {}

  /** Opens the model: where that is here, as the computer that it is. */
  async open(): Promise<Computer | undefined> {
    const { key, container, options, openHere } = this.origin;
    try {
      this.#engine = await this.engines.find();
      const there = await this.#engine?.ask({ ask: 'open', model: key });
      const opened = there?.value ?? (await this.#engine?.ask({ ask: 'open', model: key, container: await container(), options }))?.value;
      this.#opened = (opened as OpenedModel | undefined) ?? this.#opened;
    } catch (error) {
      if (!(error instanceof Gone)) throw error;
      this.#engine = undefined;
    }
    return this.#engine ? undefined : (this.#here = await openHere());
  }

  async predict(inputs: Float32Array[], samples: number): Promise<Float32Array[]> {
    while (!this.#here) {
      try {
        const answer = await this.#engine?.ask({ ask: 'predict', model: this.origin.key, inputs });
        if (answer?.device) this.#opened.device = answer.device;
        if (answer?.value) return answer.value as Float32Array[];
      } catch (error) {
        if (!(error instanceof Gone)) throw error;
      }
      await this.open();
    }
    return this.#here.predict(inputs, samples);
  }

  save(): Promise<Uint8Array> {
    return this.origin.container();
  }

  get format(): string {
    return this.#opened.format;
  }
  get inputs(): Computer['inputs'] {
    return this.#opened.inputs;
  }
  get outputs(): Computer['outputs'] {
    return this.#opened.outputs;
  }
  get parameterCount(): number {
    return this.#opened.parameterCount;
  }

  device(): DeviceReport {
    return this.#here?.device() ?? this.#opened.device;
  }

  cost(samples: number): Cost {
    return growing(...this.#opened.costs)(samples);
  }

  dispose(): void {
    this.#here?.dispose();
    void this.#engine?.ask({ ask: 'close', model: this.origin.key }).catch(() => undefined);
  }
}
