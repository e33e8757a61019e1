// Every model file gives the answers that Keras gave, in a browser that runs the package as it is published.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { fixtures, inBrowser } from './support.mjs';

const all = fixtures();

test('there are fixtures', () => assert.ok(all.length >= 60, `${all.length} found`));

for (const [device, webgpu, simd] of [
  ['cpu', false, 'relaxed-simd'],
  ['cpu', false, 'simd128'],
  ['gpu', true, 'relaxed-simd'],
]) {
  inBrowser(`on the ${device}, ${simd}`, { webgpu }, (context) => {
    before(async () => {
      if (simd !== 'simd128') return;
      // As in a browser that has no relaxed SIMD.
      await context.page.addInitScript(() => (WebAssembly.validate = () => false));
      await context.page.reload();
      await context.page.locator('[data-state=ready]').waitFor({ state: 'attached' });
    });

    for (const { file, recorded, tolerance } of all) {
      test(file, async () => {
        const found = await context.page.evaluate(({ file, recorded, device }) => check(file, recorded, { device }), { file, recorded, device });
        assert.deepEqual([found.device, found.simd], [device, simd]);
        assert.ok(found.distance <= tolerance, `${found.distance} from Keras's answers, ${tolerance} allowed`);
      });
    }
  });
}
