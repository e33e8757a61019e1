// Replaces functions that can never run by a trap, so that wasm-opt drops them and all they alone call:
// node snip.mjs MODULE.wasm PATTERN…, each a regular expression on the function's Rust name.
import binaryen from 'binaryen';
import { readFileSync, writeFileSync } from 'node:fs';

const [, , file, ...patterns] = process.argv;
binaryen.setDebugInfo(true); // keeps the names
const module = binaryen.readBinary(readFileSync(file));
// Those of every browser with simd128, as in `build`: with more of them, binaryen writes what Node 20 cannot read.
const { SIMD128, RelaxedSIMD, BulkMemory, NontrappingFPToInt, SignExt, MutableGlobals, ReferenceTypes, Multivalue } = binaryen.Features;
module.setFeatures(SIMD128 | RelaxedSIMD | BulkMemory | NontrappingFPToInt | SignExt | MutableGlobals | ReferenceTypes | Multivalue);
for (const pattern of patterns) {
  let count = 0;
  for (let i = 0; i < module.getNumFunctions(); i++) {
    const reference = module.getFunctionByIndex(i);
    const { name, module: imported } = binaryen.getFunctionInfo(reference);
    if (imported || !new RegExp(pattern).test(name)) continue;
    binaryen.Function.setBody(reference, module.unreachable());
    count++;
  }
  if (count === 0) throw new Error(`${file} has no function ${pattern}: the library changed, look again`);
}
writeFileSync(file, module.emitBinary());
