// Numbers as people read them.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** Such as 1.5 GiB. */
export function bytes(value: number): string {
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024;
    unit++;
  }
  const digits = unit === 0 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${UNITS[unit] ?? ''}`;
}

/** Such as 12,345. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Such as 850 µs or 3.2 ms; a dash for nothing. */
export function latency(micros: number): string {
  if (micros === 0) return '–';
  return micros < 1000 ? `${Math.round(micros)} µs` : `${(micros / 1000).toFixed(1)} ms`;
}

/** Such as 42 %. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${((100 * part) / whole).toFixed(part === whole ? 0 : 1)} %`;
}

/** Such as 9 d; a dash for null. */
export function duration(seconds: number | null): string {
  if (seconds === null) return '–';
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** How long ago, such as 3 h. */
export function since(thenMs: number, nowMs: number): string {
  return duration(thenMs === 0 ? null : Math.max(0, Math.round((nowMs - thenMs) / 1000)));
}
