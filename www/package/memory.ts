/** What is known of a GPU from earlier visits, in the browser's cache: pages and workers both have that. */

/** What was found out. */
export interface Known {
  /** Names of the fastest kernels. */
  kernels: string[];
}

/** The present form of these entries. */
const CACHE = 'nearside-gpu-1';
const known = new Map<string, Known>();

/** What is known of an adapter. */
export async function recall(adapter: string): Promise<Known | undefined> {
  const own = known.get(adapter);
  if (own) return own;
  try {
    const stored = await (await caches.open(CACHE)).match(address(adapter));
    const { kernels } = (await stored?.json()) as Partial<Known>;
    if (!Array.isArray(kernels)) return undefined;
    known.set(adapter, { kernels: kernels.map(String) });
  } catch {
    // A page without storage finds out again.
  }
  return known.get(adapter);
}

export async function remember(adapter: string, found: Known): Promise<void> {
  known.set(adapter, found);
  try {
    await (await caches.open(CACHE)).put(address(adapter), Response.json(found));
  } catch {
    // As above.
  }
}

/** Nothing is fetched from there: a cache's keys are addresses. */
function address(adapter: string): string {
  return new URL(`/nearside-gpu?${encodeURIComponent(adapter)}`, globalThis.location?.href ?? 'https://localhost').href;
}
