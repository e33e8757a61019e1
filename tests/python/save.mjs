// Loads models with the package, and saves each in every format: node save.mjs PACKAGE JOBS FOLDER. JOBS is a JSON list
// of { name, source, inputs: { NAME: base64 of float32 } }; what `roundtrip.py` reads is written to FOLDER/NAME.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , pkg, jobs, folder] = process.argv;
const { Tensor, load } = await import(pathToFileURL(resolve(pkg, 'node.js')));

for (const { name, source, inputs } of JSON.parse(readFileSync(jobs, 'utf8'))) {
  try {
    await save(`${folder}/${name}`, source, inputs);
  } catch (cause) {
    throw new Error(name, { cause });
  }
}

async function save(folder, source, given) {
  mkdirSync(folder, { recursive: true });
  const model = await load(source, { device: 'cpu' });
  const values = Object.fromEntries(Object.entries(given).map(([name, text]) => [name, fromBase64(text)]));
  const x = model.inputs.length === 1 ? Object.values(values)[0] : values;
  const facts = { inputs: model.inputs.map(({ name, shape }) => ({ name, shape, data: given[name] ?? given[''] })), outputs: {}, refused: {} };
  for (const dtype of ['f32', 'f16', 'int8']) {
    for (const format of ['safetensors', 'h5', 'keras', 'onnx']) {
      const file = `${dtype}.${format}`;
      try {
        writeFileSync(`${folder}/${file}`, await model.save(format, { dtype }));
      } catch (error) {
        if (error.kind !== 'unsupported') throw error;
        facts.refused[file] = error.message;
      }
    }
    // What the other tools have to answer: what nearside does with the same weights, as floats like theirs.
    const saved = await load(`${folder}/${dtype}.safetensors`, { device: 'cpu', dtype: 'f32' });
    facts.outputs[dtype] = outputs(saved, await saved.predict(x));
    saved.dispose();
  }
  model.dispose();
  writeFileSync(`${folder}/case.json`, JSON.stringify(facts));
}

function outputs(model, answer) {
  const tensors = answer instanceof Tensor ? [answer] : Object.values(answer);
  return model.outputs.map(({ name, classes }, i) => {
    const { data, shape, labels } = tensors[i];
    return { name, shape, data: toBase64(data), labels: labels && [...labels], classes };
  });
}

function fromBase64(text) {
  return new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
}

function toBase64(values) {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
}
