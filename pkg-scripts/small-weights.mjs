// What weights of 16 and 8 bits cost: for every fixture the largest difference of an output from Keras's, in proportion to
// it or to 1 where it is smaller. Writes docs/small-weights.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { distance, given, readNpz } from '../tests/e2e/keras.mjs';
import { fixtures } from '../tests/e2e/support.mjs';
import { FIXTURES } from './mnist.mjs';

const { load } = await import(pathToFileURL(resolve('pkg/node.js')));
const DTYPES = ['f32', 'f16', 'int8'];

const rows = [];
for (const { file, recorded } of fixtures()) {
  const arrays = readNpz(readFileSync(`${FIXTURES}/${recorded}`));
  const distances = [];
  for (const dtype of DTYPES) {
    const model = await load(`${FIXTURES}/${file}`, { device: 'cpu', dtype });
    distances.push(distance(await model.predict(given(arrays)), arrays));
    model.dispose();
  }
  rows.push(`| ${file} | ${distances.map((distance) => distance.toExponential(1)).join(' | ')} |`);
}
const text = `# Weights of 16 and 8 bits, measured

${new Date().toISOString().slice(0, 10)}, by \`npm run small-weights\`, in Node: the largest difference of an output from what Keras answered
with the weights as they are, in proportion to the output or to 1 where that is smaller.

| model | ${DTYPES.join(' | ')} |
|---|${DTYPES.map(() => '--:|').join('')}
${rows.join('\n')}
`;
writeFileSync('docs/small-weights.md', text);
console.log(text);
