// Times the contenders side by side: every round has a block of calls of each, and begins with another one.
import { pause } from '../browser.mjs';
import { DTYPES, nameOf } from './contenders.mjs';
import { MODELS, shapeOf } from './models.mjs';
import { answered } from './patience.mjs';

/**
 * `block`: milliseconds of a block, if one call is no longer. A page's clock ticks every 5 µs, or every 100 µs without
 * isolation. `warm`, `warmBlocks`: before it is timed, a contender runs for so long and so often, until the browser has
 * compiled it for good. `slow`: one that was looked at, and whose call took that long, is warm already.
 */
export const CPU_PACE = { block: 20, warm: 300, warmBlocks: 3, slow: Infinity };
export const GPU_PACE = { block: 200, warm: 300, warmBlocks: 3, slow: 500 };
/** A call that takes this long needs none before it to have its caches warm. */
const LONG_MS = 100;
/** Between two blocks, after one with several threads: those of ONNX Runtime look for work in circles for 20 ms more. */
const SETTLE_MS = 30;

/**
 * Times one model in a page of its own at `url`, which messages call `where`. Resolves to a list with an entry a batch:
 * its `rows` are the contenders, each with the milliseconds of a call in each round, or `absent`, and its `limits` are
 * the probes, timed in the same rounds.
 */
export async function sideBySide({ browser, url, where, contenders, probes, model, rounds, pace = CPU_PACE }) {
  const page = await browser.newPage();
  const failures = watch(page);
  try {
    await page.goto(`${url}frame.html`);
    const frames = [];
    for (const contender of contenders) {
      const opened = await open(page, contender, model, failures);
      const twin = frames.some((other) => nameOf(other) === nameOf(opened));
      if (twin) await opened.remove(); // the browser runs the same build in both
      else frames.push(opened);
    }
    const limits = [];
    for (const probe of probes) limits.push(await open(page, probe, model, failures));

    const measured = [];
    for (const batch of MODELS[model.name].batches) {
      console.log(`timing ${model.name}, batch ${batch}, in the ${where}`);
      measured.push(await timeBatch({ frames, limits, model, batch, rounds, pace }));
    }
    return measured;
  } finally {
    await page.close();
  }
}

async function timeBatch({ frames, limits, model, batch, rounds, pace }) {
  const rows = frames.flatMap((frame) => {
    const both = frame.alsoSync && batch === 1 && !frame.absent;
    return both ? [{ ...frame }, { ...frame, sync: true }] : [{ ...frame }];
  });
  const probes = limits.map((frame) => ({ ...frame }));
  const entrants = [...rows, ...probes].filter(({ absent }) => !absent);
  for (const entrant of entrants) {
    entrant.name = `${nameOf(entrant)}, ${model.name}, batch ${batch}`;
    await entrant.call('prepare', { name: model.name, probe: !!entrant.probe }, batch);
    if (entrant.looked) entrant.seen = await look(entrant, model);
    await warmUp(entrant, pace);
  }
  // The first round is the last of warming up.
  for (let round = 0; round <= rounds; round++) {
    for (let turn = 0; turn < entrants.length; turn++) {
      const entrant = entrants[(turn + round) % entrants.length];
      if (round === 0 && entrant.slow) continue;
      const each = await block(entrant);
      if (round > 0) entrant.times.push(each);
    }
  }
  return { model, batch, rows, limits: probes };
}

/** What a prediction asks of the GPU. Peers have at least a kernel for each layer: with fewer some run elsewhere. */
async function look(entrant, { layers }) {
  const seen = await entrant.call('look');
  const least = entrant.family === 'nearside' ? 1 : layers.length;
  if (seen.dispatches.length >= least) return seen;
  throw new Error(`${entrant.name}: it runs ${seen.dispatches.length} kernels on the GPU for ${layers.length} layers`);
}

async function warmUp(entrant, pace) {
  entrant.calls = 1;
  entrant.times = [];
  entrant.difference = 0;
  entrant.slow = entrant.seen?.time >= pace.slow;
  entrant.warm = !entrant.slow;
  let spent = 0;
  for (let blocks = 0; !entrant.slow && (spent < pace.warm || blocks < pace.warmBlocks); blocks++) {
    const each = await block(entrant);
    spent += each * entrant.calls;
    entrant.calls = Math.max(1, Math.ceil(pace.block / Math.max(each, pace.block / 1e5)));
    entrant.warm = each < LONG_MS;
    entrant.slow = each >= pace.slow;
  }
}

/** The milliseconds of one call of a block. Fails when the outputs are wrong. */
async function block(entrant) {
  const { calls, warm = true, sync = false, dtype, threads } = entrant;
  const { each, difference } = await entrant.call('time', { calls, warm, sync });
  if (threads > 1) await pause(SETTLE_MS);
  entrant.difference = Math.max(entrant.difference, difference);
  const { tolerance } = DTYPES[dtype ?? 'f32'];
  if (difference <= tolerance) return each;
  throw new Error(`${entrant.name}: the outputs are off by ${difference} of the largest, and ${tolerance} is allowed`);
}

/** Puts the contender into a new frame of the page. Its `call` calls what the frame offers. */
async function open(page, contender, model, failures) {
  const handle = await page.evaluateHandle(() => {
    const frame = document.createElement('iframe');
    frame.src = 'frame.html';
    const loaded = new Promise((resolve) => (frame.onload = resolve));
    document.body.append(frame);
    return loaded.then(() => frame);
  });
  const frame = await handle.contentFrame();
  const opened = { ...contender, remove: () => handle.evaluate((frame) => frame.remove()) };
  opened.call = (method, ...given) => {
    const answer = frame.evaluate(([method, given]) => globalThis.bench[method](...given), [method, given]);
    return answered(`${nameOf(opened)}, ${model.name}`, Promise.race([answer, failures()]));
  };
  const { adaptor, options, isolated } = contender;
  Object.assign(opened, await opened.call('open', { adaptor, options, isolated }, shapeOf(model)));
  if (opened.absent) await opened.remove();
  return opened;
}

/** A function whose promise fails with what next goes wrong in the page outside the calls. */
function watch(page) {
  let fail;
  const failed = new Promise((_, reject) => (fail = reject));
  failed.catch(() => {});
  page.on('crash', () => fail(new Error('the page crashed')));
  page.on('pageerror', (error) => fail(error));
  page.on('console', (message) => message.type() === 'error' && console.error(`  the page says: ${message.text()}`));
  return () => failed;
}
