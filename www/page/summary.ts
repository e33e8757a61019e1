import type { Model } from './nearside/nearside.js';
import { find, make } from './dom.js';
import { count, plural, rowLength, shape } from './format.js';

/** What a model is made of, layer by layer. */
export function showSummary(model: Model, file: string): void {
  find('model-file').textContent = file;
  find('model-name').textContent = model.name;
  find('model-facts').textContent =
    `${plural(model.layers.length, 'layer')}, ${plural(model.parameterCount, 'parameter')}; input ${signature(model.inputs)}, output ${signature(model.outputs)}`;
  const rows = model.layers.map((layer) =>
    make(
      'tr',
      {},
      make('th', { text: layer.name }),
      make('td', {
        text: layer.activation && layer.activation !== 'linear' ? `${layer.type}, ${layer.activation}` : layer.type,
      }),
      make('td', { text: shape(layer.outputShape) }),
      make('td', { text: count(layer.parameterCount) }),
    ),
  );
  for (const row of rows) row.firstElementChild!.setAttribute('scope', 'row');
  find('layers').replaceChildren(...rows);
  find('parameters').textContent = count(model.parameterCount);
}

type Specs = Model['inputs'];

export function signature(specs: Specs): string {
  return specs
    .map((spec) => (specs.length > 1 ? `${spec.name} (${shape(spec.shape)})` : shape(spec.shape)))
    .join(' and ');
}

/** Whether a model reads 28×28 images and tells ten classes apart, in whatever form it writes these shapes. */
export function readsDigits(model: Model): boolean {
  const [input, output] = [model.inputs[0], model.outputs[0]];
  if (model.inputs.length !== 1 || model.outputs.length !== 1 || !input || !output) return false;
  return rowLength(input.shape) === 784 && rowLength(output.shape) === 10;
}
