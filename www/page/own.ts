import { load, type Model } from './nearside/nearside.js';
import { find } from './dom.js';
import { catchDrops } from './drop.js';
import { clearError, showError } from './errors.js';
import { bytes, percent } from './format.js';

/** The drop zone and the file button: reads a person's own model, the newest file winning. */
export class OwnModel {
  readonly #zone = find('drop');
  readonly #state = find('drop-state');
  #reading: AbortController | null = null;

  constructor(private readonly onModel: (model: Model, file: string) => void) {
    const input = find<HTMLInputElement>('file');
    input.addEventListener('change', () => {
      void this.#take(input.files);
      input.value = ''; // so that the same file can be chosen again
    });
    catchDrops(this.#zone, (files) => void this.#take(files));
  }

  async #take(list: FileList | null): Promise<void> {
    const files = [...(list ?? [])]; // the list itself is emptied with the button
    const [first] = files;
    if (!first) return;
    clearError();
    this.#reading?.abort();
    const reading = (this.#reading = new AbortController());
    const name = files.length > 1 ? `${files.length} files` : first.name;
    this.#say(`Reading ${name}, ${bytes(files.reduce((sum, file) => sum + file.size, 0))}…`);
    try {
      const model = await load(files, {
        signal: reading.signal,
        onProgress: ({ loaded, total }) => {
          if (total) this.#say(`Reading ${name}, ${percent(loaded / total)}…`);
        },
      });
      if (reading.signal.aborted) return model.dispose();
      this.#say('');
      this.onModel(model, name);
    } catch (error) {
      if (reading.signal.aborted) return;
      this.#say('');
      showError(this.#zone, error);
    }
  }

  #say(text: string): void {
    this.#state.textContent = text;
  }
}
