// Weights kept in 16 or 8 bits: chosen by the option or by the file, and what they cost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, inBrowser } from './support.mjs';

const DIGITS = ['mnist_784_128_128_10.h5', 'mnist_784_128_128_10.io.npz'];

inBrowser('weights kept small', { webgpu: false }, (context) => {
  for (const [dtype, allowed] of [
    ['f16', 2e-3],
    ['int8', 6e-2],
  ]) {
    test(`${dtype} classifies as before, in batches and one by one`, async () => {
      const found = await context.page.evaluate(
        async ([file, recorded, dtype]) => {
          const arrays = readNpz(await bytes(recorded));
          const x = given(arrays);
          const model = await load(file, { device: 'cpu', dtype });
          const exact = await load(file, { device: 'cpu' });
          const batch = await model.predict(x);
          const single = Array.from({ length: 256 }, (_, i) => model.predictSync(x.subarray(i * 784, (i + 1) * 784)).argMax()[0]);
          const classes = (await exact.predict(x)).argMax();
          const same = (found) => found.filter((value, i) => value === classes[i]).length;
          return { distance: distance(batch, arrays), same: [same(batch.argMax()), same(single)], summary: model.summary() };
        },
        [...DIGITS, dtype],
      );
      assert.ok(found.distance > 1e-6 && found.distance <= allowed, `${found.distance} from Keras's answers`);
      assert.ok(Math.min(...found.same) >= 254, `${found.same} of 256 classified as by the weights as they were`);
      assert.match(found.summary, new RegExp(`dense \\(relu\\), ${dtype} ± \\d+\\.\\d{3} %`));
    });

    test(`a file saved as ${dtype} is kept as such, unless another type is asked for`, async () => {
      const [own, asked] = await context.page.evaluate(
        async ([file, dtype]) => {
          const saved = await (await load(file, { device: 'cpu' })).save('safetensors', { dtype });
          return [(await load(saved, { device: 'cpu' })).summary(), (await load(saved, { device: 'cpu', dtype: 'f32' })).summary()];
        },
        [DIGITS[0], dtype],
      );
      // What the file has lost already is lost no more.
      assert.match(own, new RegExp(`${dtype} ± 0\\.000 %`));
      assert.doesNotMatch(asked, /±/);
    });
  }

  test('a type that is none is refused', async () => {
    const error = await context.page.evaluate(() => caught(() => load('dress.h5', { device: 'cpu', dtype: 'int4' })));
    assertRefused(error, 'value', /no dtype 'int4'.*'f32', 'f16' or 'int8'/);
  });
});
