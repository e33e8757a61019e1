// Who runs, and how each is told apart.
import { FLOPS_PER_TURN, MEMORY_BYTES } from './probes.mjs';

/** What `--only` takes. */
export const FAMILIES = { nearside: 'nearside', ort: 'ONNX Runtime Web', tfjs: 'TensorFlow.js wasm', jax: 'jax-js wasm' };

/** Bytes of a weight, and the most that outputs may be off, as a part of the largest. */
export const DTYPES = {
  f32: { size: 4, tolerance: 1e-4 },
  f16: { size: 2, tolerance: 1e-2 },
  int8: { size: 1, tolerance: 1e-1 },
};

const THREADS = [1, 2];

/**
 * One frame each. `adaptor` is the script in `page/` that runs it, `options` what it is told. `alsoSync` ones are timed
 * once more, for a single sample, without a promise.
 */
export function contenders({ isolated, only }) {
  const all = isolated
    ? [
        ...['default', 'plain'].flatMap((build) => {
          return THREADS.flatMap((threads) => Object.keys(DTYPES).map((dtype) => nearside(build, threads, dtype)));
        }),
        ...['ort', 'tfjs', 'jax'].flatMap((family) => THREADS.map((threads) => peer(family, threads))),
      ]
    : [...THREADS.map((threads) => nearside('default', threads, 'f32')), peer('ort', 1)];
  return all.filter(({ family }) => only.includes(family)).map((contender) => ({ ...contender, isolated }));
}

/** `build` is the one that nearside takes in this browser, or the one for browsers without relaxed SIMD. */
function nearside(build, threads, dtype) {
  return { family: 'nearside', adaptor: 'with-nearside', threads, dtype, alsoSync: true, options: { threads, dtype, build } };
}

function peer(family, threads) {
  return { family, adaptor: `with-${family}`, threads, dtype: 'f32', options: { threads } };
}

/** Turns of a computing loop in one call: some 20 ms. */
const TURNS = 2_000_000;

/** The machine's limits, measured in the same rounds. `work` is what one call does: operations, or bytes. */
export function probes() {
  const computing = { name: 'compute', size: TURNS, work: TURNS * FLOPS_PER_TURN };
  const loops = [
    { id: 'madd', title: 'relaxed_madd in registers', module: 'madd.wasm', ...computing },
    { id: 'muladd', title: 'mul and add in registers', module: 'muladd.wasm', ...computing },
    { id: 'read', title: 'reading memory', module: 'moving.wasm', name: 'read', size: MEMORY_BYTES, work: MEMORY_BYTES },
    { id: 'copy', title: 'copying memory', module: 'moving.wasm', name: 'copy', size: MEMORY_BYTES, work: MEMORY_BYTES / 2 },
  ];
  return loops.flatMap(({ id, title, work, ...loop }) => {
    return THREADS.map((threads) => {
      const probe = { id, title, work: work * threads };
      return { probe, adaptor: 'probe', threads, isolated: true, options: { ...loop, threads } };
    });
  });
}

/** A contender's name in tables and errors, if it has no title; `simd` is known once it has been loaded. */
export function nameOf({ title, family, probe, threads, dtype, simd, options, sync }) {
  if (title) return title;
  const count = `${threads} thread${threads > 1 ? 's' : ''}`;
  if (probe) return `${probe.title}, ${count}`;
  if (family !== 'nearside') return `${FAMILIES[family]}, ${count}`;
  return `nearside ${simd ?? `(${options.build} build)`} ${dtype}, ${count}${sync ? ', predictSync' : ''}`;
}
