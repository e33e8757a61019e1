import { load, type Model } from './nearside/nearside.js';
import { Classifier, single } from './classify.js';
import { DeviceSwitch } from './device.js';
import { find } from './dom.js';
import { Pad } from './draw.js';
import { clearError, message, showError } from './errors.js';
import { count, duration, percent, sentence } from './format.js';
import { Measure } from './measure.js';
import { OwnModel } from './own.js';
import { FetchReport } from './report.js';
import { RowForm } from './row.js';
import { Gallery, Samples } from './samples.js';
import { readsDigits, showSummary } from './summary.js';
import { Tabs } from './tabs.js';
import type { Verdict } from './verdict.js';

const DIGITS = 'mnist_784_128_128_10.h5';
const root = document.documentElement;

const report = new FetchReport();
const device = new DeviceSwitch(() => classifier.request());
const classifier = new Classifier(() => pad.digit(), device, { onVerdict: compare, onFault: recover });
const pad = new Pad(
  { canvas: find('canvas'), undo: find('undo'), clear: find('clear'), pen: find('pen') },
  drawingChanged,
);
const measure = new Measure(() => device.refresh());
const row = new RowForm(
  (model, values) => classifier.predict(model, values),
  (error) => showError(find('row-errors'), error),
);
let gallery: Gallery | null = null;
let digits: Model | null = null;
let own: Model | null = null;
let ownName = '';
let samples: Samples | null = null;
/** Whether the engine was started afresh since the last prediction that went well. */
let recovered = false;

function drawingChanged(): void {
  find('placeholder').hidden = !pad.empty;
  gallery?.shows(pad.shown);
  classifier.request();
}

/** Says, beside the prediction and beside the test images, whether the network agrees with the label. */
function compare(verdict: Verdict | null): void {
  if (verdict) recovered = false;
  const sample = gallery?.shows(pad.shown);
  if (!sample || !verdict) {
    find('truth').textContent = '';
    if (!pad.empty) find('classified').textContent = '';
    return;
  }
  const image = `Test image ${count(sample.index + 1)}, labelled ${sample.label}`;
  find('truth').textContent = `${image}: ${verdict.digit === sample.label ? 'right' : 'wrong'}`;
  find('classified').textContent = `${image}: the network says ${verdict.digit}, ${percent(verdict.probability)}`;
}

async function start(): Promise<void> {
  new OwnModel(useOwn);
  find('back').addEventListener('click', backToDigits);
  try {
    // Together, so that nothing is left to fetch once the page says it is ready.
    const [model, images] = await Promise.all([loadDigits(), fetchSamples()]);
    digits = model;
    samples = images;
    if (!own) useDigits(model);
    if (samples) showSamples(samples);
    root.dataset.state = 'ready';
    await tryGpu(model);
    // What the GPU needs is fetched by then, too.
    report.modelReady();
  } catch (error) {
    root.dataset.state = 'error';
    find('status').textContent = '';
    showError(find('bench-errors'), error, 'The digits model could not be loaded');
  }
}

async function loadDigits(): Promise<Model> {
  const model = await load(new URL(`models/${DIGITS}`, document.baseURI), {
    onProgress: ({ loaded, total }) => {
      find('status').textContent = total ? `Fetching the model, ${percent(loaded / total)}` : 'Fetching the model';
    },
  });
  // The first prediction prepares weights and pipelines: done now, so that the first stroke does not wait for it.
  await model.predict(new Float32Array(784));
  find('status').textContent = '';
  model.on('device', () => device.refresh());
  return model;
}

/** The page works without test images: null when they cannot be had. */
async function fetchSamples(): Promise<Samples | null> {
  try {
    const response = await fetch(new URL('samples.bin', document.baseURI));
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return new Samples(new Uint8Array(await response.arrayBuffer()));
  } catch (error) {
    find('samples-range').textContent = `The test images are missing: ${sentence(message(error), false)}`;
    return null;
  }
}

