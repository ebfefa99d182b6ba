// Looks for an order that explains what clients saw of one sector. It owns the search; it must never look at the cluster.
//
// Configurations (value, which running writes took effect, which running reads found their value) are carried from one
// begin or end of an operation to the next; when an operation ends it must have taken effect, so all orders of running
// writes that end with it are tried. A read finds its value at any moment while it runs. Writes of unknown outcome run for
// ever. Requests over several blocks are not atomic across blocks.
//
// A loss of volatile content lets the value fall back, at most to the state of the last flush: each configuration keeps
// the values since then.

import { mark } from '../core/marks.js';
import type { OpRecord } from './history.js';

const MARKS = { gaveUp: mark('sim: the orders of a sector were too many to follow') };

/** What happens at a time: a fence ends the time in which a write of unknown outcome may take effect. */
type Step = 'begin' | 'end' | 'flush' | 'loss' | 'fence';

/** One way in which things may have happened so far. */
interface Config {
  value: number;
  /** Bit i: running write i has not taken effect. */
  pending: number;
  /** Bit i: running read i has found its value. */
  found: number;
  /** Values since the last flush, oldest first, with the record that wrote each (-1: older). */
  readonly log: readonly { readonly value: number; readonly by: number }[];
}

function keyOf(config: Config, withLog: boolean): string {
  const key = `${config.value}:${config.pending}:${config.found}`;
  return withLog ? key + config.log.map(({ value, by }) => `:${value}/${by}`).join('') : key;
}

const SLOTS = 30;
const CONFIGS_MAX = 20_000;
/** Steps of the searches over all sectors of a history, some seconds: few scenarios in 100,000 need more, and then minutes. */
const STEPS_MAX = 600_000;
/** Of one sector at most, and at least, however much the others took. */
const SECTOR_STEPS_MAX = 200_000;
const SECTOR_STEPS_MIN = 2_000;

/** What the searches over the sectors of one history may take together. */
export class StepBudget {
  left = STEPS_MAX;
}

export class SectorSearch {
  private readonly sector: number;
  private readonly records: readonly OpRecord[];
  private readonly flushes: readonly OpRecord[];
  private readonly losses: readonly number[];
  private readonly flushesLie: boolean;
  private configs: Config[] = [{ value: 0, pending: 0, found: 0, log: [{ value: 0, by: -1 }] }];
  private readonly slots: (OpRecord | null)[] = new Array<OpRecord | null>(SLOTS).fill(null);
  /** Tags that some read saw: an open write that nobody saw need not be considered. */
  private readonly seen = new Set<number>();
  /** Running writes that no read saw: one bit per slot. */
  private hidden = 0;
  private readonly visited = new Set<string>();
  /** More running operations, or more ways to follow, than the search can carry: nothing is claimed about the sector. */
  private gaveUp = false;
  private readonly budget: StepBudget;
  private readonly stepsMax: number;
  private stepsTaken = 0;

  constructor(
    sector: number,
    records: readonly OpRecord[],
    flushes: readonly OpRecord[],
    losses: readonly number[],
    flushesLie: boolean,
    budget: StepBudget,
  ) {
    this.sector = sector;
    this.records = records;
    this.flushes = flushes;
    this.losses = losses;
    this.flushesLie = flushesLie;
    this.budget = budget;
    this.stepsMax = Math.min(SECTOR_STEPS_MAX, Math.max(SECTOR_STEPS_MIN, budget.left));
  }

  run(): string | null {
    for (const record of this.records)
      if (record.kind === 'read') this.seen.add(this.valueOf(record));
    for (const step of this.steps()) {
      const fault = this.take(step.what, step.record);
      if (fault !== null) return fault;
    }
    return null;
  }

  private get isSpent(): boolean {
    return this.stepsTaken > this.stepsMax;
  }

  /** Ways were left out: nothing can be said any more. */
  private isTooMuch(next: ReadonlyMap<string, Config>): boolean {
    return this.isSpent || next.size > CONFIGS_MAX || this.visited.size > CONFIGS_MAX * 4;
  }

  private giveUp(): void {
    this.gaveUp = true;
    MARKS.gaveUp.hits++;
  }

