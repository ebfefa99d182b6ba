// Owns what is said of several measured values of one thing. Pure.

/** The smallest value that this share of all does not exceed, from 0 to 1; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const index = Math.ceil(share * sorted.length) - 1;
  return sorted[Math.min(sorted.length - 1, Math.max(0, index))] ?? Number.NaN;
}

/** Between the two in the middle where there are two. */
export function median(values: readonly number[]): number {
  const negated = values.map((value) => -value);
  return (quantile(values, 0.5) - quantile(negated, 0.5)) / 2;
}

export const most = (values: readonly number[]): number => quantile(values, 1);

/** Median, 99th percentile and largest, in milliseconds. */
export function inMs(values: readonly number[]): string {
  const [p99, max] = [0.99, 1].map((share) => quantile(values, share).toFixed(1));
  return `median ${median(values).toFixed(1)}, p99 ${p99}, longest ${max} ms (of ${values.length})`;
}
