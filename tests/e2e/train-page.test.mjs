// The page's tab that trains: the digits, tables of the user's own, and what goes wrong.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as nearside from '../../pkg/node.js';
import { inBrowser } from './support.mjs';

const SCREENSHOTS = 'target/e2e';
mkdirSync(SCREENSHOTS, { recursive: true });

inBrowser('the page that trains', { webgpu: false, folders: ['target/site'] }, (context) => {
  test('opens by mouse, by keyboard, and by its address', async (t) => {
    const page = await open(t, context, '');
    assert.ok(await page.isHidden('#panel-train'));
    await page.click('#tab-train');
    await page.locator('#panel-train[data-state=idle]:visible').waitFor();
    assert.ok(await page.isHidden('#panel-predict'));
    assert.equal(new URL(page.url()).hash, '#train');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight'); // around the end
    await page.locator('#tab-predict[aria-selected=true]:focus').waitFor();
    assert.ok(await page.isVisible('#canvas'));
    assert.equal(new URL(page.url()).hash, '');
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    await page.locator('#tab-train[aria-selected=true]:focus').waitFor();
    await page.reload();
    await page.locator('#panel-train[data-state=idle]:visible').waitFor();
    const tabs = await page.$$eval('[role=tab]', (tabs) => tabs.map(({ ariaSelected, tabIndex }) => [ariaSelected, tabIndex]));
    assert.deepEqual(tabs, [['false', -1], ['true', 0], ['false', -1]]);
  });

  test('is used by keyboard alone', async (t) => {
    const page = await open(t, context);
    const reached = [];
    await page.focus('#tab-train');
    for (let i = 0; i < 19; i++) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.ariaLabel));
    }
    assert.deepEqual(reached, [
      'csv-file',
      ...[1, 2].flatMap((i) => [`Units of hidden layer ${i}`, `Activation of hidden layer ${i}`, `Remove hidden layer ${i}`]),
      'layer-add', 'dropout', 'optimizer', 'learning-rate', 'epochs', 'batch-size', 'seed',
      'train-start', 'train-pause', 'train-stop', 'train-evaluate', 'train-download',
    ]);
    await iris(page);
    await page.fill('#epochs', '2');
    await page.press('#epochs', 'Enter');
    await state(page, 'trained');
  });

  test('says how many parameters the network has', async (t) => {
    const page = await open(t, context);
    const facts = () => page.innerText('#network-facts');
    assert.match(await facts(), /784 → 128 → 64 → 10: 109,386 parameters/);
    await page.click('[aria-label="Remove hidden layer 2"]');
    assert.match(await facts(), /784 → 128 → 10: 101,770 parameters/);
    await page.click('#layer-add');
    await page.fill('[aria-label="Units of hidden layer 2"]', '32');
    assert.match(await facts(), /784 → 128 → 32 → 10: 104,938 parameters/);
    await page.fill('[aria-label="Units of hidden layer 2"]', '0');
    await page.click('#train-start');
    assert.equal(await page.getAttribute('#panel-train', 'data-state'), 'idle');
    assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), 'Units of hidden layer 2');
  });

  test('learns the digits, fetched when training starts; draws, evaluates, and gives away what it learnt', async (t) => {
    const page = await open(t, context);
    const fetched = [];
    page.on('request', (request) => fetched.push(new URL(request.url()).pathname));
    assert.deepEqual(fetched, []);
    await page.fill('#epochs', '2');
    await page.fill('#seed', '7');
    await page.click('#train-start');
    await state(page, 'trained');
    assert.ok(fetched.includes('/data/digits-train.bin'), `${fetched}`);
    assert.equal(await page.getAttribute('#train-state', 'data-epoch'), '2');

    const [first, last] = await page.$$eval('#train-log tr', (rows) => rows.map((row) => [...row.cells].map((cell) => parseFloat(cell.textContent))));
    assert.ok(last[4] > 85, `${last}`);
    assert.ok(last[1] < first[1], `the loss rises from ${first[1]} to ${last[1]}`);
    for (const plot of ['loss', 'metric']) assert.ok((await inked(page, `#${plot}-plot canvas`)) > 0, `the ${plot} is not drawn`);

    const matrix = await page.$$eval('#confusion tbody tr', (rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => Number(cell.dataset.count))));
    assert.deepEqual(matrix.map((row) => row.length), Array(10).fill(10));
    assert.equal(matrix.flat().reduce((a, b) => a + b), 2000);
    const right = matrix.reduce((sum, row, i) => sum + row[i], 0);
    assert.equal(parseFloat(await page.innerText('#evaluation-figures dd')), Number((right / 20).toFixed(1)));

    const test = readFileSync('target/site/data/digits-test.bin');
    const model = await download(page);
    assert.deepEqual(model.inputs[0].shape, [null, 784]);
    assert.equal(await correct(model, test), right);
    await page.click('#train-use');
    await page.locator('html[data-model="own-digits"]').waitFor();
    assert.equal(await page.getAttribute('#tab-predict', 'aria-selected'), 'true');
    const answers = [];
    for (const button of (await page.$$('#samples button')).slice(0, 10)) {
      await button.click();
      await page.locator('#truth', { hasText: `labelled ${await button.getAttribute('data-label')}` }).waitFor();
      answers.push(/: right$/.test(await page.innerText('#truth')));
    }
    assert.ok(answers.filter(Boolean).length >= 7, `${answers}`);
  });

  test('pauses, goes on where it was, and stops', async (t) => {
    const page = await open(t, context);
    await page.fill('#epochs', '500');
    await page.click('#train-start');
    await page.locator('#train-log tr').first().waitFor({ state: 'attached' });
    await page.click('#train-pause');
    await state(page, 'paused');
    const paused = await log(page);
    assert.ok(await page.isDisabled('#epochs'));
    await page.click('#train-evaluate');
    await page.locator('#confusion td').first().waitFor();
    await state(page, 'paused');
    assert.deepEqual(await log(page), paused);

    await page.click('#train-pause'); // which is Resume by now
    await page.locator(`#train-log tr:nth-child(${paused.length + 2})`).waitFor({ state: 'attached' });
    await page.click('#train-stop');
    await state(page, 'trained');
    const all = await log(page);
    assert.deepEqual(all.map(([epoch]) => Number(epoch)), all.map((_, i) => i + 1));
    assert.deepEqual(all.slice(0, paused.length), paused);
    const loss = (row) => Number(row[1]);
    assert.ok(loss(all[paused.length]) < loss(paused[0]), 'it began anew instead of going on');
    assert.equal(parseFloat(await page.innerText('#train-detail')), all.length);
  });

  test('gives the same for the same seed, and other numbers for another', async (t) => {
    const page = await open(t, context);
    await iris(page);
    const run = async (seed) => {
      await page.fill('#seed', seed);
      await page.press('#seed', 'Enter');
      await state(page, 'running');
      await state(page, 'trained');
      return log(page);
    };
    await page.fill('#epochs', '20');
    const first = await run('1');
    assert.notDeepEqual(await run('2'), first);
    assert.deepEqual(await run('1'), first);
  });

  test('stays responsive while it trains', async (t) => {
    const page = await open(t, context);
    await page.fill('#epochs', '500');
    await page.click('#train-start');
    await page.locator('#train-log tr').first().waitFor({ state: 'attached' });
    // Counted, not timed: between two epochs the page gets to work many times.
    const turns = await page.evaluate(async () => {
      const state = document.getElementById('train-state');
      const until = Number(state.dataset.epoch) + 3;
      let turns = 0;
      for (; Number(state.dataset.epoch) < until; turns++) await new Promise((resolve) => setTimeout(resolve));
      return turns;
    });
    assert.ok(turns > 20, `${turns} turns in 3 epochs`);
    await page.click('#tab-predict');
    await page.click('#samples button');
    await page.locator('#truth', { hasText: 'labelled' }).waitFor();
    await page.click('#tab-train');
    await page.click('#train-stop');
    await state(page, 'trained');
  });

  test('learns classes from a table', async (t) => {
    const page = await open(t, context);
    await iris(page);
    assert.match(await page.innerText('#data-facts'), /150 rows, 6 columns.*4 features to 3 classes; 120 rows to train and validate, 30 held out.*Left out, because they hold text: note/);
    await page.fill('#epochs', '30');
    await page.fill('#batch-size', '8');
    await page.click('#train-start');
    await state(page, 'trained');
    assert.ok(parseFloat(await page.innerText('#evaluation-figures dd')) > 85);
    assert.deepEqual(await page.$$eval('#confusion thead th', (cells) => cells.map((cell) => cell.textContent)), ['setosa', 'versicolor', 'virginica']);
    const model = await download(page);
    const answers = await model.predict(Float32Array.from([...IRIS.setosa, ...IRIS.virginica]));
    assert.ok(answers.data[0] > 0.8 && answers.data[5] > 0.8, `${answers.data}`);
    await page.click('#train-use');
    await page.fill('#row-input', IRIS.setosa.join(', '));
    await page.click('#row button[type=submit]');
    const shown = await page.$$eval('#row-output li', (cells) => cells.map((cell) => Number(cell.textContent)));
    shown.forEach((value, i) => assert.ok(Math.abs(value - answers.data[i]) < 1e-4, `${shown}`));
  });

  test('estimates a number in its own unit', async (t) => {
    const page = await open(t, context);
    const random = generator();
    const rows = Array.from({ length: 300 }, () => [random() * 10, random() * 1000, 7]);
    const price = ([rooms, distance]) => 100_000 + 5000 * rooms - 30 * distance;
    await give(page, 'prices.csv', ['rooms;distance;same;price', ...rows.map((row) => [...row, price(row)].join(';'))].join('\r\n'));
    await page.locator('#csv-name:text("prices.csv")').waitFor();
    assert.equal(await page.inputValue('#csv-aim'), 'number');
    await page.selectOption('#optimizer', 'sgd');
    await page.fill('#dropout', '0');
    await page.fill('#epochs', '40');
    await page.click('#train-start');
    await state(page, 'trained');
    const [mae, rmse] = await page.$$eval('#evaluation-figures dd', (figures) => figures.map((figure) => Number(figure.textContent.replaceAll(',', ''))));
    assert.ok(mae > 0 && mae <= rmse && rmse < 4000, `${mae} ${rmse}`);
    assert.ok(await page.isHidden('#confusion'));
    const model = await download(page);
    const { data } = await model.predict(Float32Array.from(rows.flat()));
    const errors = rows.map((row, i) => Math.abs(data[i] - price(row)));
    assert.ok(errors.reduce((a, b) => a + b) / 300 < 4000);
  });

  test('says what is wrong with a table, and goes on', async (t) => {
    const page = await open(t, context);
    for (const [text, kind, message] of [
      ['', 'format', /empty/],
      ['a,b\n1,2\n3\n', 'format', /Row 3: 1 fields, where the first row has 2/i],
      ['a,b\n1,"2\n3,4\n', 'format', /quote/i],
      ['a\n1\n2\n', 'format', /one column/],
      [`a,b\n${'1,2\n'.repeat(3)}`, 'value', /3 rows/],
      [`a,b\n${'1,2\n'.repeat(30)}`, 'value', /one value/],
      [`a,b\n${'x,2\ny,3\n'.repeat(30)}`, 'value', /no column besides the target holds numbers/i],
    ]) {
      await give(page, 'broken.csv', text);
      await page.locator(`#error[data-kind="${kind}"]:visible`, { hasText: message }).waitFor();
    }
    await iris(page);
    await page.locator('#error').waitFor({ state: 'hidden' });
    await page.fill('#epochs', '1');
    await page.click('#train-start');
    await state(page, 'trained');
  });

  test('says that a training failed, or that the images are missing, and goes on', async (t) => {
    const page = await open(t, context, '#train', [/digits-test/]);
    await page.route('**/data/digits-test.bin', (route) => route.fulfill({ status: 404, body: 'not found' }));
    await page.click('#train-start');
    await page.locator('#error[data-kind="network"]:visible', { hasText: '404' }).waitFor();
    await page.unroute('**/data/digits-test.bin');
    await page.selectOption('#optimizer', 'sgd');
    await page.fill('#learning-rate', '10');
    await page.selectOption('[aria-label="Activation of hidden layer 1"]', 'linear');
    await page.selectOption('[aria-label="Activation of hidden layer 2"]', 'linear');
    await page.click('#train-start');
    await page.locator('#error[data-kind="value"]:visible', { hasText: /epoch 0, batch \d+/i }).waitFor();
    await page.fill('#learning-rate', '0.01');
    await page.fill('#epochs', '1');
    await page.click('#train-start');
    await state(page, 'trained');
    await page.locator('#error').waitFor({ state: 'hidden' });
  });

  test('takes a table that is dropped anywhere, and gives it back', async (t) => {
    const page = await open(t, context);
    await page.evaluate((text) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([text], 'flowers.csv'));
      for (const type of ['dragenter', 'dragover', 'drop']) document.querySelector('footer').dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    }, irisTable());
    await page.locator('#csv-name', { hasText: 'flowers.csv' }).waitFor();
    await page.click('#csv-back');
    assert.match(await page.innerText('#network-facts'), /^784/);
  });

  test('fits every width', async (t) => {
    const page = await open(t, context);
    await page.fill('#epochs', '1');
    await page.click('#train-start');
    await page.locator('#confusion td').first().waitFor();
    for (const width of [320, 360, 600, 768, 1024, 1280, 1920]) {
      await page.setViewportSize({ width, height: 800 });
      await page.waitForFunction(() => document.documentElement.scrollWidth <= innerWidth, undefined, { timeout: 5000 }).catch(() => assert.fail(`at ${width} pixels the page is too wide`));
    }
  });

  test('can be looked at', async (t) => {
    for (const [colorScheme, width] of [['light', 1280], ['dark', 360]]) {
      const page = await open(t, context, '#train', [], { colorScheme, viewport: { width, height: 900 } });
      await page.fill('#epochs', '8');
      await page.click('#train-start');
      await state(page, 'trained');
      await page.screenshot({ path: `${SCREENSHOTS}/train-${colorScheme}-${width}.png`, fullPage: true });
    }
  });
});

