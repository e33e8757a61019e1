import { find } from './dom.js';

/**
 * Tabs, as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ describes them. The address remembers which one is open: the
 * first is the page itself, the others are #NAME.
 */
export class Tabs {
  readonly #tabs = [...find('tabs').querySelectorAll<HTMLButtonElement>('[role="tab"]')];

  constructor(private readonly onOpen: (name: string) => void) {
    for (const tab of this.#tabs) tab.addEventListener('click', () => this.open(nameOf(tab)));
    find('tabs').addEventListener('keydown', (event) => this.#key(event));
    addEventListener('hashchange', () => this.#show(this.#addressed()));
    this.#show(this.#addressed());
  }

  open(name: string): void {
    const first = name === nameOf(this.#tabs[0]!);
    history.replaceState(null, '', first ? location.pathname + location.search : `#${name}`);
    this.#show(name);
  }

  #addressed(): string {
    const name = location.hash.slice(1);
    return nameOf(this.#tabs.find((tab) => nameOf(tab) === name) ?? this.#tabs[0]!);
  }

  #show(name: string): void {
    for (const tab of this.#tabs) {
      const open = nameOf(tab) === name;
      tab.setAttribute('aria-selected', String(open));
      tab.tabIndex = open ? 0 : -1;
      this.#panel(nameOf(tab)).hidden = !open;
    }
    this.onOpen(name);
  }

  #panel(name: string): HTMLElement {
    return find(`panel-${name}`);
  }

  #key(event: KeyboardEvent): void {
    const here = this.#tabs.indexOf(event.target as HTMLButtonElement);
    const last = this.#tabs.length - 1;
    const to: Record<string, number> = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last };
    const next = to[event.key];
    if (here < 0 || next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const tab = this.#tabs.at(next > last ? 0 : next)!; // -1 is the last
    tab.focus();
    this.open(nameOf(tab));
  }
}

function nameOf(tab: HTMLElement): string {
  return tab.id.replace('tab-', '');
}
