/** Tables of numbers as text: https://www.rfc-editor.org/rfc/rfc4180, and what spreadsheets make of it. */
import { NearsideError } from '../errors.js';
import { Tensor } from '../tensor.js';
import { shortest } from './number.js';

const NUMBER = /^\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*$/i;
const NOT_FINITE = /^\s*([+-]?)(nan|inf|infinity)\s*$/i;

/**
 * Reads a table: one row a line, fields separated by `,`, `;` or a tab, quoted or not. The first line may name the
 * columns: it does if none of its fields is a number.
 * @throws `format`, with the line and the column.
 */
export function readCsv(text: string): Tensor {
  const rows = new Rows(text);
  const values: number[] = [];
  let width = 0;
  for (let row = rows.next(); row; row = rows.next()) {
    const first = width === 0;
    if (first) width = row.length;
    if (row.length !== width) throw fault(rows.line, `${row.length} fields, where the lines before have ${width}`);
    if (first && !row.some(isNumber) && row.some(isFilled)) continue; // the columns' names
    row.forEach((field, column) => values.push(toNumber(field, rows.line, column + 1)));
  }
  if (values.length === 0) throw new NearsideError('format', 'the table has no numbers');
  return new Tensor(Float32Array.from(values), [values.length / width, width]);
}

/** The columns' names, which the first line has, and the rows' fields with their lines. @throws `format` */
export function columnsOf(text: string): { names: string[]; rows: { fields: string[]; line: number }[] } {
  const rows = new Rows(text);
  const names = rows.next()?.map((name) => name.trim());
  if (!names) throw new NearsideError('format', 'the table is empty');
  const found: { fields: string[]; line: number }[] = [];
  for (let fields = rows.next(); fields; fields = rows.next()) {
    if (fields.length !== names.length) throw fault(rows.line, `${fields.length} fields, and there are ${names.length} columns`);
    found.push({ fields, line: rows.line });
  }
  if (found.length === 0) throw new NearsideError('format', 'the table has no rows below the names of its columns');
  return { names, rows: found };
}

/** Splits a table into fields. */
class Rows {
  /** Number of the line that the last row began on. */
  line = 0;
  #nextLine = 1;
  #at: number;
  /** Empty lines at the end are none. */
  readonly #end: number;
  readonly #text: string;
  readonly #delimiter: string;

  constructor(text: string) {
    this.#text = text;
    this.#at = text.startsWith('\ufeff') ? 1 : 0; // the mark that Windows begins text with
    let end = text.length;
    while (end > this.#at && ' \r\n'.includes(text[end - 1]!)) end--;
    this.#end = end;
    const first = /^[^\r\n]*/.exec(text)![0].replace(/"[^"]*"/g, '');
    this.#delimiter = ['\t', ';'].find((delimiter) => first.includes(delimiter)) ?? ',';
  }

  /** The fields of the next line; null behind the last. */
  next(): string[] | null {
    if (this.#at >= this.#end) return null;
    this.line = this.#nextLine;
    const row: string[] = [];
    for (;;) {
      row.push(this.#text[this.#at] === '"' ? this.#quoted(row.length + 1) : this.#plain());
      if (this.#at >= this.#end || this.#text[this.#at] !== this.#delimiter) break;
      this.#at++;
    }
    if (this.#text.startsWith('\r\n', this.#at)) this.#at++;
    this.#at++;
    this.#nextLine++;
    return row;
  }

  #plain(): string {
    const start = this.#at;
    while (this.#at < this.#end && !this.#endsField(this.#text[this.#at]!)) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  /** A field in quotes, of which two stand for one. */
  #quoted(column: number): string {
    const start = this.#at + 1;
    let close = this.#text.indexOf('"', start);
    while (close >= 0 && this.#text[close + 1] === '"') close = this.#text.indexOf('"', close + 2);
    if (close < 0) throw fault(this.line, 'the quote is not closed', column);
    this.#at = close + 1;
    if (this.#at < this.#end && !this.#endsField(this.#text[this.#at]!)) {
      throw fault(this.line, `'${this.#text[this.#at]}' follows the closing quote`, column);
    }
    const field = this.#text.slice(start, close);
    this.#nextLine += field.split('\n').length - 1;
    return field.replaceAll('""', '"');
  }

  #endsField(character: string): boolean {
    return character === this.#delimiter || character === '\n' || character === '\r';
  }
}

function isFilled(field: string): boolean {
  return field.trim() !== '';
}

function isNumber(field: string): boolean {
  return NUMBER.test(field) || NOT_FINITE.test(field);
}

function toNumber(field: string, line: number, column: number): number {
  if (NUMBER.test(field)) return Number(field);
  const [, sign, word] = NOT_FINITE.exec(field) ?? [];
  if (word !== undefined) return word.toLowerCase() === 'nan' ? NaN : sign === '-' ? -Infinity : Infinity;
  if (!isFilled(field)) throw fault(line, 'the field is empty; a number is needed', column);
  const hint = /^\s*[+-]?\d+,\d+\s*$/.test(field) ? '; write a decimal point' : '';
  throw fault(line, `'${field.trim().slice(0, 40)}' is not a number${hint}`, column);
}

function fault(line: number, problem: string, column?: number): NearsideError {
  return new NearsideError('format', `line ${line}${column === undefined ? '' : `, column ${column}`}: ${problem}`);
}

/** The rows of a table, of numbers or class labels: as many columns as the second axis is long, or one. */
export function* writeCsv({ data, shape: [, width = 1], labels }: Tensor): Generator<string> {
  const field = (i: number): string => (labels ? quote(labels[i]!) : String(shortest(data[i]!)));
  for (let start = 0; start < data.length; start += width) {
    yield `${Array.from({ length: width }, (_, column) => field(start + column))}\n`;
  }
}

function quote(text: string): string {
  return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
