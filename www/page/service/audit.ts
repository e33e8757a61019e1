import type { RegisteredService } from '../nearside/client.js';
import { type AuditFile, verifyAudit } from '../nearside/service.js';
import { find } from '../dom.js';
import { download } from '../download.js';
import { count, duration, plural, sentence } from '../format.js';
import { ask } from './ask.js';
import { onClick } from './button.js';

/** The log of who asked what: read, verified, given away, and tampered with in a copy. */
export class AuditPanel {
  constructor(private readonly service: () => RegisteredService) {
    onClick('audit-verify', 'audit-errors', () => this.#verify());
    onClick('audit-tamper', 'audit-errors', () => this.#tamper());
    onClick('audit-download', 'audit-errors', async () => {
      download(JSON.stringify(await this.read(), null, 1), 'nearside-audit.json', 'application/json');
    });
  }

  /** The log as it is now. */
  async read(): Promise<AuditFile> {
    const file = await ask<AuditFile>(this.service(), '/v2/audit');
    find('audit-entries').textContent = plural(file.entries.length, 'entry', 'entries');
    find('audit-head').textContent = file.head.hash;
    return file;
  }

  async #verify(): Promise<void> {
    const file = await this.read();
    const start = performance.now();
    const { ok, from, to } = await verifyAudit(file);
    const ms = performance.now() - start;
    if (!ok) return this.#say(false, `Not sound: ${await faultOf(file)}`);
    const which = file.entries.length > 0 ? `entries ${count(from)} to ${count(to)} are` : 'it has no entries, and is';
    this.#say(true, `Sound: ${which} complete and unchanged, and the head is signed by the log’s key. It took ${duration(ms)}.`);
  }

  /** Changes an entry of a copy, as someone might who wants to hide how much was asked. */
  async #tamper(): Promise<void> {
    const file = structuredClone(await this.read());
    const asked = file.entries.filter(({ samples }) => samples !== undefined);
    const entry = asked[Math.floor(asked.length / 2)];
    if (!entry) return this.#say(false, 'There is no entry to change yet: send a request first.');
    const { sequence, samples = 0 } = entry;
    entry.samples = samples + 1;
    this.#say(false, `In a copy, entry ${count(sequence)} now has ${plural(samples + 1, 'sample')} instead of ${count(samples)}. Verified, the copy is not sound: ${await faultOf(file)} The log itself is as it was.`);
  }

  #say(sound: boolean, text: string): void {
    const line = find('audit-result');
    line.dataset.sound = String(sound);
    line.textContent = text;
  }
}

/** The first fault of a log, in words. */
async function faultOf(file: AuditFile): Promise<string> {
  const { faults } = await verifyAudit(file);
  return faults[0] ? sentence(faults[0].message, false) : '';
}
