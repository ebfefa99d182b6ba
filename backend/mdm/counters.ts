// Totals that components report, and the rates that follow from them. It must never decide anything.

import { inRange } from '../core/key-range.js';
import type { KeyRange } from '../core/key-range.js';
import type { Micros } from '../core/ports.js';
import type { Counter } from '../protocol/generated/types.js';

const WINDOW_US = 5_000_000;
const SPACING_US = 900_000;

type Totals = Omit<Counter, 'key'>;
const FIELDS = [
  'readOps',
  'readBytes',
  'writeOps',
  'writeBytes',
  'trimOps',
  'trimBytes',
  'readMicros',
  'writeMicros',
  'throttledOps',
  'throttledMicros',
  'cachedReadOps',
  'cachedReadBytes',
] as const satisfies readonly (keyof Totals)[];

interface Sample {
  readonly atUs: Micros;
  readonly counters: readonly Counter[];
}

function combine(key: number, field: (name: keyof Totals) => number): Counter {
  const totals = Object.fromEntries(FIELDS.map((name) => [name, field(name)])) as unknown as Totals;
  return { key, ...totals };
}

/** Adds counters of the same object, seen by several components. */
export function addCounters(key: number, counters: readonly Counter[]): Counter {
  return combine(key, (name) => counters.reduce((sum, counter) => sum + counter[name], 0));
}

/** The latest totals of one component and those of the last five seconds before. */
export class CounterHistory {
  private samples: Sample[] = [];
  private known = new Map<number, Counter>();

  /** Latest totals, by object. */
  get latest(): readonly Counter[] {
    return this.samples.at(-1)?.counters ?? [];
  }

  /** A new life of the component counts from zero. */
  clear(): void {
    this.samples = [];
    this.known.clear();
  }

  /** @param listed - objects of this range that have no counter here are gone */
  add(nowUs: Micros, part: readonly Counter[], listed: KeyRange): void {
    for (const key of this.known.keys()) if (inRange(key, listed)) this.known.delete(key);
    for (const counter of part) this.known.set(counter.key, counter);
    const counters = [...this.known.values()];
    const last = this.samples.at(-1);
    const before = this.samples.at(-2);
    // The newest sample is replaced until it is old enough to be kept.
    if (last !== undefined && before !== undefined && last.atUs - before.atUs < SPACING_US)
      this.samples.pop();
    this.samples.push({ atUs: nowUs, counters });
    const tooOldUs = nowUs - WINDOW_US;
    while (this.samples.length > 2 && (this.samples[1]?.atUs ?? nowUs) <= tooOldUs)
      this.samples.shift();
  }

  /** Per second over the last five seconds; zero when nothing was reported for that long. */
  rates(nowUs: Micros): readonly Counter[] {
    const last = this.samples.at(-1);
    const first = this.samples[0];
    if (last === undefined || first === undefined || last.atUs === first.atUs) return [];
    const isStale = nowUs - last.atUs > WINDOW_US;
    const seconds = (last.atUs - first.atUs) / 1_000_000;
    const then = new Map(first.counters.map((counter) => [counter.key, counter]));
    return last.counters.map((counter) => {
      const start = then.get(counter.key);
      return combine(counter.key, (name) =>
        isStale ? 0 : Math.max(0, Math.round((counter[name] - (start?.[name] ?? 0)) / seconds)),
      );
    });
  }
}
