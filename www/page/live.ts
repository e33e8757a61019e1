/**
 * Runs `work` for the newest state only: at most once a frame, never twice at a time. A hand moves faster than
 * some devices predict; what was overtaken while a prediction ran is never computed.
 */
export class Live {
  #wanted = false;
  #running = false;
  #quiet: ReturnType<typeof setTimeout> | undefined;

  /** `settle` runs after `pause` ms without a request, and must return soon once `overtaken()` is true. */
  constructor(
    private readonly work: () => Promise<void>,
    private readonly settle: (overtaken: () => boolean) => Promise<void>,
    private readonly pause = 250,
  ) {}

  request(): void {
    clearTimeout(this.#quiet);
    if (this.#wanted) return;
    this.#wanted = true;
    if (!this.#running) this.#nextFrame();
  }

  #nextFrame(): void {
    requestAnimationFrame(() => {
      this.#wanted = false;
      void this.#run(this.work);
    });
  }

  async #run(step: () => Promise<void>): Promise<void> {
    this.#running = true;
    try {
      await step();
    } finally {
      this.#running = false;
      if (this.#wanted) this.#nextFrame();
      else if (step === this.work) this.#settleLater();
    }
  }

  #settleLater(): void {
    this.#quiet = setTimeout(() => void this.#run(() => this.settle(() => this.#wanted)), this.pause);
  }
}
