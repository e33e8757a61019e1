import type { RequestRecord } from '../nearside/service.js';
import { find, make, onceAFrame } from '../dom.js';
import { count, duration, plural } from '../format.js';

/** What is listed at most: the rest is in the log. */
const MOST = 50;

const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

/** The requests that were answered, the newest first. */
export class RequestList {
  readonly #rows = find('live-requests');
  readonly #pause = find<HTMLButtonElement>('live-pause');
  #waiting: RequestRecord[] = [];
  #seen = 0;
  #paused = false;
  /** They may come faster than they can be shown. */
  readonly #renderLater = onceAFrame(() => this.#render());

  constructor() {
    this.#pause.addEventListener('click', () => {
      this.#paused = !this.#paused;
      this.#pause.textContent = this.#paused ? 'Resume' : 'Pause';
      this.#render();
    });
  }

  add(record: RequestRecord): void {
    this.#seen += 1;
    this.#waiting.push(record);
    this.#waiting.splice(0, this.#waiting.length - MOST);
    this.#renderLater();
  }

  #render(): void {
    const paused = this.#paused && this.#waiting.length > 0 ? ', not shown while paused' : '';
    find('live-count').textContent = this.#seen > 0 ? `${plural(this.#seen, 'request')} since this tab was opened${paused}` : '';
    if (this.#paused || this.#waiting.length === 0) return;
    find('live-none').hidden = true;
    find('live-region').hidden = false;
    this.#rows.prepend(...this.#waiting.splice(0).reverse().map(rowOf));
    while (this.#rows.children.length > MOST) this.#rows.lastElementChild!.remove();
  }
}

function rowOf({ time, model, action, samples, status, outcome, duration: ms }: RequestRecord): HTMLElement {
  const cells = [clock.format(time), model ?? '', action, samples === undefined ? '' : count(samples), String(status), duration(ms)];
  const row = make('tr', {}, ...cells.map((text) => make('td', { text })));
  if (outcome !== 'ok') row.title = outcome;
  row.dataset.outcome = outcome;
  return row;
}
