// Sizes as people write and read them, and the units of time and capacity. Powers of 1024 throughout, as in the
// original. It must never round silently.

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;
export const PIB = 1024 * TIB;
export const MICROS_PER_MS = 1000;

const SUFFIXES: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['K', KIB],
  ['M', MIB],
  ['G', GIB],
  ['T', TIB],
  ['P', PIB],
]);
const SIZE = /^(\d+)(?:\.(\d+))?\s*([KMGTP]?)(?:i?B)?$/i;

/**
 * Bytes from a text such as `16G`, `512 MiB`, `1.5T`, `4096`.
 *
 * @returns an integer below 2^53, or null when the text is no size or not a whole number of bytes
 */
export function parseSize(text: string): number | null {
  const match = SIZE.exec(text.trim());
  if (match === null) return null;
  const [, whole = '', fraction = '', suffix = ''] = match;
  const unit = SUFFIXES.get(suffix.toUpperCase());
  if (unit === undefined || fraction.length > 9 || whole.length > 16) return null;
  const scale = 10 ** fraction.length;
  const part = (Number(`0${fraction}`) * unit) / scale;
  const bytes = Number(whole) * unit + part;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

const UNITS: readonly (readonly [string, number])[] = [
  ['PiB', PIB],
  ['TiB', TIB],
  ['GiB', GIB],
  ['MiB', MIB],
  ['KiB', KIB],
];

/** Bytes for people: the largest unit of which there is at least one, with one decimal where it is not whole. */
export function formatSize(bytes: number): string {
  for (const [name, unit] of UNITS) {
    if (bytes < unit) continue;
    const amount = bytes / unit;
    return `${Number.isInteger(amount) ? String(amount) : amount.toFixed(1)} ${name}`;
  }
  return `${bytes} bytes`;
}