/** The page, at this part of it. At the end of the test it has logged no error but those expected, and broken no policy. */
async function open(t, { browser, url }, at = '#train', expected = [], options = {}) {
  const page = await browser.newPage(options);
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && faults.push(`${message.text()} ${message.location().url}`));
  page.on('request', (request) => /^blob:/.test(request.url()) || request.url().startsWith(url) || faults.push(`asked for ${request.url()}`));
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
  });
  t.after(async () => {
    faults.push(...(await page.evaluate(() => violations)));
    await page.close();
    assert.deepEqual(faults.filter((fault) => !expected.some((pattern) => pattern.test(fault))), []);
  });
  await page.goto(url + at);
  await page.locator('html[data-state="ready"]').waitFor({ state: 'attached' });
  if (at) await state(page, 'idle');
  return page;
}

function state(page, name) {
  return page.locator(`#panel-train[data-state=${name}]`).waitFor({ state: 'attached' });
}

/** The epochs' numbers as they are shown. */
function log(page) {
  return page.$$eval('#train-log tr', (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
}

/** Pixels of a canvas that are not transparent. */
function inked(page, selector) {
  return page.$eval(selector, (canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, i) => i % 4 === 3 && value > 0).length;
  });
}

/** The model that the page gives away, as the package reads it. */
async function download(page) {
  const [file] = await Promise.all([page.waitForEvent('download'), page.click('#train-download')]);
  assert.equal(file.suggestedFilename(), 'model.h5');
  return nearside.load(readFileSync(await file.path()));
}

