// What the machine can do, as far as WebAssembly lets it: loops that do nothing but compute, or but read.
import binaryen from 'binaryen';

/** As many bytes as are read or copied: more than the caches hold, and about the weights of the model `wide`. */
export const MEMORY_BYTES = 128 * 2 ** 20;
const PAGE = 2 ** 16;

/**
 * How many sums the computing loops have at once. Each waits for its own last result, 4 cycles for a multiplication with
 * addition and 6 to 8 for one after the other, and two or four units must be kept busy meanwhile: more sums are better
 * until they leave the registers. x86-64 has 16, where 12 were the fastest of 8 to 14; ARM has 32. The faster one counts.
 */
const SUMS = [12, 20];
/** Steps in one turn of a computing loop, so that counting costs nothing. */
const STEPS = 60;
/** Operations in one turn: two in each of four lanes, for each step. */
export const FLOPS_PER_TURN = STEPS * 8;
/** Bytes read in one turn of the reading loop. */
const READ_PER_TURN = 8 * 16;

const range = (length, line) => Array.from({ length }, (_, i) => line(i)).join('\n');

/**
 * Computes `n` turns in registers, from factors that no compiler knows: $a times $b is added again and again, or, where
 * that product would be computed once for all, each sum is multiplied by $a and $b added.
 */
function computing(step) {
  return SUMS.map((count) => {
    const all = (line) => range(count, line);
    return `
  (func (export "compute${count}") (param $n i32) (param $x f32) (param $y f32) (result f32)
    (local $a v128) (local $b v128) ${all((i) => `(local $s${i} v128)`)}
    (local.set $a (f32x4.splat (local.get $x)))
    (local.set $b (f32x4.splat (local.get $y)))
    ${all((i) => `(local.set $s${i} (f32x4.splat (f32.const ${i}.5)))`)}
    (loop $turn
      ${range(STEPS / count, () => all((i) => `(local.set $s${i} ${step(`(local.get $s${i})`)})`))}
      (br_if $turn (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    ${range(count - 1, (i) => `(local.set $s0 (f32x4.add (local.get $s0) (local.get $s${i + 1})))`)}
    (f32x4.extract_lane 0 (local.get $s0)))`;
  }).join('\n');
}

const MADD = (sum) => `(f32x4.relaxed_madd (local.get $a) (local.get $b) ${sum})`;
const MUL_ADD = (sum) => `(f32x4.add (f32x4.mul ${sum} (local.get $a)) (local.get $b))`;

/** Fills the memory with ones, adds them up, copies one half over the other. */
const MOVING = `
  (memory ${MEMORY_BYTES / PAGE})
  (func (export "fill") (param $bytes i32)
    (loop $next
      (local.set $bytes (i32.sub (local.get $bytes) (i32.const 4)))
      (i32.store (local.get $bytes) (i32.const 1))
      (br_if $next (local.get $bytes))))
  (func (export "read") (param $bytes i32) (result i32)
    (local $at i32) ${range(4, (i) => `(local $s${i} v128)`)}
    (loop $turn
      ${range(READ_PER_TURN / 16, (i) => {
        const sum = `$s${i % 4}`;
        return `(local.set ${sum} (i32x4.add (local.get ${sum}) (v128.load offset=${i * 16} (local.get $at))))`;
      })}
      (local.set $at (i32.add (local.get $at) (i32.const ${READ_PER_TURN})))
      (br_if $turn (i32.lt_u (local.get $at) (local.get $bytes))))
    ${range(3, (i) => `(local.set $s0 (i32x4.add (local.get $s0) (local.get $s${i + 1})))`)}
    ${[0, 1, 2, 3].map((lane) => `(i32x4.extract_lane ${lane} (local.get $s0))`).reduce((a, b) => `(i32.add ${a} ${b})`)})
  (func (export "copy") (param $bytes i32)
    (memory.copy (local.get $bytes) (i32.const 0) (local.get $bytes)))`;

/** The modules' bytes, by file name. */
export function probeModules() {
  return { 'madd.wasm': assemble(computing(MADD)), 'muladd.wasm': assemble(computing(MUL_ADD)), 'moving.wasm': assemble(MOVING) };
}

function assemble(body) {
  const { SIMD128, RelaxedSIMD, BulkMemory, BulkMemoryOpt } = binaryen.Features;
  const features = SIMD128 | RelaxedSIMD | BulkMemory | BulkMemoryOpt;
  const module = binaryen.parseText(`(module ${body})`, features);
  module.setFeatures(features);
  if (!module.validate()) throw new Error('a probe is no valid module');
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}
