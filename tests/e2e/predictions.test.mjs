// Every model file gives the answers that Keras gave, in a browser that runs the package as it is published.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixtures, inBrowser } from './support.mjs';

const all = fixtures();

test('there are fixtures', () => assert.ok(all.length >= 60, `${all.length} found`));

for (const [device, webgpu] of [
  ['cpu', false],
  ['gpu', true],
]) {
  inBrowser(`on the ${device}`, { webgpu }, (context) => {
    for (const { file, recorded, tolerance } of all) {
      test(file, async () => {
        const found = await context.page.evaluate(({ file, recorded, device }) => check(file, recorded, { device }), { file, recorded, device });
        assert.equal(found.device, device);
        assert.ok(found.distance <= tolerance, `${found.distance} from Keras's answers, ${tolerance} allowed`);
      });
    }
  });
}
