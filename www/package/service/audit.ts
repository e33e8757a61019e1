import type { Store } from './store.js';
export class AuditLog {
  static async open(_store: Store, _options: object): Promise<AuditLog> { return new AuditLog(); }
  async append(_entry: object): Promise<void> {}
  async export(): Promise<object> { return {}; }
}
