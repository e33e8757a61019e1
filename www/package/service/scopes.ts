import { NearsideError } from '../errors.js';

/** @internal */
export const SCOPES = ['infer', 'explain', 'train', 'manage'] satisfies Scope[];

/**
 * What may be asked for: `infer`, with the health of the service and the metadata of the models; `explain`; `train`;
 * `manage`, which loads and unloads models, exports the audit log, makes and restores backups.
 */
export type Scope = 'infer' | 'explain' | 'train' | 'manage';

/** @internal What a grant, or a token, allows. */
export interface Permission {
  scopes: ReadonlySet<string>;
  /** All unless given. */
  models?: ReadonlySet<string>;
}

/**
 * @internal Whether it covers an act on a model, or on the service as a whole. Who is limited to some models may still ask whether
 * the service is there, and do nothing else that concerns them all.
 */
export function covers({ scopes, models }: Permission, action: Scope, model: string | undefined): boolean {
  if (!scopes.has(action)) return false;
  return models === undefined || (model === undefined ? action === 'infer' : models.has(model));
}

/** @internal */
export function readScopes(given: unknown, where: string): Set<string> {
  const names = readList(given, where);
  const odd = names.find((name) => !SCOPES.includes(name as Scope));
  if (odd !== undefined) throw new NearsideError('value', `${where}: there is no scope '${odd}'; the scopes are ${SCOPES.join(', ')}`);
  return new Set(names);
}

/** @internal */
export function readModels(given: unknown, where: string): Set<string> {
  const names = readList(given, where);
  const pattern = names.find((name) => name.includes('*'));
  if (pattern !== undefined) throw new NearsideError('value', `${where}: '${pattern}' is a pattern; list each model by its exact name`);
  return new Set(names);
}

/** @internal */
export function readList(given: unknown, where: string): string[] {
  if (Array.isArray(given) && given.every((entry) => typeof entry === 'string' && entry !== '')) return given;
  throw new NearsideError('value', `${where} is a list of names`);
}
