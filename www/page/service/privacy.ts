import { find, make, onceAFrame } from '../dom.js';
import { bytes, count, plural } from '../format.js';
import { isServed } from '../served.js';
import type { Fetched } from './channel.js';

/** Who answered. The service worker that passes a request on does not say who did, if it is asked later. */
type Answerer = 'service' | 'cache' | 'network' | 'kept';

const WORDS: Record<Answerer, string> = {
  service: 'the service, on this device',
  cache: 'the browser’s cache',
  network: 'the network',
  kept: 'a file that was kept: no network',
};

interface Asked {
  path: string;
  by: Answerer;
  /** Passed on by the service worker, or asked by it of its own accord. */
  worker: '' | 'through' | 'for';
  /** Milliseconds since 1970. */
  time: number;
  bytes: number;
}

/** Milliseconds between a page's asking and the service worker's passing it on, at most: that may have to start first. */
const PASSING = 5000;

/** Lists every request since the page was loaded, and counts those that left the device since the model was kept on it. */
export class PrivacyPanel {
  readonly #asked: Asked[] = [];
  /** Of the service, which are many: by path. */
  readonly #served = new Map<string, number>();
  readonly #workers = new Map<string, Asked>();
  #since = Infinity;
  readonly #renderLater = onceAFrame(() => this.#render());

  constructor() {
    // `buffered` also hands over what was fetched before this tab was opened.
    for (const type of ['navigation', 'resource']) {
      new PerformanceObserver((list) => this.#add(list.getEntries() as PerformanceResourceTiming[])).observe({ type, buffered: true });
    }
  }

  /** The model is on the device: from now on nothing has to leave it. */
  cached(): void {
    this.#since = now();
    this.#renderLater();
  }

  workerFetched(fetched: Fetched[]): void {
    for (const { url, time, status, bytes } of fetched) {
      if (time < performance.timeOrigin) continue; // for the page before this one
      const by = status === 0 ? 'kept' : bytes > 0 ? 'network' : 'cache';
      this.#workers.set(`${url} ${time}`, { path: pathOf(url), by, worker: 'for', time, bytes });
    }
    this.#renderLater();
  }

  #add(entries: PerformanceResourceTiming[]): void {
    for (const entry of entries) {
      const path = pathOf(entry.name);
      const by = answererOf(entry);
      if (by === 'service') this.#served.set(path, (this.#served.get(path) ?? 0) + 1);
      else {
        const worker = entry.workerStart > 0 ? 'through' : '';
        this.#asked.push({ path, by, worker, time: performance.timeOrigin + entry.startTime, bytes: entry.transferSize });
      }
    }
    this.#renderLater();
  }

  #render(): void {
    const asked = this.#all();
    const left = asked.filter(({ by }) => by === 'network');
    const since = left.filter(({ time }) => time > this.#since);
    const served = [...this.#served.values()].reduce((sum, times) => sum + times, 0);

    const running = this.#since < Infinity;
    const line = find('privacy');
    line.dataset.count = String(running ? since.length : left.length);
    line.dataset.served = String(served);
    find('privacy-count').textContent = plural(running ? since.length : left.length, 'request');
    find('privacy-when').textContent = running ? `left this device since the model was cached on it${namesOf(since)}` : 'left this device since the page was loaded, to fetch it and the model';
    const before = left.length - since.length;
    const fetching = before > 0 ? ` Before, ${plural(before, 'request')} fetched the page and the model, or asked whether they are still the same: ${bytes(sum(left) - sum(since))}.` : '';
    find('privacy-facts').textContent = running ? `${plural(served, 'request')} were answered on it by the service.${fetching}` : '';
    find('privacy-list').replaceChildren(...this.#rows(asked));
  }

  /** What the page asked and what the service worker did, each once. */
  #all(): Asked[] {
    const workers = [...this.#workers.values()];
    const passed = new Set<Asked>();
    const asked = this.#asked.map((one) => {
      const there = one.worker && workers.find((other) => !passed.has(other) && other.path === one.path && Math.abs(other.time - one.time) < PASSING);
      if (!there) return one;
      passed.add(there);
      return { ...there, worker: one.worker };
    });
    return [...asked, ...workers.filter((one) => !passed.has(one))];
  }

  #rows(asked: Asked[]): HTMLElement[] {
    const groups = new Map<string, Asked & { times: number }>();
    for (const one of asked) {
      const key = `${one.path} ${one.by} ${one.worker}`;
      const { times = 0, bytes = 0 } = groups.get(key) ?? {};
      groups.set(key, { ...one, times: times + 1, bytes: bytes + one.bytes });
    }
    const local = [...this.#served].map(([path, times]) => rowOf(path, WORDS.service, times, 0));
    const rest = [...groups.values()].map(({ path, by, worker, times, bytes }) => rowOf(path, `${WORDS[by]}${worker && by !== 'kept' ? `, ${worker} the service worker` : ''}`, times, bytes));
    return [...local, ...rest];
  }
}

/**
 * The service answers below `/v2`. All else that the service worker is asked for it asks the network for first: unless it
 * says otherwise itself, that is counted as having left.
 */
function answererOf(entry: PerformanceResourceTiming): Answerer {
  if (isServed(entry)) return 'service';
  const { workerStart, transferSize, decodedBodySize } = entry;
  return workerStart === 0 && transferSize === 0 && decodedBodySize > 0 ? 'cache' : 'network';
}

function rowOf(path: string, by: string, times: number, size: number): HTMLElement {
  return make('tr', {}, ...[path, by, count(times), size > 0 ? bytes(size) : '–'].map((text) => make('td', { text })));
}

function pathOf(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin === location.origin ? pathname : url;
}

function namesOf(asked: Asked[]): string {
  const names = new Set(asked.map(({ path }) => path));
  return names.size > 0 ? ` (${[...names].join(', ')})` : '';
}

function sum(asked: Asked[]): number {
  return asked.reduce((total, { bytes }) => total + bytes, 0);
}

function now(): number {
  return performance.timeOrigin + performance.now();
}
