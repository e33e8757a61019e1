// The page, as `npm run build` makes it: with a GPU and without, by mouse and by keyboard, with good files and bad ones.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { inBrowser } from './support.mjs';
import { readNpz } from './keras.mjs';

const FIXTURE = 'tests/fixtures/functional_100_64_10.h5';
const SCREENSHOTS = 'target/e2e';
mkdirSync(SCREENSHOTS, { recursive: true });

/** Strokes as a hand makes them, in shares of the drawing area: along arcs (x, y, radius, from and to in degrees) and lines. */
const arc = (x, y, radius, from, to) =>
  Array.from({ length: 13 }, (_, i) => {
    const angle = ((from + ((to - from) * i) / 12) * Math.PI) / 180;
    return [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
  });
const DIGITS = {
  0: [arc(0.5, 0.5, 0.27, -90, 270)],
  1: [[[0.5, 0.2], [0.5, 0.8]]],
  3: [[...arc(0.48, 0.35, 0.16, -150, 90), ...arc(0.48, 0.67, 0.16, -90, 150)]],
  7: [[[0.3, 0.25], [0.7, 0.25], [0.45, 0.8]]],
};

inBrowser('the page with a GPU', { webgpu: true, folders: ['target/site'] }, (context) => {
  works(context, 'cpu');

  test('switches between CPU and GPU', async (t) => {
    const page = await open(t, context);
    await draw(page, 3);
    await page.locator('#prediction[data-digit="3"][data-device="cpu"]').waitFor();
    await page.locator('#device-gpu:enabled').waitFor();
    for (const device of ['gpu', 'cpu', 'gpu']) {
      await page.click(`#device-${device}`);
      await page.locator(`#prediction[data-digit="3"][data-device="${device}"]`).waitFor();
      await page.locator(`#device-${device}[aria-pressed="true"]`).waitFor();
      await page.locator('#time', { hasText: `on the ${device.toUpperCase()}` }).waitFor();
    }
    assert.equal(await page.getAttribute('#requests', 'data-count'), '0');
  });

  test('goes on with the GPU when it was lost', async (t) => {
    const page = await onGpu(t, context);
    await draw(page, 7);
    await says(page, /^7, .*GPU$/);
    await page.evaluate(() => device.destroy());
    await draw(page, 3);
    await says(page, /^3, .*GPU$/);
  });

  test('goes on with the CPU when the GPU fails', async (t) => {
    const page = await onGpu(t, context);
    await page.evaluate(() => {
      GPUQueue.prototype.submit = () => {
        throw new Error('provoked');
      };
    });
    await draw(page, 3);
    await says(page, /^3, .*CPU$/);
    await page.locator('#device-gpu:disabled').waitFor();
    assert.match(await page.innerText('#device-absent'), /No GPU here: the GPU's module failed: .*provoked/);
  });

  test('plots what a batch costs either device', async (t) => {
    const page = await open(t, context);
    await page.locator('#measure').waitFor();
    await page.click('#measure');
    await page.locator('#measure-plot polyline.gpu').waitFor();
    assert.equal(await page.locator('#measure-plot polyline').count(), 2);
    assert.match(await page.innerText('#measure-state'), /^The CPU is faster than .*swiftshader for any number of samples\.$/);
    await page.screenshot({ path: `${SCREENSHOTS}/measured.png`, fullPage: true });
  });

  test('can be looked at', async (t) => {
    await screenshot(t, context, 'gpu', 'light', 1280);
    await screenshot(t, context, 'gpu', 'dark', 360);
  });
});

inBrowser('the page without a GPU', { webgpu: false, folders: ['target/site'] }, (context) => {
  works(context, 'cpu');

  test('says why the GPU cannot be chosen', async (t) => {
    const page = await open(t, context);
    await page.locator('#device-absent:visible').waitFor();
    assert.ok(await page.isDisabled('#device-gpu'));
    const said = await page.innerText('#device');
    assert.match(said, /no adapter|no WebGPU/);
    assert.match(said, /CPU, WebAssembly with relaxed-simd/);
  });

  test('can be looked at', async (t) => {
    for (const width of [360, 1280]) for (const scheme of ['light', 'dark']) await screenshot(t, context, 'cpu', scheme, width);
    for (const width of [360, 1280]) await screenshot(t, context, 'own', 'light', width, showOwn);
  });
  atTheEdges(context);
});

/** The page, once its GPU was chosen. */
async function onGpu(t, context) {
  const page = await open(t, context);
  await page.locator('#device-gpu:enabled').waitFor();
  await page.click('#device-gpu');
  return page;
}

/** What the page does on either device. */
function works(context, device) {
  for (const digit of [3, 7, 1, 0]) {
    test(`recognises a ${digit} drawn with the mouse`, async (t) => {
      const page = await open(t, context);
      await draw(page, digit);
      await says(page, new RegExp(`^${digit}, .*computed on the ${device.toUpperCase()}`));
      assert.equal(await page.innerText('#prediction'), String(digit));
      assert.equal(await page.getAttribute('#prediction', 'data-device'), device);
      const shares = await page.$$eval('#bars li', (bars) => bars.map((bar) => Number(bar.dataset.probability)));
      assert.equal(shares.length, 10);
      assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-4, `${shares}`);
      assert.equal(shares.indexOf(Math.max(...shares)), digit);
      assert.equal(await page.getAttribute('#requests', 'data-count'), '0');
    });
  }

  test('shows a test image that is clicked, and says whether the network agrees', async (t) => {
    const page = await open(t, context);
    let right = 0;
    for (const sample of (await page.$$('#samples button')).slice(0, 20)) {
      const label = await sample.getAttribute('data-label');
      await sample.click();
      await page.locator(`#truth:text("labelled ${label}")`).waitFor();
      const digit = await page.innerText('#prediction');
      const agrees = digit === label;
      assert.match(await page.innerText('#truth'), agrees ? /: right$/ : /: wrong$/);
      right += agrees;
    }
    assert.ok(right >= 18, `${right} of 20`);
    assert.equal(await page.getAttribute('#requests', 'data-count'), '0');
  });

  test('takes a model of the user, and gives its answers', async (t) => {
    const page = await open(t, context);
    await page.setInputFiles('#file', FIXTURE);
    await page.locator('html[data-model="own"]').waitFor();
    assert.deepEqual(await page.$$eval('#layers tr', (rows) => rows.map((row) => row.innerText.split('\t'))), [
      ['feat', 'InputLayer', '100', '0'],
      ['hidden', 'Dense, relu', '64', '6,464'],
      ['probs', 'Dense, softmax', '10', '650'],
    ]);
    assert.equal(await page.innerText('#parameters'), '7,114');
    const recorded = readNpz(readFileSync(FIXTURE.replace('.h5', '.io.npz')));
    await page.fill('#row-input', `[${recorded['in:'].data.slice(0, 100).join(', ')}]`);
    await page.click('#row button[type=submit]');
    await page.locator('#row-output li').first().waitFor();
    const answers = await page.$$eval('#row-output li', (cells) => cells.map((cell) => Number(cell.textContent)));
    assert.equal(answers.length, 10);
    answers.forEach((answer, i) => assert.ok(Math.abs(answer - recorded['out:'].data[i]) < 2e-5, `${answer}`));
    assert.equal(await page.getAttribute('#requests', 'data-count'), '0');
    await page.click('#back');
    await draw(page, 7);
    await says(page, /^7,/);
  });

  test('gives the canvas to a model of the user that reads digits', async (t) => {
    const page = await open(t, context);
    await page.setInputFiles('#file', 'tests/fixtures/mnist_784_128_128_10.h5');
    await page.locator('html[data-model="own-digits"]').waitFor();
    await draw(page, 3);
    await says(page, /^3,/);
  });

  test('says what is wrong with a broken file, and goes on', async (t) => {
    const page = await open(t, context);
    const file = readFileSync(FIXTURE);
    for (const [name, buffer, kind, message] of [
      ['cut.h5', file.subarray(0, 5000), 'format', /truncated/],
      ['page.h5', Buffer.from('<!doctype html><title>404</title>'), 'format', /web page/],
      ['empty.h5', Buffer.alloc(0), 'format', /empty/],
      ['conv2d.h5', readFileSync('tests/fixtures/conv2d.h5'), 'unsupported', /Conv2D/],
    ]) {
      await page.setInputFiles('#file', { name, mimeType: '', buffer });
      await page.locator(`#error[data-kind="${kind}"]:visible`, { hasText: message }).waitFor();
      await page.locator('#drop-state:empty').waitFor({ state: 'attached' });
    }
    await draw(page, 7);
    await says(page, /^7,/);
    await page.setInputFiles('#file', FIXTURE);
    await page.locator('html[data-model="own"]').waitFor();
    await page.locator('#error').waitFor({ state: 'hidden' });
  });
}

/** What is the same on both devices, and tested on the CPU. */
function atTheEdges(context) {
  test('takes files that are dropped anywhere on it', async (t) => {
    const page = await open(t, context);
    await drop(page, [FIXTURE]);
    await page.locator('html[data-model="own"]').waitFor();
    assert.match(await page.innerText('#own-state'), /functional_100_64_10\.h5 is loaded/);
    await drop(page, ['tests/fixtures/onnx_external/model.onnx', 'tests/fixtures/onnx_external/data/all weights.bin']);
    await page.locator('#own-state', { hasText: '2 files' }).waitFor();
    await drop(page, [FIXTURE, 'tests/fixtures/mnist_784_128_128_10.h5']);
    await page.locator('#error:visible', { hasText: 'both models' }).waitFor();
  });

  test('is used by keyboard alone', async (t) => {
    const page = await open(t, context);
    await page.locator('#device-absent:visible').waitFor(); // the last change of what can be reached
    const reached = [];
    for (let i = 0; i < 10; i++) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className));
    }
    assert.deepEqual(reached, ['tab-predict', 'canvas', 'undo', 'clear', 'device-cpu', 'sample', 'classify-all', 'file', 'scroll', '']);
    await page.focus('#canvas');
    await page.keyboard.press('Space');
    for (let i = 0; i < 14; i++) await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Space');
    await says(page, /^1,/);
    await page.keyboard.press('Escape');
    await page.locator('#prediction:empty').waitFor({ state: 'attached' });
    await page.focus('#samples button');
    await page.keyboard.press('ArrowRight');
    const label = await page.evaluate(() => document.activeElement.dataset.label);
    await page.keyboard.press('Enter');
    await page.locator('#truth', { hasText: `labelled ${label}` }).waitFor();
  });

  test('undoes strokes, and clears', async (t) => {
    const page = await open(t, context);
    await draw(page, 7);
    const before = await says(page, /^7,/);
    await stroke(page, [[0.1, 0.1], [0.1, 0.9], [0.9, 0.9]]);
    await page.waitForFunction((before) => ![before, ''].includes(document.getElementById('announce').textContent), before);
    await page.click('#undo');
    await says(page, new RegExp(`^${before}$`));
    await page.click('#clear');
    await page.locator('#prediction:empty').waitFor({ state: 'attached' });
    await page.locator('#placeholder:visible').waitFor();
  });

  test('classifies all test images', async (t) => {
    const page = await open(t, context);
    await page.click('#classify-all');
    const line = page.locator('#classified', { hasText: /of 30 right/ });
    await line.waitFor();
    assert.ok(Number(/^(\d+) of/.exec(await line.innerText())[1]) >= 28);
  });

  test('says that the digits model is missing, and still takes another', async (t) => {
    const page = await context.browser.newPage();
    t.after(() => page.close());
    await page.route('**/models/*', (route) => route.fulfill({ status: 404, body: 'not found' }));
    await page.goto(context.url);
    await page.locator('#error[data-kind="network"]:visible', { hasText: '404' }).waitFor();
    assert.equal(await page.getAttribute('html', 'data-state'), 'error');
    await page.setInputFiles('#file', 'tests/fixtures/mnist_784_128_128_10.h5');
    await page.locator('html[data-model="own-digits"]').waitFor();
    await draw(page, 3);
    await says(page, /^3,/);
  });

  test('works without its test images', async (t) => {
    const page = await context.browser.newPage();
    t.after(() => page.close());
    await page.route('**/samples.bin', (route) => route.fulfill({ status: 500, body: 'oops' }));
    await page.goto(context.url);
    await page.locator('html[data-state="ready"]').waitFor({ state: 'attached' });
    assert.match(await page.innerText('#samples-range'), /missing.*500/);
    await draw(page, 7);
    await says(page, /^7,/);
  });

  test('fits every width', async (t) => {
    const page = await open(t, context);
    for (const width of [320, 360, 600, 768, 1024, 1280, 1920]) {
      await page.setViewportSize({ width, height: 800 });
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(excess <= 0, `at ${width} pixels the page is ${excess} too wide`);
    }
  });

  test('starts from a folder of any server', async (t) => {
    const page = await context.browser.newPage();
    t.after(async () => {
      // What the page asks for behind its start may be on its way.
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      await page.close();
    });
    await page.route('**/some/folder/**', async (route) => {
      const url = route.request().url().replace('some/folder/', '');
      await route.fulfill({ response: await route.fetch({ url }) });
    });
    await page.goto(`${context.url}some/folder/`);
    await page.locator('html[data-state="ready"]').waitFor({ state: 'attached' });
  });
}

