import type { RegisteredService } from '../nearside/client.js';
import { type Model, NearsideError } from '../nearside/nearside.js';
import { find } from '../dom.js';
import { clearError, showError } from '../errors.js';
import { bytes } from '../format.js';
import { ask } from './ask.js';
import { onClick } from './button.js';

/** What the service takes of a request, and base64 makes four bytes of three. */
const MOST = (2 ** 26 * 3) / 4 - 1000;

/** Gives the service a model of the person's own: a file, or the one that the page has. */
export class UploadForm {
  readonly #name = find<HTMLInputElement>('upload-name');
  readonly #state = find('upload-state');

  constructor(
    private readonly service: () => RegisteredService,
    private readonly own: () => { model: Model; name: string } | null,
    private readonly onServed: (name: string) => Promise<void>,
  ) {
    const input = find<HTMLInputElement>('upload-file');
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])];
      input.value = ''; // so that the same file can be chosen again
      clearError();
      this.#serve(files[0]?.name ?? '', files).catch((error: unknown) => {
        this.#state.textContent = '';
        showError(find('upload-errors'), error);
      });
    });
    onClick('upload-own', 'upload-errors', async () => {
      const own = this.own();
      if (!own) throw new NearsideError('value', 'the Predict tab has no model of yours yet: drop one there, or train one and press “Use it”');
      const { model, name } = own;
      const file = (await model.save('safetensors')) as Uint8Array<ArrayBuffer>;
      await this.#serve(name, [new File([file], 'model.safetensors')]);
    });
  }

  async #serve(from: string, files: File[]): Promise<void> {
    if (files.length === 0) return;
    const size = files.reduce((sum, file) => sum + file.size, 0);
    if (size > MOST) throw new NearsideError('memory', `${from} has ${bytes(size)}; the service takes models of up to ${bytes(MOST)}`);
    const name = this.#name.value.trim() || nameOf(from);
    this.#state.textContent = `Loading ${from}…`;
    const contents = await Promise.all(files.map(async (file) => [`file:1/${file.name}`, await toBase64(file)]));
    await ask(this.service(), `/v2/repository/models/${encodeURIComponent(name)}/load`, { parameters: Object.fromEntries(contents) });
    await this.onServed(name);
    this.#state.textContent = `${name} is served, and kept until the service is removed.`;
  }
}

/** A file's name as a model may be called. */
function nameOf(file: string): string {
  return file.replace(/(\.\w+)?( \(.*\))?$/, '').replace(/[^\w.-]+/g, '-').slice(0, 64) || 'model';
}

async function toBase64(file: File): Promise<string> {
  const reader = new FileReader();
  return new Promise((resolve, reject) => {
    reader.onload = () => resolve((reader.result as string).replace(/^.*,/, ''));
    reader.onerror = () => reject(new NearsideError('network', `${file.name} could not be read: ${reader.error?.message}`));
    reader.readAsDataURL(file);
  });
}
