const digits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, minimumSignificantDigits: 3 });
const few = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, notation: 'compact' });

/** Three digits, as losses and errors are read. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(1) : digits.format(value);
}

/** At an axis, where there is little room: 0.05, 20K. */
export function tick(value: number): string {
  return few.format(value);
}

/** 12 s, 3:05. */
export function clock(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)}\u202fs`;
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}
