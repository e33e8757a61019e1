import { find } from '../dom.js';
import { clearError, showError } from '../errors.js';

/**
 * What a button does, once at a time, and where it is told that it failed. A button keeps the focus while it cannot be used,
 * which `disabled` would take away.
 */
export function onClick(id: string, place: string, act: () => Promise<void> | void, title?: string): void {
  const button = find<HTMLButtonElement>(id);
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    clearError();
    button.setAttribute('aria-disabled', 'true');
    try {
      await act();
    } catch (error) {
      showError(find(place), error, title);
    } finally {
      button.setAttribute('aria-disabled', 'false');
    }
  });
}