  private valueOf(record: OpRecord): number {
    return record.kind === 'read'
      ? (record.seen[this.sector - record.firstSector] ?? -1)
      : record.tag;
  }

  private steps(): { what: Step; record: OpRecord | null }[] {
    const steps: {
      atUs: number;
      order: number;
      what: Step;
      record: OpRecord | null;
    }[] = [];
    for (const record of this.records) {
      const open = record.endUs === Infinity;
      if (open && record.kind === 'write' && !this.seen.has(record.tag)) continue;
      // At equal times begins come first: the order of such events is not known.
      steps.push({ atUs: record.startUs, order: 0, what: 'begin', record });
      if (!open) steps.push({ atUs: record.endUs, order: 2, what: 'end', record });
      else if (record.fencedUs !== Infinity)
        steps.push({ atUs: record.fencedUs, order: 2, what: 'fence', record });
    }
    if (this.losses.length > 0)
      for (const record of this.flushes)
        steps.push({ atUs: record.endUs, order: 3, what: 'flush', record });
    for (const atUs of this.losses) steps.push({ atUs, order: 1, what: 'loss', record: null });
    return steps.sort((one, other) => one.atUs - other.atUs || one.order - other.order);
  }

  private take(what: Step, record: OpRecord | null): string | null {
    if (this.gaveUp) return null;
    if (what === 'loss') {
      this.lose();
      return null;
    }
    if (record === null) return null;
    if (what === 'begin') return this.begin(record);
    if (what === 'flush') {
      this.flushed(record);
      return null;
    }
    if (what === 'fence') {
      this.fence(record);
      return null;
    }
    return this.end(record);
  }

  /** From now on the write has taken effect or never will. */
  private fence(record: OpRecord): void {
    const slot = this.slots.indexOf(record);
    if (slot < 0) return;
    const bit = 1 << slot;
    const next = new Map<string, Config>();
    this.visited.clear();
    for (const config of this.configs) {
      this.expand(config, record, bit, next);
      this.note({ ...config, pending: config.pending & ~bit }, next);
    }
    this.slots[slot] = null;
    this.hidden &= ~bit;
    if (this.isTooMuch(next)) this.giveUp();
    this.configs = [...next.values()];
  }

  private begin(record: OpRecord): string | null {
    const slot = this.slots.indexOf(null);
    if (slot < 0) {
      this.giveUp();
      return null;
    }
    this.slots[slot] = record;
    const bit = 1 << slot;
    if (record.kind !== 'read' && this.isHidden(record)) this.hidden |= bit;
    for (const config of this.configs) {
      if (record.kind === 'read') {
        if (config.value === this.valueOf(record)) config.found |= bit;
      } else config.pending |= bit;
    }
    return null;
  }

  private end(record: OpRecord): string | null {
    const slot = this.slots.indexOf(record);
    if (slot < 0) return null;
    const bit = 1 << slot;
    const next = new Map<string, Config>();
    this.visited.clear();
    for (const config of this.configs) this.expand(config, record, bit, next);
    this.slots[slot] = null;
    this.hidden &= ~bit;
    if (this.isTooMuch(next)) {
      this.giveUp();
      return null;
    }
    if (next.size === 0) return this.explain(record);
    this.configs = [...next.values()];
    for (const config of this.configs) {
      config.pending &= ~bit;
      config.found &= ~bit;
      if (record.fua) this.cutLog(config, (write) => write === record);
    }
    return null;
  }

  private explain(record: OpRecord): string {
    const possible = [...new Set(this.configs.map(({ value }) => value))].join(', ');
    const what =
      record.kind === 'read'
        ? `saw ${this.valueOf(record)}`
        : `of ${record.tag} cannot have taken effect`;
    return `${record.kind} ${record.index} of client ${record.client} (${record.startUs}-${record.endUs} us) ${what}; possible: ${possible}`;
  }

