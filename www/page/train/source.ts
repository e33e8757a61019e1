import { NearsideError } from '../nearside/nearside.js';
import { find, make } from '../dom.js';
import { catchDrops } from '../drop.js';
import { clearError, showError } from '../errors.js';
import { bytes, count, plural } from '../format.js';
import { aimOf, tableTask, type Aim, type TableTask } from './columns.js';
import { TEST_IMAGES, TRAINING_IMAGES, digits } from './digits.js';
import { MOST_BYTES, readTable, type Table } from './table.js';
import type { Task } from './task.js';

const IMAGES =
  `${count(TRAINING_IMAGES)} of MNIST’s training images, of which ${count(TRAINING_IMAGES * digits.validationSplit)} validate, ` +
  `and ${count(TEST_IMAGES)} of its test images: ${bytes((TRAINING_IMAGES + TEST_IMAGES) * 785)}, fetched when training starts.`;

/** What is learnt: the digits, or a table of the person's own. */
export class Source {
  readonly #zone = find('csv-drop');
  readonly #target = find<HTMLSelectElement>('csv-target');
  readonly #aim = find<HTMLSelectElement>('csv-aim');
  #table: Table | null = null;
  #name = '';
  /** A table's task, until something changes. */
  #task: TableTask | null = null;
  #locked = false;

  constructor(
    private readonly seed: () => number,
    private readonly onChange: () => void,
  ) {
    const input = find<HTMLInputElement>('csv-file');
    input.addEventListener('change', () => {
      void this.#take(input.files);
      input.value = ''; // so that the same file can be chosen again
    });
    catchDrops(this.#zone, (files) => void this.#take(files));
    find('csv-back').addEventListener('click', () => this.#use(null, ''));
    this.#target.addEventListener('change', () => {
      this.#aim.value = aimOf(this.#table!, this.#target.selectedIndex);
      this.#changed();
    });
    this.#aim.addEventListener('change', () => this.#changed());
    this.#show();
  }

  /** @throws `value` where the table's columns cannot be learnt from. */
  task(): Task {
    if (!this.#table) return digits;
    return (this.#task ??= tableTask(this.#name, this.#table, this.#target.selectedIndex, this.#aim.value as Aim, this.seed()));
  }

  /** Other rows are held out for another seed. */
  seedChanged(): void {
    if (this.#table) this.#changed();
  }

  /** While it is trained from. */
  lock(locked: boolean): void {
    this.#locked = locked;
  }

  async #take(files: FileList | null): Promise<void> {
    const file = files?.[0];
    if (!file) return;
    clearError();
    try {
      if (file.size > MOST_BYTES) throw new NearsideError('memory', `${file.name} has ${bytes(file.size)}; this page takes tables of up to ${bytes(MOST_BYTES)}`);
      const table = readTable(await file.text());
      // Asked last: a training may have begun while the file was read.
      if (this.#locked) throw new NearsideError('value', 'stop the training before you choose another file');
      this.#use(table, file.name);
    } catch (error) {
      showError(this.#zone, error);
    }
  }

  #use(table: Table | null, name: string): void {
    clearError();
    this.#table = table;
    this.#name = name.replace(/\.\w+$/, '');
    find('csv-name').textContent = name;
    if (table) {
      this.#target.replaceChildren(...table.names.map((column) => make('option', { text: column })));
      // Tables mostly end with what they are about.
      this.#target.selectedIndex = table.names.length - 1;
      this.#aim.value = aimOf(table, table.names.length - 1);
    }
    this.#changed();
  }

  #changed(): void {
    this.#task = null;
    this.#show();
    this.onChange();
  }

  #show(): void {
    find('csv').hidden = !this.#table;
    find('data-name').textContent = this.#table ? '' : 'Handwritten digits';
    find('data-facts').textContent = this.#table ? this.#facts(this.#table) : IMAGES;
  }

  #facts(table: Table): string {
    const facts = [`${plural(table.rows.length, 'row')}, ${plural(table.names.length, 'column')}.`];
    try {
      const { left, counts, features, classes } = this.task() as TableTask;
      const answer = classes ? plural(classes.length, 'class', 'classes') : 'a number';
      facts.push(`${plural(features, 'feature')} to ${answer}; ${plural(counts.train, 'row')} to train and validate, ${count(counts.test)} held out to evaluate.`);
      if (left.columns.length > 0) facts.push(`Left out, because they hold text: ${left.columns.join(', ')}.`);
      if (left.rows > 0) facts.push(`Left out, because a value is missing: ${plural(left.rows, 'row')}.`);
      clearError();
    } catch (error) {
      showError(this.#zone, error, 'This column cannot be learnt');
    }
    return facts.join(' ');
  }
}
