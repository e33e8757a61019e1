// What `device: 'auto'` costs where the CPU is the faster: predicts for seconds with it and with the CPU by name, in turns,
// each in a page of its own with a model just loaded, so that asking for the GPU and measuring it are in the time.
// node bench-auto.mjs [--rounds N] [--models small,mnist] [--pkg FOLDER OF THE PACKAGE]
import { describeMachine, readOptions } from './benchmark/options.mjs';
import { MODELS } from './benchmark/models.mjs';
import { makeSite } from './benchmark/site.mjs';
import { digits, median } from './benchmark/statistics.mjs';
import { launch } from './browser.mjs';
import { serve } from './serve.mjs';

/** How long the CPU predicts in a turn. */
const TURN_MS = 6000;

const { rounds, names, pkg } = readOptions({ families: { nearside: 'nearside' }, rounds: 3 });
const { processor, cores } = await describeMachine();
const { models, folders } = await makeSite({ site: 'target/bench-auto', pkg, names, peers: [] });
const server = await serve(folders);
const browser = await launch({ webgpu: true });
console.log(`${processor}, ${cores} cores, Chromium ${browser.version()}, WebGPU on SwiftShader`);
try {
  for (const { name } of models) {
    for (const batch of MODELS[name].batches) await compare(name, batch);
  }
} finally {
  await browser.close();
  await server.stop();
}

async function compare(name, batch) {
  const first = await turn(name, batch, 'cpu', null);
  const ratios = [];
  let report;
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 ? ['auto', 'cpu'] : ['cpu', 'auto'];
    const times = {};
    for (const device of order) {
      const { time, device: said } = await turn(name, batch, device, first.calls);
      times[device] = time;
      if (device === 'auto') report = said;
    }
    ratios.push(times.auto / times.cpu);
  }
  if (report.kind !== 'cpu') throw new Error(`${name}, ${batch}: auto took the GPU: ${report.reason}`);
  console.log(`${name}, ${batch}: auto takes ${digits(median(ratios))} of the CPU's time for ${first.calls} predictions; ${report.reason}`);
}

/** Predicts so many times, or for as long as a turn lasts. */
async function turn(name, batch, device, calls) {
  const page = await browser.newPage();
  await page.goto(`${server.url}frame.html`);
  const found = await page.evaluate(
    async ({ name, batch, device, calls, most }) => {
      const { load } = await import('./nearside.js');
      const read = async (file) => (await fetch(file)).arrayBuffer();
      const file = new Uint8Array(await read(`${name}.safetensors`));
      const input = new Float32Array(await read(`${name}-${batch}.input.bin`));
      const start = performance.now();
      const model = await load(file, { device, threads: 1 });
      let count = 0;
      let resting = start;
      while (calls ? count < calls : performance.now() - start < most) {
        await model.predict(input);
        count++;
        // As a page does that has other things to do.
        if (performance.now() - resting < 50) continue;
        await new Promise((resolve) => setTimeout(resolve));
        resting = performance.now();
      }
      return { time: performance.now() - start, calls: count, device: model.device };
    },
    { name, batch, device, calls, most: TURN_MS },
  );
  await page.close();
  return found;
}
