import { NearsideError, normalization } from '../nearside/nearside.js';
import { count, plural } from '../format.js';
import { isMissing, toNumber, type Table } from './table.js';
import type { Samples, Task } from './task.js';

export type Aim = 'classes' | 'number';

/** A column of this many distinct numbers, or fewer, names classes. */
const FEW = 10;
const MOST_CLASSES = 100;
const FEWEST_ROWS = 10;
const TEST_SHARE = 0.2;

/** What a column is good for as a target. */
export function aimOf(table: Table, target: number): Aim {
  const fields = table.rows.map((row) => row[target]!).filter((field) => !isMissing(field));
  if (fields.some((field) => toNumber(field) === null)) return 'classes';
  return new Set(fields.map(Number)).size <= FEW ? 'classes' : 'number';
}

/** A task, and what was left out to make it. */
export interface TableTask extends Task {
  left: { columns: string[]; rows: number };
  counts: { train: number; test: number };
}

/**
 * Learns column `target` from the columns of numbers. Rows that lack a value are left out, and so are columns of text.
 * `seed` says which rows are held out for the evaluation.
 * @throws `value`
 */
export function tableTask(name: string, table: Table, target: number, aim: Aim, seed: number): TableTask {
  const others = table.names.flatMap((_, column) => (column === target ? [] : [column]));
  const used = others.filter((column) => isNumeric(table, column));
  if (used.length === 0) throw new NearsideError('value', 'no column besides the target holds numbers alone; write numbers with a decimal point');
  const rows = table.rows.filter((row) => ![...used, target].some((column) => isMissing(row[column]!)));
  if (rows.length < FEWEST_ROWS) throw new NearsideError('value', `${plural(rows.length, 'row')} with all values; at least ${FEWEST_ROWS} are needed`);
  shuffle(rows, seed);

  const { classes, value } = targetOf(rows, table.names[target]!, target, aim);
  const held = Math.round(rows.length * TEST_SHARE);
  const samples = (part: string[][]): Samples => ({
    x: Float32Array.from(part.flatMap((row) => used.map((column) => toNumber(row[column]!)!))),
    y: Float32Array.from(part, value),
    count: part.length,
  });
  const [train, test] = [samples(rows.slice(held)), samples(rows.slice(0, held))];
  return {
    name,
    features: used.length,
    classes,
    before: [normalization({ fit: { data: train.x, features: used.length } })],
    ...scaleOf(classes ? null : train.y),
    validationSplit: 0.2,
    samples: () => Promise.resolve({ train, test }),
    left: { columns: others.filter((column) => !used.includes(column)).map((column) => table.names[column]!), rows: table.rows.length - rows.length },
    counts: { train: train.count, test: test.count },
  };
}

function isNumeric(table: Table, column: number): boolean {
  let any = false;
  for (const row of table.rows) {
    const field = row[column]!;
    if (isMissing(field)) continue;
    if (toNumber(field) === null) return false;
    any = true;
  }
  return any;
}

/** How a row's target becomes what the network is to answer. */
function targetOf(rows: string[][], name: string, target: number, aim: Aim): { classes: string[] | null; value: (row: string[]) => number } {
  if (aim === 'number') {
    const wrong = rows.find((row) => toNumber(row[target]!) === null);
    if (wrong) throw new NearsideError('value', `“${wrong[target]!.trim().slice(0, 40)}” in column “${name}” is not a number; learn it as classes`);
    return { classes: null, value: (row) => toNumber(row[target]!)! };
  }
  const words = new Set(rows.map((row) => row[target]!.trim()));
  // As people count, 2 before 10.
  const classes = [...words].sort(new Intl.Collator('en', { numeric: true }).compare);
  if (classes.length < 2) throw new NearsideError('value', `column “${name}” has one value, “${classes[0]}”; there is nothing to tell apart`);
  if (classes.length > MOST_CLASSES) throw new NearsideError('value', `column “${name}” has ${count(classes.length)} different values; this page takes up to ${MOST_CLASSES} classes`);
  const index = new Map(classes.map((word, i) => [word, i]));
  return { classes, value: (row) => index.get(row[target]!.trim())! };
}

/** A last layer that brings answers of the network's own scale, mean 0 and variance 1, to the target's. */
function scaleOf(y: Samples['y'] | null): Pick<Task, 'after' | 'variance'> {
  if (!y) return { after: [], variance: 1 };
  const numbers = Array.from(y);
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  const variance = numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0) / numbers.length;
  if (!(variance > 0)) throw new NearsideError('value', 'the target has the same value in every row; there is nothing to learn');
  // A normalization is (x - m) / √v: with these it multiplies by the deviation, and adds the mean.
  return { after: [normalization({ mean: [-mean / Math.sqrt(variance)], variance: [1 / variance] })], variance };
}

/** In place (Fisher and Yates), the same for the same seed. */
function shuffle(rows: unknown[], seed: number): void {
  let state = seed >>> 0;
  // Mulberry32: Math.random cannot be given a seed.
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
  for (let i = rows.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [rows[i], rows[j]] = [rows[j], rows[i]];
  }
}
