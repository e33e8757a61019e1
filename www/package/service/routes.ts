/** What can be asked: each path and method, and what a caller must be allowed to do for it. */
import type { Scope } from './scopes.js';
import { HttpError } from './http.js';

/** What is asked for. */
export type Action =
  | 'live'
  | 'ready'
  | 'server'
  | 'index'
  | 'model'
  | 'model-ready'
  | 'config'
  | 'statistics'
  | 'infer'
  | 'load'
  | 'unload'
  | 'audit'
  | 'archive'
  | 'backup'
  | 'restore';

interface Endpoint {
  /** Below `/v2`. `NAME` and `V` stand for a model and its version. */
  path: string;
  method: 'GET' | 'POST' | 'PUT';
  action: Action;
  scope: Scope;
}

/** The protocol's, Triton's extensions of it, and nearside's own. */
const ENDPOINTS: Endpoint[] = [
  { path: '', method: 'GET', action: 'server', scope: 'infer' },
  { path: 'health/live', method: 'GET', action: 'live', scope: 'infer' },
  { path: 'health/ready', method: 'GET', action: 'ready', scope: 'infer' },
  // Before a model of that name.
  { path: 'models/stats', method: 'GET', action: 'statistics', scope: 'infer' },
  ...forVersions('', 'GET', 'model', 'infer'),
  ...forVersions('/ready', 'GET', 'model-ready', 'infer'),
  ...forVersions('/infer', 'POST', 'infer', 'infer'),
  ...forVersions('/config', 'GET', 'config', 'infer'),
  ...forVersions('/stats', 'GET', 'statistics', 'infer'),
  { path: 'repository/index', method: 'POST', action: 'index', scope: 'infer' },
  { path: 'repository/models/NAME/load', method: 'POST', action: 'load', scope: 'manage' },
  { path: 'repository/models/NAME/unload', method: 'POST', action: 'unload', scope: 'manage' },
  { path: 'audit', method: 'GET', action: 'audit', scope: 'manage' },
  { path: 'audit', method: 'POST', action: 'archive', scope: 'manage' },
  { path: 'backup', method: 'GET', action: 'backup', scope: 'manage' },
  { path: 'backup', method: 'PUT', action: 'restore', scope: 'manage' },
];

function forVersions(path: string, method: Endpoint['method'], action: Action, scope: Scope): Endpoint[] {
  return ['models/NAME', 'models/NAME/versions/V'].map((model) => ({ path: model + path, method, action, scope }));
}

/** What a request asks for. */
export interface Asked {
  action: Action;
  scope: Scope;
  model?: string;
  version?: string;
}

/** What a request's address and method ask for. @throws 404, 405. */
export function routeOf({ url, method }: Request): Asked {
  const { pathname } = new URL(url);
  const parts = partsOf(pathname);
  const there = ENDPOINTS.flatMap(({ path, ...endpoint }) => {
    const names = parts && match(path, parts);
    return names ? [{ ...endpoint, ...names }] : [];
  });
  if (!there.length) throw new HttpError(404, 'value', `there is nothing at ${pathname}`);
  const asked = there.find((endpoint) => endpoint.method === (method === 'HEAD' ? 'GET' : method));
  if (asked) return asked;
  const allow = [...new Set(there.map((endpoint) => endpoint.method))].join(', ');
  throw new HttpError(405, 'value', `${method} is not for ${pathname}, which takes ${allow}`, { allow });
}

/** The parts of a path below `/v2`, decoded; undefined for any other path. */
function partsOf(pathname: string): string[] | undefined {
  const parts = pathname.split('/');
  if (parts[1] !== 'v2') return undefined;
  if (parts.length > 2 && parts.at(-1) === '') parts.pop(); // `/v2/` is how the protocol's OpenAPI file spells it
  try {
    return parts.slice(2).map(decodeURIComponent);
  } catch {
    return undefined; // a broken escape names nothing
  }
}

/** What stands for the names in a path; undefined if it is another. */
function match(path: string, parts: string[]): { model?: string; version?: string } | undefined {
  const wanted = path ? path.split('/') : [];
  if (wanted.length !== parts.length) return undefined;
  const names: { model?: string; version?: string } = {};
  for (const [i, part] of parts.entries()) {
    if (wanted[i] === 'NAME') names.model = part;
    else if (wanted[i] === 'V') names.version = part;
    else if (wanted[i] !== part) return undefined;
  }
  return names;
}
