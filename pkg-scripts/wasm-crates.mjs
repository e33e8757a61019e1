// Which crates a WebAssembly module is made of, by the names of its functions.

const STANDARD = ['core', 'alloc', 'std', 'compiler_builtins'];

// https://webassembly.github.io/spec/core/binary/modules.html: a section, like a subsection of names, is a number, a
// length, and so many bytes.
const CODE_SECTION = 10;
const FUNCTION_NAMES = 1;

/** Bytes of code of each crate, largest first. A generic function counts for the crate that wrote it. */
export function codeByCrate(wasm) {
  return codeBy(wasm, crateOf);
}

/** Bytes of code of each format's reader and writer and of the libraries that it alone needs, largest first. */
export function codeByFormat(wasm) {
  return codeBy(wasm, formatOf);
}

function codeBy(wasm, groupOf) {
  const names = functionNames(wasm);
  const groups = new Map();
  functionSizes(wasm).forEach((bytes, i) => {
    const group = groupOf(names[i]);
    groups.set(group, (groups.get(group) ?? 0) + bytes);
  });
  return [...groups].sort(([, a], [, b]) => b - a);
}

/** The format whose reader a function belongs to, by our module or the library's crate. */
function formatOf(name) {
  const module = /nearside(?:\[\w+\])?::format::(keras|onnx|tfjs|torch|container|safetensors)/.exec(name)?.[1];
  const library = { hdf5_pure: 'Keras: HDF5', miniz_oxide: 'Keras: inflating', rawzip: 'Keras: zip', prost: 'ONNX: protobuf' };
  return module ?? library[crateOf(name)] ?? 'shared';
}

/** The first crate in a name such as `serde_json::read::…`, `<f64 as zmij::…>::…` or `<dlmalloc[e24a27700634d609]::…`. */
function crateOf(name) {
  const crate = /(\w+)(\[\w+\])?::/.exec(name)?.[1] ?? 'others';
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
  if (!custom) throw new Error('the module has no names');
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