/** How many of the test images the model tells right. */
async function correct(model, file) {
  const count = file.length / 785;
  const { data } = await model.predict(Float32Array.from(file.subarray(0, count * 784), (byte) => byte / 255));
  let right = 0;
  for (let i = 0; i < count; i++) {
    const scores = data.subarray(10 * i, 10 * i + 10);
    right += scores.indexOf(Math.max(...scores)) === file[count * 784 + i];
  }
  return right;
}

const IRIS = { setosa: [5.0, 3.4, 1.5, 0.2], versicolor: [5.9, 2.8, 4.3, 1.3], virginica: [6.6, 3.0, 5.6, 2.0] };

/** 50 flowers of each species, about as Fisher's are. */
function irisTable() {
  const random = generator();
  const flower = (species, i) => [...IRIS[species].map((mean, k) => (mean + (random() - 0.5) * [0.8, 0.7, 0.6, 0.4][k]).toFixed(2)), `"no. ${i}, ""${species[0]}"""`, species];
  const rows = Object.keys(IRIS).flatMap((species) => Array.from({ length: 50 }, (_, i) => flower(species, i)));
  return ['sepal length,sepal width,petal length,petal width,note,species', ...rows].join('\n');
}

function generator(state = 1) {
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

async function iris(page) {
  await give(page, 'iris.csv', irisTable());
  await page.locator('#csv-name:text("iris.csv")').waitFor();
}

function give(page, name, text) {
  return page.setInputFiles('#csv-file', { name, mimeType: 'text/csv', buffer: Buffer.from(text) });
}
