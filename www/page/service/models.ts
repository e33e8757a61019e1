import type { RegisteredService } from '../nearside/client.js';
import { find, make, rowHead } from '../dom.js';
import { bytes, plural } from '../format.js';
import { type Configuration, type Indexed, ask, pathOf } from './ask.js';

const STATES = { READY: 'ready', LOADING: 'loading', UNAVAILABLE: 'not ready' };

/** The models that are registered. */
export class ModelTable {
  readonly #rows = find('service-models');
  #shown = '';
  /** Those that can be asked, as NAME, or NAME/VERSION where it is not the newest. */
  names: string[] = [];

  constructor(private readonly service: () => RegisteredService) {}

  async show(): Promise<void> {
    const models = await ask<Indexed[]>(this.service(), '/v2/repository/index', {});
    const rows = await Promise.all(models.map((model) => this.#describe(model)));
    const ready = models.filter(({ state }) => state === 'READY');
    // Versions come with the newest first.
    this.names = ready.map(({ name, version }, i) => (ready.findIndex((other) => other.name === name) === i ? name : `${name}/${version}`));
    // Rebuilt where something has changed alone, so that a button in it keeps the focus.
    const shown = JSON.stringify(rows);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#rows.replaceChildren(...rows.map(([name, ...cells]) => make('tr', {}, rowHead(name!), ...cells.map((text) => make('td', { text })))));
  }

  async #describe({ name, version, state, reason }: Indexed): Promise<string[]> {
    if (state !== 'READY') return [name, version, `${STATES[state]}${reason && `: ${reason}`}`, '', '', ''];
    const { nearside } = await ask<Configuration>(this.service(), `${pathOf(name, version)}/config`);
    const { device, parameters, maxBatchSize, maxDelay } = nearside;
    const kind = device.kind === 'gpu' ? 'GPU' : device.simd === 'none' ? 'CPU' : `CPU, ${device.simd}`;
    const batching = maxBatchSize === 1 ? 'none' : `up to ${maxBatchSize}${maxDelay > 0 ? `, waits ${maxDelay} ms` : ''}`;
    return [name, version, STATES[state], kind, batching, `${plural(parameters, 'parameter')}, ${bytes(parameters * 4)}`];
  }
}
