import type { RegisteredService } from '../nearside/client.js';
import type { ModelStatistics, Times } from '../nearside/service.js';
import { find, make, rowHead } from '../dom.js';
import { bytes, count, duration, plural } from '../format.js';
import { type Reported, ask, pathOf } from './ask.js';

/** How requests can end, besides with an answer. */
const ENDS = { fail: 'failed', rejected: 'refused, the queue was full', cancelled: 'cancelled', expired: 'too late' };

/** What a model has done since it was loaded. */
export class StatisticsPanel {
  async show(service: RegisteredService, name: string, version?: string): Promise<void> {
    const { model_stats } = await ask<Reported>(service, `${pathOf(name, version)}/stats`);
    const [newest] = model_stats;
    if (!newest) return;
    find('statistics-model').textContent = `${name}, version ${newest.version}, since the service worker was last started`;
    this.#render(newest.nearside);
  }

  #render({ requests, samples, batches, batchSizes, queue, compute, flop, bytes: moved, energy }: ModelStatistics): void {
    const others = Object.entries(ENDS).flatMap(([end, words]) => {
      const ended = requests[end as keyof typeof ENDS];
      return ended > 0 ? [`${count(ended)} ${words}`] : [];
    });
    const { joules, watts } = energy;
    figures('statistics-figures', {
      Answered: count(requests.success),
      'Not answered': others.join(', ') || '0',
      Samples: count(samples),
      Batches: count(batches),
    });
    find('statistics-times').replaceChildren(timesRow('Waited', queue), timesRow('Computed', compute));
    const sizes = Object.entries(batchSizes).map(([size, times]) => `${count(times)} × ${plural(Number(size), 'sample')}`);
    figures('statistics-facts', {
      'Batch sizes': sizes.join(', ') || 'none yet',
      Operations: `${si(flop)}FLOP`,
      Bytes: `${bytes(moved.received)} of requests, ${bytes(moved.sent)} of answers, ${bytes(moved.compute)} read and written to compute`,
      Energy: `about ${si(joules)}J: ${duration(compute.total)} of computing × ${watts} W, which is assumed of the device`,
    });
  }
}

function timesRow(name: string, { p50, p90, p99, max, count: times }: Times): HTMLElement {
  return make('tr', {}, rowHead(name), ...[p50, p90, p99, max].map((ms) => make('td', { text: times > 0 ? duration(ms) : '–' })));
}

function figures(id: string, values: Record<string, string>): void {
  find(id).replaceChildren(...Object.entries(values).map(([term, text]) => make('div', {}, make('dt', { text: term }), make('dd', { text }))));
}

/** With three digits that matter, and the prefix of its size. */
function si(value: number): string {
  const [factor, prefix] = ([[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, ''], [1e-3, 'm']] as const).find(([factor]) => value >= factor) ?? [1e-6, 'µ'];
  return `${Number((value / factor).toPrecision(3))}\u202f${prefix}`;
}