  /** All configurations in which `record` has taken effect, by every order of running writes. */
  private expand(config: Config, record: OpRecord, bit: number, into: Map<string, Config>): void {
    const isRead = record.kind === 'read';
    const satisfied = isRead ? (config.found & bit) !== 0 : (config.pending & bit) === 0;
    if (satisfied) {
      this.note(config, into);
      return;
    }
    if (into.size > CONFIGS_MAX || this.isSpent) return;
    for (let slot = 0; slot < SLOTS; slot++) {
      if ((config.pending & (1 << slot)) === 0) continue;
      const write = this.slots[slot] ?? null;
      if (write === null || (this.isHidden(write) && write !== record)) continue;
      const next = this.applied(config, write, slot);
      const key = keyOf(next, this.losses.length > 0);
      if (this.visited.has(key) || this.visited.size > CONFIGS_MAX * 4) continue;
      this.visited.add(key);
      this.expand(next, record, bit, into);
    }
  }

  /**
   * A write that no read saw: where nothing can be lost, it explains nothing, so it takes effect right before another
   * write, or at its end.
   */
  private isHidden(write: OpRecord): boolean {
    return this.losses.length === 0 && !this.seen.has(write.tag);
  }

  private applied(config: Config, write: OpRecord, slot: number): Config {
    // Longer logs take longer to copy and to compare.
    const cost = 1 + (config.log.length >> 3);
    this.stepsTaken += cost;
    this.budget.left -= cost;
    const value = write.tag;
    let { found } = config;
    for (let other = 0; other < SLOTS; other++) {
      const record = this.slots[other] ?? null;
      if (record?.kind === 'read' && this.valueOf(record) === value) found |= 1 << other;
    }
    const log = this.losses.length === 0 ? config.log : [...config.log, { value, by: write.index }];
    const pending = config.pending & ~(1 << slot) & ~this.hidden;
    return { value, pending, found, log };
  }

  private note(config: Config, into: Map<string, Config>): void {
    const key = keyOf(config, this.losses.length > 0);
    if (!into.has(key)) into.set(key, { ...config });
  }

  /** The newest of the writes that are safe, and with it whatever it replaced, cannot be lost any more. */
  private cutLog(config: Config, isSafe: (write: OpRecord) => boolean): void {
    if (this.flushesLie) return;
    let keep = 0;
    config.log.forEach(({ by }, index) => {
      const record = this.records.find((candidate) => candidate.index === by);
      if (record !== undefined && isSafe(record)) keep = index;
    });
    (config as { log: Config['log'] }).log = config.log.slice(keep);
  }

  /** A flush makes safe what the same client was told about before it asked (C11). */
  private flushed({ client, startUs }: OpRecord): void {
    for (const config of this.configs)
      this.cutLog(config, (write) => write.client === client && write.endUs <= startUs);
  }

  /** All ways in which writes that run now may have taken effect so far, in any order. */
  private unfold(): Iterable<Config> {
    const ways = new Map<string, Config>();
    const toDo = [...this.configs];
    for (let config = toDo.pop(); config !== undefined; config = toDo.pop()) {
      const key = keyOf(config, true);
      if (ways.has(key)) continue;
      ways.set(key, config);
      if (ways.size > CONFIGS_MAX || this.isSpent) {
        this.giveUp();
        return [];
      }
      for (let slot = 0; slot < SLOTS; slot++) {
        const write = this.slots[slot] ?? null;
        if (write === null || (config.pending & (1 << slot)) === 0) continue;
        toDo.push(this.applied(config, write, slot));
      }
    }
    return ways.values();
  }

  /** Every configuration may fall back to any value since the last flush. */
  private lose(): void {
    const next = new Map<string, Config>();
    for (const config of this.unfold()) {
      for (let index = 0; index < config.log.length; index++) {
        const log = config.log.slice(0, index + 1);
        const value = log[index]?.value ?? 0;
        let { found } = config;
        this.slots.forEach((record, slot) => {
          if (record?.kind === 'read' && this.valueOf(record) === value) found |= 1 << slot;
        });
        // A running write that had taken effect may have been lost: its answer is on its way, unless it came from media,
        // or it takes effect again.
        const lost = config.log.slice(index + 1);
        let surely = config.pending;
        let { pending } = config;
        this.slots.forEach((record, slot) => {
          if (record === null || !lost.some(({ by }) => by === record.index)) return;
          pending |= 1 << slot;
          if (record.fua && !this.flushesLie) surely |= 1 << slot;
        });
        this.note({ ...config, value, log, pending: surely, found }, next);
        this.note({ ...config, value, log, pending, found }, next);
      }
    }
    this.configs = [...next.values()];
  }
}
