// On its second visit, asks the service without a pause while a new version of it is installed.
import { registerService } from '/client.js';

const service = await registerService('/updated.js', { scope: '/' });
const found = { seen: [], failed: 0 };
if (location.search === '?visit=2') await update().catch((error) => (found.error = String(error)));
document.title = JSON.stringify(found);

async function update() {
  await fetch('/publish').catch(() => undefined);
  let done = false;
  const updated = service.update().then(() => (done = true));
  for (let last = false; !last; ) {
    last = done;
    const response = await service.fetch('/v2/models/mnist');
    if (response.ok) found.seen.push((await response.json()).versions[0]);
    else found.failed++;
  }
  await updated;
  const cache = await caches.open((await caches.keys())[0]);
  found.kept = (await cache.keys()).map(({ url }) => url).filter((url) => url.includes('nearside-model'));
  // As much as fits a title.
  found.seen = found.seen.filter((version, i, all) => version !== all[i - 1]);
}
