// The pieces that reports in Markdown are made of.
import { digits, summary } from './statistics.mjs';

/** A heading, a text, and a table with numbers in all columns but the first. */
export function section(title, text, head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const lines = [line(head), line(head.map((_, i) => (i === 0 ? '---' : '--:'))), ...rows.map(line)];
  return `\n## ${title}\n\n${text}\n\n${lines.join('\n')}\n`;
}

/** The ratios of two rows' times, round by round. */
export function ratio(own, other) {
  if (!own || !other) return '–';
  return spread(own.times.map((time, round) => time / other.times[round]));
}

/** Median and quartiles. */
export function spread(values) {
  const { median, lower, upper } = summary(values);
  return `**${digits(median)}** (${digits(lower)}–${digits(upper)})`;
}

export function percent(part) {
  return `${digits(100 * part)} %`;
}

/** The model's layers in a line. */
export function layersOf({ layers }) {
  return [layers[0].from, ...layers.map(({ to, activation }) => `${to} (${activation})`)].join(' → ');
}