/** The page, ready. At the end of the test it has logged no error, broken no policy, and asked no other server. */
async function open(t, { browser, url }, options = {}) {
  const page = await browser.newPage(options);
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('request', (request) => request.url().startsWith(url) || faults.push(`asked for ${request.url()}`));
  await page.addInitScript(() => {
    globalThis.violations = [];
    const { requestDevice } = globalThis.GPUAdapter?.prototype ?? {};
    if (requestDevice) GPUAdapter.prototype.requestDevice = async function (...given) {
      return (globalThis.device = await requestDevice.apply(this, given));
    };
    document.addEventListener('securitypolicyviolation', (event) => violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
  });
  t.after(async () => {
    faults.push(...(await page.evaluate(() => violations)));
    await page.close();
    assert.deepEqual(faults, []);
  });
  await page.goto(url);
  await page.locator('html[data-state="ready"]').waitFor({ state: 'attached' });
  return page;
}

async function draw(page, digit) {
  await page.click('#clear');
  await page.locator('#announce:empty').waitFor({ state: 'attached' });
  for (const points of DIGITS[digit]) await stroke(page, points);
}

async function stroke(page, points) {
  await page.locator('#canvas').scrollIntoViewIfNeeded();
  const box = await page.locator('#canvas').boundingBox();
  const to = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...to(points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...to(point), { steps: 3 });
  await page.mouse.up();
}

/** Waits until what is said to screen readers, once the hand rests, is as expected; resolves to it. */
async function says(page, expected) {
  const said = () => page.innerText('#announce');
  try {
    await page.waitForFunction((source) => new RegExp(source).test(document.getElementById('announce').textContent), expected.source);
  } catch {
    assert.match(await said(), expected);
  }
  return said();
}

async function drop(page, files) {
  const given = files.map((file) => ({ name: file.split('/').pop(), bytes: readFileSync(file).toString('base64') }));
  await page.evaluate((given) => {
    const dataTransfer = new DataTransfer();
    for (const { name, bytes } of given) dataTransfer.items.add(new File([Uint8Array.from(atob(bytes), (byte) => byte.charCodeAt(0))], name));
    for (const type of ['dragenter', 'dragover', 'drop']) {
      document.querySelector('footer').dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    }
  }, given);
}

/** For people to look at: SCREENSHOTS/NAME-SCHEME-WIDTH.png. */
async function screenshot(t, context, name, colorScheme, width, change) {
  const page = await open(t, context, { colorScheme, viewport: { width, height: 900 }, reducedMotion: 'reduce' });
  await draw(page, 3);
  await says(page, /^3,/);
  await change?.(page);
  await page.screenshot({ path: `${SCREENSHOTS}/${name}-${colorScheme}-${width}.png`, fullPage: true });
}

/** A model of the user, its answers, and an error. */
async function showOwn(page) {
  await page.setInputFiles('#file', FIXTURE);
  await page.locator('html[data-model="own"]').waitFor();
  await page.click('#row-example');
  await page.locator('#row-output li').first().waitFor();
  await page.setInputFiles('#file', 'tests/fixtures/conv2d.h5');
  await page.locator('#error:visible').waitFor();
}
