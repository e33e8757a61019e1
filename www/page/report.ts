import { find, make } from './dom.js';
import { bytes, plural } from './format.js';
import { isServed } from './served.js';

/** What was fetched, by what it is for. */
const KINDS = ['page', 'engine', 'GPU', 'formats', 'training', 'service', 'model', 'test images', 'training images'] as const;
type FetchKind = (typeof KINDS)[number];

interface Fetched {
  name: string;
  kind: FetchKind;
  size: number;
  cached: boolean;
  start: number;
}

/** Counts every byte this page fetched and, once the model is ready, every request made since. */
export class FetchReport {
  readonly #fetched: Fetched[] = [];
  #readyAt = Infinity;

  constructor() {
    // `buffered` also hands over what was fetched before this script ran.
    new PerformanceObserver((list) => this.#add(list.getEntries())).observe({ type: 'resource', buffered: true });
    this.#add(performance.getEntriesByType('navigation'));
  }

  modelReady(): void {
    this.#readyAt = performance.now();
    this.#render();
  }

  #add(entries: PerformanceEntryList): void {
    for (const entry of entries as PerformanceResourceTiming[]) {
      if (isServed(entry)) continue;
      this.#fetched.push({
        name: new URL(entry.name).pathname.split('/').pop() || 'index.html',
        kind: kindOf(entry),
        // Nothing is transferred for what comes from the browser's cache; it is counted at its size all the same.
        size: entry.transferSize || entry.encodedBodySize || entry.decodedBodySize,
        cached: entry.transferSize === 0 && entry.decodedBodySize > 0,
        start: entry.startTime,
      });
    }
    this.#render();
  }

  #render(): void {
    const total = sum(this.#fetched);
    const cached = sum(this.#fetched.filter((entry) => entry.cached));
    find('bytes-total').textContent = bytes(total);
    find('bytes-cached').textContent = cached > 0 ? `${bytes(cached)} of it from the browser’s cache` : '';
    find('bytes-parts').replaceChildren(...KINDS.flatMap((kind) => this.#part(kind)));
    this.#renderRequests();
  }

  #part(kind: FetchKind): HTMLElement[] {
    const entries = this.#fetched.filter((entry) => entry.kind === kind);
    if (entries.length === 0) return [];
    const part = make('div', {}, make('dt', { text: kind }), make('dd', { text: bytes(sum(entries)) }));
    part.dataset.kind = kind;
    part.title = entries.map((entry) => `${entry.name} ${bytes(entry.size)}`).join('\n');
    return [part];
  }

  #renderRequests(): void {
    if (this.#readyAt === Infinity) return;
    const since = this.#fetched.filter((entry) => entry.start > this.#readyAt);
    const line = find('requests');
    line.dataset.count = String(since.length);
    find('requests-count').textContent = plural(since.length, 'request');
    const names = [...new Set(since.map((entry) => entry.name))];
    find('requests-names').textContent = names.length > 0 ? `(${names.join(', ')})` : '';
  }
}

/** Files of the package that are fetched when they are needed. */
const PARTS: Record<string, FetchKind> = { formats: 'formats', gpu: 'GPU', train: 'training', 'browser-trainer': 'training', service: 'service', client: 'service' };

function kindOf(entry: PerformanceEntry): FetchKind {
  const { pathname } = new URL(entry.name);
  if (entry.entryType === 'navigation') return 'page';
  if (pathname.includes('/models/')) return 'model';
  if (pathname.includes('/nearside/')) {
    const part = /\/(formats|gpu|train|browser-trainer|service|client)[\w-]*\.\w+$/.exec(pathname)?.[1] ?? '';
    return PARTS[part] ?? 'engine';
  }
  if (pathname.includes('/train/')) return 'training';
  if (pathname.includes('/service/')) return 'service';
  if (pathname.includes('/data/')) return 'training images';
  return pathname.endsWith('/samples.bin') ? 'test images' : 'page';
}

function sum(entries: Fetched[]): number {
  return entries.reduce((total, entry) => total + entry.size, 0);
}
