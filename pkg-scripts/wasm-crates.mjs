// Which crates a WebAssembly module is made of, by the names that the linker left in it.

const STANDARD = ['core', 'alloc', 'std', 'compiler_builtins'];

// https://webassembly.github.io/spec/core/binary/modules.html: a section, like a subsection of names, is a number, a
// length, and so many bytes.
const CODE_SECTION = 10;
const FUNCTION_NAMES = 1;

/** Bytes of code of each crate, largest first. A generic function counts for the crate that wrote it. */
export function codeByCrate(wasm) {
  const names = functionNames(wasm);
  const crates = new Map();
  functionSizes(wasm).forEach((bytes, i) => {
    // These describe types to wasm-bindgen, which runs and removes them.
    if (names[i].startsWith('__wbindgen_describe')) return;
    const crate = crateOf(names[i]);
    crates.set(crate, (crates.get(crate) ?? 0) + bytes);
  });
  return [...crates].sort(([, a], [, b]) => b - a);
}

function crateOf(name) {
  // Names are `_ZN8nearside5model…`, `_ZN45_$LT$f64$u20$as$u20$zmij..Sealed$GT$…`, or `_RNvNtCs1a2b_4core3fmt…`.
  const [, length, path] = /^_ZN(\d+)(.*)/.exec(name) ?? /^_R.*?C(?:s[0-9a-zA-Z]*_)?(\d+)_?(.*)/.exec(name) ?? [];
  if (!length) return 'others';
  const first = path.slice(0, Number(length));
  const crate = first.startsWith('_$') ? (/(\w+)\.\./.exec(first)?.[1] ?? 'core') : first;
  return STANDARD.includes(crate) ? 'core, alloc and std' : crate;
}

/** The bytes of each function that a module defines. */
function functionSizes(wasm) {
  const code = section(wasm.subarray(8), CODE_SECTION);
  return code.list(() => code.take(code.integer()).length);
}

/** The name of each function that a module defines. */
function functionNames(wasm) {
  const module = new WebAssembly.Module(wasm);
  const imported = WebAssembly.Module.imports(module).filter(({ kind }) => kind === 'function').length;
  const [custom] = WebAssembly.Module.customSections(module, 'name');
  const names = section(new Uint8Array(custom), FUNCTION_NAMES);
  const named = names.list(() => [names.integer() - imported, String.fromCharCode(...names.take(names.integer()))]);
  return Object.fromEntries(named);
}

function section(bytes, wanted) {
  for (const reader = new Reader(bytes); ; ) {
    const id = reader.integer();
    const content = reader.take(reader.integer());
    if (id === wanted) return new Reader(content);
  }
}

class Reader {
  #bytes;
  #offset = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  take(length) {
    if (this.#offset + length > this.#bytes.length) throw new Error('the module ends early');
    return this.#bytes.subarray(this.#offset, (this.#offset += length));
  }

  /** LEB128. */
  integer() {
    for (let value = 0, shift = 0; ; shift += 7) {
      const [byte] = this.take(1);
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  }

  list(item) {
    return Array.from({ length: this.integer() }, item);
  }
}
