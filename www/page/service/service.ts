/** The tab of the service: a service worker of this site that answers what its pages ask of a model. */
import { type RegisteredService, registerService, removeService } from '../nearside/client.js';
import { type Model, NearsideError } from '../nearside/nearside.js';
import { find } from '../dom.js';
import { clearError, message, showError } from '../errors.js';
import { sentence } from '../format.js';
import type { Samples } from '../samples.js';
import { AuditPanel } from './audit.js';
import { onClick } from './button.js';
import { Caller } from './call.js';
import { CHANNEL, type Told } from './channel.js';
import { ModelTable } from './models.js';
import { PrivacyPanel } from './privacy.js';
import { RequestList } from './requests.js';
import { StatisticsPanel } from './statistics.js';
import { UploadForm } from './upload.js';

/** What the tab has of the page. */
export interface Page {
  /** Resolves when the page has fetched what it needs. */
  settled: Promise<void>;
  samples(): Samples | null;
  /** A model of the person's own. */
  own(): { model: Model; name: string } | null;
}

/** `stopped`: it was removed from outside, by another tab or in the browser's settings. */
type State = 'opening' | 'idle' | 'starting' | 'running' | 'stopped' | 'removing';

/** What is asked of models. What only reads, as this tab does for what it shows, is left out. */
const ACTS = ['infer', 'explain', 'load', 'unload', 'audit', 'backup', 'restore'];
/** Milliseconds between two looks at the statistics, at least. */
const PACE = 400;

const WORKER = new URL('sw.js', document.baseURI);
const REMOVED = 'The service was removed, and all that it had kept.';

export function openService(page: Page): void {
  new ServicePanel(page);
}

class ServicePanel {
  readonly #channel = new BroadcastChannel(CHANNEL);
  readonly #privacy = new PrivacyPanel();
  readonly #requests = new RequestList();
  readonly #statistics = new StatisticsPanel();
  readonly #models: ModelTable;
  readonly #caller: Caller;
  readonly #audit: AuditPanel;
  #service: RegisteredService | null = null;
  #looking = false;
  #stale = false;

  constructor(private readonly page: Page) {
    const service = (): RegisteredService => this.#service!;
    this.#models = new ModelTable(service);
    this.#caller = new Caller(service, page.samples, () => this.#look());
    new UploadForm(service, page.own, (name) => this.#served(name));
    this.#audit = new AuditPanel(service);
    this.#channel.onmessage = ({ data }: MessageEvent<Told>) => this.#told(data);
    onClick('service-start', 'service-errors', () => this.#start());
    onClick('service-remove', 'service-errors', () => this.#remove(), 'The service could not be removed');
    void this.#open();
  }

  /** Where the service was started before, it is there already. */
  async #open(): Promise<void> {
    this.#enter('opening');
    const registration = await navigator.serviceWorker?.getRegistration(WORKER).catch(() => undefined);
    if (registration?.active?.scriptURL === WORKER.href) return this.#start();
    this.#enter('idle');
    if (history.state?.removed) find('service-state').textContent = REMOVED;
    history.replaceState(null, '');
  }

  async #start(): Promise<void> {
    this.#enter('starting');
    find('service-state').textContent = 'Starting: the page and the model are put away on this device…';
    try {
      this.#service = this.#watch(await registerService(WORKER));
      await Promise.all([this.page.settled, this.#models.show(), this.#audit.read()]);
      this.#caller.offer(this.#models.names);
      await this.#caller.choose();
    } catch (error) {
      this.#enter('idle');
      find('service-state').textContent = '';
      return showError(find('service-errors'), error, 'The service could not be started');
    }
    find('service-state').textContent = 'Running';
    this.#enter('running');
    this.#privacy.cached();
    this.#channel.postMessage({ asks: true } satisfies Told);
    await this.#look();
  }

  get #isRunning(): boolean {
    return find('panel-service').dataset.state === 'running';
  }

  #enter(state: State): void {
    find('panel-service').dataset.state = state;
    find('service-start').hidden = state === 'running' || state === 'removing';
    find('service-start').setAttribute('aria-disabled', String(state !== 'idle' && state !== 'stopped'));
    find('service-remove').hidden = state !== 'running';
    const shown = state === 'running' || state === 'stopped' ? 'running' : 'idle';
    for (const part of document.querySelectorAll<HTMLElement>('[data-service]')) part.hidden = part.dataset.service !== shown;
  }

  /** The service, which notices when it is there no more. */
  #watch(service: RegisteredService): RegisteredService {
    const fetch: RegisteredService['fetch'] = async (...asked) => {
      try {
        return await service.fetch(...asked);
      } catch (error) {
        if (this.#service && error instanceof NearsideError && error.kind === 'network') {
          find('service-state').textContent = 'Stopped';
          this.#enter('stopped');
        }
        throw error;
      }
    };
    return { ...service, fetch };
  }

  #told({ record, fetched }: Told): void {
    if (fetched) this.#privacy.workerFetched(fetched);
    if (!record || !ACTS.includes(record.action)) return;
    this.#requests.add(record);
    this.#look();
  }

  /** Shows models and statistics as they are now; where much is asked, not each time. */
  async #look(): Promise<void> {
    this.#stale = true;
    if (this.#looking || !this.#isRunning) return;
    this.#looking = true;
    try {
      while (this.#stale && this.#isRunning) {
        this.#stale = false;
        const { name, version } = this.#caller.model;
        await Promise.all([this.#models.show(), this.#statistics.show(this.#service!, name, version)]);
        this.#caller.offer(this.#models.names);
        await new Promise((resolve) => setTimeout(resolve, PACE));
      }
    } catch (error) {
      if (this.#isRunning) find('service-state').textContent = `Not answering: ${sentence(message(error), false)}`;
    } finally {
      this.#looking = false;
    }
  }

  async #served(name: string): Promise<void> {
    await this.#models.show();
    this.#caller.offer(this.#models.names);
    await this.#caller.choose(name);
  }

  /**
   * The service worker answers the page that it has served until that is gone: the page is loaded anew, which makes sure
   * that nothing is left of it.
   */
  async #remove(): Promise<void> {
    const { registration } = this.#service!;
    this.#service = null;
    this.#enter('removing');
    clearError();
    try {
      await removeService(registration);
    } catch (error) {
      this.#enter('idle');
      throw error;
    }
    history.replaceState({ removed: true }, '');
    location.reload();
  }
}
