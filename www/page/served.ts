/** Whether a service worker of this site has answered it, on this device. */
export function isServed({ name, workerStart }: PerformanceResourceTiming): boolean {
  const { origin, pathname } = new URL(name);
  return workerStart > 0 && origin === location.origin && /^\/v2(\/|$)/.test(pathname);
}
