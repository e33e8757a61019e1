// Quotes, separators and line ends as spreadsheets write them; the package's own reader takes tables of numbers alone.
import Papa from 'papaparse';
import { NearsideError } from '../nearside/nearside.js';
import { count } from '../format.js';

/** A file of named columns of text. */
export interface Table {
  names: string[];
  rows: string[][];
}

/** The page stands still while a table is read: for a second or two at this size. */
export const MOST_BYTES = 50e6;

/** @throws `format`, with the row. */
export function readTable(text: string): Table {
  const { data, errors } = Papa.parse<string[]>(text, { skipEmptyLines: 'greedy', delimitersToGuess: [',', ';', '\t', '|'] });
  const fault = errors.find(({ type }) => type === 'Quotes');
  if (fault) throw new NearsideError('format', `row ${count((fault.row ?? 0) + 1)}: ${fault.code === 'MissingQuotes' ? 'a quote is not closed' : 'text follows a closing quote'}`);
  const [first, ...rest] = data;
  if (!first) throw new NearsideError('format', 'the file is empty');
  const named = !first.some((field) => toNumber(field) !== null);
  const rows = named ? rest : data;
  rows.forEach((row, i) => {
    if (row.length === first.length) return;
    const place = `row ${count(i + (named ? 2 : 1))}`;
    throw new NearsideError('format', `${place}: ${row.length} fields, where the first row has ${first.length}`);
  });
  if (first.length < 2) throw new NearsideError('format', 'the table has one column; training needs features and a target');
  return { names: first.map((name, i) => (named && name.trim()) || `Column ${i + 1}`), rows };
}

export function isMissing(field: string): boolean {
  return /^\s*(|na|n\/a|nan|null|\?)\s*$/i.test(field);
}

/** Null for what is no finite number. */
export function toNumber(field: string): number | null {
  if (!/^\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*$/i.test(field)) return null;
  const value = Math.fround(Number(field));
  return Number.isFinite(value) ? value : null;
}
