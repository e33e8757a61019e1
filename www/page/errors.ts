import { NearsideError } from './nearside/nearside.js';
import { find } from './dom.js';
import { sentence } from './format.js';

const TITLES: Record<string, string> = {
  format: 'This file could not be read',
  unsupported: 'This model needs something nearside does not have yet',
  shape: 'The numbers do not fit the model’s input',
  value: 'That value cannot be used',
  network: 'Something could not be fetched',
  integrity: 'The file is not the one that was expected',
  device: 'The device could not compute this',
  memory: 'There is not enough memory for this',
  aborted: 'Stopped',
  denied: 'This was not allowed',
  busy: 'Too much is waiting',
  timeout: 'It took too long',
  disposed: 'That model has already been put away',
  internal: 'nearside itself failed',
};

/** Shows what went wrong beside what was being done; the rest of the page goes on working. */
export function showError(place: HTMLElement, error: unknown, title?: string): void {
  const kind = error instanceof NearsideError ? error.kind : null;
  const box = find('error');
  find('error-title').textContent = title ?? TITLES[kind ?? ''] ?? 'Something went wrong';
  find('error-message').textContent = sentence(message(error));
  const code = find('error-kind');
  code.hidden = kind === null;
  code.textContent = kind ?? '';
  box.dataset.kind = kind ?? 'other';
  place.append(box);
  box.hidden = false;
}

export function clearError(): void {
  find('error').hidden = true;
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
