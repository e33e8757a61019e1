// Counts what a page asks of WebGPU, whoever asks: for looking at a contender, not while it is timed.

/** Calls that are counted, by the interface that has them. */
const COUNTED = {
  GPUQueue: ['submit', 'writeBuffer'],
  GPUBuffer: ['mapAsync'],
  GPUDevice: ['createBuffer', 'createBindGroup', 'createShaderModule'],
};

/** Begins to count. `take` gives what has been counted since it was last called, `stop` leaves WebGPU as it was. */
export function watchGpu() {
  let seen = { counts: {}, dispatches: [] };
  const undo = [];
  const before = (name, method, act) => {
    const { prototype } = globalThis[name];
    const original = prototype[method];
    undo.push(() => (prototype[method] = original));
    prototype[method] = function (...given) {
      act(this, ...given);
      return original.apply(this, given);
    };
  };

  for (const [name, methods] of Object.entries(COUNTED)) {
    for (const method of methods) before(name, method, () => (seen.counts[method] = (seen.counts[method] ?? 0) + 1));
  }
  const labels = new WeakMap();
  const dispatch = (pass, ...size) => seen.dispatches.push({ label: labels.get(pass) ?? '', size });
  before('GPUComputePassEncoder', 'setPipeline', (pass, { label }) => labels.set(pass, label));
  before('GPUComputePassEncoder', 'dispatchWorkgroups', (pass, x, y = 1, z = 1) => dispatch(pass, x, y, z));
  before('GPUComputePassEncoder', 'dispatchWorkgroupsIndirect', (pass) => dispatch(pass, 'indirect'));

  return {
    take() {
      const taken = seen;
      seen = { counts: {}, dispatches: [] };
      return taken;
    },
    stop: () => undo.forEach((restore) => restore()),
  };
}
