// What may have happened to a sector so far, for the search of check-sector.ts: configurations, sets of them, and the values
// that a loss may bring back. It owns what makes two of them equal; it must never know an operation.
//
// Equal pasts are one object with a number, so that a configuration is three numbers: searches compare millions of them.

/** The value of a sector and, where something may be lost, those before it since the last flush. */
export interface Past {
  /** Equal for equal pasts of one search. */
  readonly id: number;
  readonly value: number;
  /** Index of the record that wrote the value; -1: older than the records, or not of interest. */
  readonly by: number;
  readonly before: Past | null;
  /** How many values there are. */
  readonly length: number;
  /** Those that are this one and one value more: few, because few writes run at a time. */
  readonly after: Past[];
}

/** All pasts of one search. */
export class Pasts {
  /** Those before which nothing comes: by record where something may be lost, else by value. */
  private readonly first = new Map<number, Past>();
  private readonly isKept: boolean;
  private count = 0;

  /** @param isKept - something may be lost: what a value replaces is kept */
  constructor(isKept: boolean) {
    this.isKept = isKept;
  }

  /** `before` and then a value; null: nothing that a loss could bring back comes before it. */
  add(before: Past | null, value: number, by: number): Past {
    if (this.isKept && before !== null) {
      for (const known of before.after) if (known.by === by) return known;
      const past = this.make(before, value, by, before.length + 1);
      before.after.push(past);
      return past;
    }
    const key = this.isKept ? by : value;
    const known = this.first.get(key);
    if (known !== undefined) return known;
    const past = this.make(null, value, by, 1);
    this.first.set(key, past);
    return past;
  }

  private make(before: Past | null, value: number, by: number, length: number): Past {
    this.count += 1;
    return { id: this.count, value, by, before, length, after: [] };
  }

  /** Without what is older than the newest value that `isSafe`; all of it when none is. */
  cut(past: Past, isSafe: (by: number) => boolean): Past {
    const newer: Past[] = [];
    for (let at: Past | null = past; at !== null; at = at.before) {
      newer.push(at);
      if (!isSafe(at.by)) continue;
      return (
        newer.reduceRight<Past | null>((cut, { value, by }) => this.add(cut, value, by), null) ??
        past
      );
    }
    return past;
  }
}

/** One way in which things may have happened so far. */
export interface Config {
  past: Past;
  /** Bit i: running write i has not taken effect. */
  pending: number;
  /** Bit i: running read i has found its value. */
  found: number;
}

/** So few are compared one by one. */
const FEW = 8;

/** Different configurations, in the order in which they came. They must not change while the set is used. */
export class ConfigSet {
  readonly all: Config[] = [];
  /** Open addressing over places in `all`, plus one; empty while there are few. */
  private table: Int32Array | null = null;

  get size(): number {
    return this.all.length;
  }

  /** @returns false: an equal one was there */
  add(config: Config): boolean {
    if (this.table === null) {
      for (const other of this.all) if (isEqual(config, other)) return false;
      if (this.all.push(config) > FEW) this.index(FEW * 8);
      return true;
    }
    const free = this.find(this.table, config);
    if (free < 0) return false;
    this.table[free] = this.all.push(config);
    if (this.all.length * 2 > this.table.length) this.index(this.table.length * 4);
    return true;
  }

  /** Where an equal one would go in the table; -1: it is there. */
  private find(table: Int32Array, config: Config): number {
    const mask = table.length - 1;
    for (let place = hashOf(config) & mask; ; place = (place + 1) & mask) {
      const number = table[place] ?? 0;
      if (number === 0) return place;
      const other = this.all[number - 1];
      if (other !== undefined && isEqual(config, other)) return -1;
    }
  }

  private index(length: number): void {
    const table = new Int32Array(length);
    this.all.forEach((config, at) => {
      table[this.find(table, config)] = at + 1;
    });
    this.table = table;
  }
}

function isEqual(one: Config, other: Config): boolean {
  return one.past === other.past && one.pending === other.pending && one.found === other.found;
}

function hashOf({ past, pending, found }: Config): number {
  let hash = Math.imul(past.id, 0x9e3779b1) ^ Math.imul(pending, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15) ^ found, 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
