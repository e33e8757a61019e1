// Gives the bindings of a WebAssembly module the short names that wasm-opt gave its imports and exports:
// node rename.mjs BINDINGS.js MAP.json. The long ones are a twentieth of the download, and nobody reads them there.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';

const [, , file, map] = process.argv;
const { imports, exports } = JSON.parse(readFileSync(map, 'utf8'));
let code = readFileSync(file, 'utf8');

const replace = (pattern, short) => {
  const before = code;
  code = code.replaceAll(pattern, () => short);
  if (code === before) throw new Error(`${file} does not mention ${pattern}`);
};
for (const [module, name, short] of imports) {
  if (module !== imports[0][0]) throw new Error(`imports from ${module} and ${imports[0][0]}; one was expected`);
  replace(new RegExp(`\\b${name}\\b(?=:)`, 'g'), short);
}
// Functions that only what was cut called.
code = code.replaceAll(/^ {8}__wb\w+: function\(.*?^ {8}\}(, arguments\); \})?,\n/gms, '');
// engine.ts knows which sessions are of an instance that has failed, and when each is freed.
code = code.replaceAll(/ +if \(this\.__wbg_inst .*?\n +\}\n/gs, '').replaceAll(/^if \(Symbol\.dispose\) .*\n/gm, '');
// What browsers still call back for an instance that has failed has nobody who would hear of it.
code = code.replaceAll(/throw new Error\('Cannot invoke closure from previous WASM instance'\)/g, 'return');
// With all imports from one module, wasm-opt calls it "a".
replace(`"${imports[0][0]}"`, '"a"');
for (const [name, short] of exports) {
  // Exports that JavaScript does not call are renamed too.
  code = code.replaceAll(new RegExp(`\\b(wasm|wasmInstance\\.exports|instance\\.exports)\\.${name}\\b`, 'g'), (_, object) => `${object}.${short}`);
}
// For workers, which get the module and need not fetch it again.
writeFileSync(file, `${code}export { wasmModule };\n`);
appendFileSync(file.replace(/js$/, 'd.ts'), 'export const wasmModule: WebAssembly.Module;\n');
