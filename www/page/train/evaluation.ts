import type { Model } from '../nearside/nearside.js';
import { find, make } from '../dom.js';
import { count, percent } from '../format.js';
import { significant } from './numbers.js';
import { logged, type Samples, type Task } from './task.js';

/** How the model does on samples that it has never seen. */
export class Evaluation {
  readonly #figures = find('evaluation-figures');
  readonly #matrix = find('confusion');

  async show(model: Model, task: Task, test: Samples): Promise<void> {
    const logs = await model.evaluate(test.x, test.y, asked(task));
    const figures: [string, string][] = task.classes
      ? [['Accuracy', percent(logged(logs, 'accuracy'))], ['Loss', significant(logged(logs, 'loss'))]]
      : [
          ['Mean absolute error', significant(logged(logs, 'mae'))],
          ['Root mean squared error', significant(logged(logs, 'root_mean_squared_error'))],
          ['R²', significant(logged(logs, 'r2_score'))],
        ];
    const held = task.name === 'digits' ? 'test images' : 'rows held out';
    find('evaluation-state').textContent = `on ${count(test.count)} ${held}`;
    this.#figures.replaceChildren(...figures.map(([name, value]) => make('div', {}, make('dt', { text: name }), make('dd', { text: value }))));
    if (task.classes) this.#fill(logs['confusion_matrix'] as number[][], task.classes);
    find('confusion-region').hidden = !task.classes;
  }

  clear(): void {
    find('evaluation-state').textContent = '';
    find('confusion-region').hidden = true;
    this.#figures.replaceChildren();
    this.#matrix.replaceChildren();
  }

  /** A row for each true class, a column for each answer; each cell tinted by its share of the row. */
  #fill(matrix: number[][], classes: string[]): void {
    const corner = make('td');
    const head = make('tr', {}, corner, ...classes.map((name) => header(name, 'col')));
    const rows = matrix.map((row, truth) => {
      const total = row.reduce((sum, cell) => sum + cell, 0);
      const cells = row.map((cell, answer) => this.#cell(cell, total, truth === answer));
      return make('tr', {}, header(classes[truth]!, 'row'), ...cells);
    });
    this.#matrix.replaceChildren(make('thead', {}, head), make('tbody', {}, ...rows));
  }

  #cell(samples: number, total: number, right: boolean): HTMLElement {
    const cell = make('td', { text: samples > 0 ? count(samples) : '·', class: right ? 'right' : 'wrong' });
    cell.dataset.count = String(samples);
    cell.style.setProperty('--share', String(total > 0 ? samples / total : 0));
    return cell;
  }
}

function header(text: string, scope: 'row' | 'col'): HTMLElement {
  const cell = make('th', { text });
  cell.scope = scope;
  return cell;
}

function asked(task: Task): { loss: string; metrics: string[] } {
  return task.classes
    ? { loss: 'sparse_categorical_crossentropy', metrics: ['accuracy', 'ConfusionMatrix'] }
    : { loss: 'mean_squared_error', metrics: ['mae', 'RootMeanSquaredError', 'R2Score'] };
}