function showSamples(samples: Samples): void {
  gallery = new Gallery(samples, (sample) => pad.show(sample.image));
  const button = find<HTMLButtonElement>('classify-all');
  button.textContent = `Classify all ${count(samples.length)}`;
  button.hidden = false;
  button.addEventListener('click', () => void classifyAll(samples));
}

async function classifyAll(samples: Samples): Promise<void> {
  const model = own && readsDigits(own) ? own : digits;
  if (!model) return;
  const rows = samples.batch();
  try {
    const start = performance.now();
    const { data } = single(await classifier.predict(model, rows));
    const ms = performance.now() - start;
    let right = 0;
    for (let i = 0; i < samples.length; i++) {
      const scores = data.subarray(10 * i, 10 * i + 10);
      if (scores.indexOf(Math.max(...scores)) === samples.at(i).label) right++;
    }
    find('classified').textContent =
      `${count(right)} of ${count(samples.length)} right (${percent(right / samples.length)}) in ${duration(ms)} on the ${device.used.toUpperCase()}`;
  } catch (error) {
    showError(find('samples-errors'), error);
  }
}

/** After a fault in the engine, models loaded before it are of no use; a second one in a row would not be the last. */
async function recover(error: unknown): Promise<void> {
  const place = find('bench-errors');
  if (recovered) return showError(place, error);
  recovered = true;
  try {
    digits = await loadDigits();
    own = null; // gone with the engine it lived in
    backToDigits();
    showError(place, error);
  } catch (again) {
    showError(place, again, 'The digits model could not be loaded');
  }
}

/** Asks for one prediction on the GPU: only that tells whether there is one, and if not, why. */
async function tryGpu(model: Model): Promise<void> {
  try {
    await model.predict(new Float32Array(784), { device: 'gpu' });
    device.gpuWorks();
    measure.enable(true);
  } catch (error) {
    device.gpuFails(message(error));
  }
}

function useDigits(model: Model): void {
  root.dataset.model = 'digits';
  find('status').textContent = '';
  showSummary(model, DIGITS);
  find('own').hidden = true;
  measure.follow(model);
  classifier.use(model);
}

function useOwn(model: Model, file: string): void {
  own?.dispose();
  own = model;
  ownName = file;
  find('own').hidden = false;
  showSummary(model, file);
  measure.follow(model);
  report.modelReady();
  model.on('device', () => device.refresh());
  const takesOver = readsDigits(model);
  find('status').textContent = takesOver ? `for ${file}` : '';
  root.dataset.model = takesOver ? 'own-digits' : 'own';
  find('own-state').textContent = takesOver ? `The canvas now draws for ${file}.` : `${file} is loaded.`;
  if (takesOver) {
    row.close();
    classifier.use(model);
  } else {
    row.open(model);
    if (digits) classifier.use(digits);
  }
}

function backToDigits(): void {
  clearError();
  row.close();
  const before = own;
  own = null;
  if (digits) useDigits(digits);
  before?.dispose();
}

/** Tabs that are fetched when they are opened. */
const LATER: Record<string, () => Promise<void>> = {
  async train() {
    const part = await import('./train/train.js');
    part.openTraining((model, name) => {
      tabs.open('predict');
      useOwn(model, name);
      find(readsDigits(model) ? 'canvas' : 'row-input').focus();
    });
  },
  async service() {
    const part = await import('./service/service.js');
    part.openService({ settled: started, samples: () => samples, own: () => own && { model: own, name: ownName } });
  },
};
const opened = new Set<string>();

async function openLater(name: string): Promise<void> {
  const open = LATER[name];
  if (!open || opened.has(name)) return;
  opened.add(name);
  try {
    await open();
  } catch (error) {
    opened.delete(name); // so that opening the tab again tries again
    showError(find(`${name}-errors`), error, 'This tab could not be fetched');
  }
}

root.dataset.state = 'loading';
const started = start();
const tabs = new Tabs((name) => void openLater(name));
