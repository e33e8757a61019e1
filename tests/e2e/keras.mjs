// What Keras answered, and how far a model's answers are from it. Runs in Node and in the browser.

/** The arrays of a file that numpy.savez wrote, as `{ [name]: { data, shape } }`. */
export function readNpz(bytes) {
  return Object.fromEntries(Object.entries(unzip(bytes)).map(([name, file]) => [name, readNpy(file)]));
}

/**
 * The .npy files in a file that numpy.savez wrote, as `{ [name]: bytes }`: a zip archive without compression, unless
 * `inflate` undoes it.
 */
export function unzip(bytes, inflate) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  const files = {};
  let entry = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    const [nameLength, extra, comment] = [28, 30, 32].map((at) => view.getUint16(entry + at, true));
    const compressed = view.getUint16(entry + 10, true) !== 0;
    if (compressed && !inflate) throw new Error('a compressed member; numpy.savez_compressed is not read');
    const name = new TextDecoder().decode(bytes.subarray(entry + 46, entry + 46 + nameLength));
    const header = view.getUint32(entry + 42, true);
    const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
    const stored = bytes.subarray(start, start + view.getUint32(entry + 20, true));
    files[name.replace(/\.npy$/, '')] = compressed ? inflate(stored) : stored;
    entry += 46 + nameLength + extra + comment;
  }
  return files;
}

/** The cases of an archive that onnx_archive.py wrote: `{ name, model, 'in:NAME': values …, 'text:NAME': text … }`. */
export function readCases(bytes, inflate) {
  const { cases, models, values } = unzip(bytes, inflate);
  const body = (npy) => npy.subarray(10 + npy[8] + 256 * npy[9]);
  let [restOfModels, restOfValues] = [body(models), readNpy(values).data];
  return new TextDecoder().decode(body(cases)).trim().split('\n').map((line) => {
    const [name, length, ...pairs] = line.split('\t');
    const found = { name, model: restOfModels.subarray(0, Number(length)) };
    restOfModels = restOfModels.subarray(found.model.length);
    for (let i = 0; i < pairs.length; i += 2) {
      const [key, said] = [pairs[i], pairs[i + 1]];
      found[key] = /^(in|out):/.test(key) ? restOfValues.subarray(0, Number(said)) : said;
      restOfValues = restOfValues.subarray(found[key] === said ? 0 : Number(said));
    }
    return found;
  });
}

/** Place of the end of the central directory, which a comment may follow. */
function findEnd(view) {
  for (let at = view.byteLength - 22; at >= 0; at--) if (view.getUint32(at, true) === 0x06054b50) return at;
  throw new Error('not a zip archive');
}

export function readNpy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [length, start] = bytes[6] === 1 ? [view.getUint16(8, true), 10] : [view.getUint32(8, true), 12];
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const [, shape] = /'descr': '<f4', 'fortran_order': False, 'shape': \(([\d, ]*)\)/.exec(header) ?? [];
  if (shape === undefined) throw new Error(`only arrays of float32 in C order are read, not ${header}`);
  const copy = new Uint8Array(bytes.subarray(start + length)); // aligned, as floats must be
  return { data: new Float32Array(copy.buffer), shape: shape.match(/\d+/g).map(Number) };
}

/** What `predict` is given: one array, or for several inputs each by its name. */
export function given(arrays) {
  const inputs = Object.entries(arrays).filter(([name]) => name.startsWith('in:'));
  if (inputs.length === 1) return inputs[0][1].data;
  return Object.fromEntries(inputs.map(([name, { data }]) => [name.slice(3), data]));
}

/** The largest |a − b| / max(1, |b|) between the model's answers and Keras's; infinite where one is not a number. */
export function distance(answer, arrays) {
  const outputs = Object.entries(arrays).filter(([name]) => name.startsWith('out:'));
  const single = outputs.length === 1;
  if (!single && Object.keys(answer).length !== outputs.length) {
    throw new Error(`outputs ${Object.keys(answer)} instead of ${outputs.map(([name]) => name)}`);
  }
  return Math.max(...outputs.map(([name, expected]) => furthest(single ? answer : answer[name.slice(4)], expected, name)));
}

function furthest(answer, { data, shape }, name) {
  if (String(answer?.shape) !== String(shape) || answer.data.length !== data.length || data.length === 0) {
    throw new Error(`${name} has shape [${answer?.shape}] instead of [${shape}]`);
  }
  return data.reduce((most, b, i) => {
    const distance = Math.abs(answer.data[i] - b) / Math.max(1, Math.abs(b));
    return Number.isNaN(distance) ? Infinity : Math.max(most, distance);
  }, 0);
}
