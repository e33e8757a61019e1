import { NearsideError, load, type LoadOptions, type Model } from '../node.js';
import { decodeText, readBytes } from './files.js';

/** Loads a model. A fault of the file names it. */
export async function loadModel(file: string, config: string | undefined, options: LoadOptions): Promise<Model> {
  const given = config === undefined ? options : { ...options, config: await readConfig(config) };
  return naming(file, () => load(file, given));
}

/** Adds the file's name to what goes wrong with it, unless it is there. */
export async function naming<T>(file: string, act: () => Promise<T> | T): Promise<T> {
  try {
    return await act();
  } catch (thrown) {
    if (!(thrown instanceof NearsideError) || thrown.message.includes(file)) throw thrown;
    throw new NearsideError(thrown.kind, `${file}: ${thrown.message}`, thrown.context, { cause: thrown });
  }
}

async function readConfig(file: string): Promise<string> {
  const bytes = await readBytes(file);
  return naming(file, () => decodeText(bytes));
}
