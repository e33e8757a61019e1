export interface Caller { origin?: string; client?: string }
export type Scope = 'infer' | 'explain' | 'train' | 'manage';
export interface Policy { [key: string]: unknown }
export interface Grant { caller: string; models?: string[] }
import type { Store } from './store.js';
export class Access {
  constructor(_policy: Policy | undefined, _store: Store) {}
  async admit(_request: Request, caller: Caller, _scope: Scope, _model: string | undefined): Promise<Grant> { return { caller: caller.client ?? 'self' }; }
  preflight(_request: Request, _caller: Caller): Response | undefined { return undefined; }
  corsHeaders(_request: Request, _caller: Caller): Record<string, string> { return {}; }
}
