// Callers that each ask again as soon as they are answered. Runs in Node and in a page.

/** How many inputs there are. */
const INPUTS = 64;

/**
 * Lets so many callers ask for some milliseconds. `send` resolves to the status of the answer to a body.
 * @returns requests a second, percentiles of their times in milliseconds, and how many failed.
 */
export async function drive(callers, milliseconds, send, binary = false) {
  const bodies = Array.from({ length: INPUTS }, (_, seed) => makeBody(seed, binary));
  for (let i = 0; i < 200; i++) await send(...bodies[i % INPUTS]);
  const times = [];
  let [next, failed] = [0, 0];
  const start = performance.now();
  const call = async () => {
    while (performance.now() - start < milliseconds) {
      const begun = performance.now();
      const status = await send(...bodies[next++ % INPUTS]);
      times.push(performance.now() - begun);
      failed += status !== 200;
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  const elapsed = performance.now() - start;
  times.sort((a, b) => a - b);
  const percentile = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
  return { rate: (1000 * times.length) / elapsed, p50: percentile(0.5), p99: percentile(0.99), failed };
}

/** A body and its headers. */
function makeBody(seed, binary) {
  const pixels = Array.from({ length: 784 }, (_, i) => Math.round(255 * Math.abs(Math.sin(seed + i * 0.37))) / 255);
  const input = { name: 'input_layer', shape: [1, 784], datatype: 'FP32' };
  if (!binary) return [JSON.stringify({ inputs: [{ ...input, data: pixels }] }), { 'content-type': 'application/json' }];
  const header = new TextEncoder().encode(JSON.stringify({ parameters: { binary_data_output: true }, inputs: [{ ...input, parameters: { binary_data_size: 4 * 784 } }] }));
  const body = new Uint8Array(header.length + 4 * 784);
  body.set(header);
  body.set(new Uint8Array(Float32Array.from(pixels).buffer), header.length);
  return [body, { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(header.length) }];
}
