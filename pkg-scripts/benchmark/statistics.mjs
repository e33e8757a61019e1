// What the benchmarks say of repeated measurements.

/** The value that `part` of the values are not above. */
export function quantile(values, part) {
  return values.toSorted((a, b) => a - b)[Math.round((values.length - 1) * part)];
}

export function median(values) {
  return quantile(values, 0.5);
}

/** Median and quartiles. */
export function summary(values) {
  return { median: median(values), lower: quantile(values, 0.25), upper: quantile(values, 0.75) };
}

/** A number with as many digits as its size deserves. */
export function digits(value) {
  if (value >= 100) return value.toFixed(0);
  return value.toPrecision(value >= 1 ? 3 : 2);
}
