// Looks for an order that explains what clients saw of one sector. It owns the search; it must never look at the cluster.
//
// Configurations (value, which running writes took effect, which running reads found their value) are carried from one
// begin or end of an operation to the next; when an operation ends it must have taken effect, so all orders of running
// writes that end with it are tried. A read finds its value at any moment while it runs. Writes of unknown outcome run for
// ever. Requests over several blocks are not atomic across blocks.
//
// A loss of volatile content lets the value fall back, at most to the state of the last flush: each configuration keeps
// the values since then.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { OpRecord } from './history.js';
import { ConfigSet, Pasts } from './sector-config.js';
import type { Config, Past } from './sector-config.js';

const MARKS = { gaveUp: mark('sim: the orders of a sector were too many to follow') };

/** What happens at a time: a fence ends the time in which a write of unknown outcome may take effect. */
type Step = 'begin' | 'end' | 'flush' | 'loss' | 'fence';

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
  /** By index; empty where nothing can be lost. */
  private readonly byIndex: ReadonlyMap<number, OpRecord>;
  private readonly flushes: readonly OpRecord[];
  private readonly losses: readonly number[];
  private readonly flushesLie: boolean;
  private readonly pasts: Pasts;
  private configs: readonly Config[];
  /** What runs; null: a place that is free again. */
  private readonly slots: (OpRecord | null)[] = [];
  /** Tags that some read saw: an open write that nobody saw need not be considered. */
  private readonly seen = new Set<number>();
  /**
   * Running writes that no read saw: one bit per slot. Where nothing can be lost, such a write explains nothing, so it takes
   * effect right before another write, or at its end.
   */
  private hidden = 0;
  /** Running reads, by what they saw: one bit per slot. */
  private readonly readers = new Map<number, number>();
  private visited = new ConfigSet();
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
    this.byIndex = new Map(
      losses.length === 0 ? [] : records.map((record) => [record.index, record]),
    );
    this.flushes = flushes;
    this.losses = losses;
    this.flushesLie = flushesLie;
    this.budget = budget;
    this.pasts = new Pasts(losses.length > 0);
    this.configs = [{ past: this.pasts.add(null, 0, -1), pending: 0, found: 0 }];
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
  private isTooMuch(next: ConfigSet): boolean {
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
    const next = new ConfigSet();
    this.visited = new ConfigSet();
    for (const config of this.configs) {
      this.expand(config, record, bit, next);
      const { past, pending, found } = config;
      next.add({ past, pending: pending & ~bit, found });
    }
    this.leave(record, slot);
    if (this.isTooMuch(next)) this.giveUp();
    this.configs = next.all;
  }

  private begin(record: OpRecord): string | null {
    const free = this.slots.indexOf(null);
    const slot = free < 0 ? this.slots.length : free;
    if (slot === SLOTS) {
      this.giveUp();
      return null;
    }
    this.slots[slot] = record;
    const bit = 1 << slot;
    if (record.kind === 'read') {
      const value = this.valueOf(record);
      this.readers.set(value, this.readersOf(value) | bit);
      for (const config of this.configs) if (config.past.value === value) config.found |= bit;
      return null;
    }
    if (this.losses.length === 0 && !this.seen.has(record.tag)) this.hidden |= bit;
    for (const config of this.configs) config.pending |= bit;
    return null;
  }

  private readersOf(value: number): number {
    return this.readers.get(value) ?? 0;
  }

  /** The record runs no more. */
  private leave(record: OpRecord, slot: number): void {
    const bit = 1 << slot;
    this.slots[slot] = null;
    this.hidden &= ~bit;
    if (record.kind !== 'read') return;
    const value = this.valueOf(record);
    this.readers.set(value, this.readersOf(value) & ~bit);
  }

  private end(record: OpRecord): string | null {
    const slot = this.slots.indexOf(record);
    if (slot < 0) return null;
    const bit = 1 << slot;
    const [first] = this.configs;
    // Mostly there is one way, and it has taken effect.
    const isSettled =
      this.configs.length === 1 && first !== undefined && hasTakenEffect(first, record, bit);
    if (!isSettled) {
      const next = new ConfigSet();
      this.visited = new ConfigSet();
      for (const config of this.configs) this.expand(config, record, bit, next);
      if (this.isTooMuch(next)) {
        this.giveUp();
        return null;
      }
      if (next.size === 0) return this.explain(record);
      this.configs = next.all;
    }
    this.leave(record, slot);
    for (const config of this.configs) {
      config.pending &= ~bit;
      config.found &= ~bit;
    }
    if (record.fua) this.cutPasts((write) => write === record);
    return null;
  }

  private explain(record: OpRecord): string {
    const possible = [...new Set(this.configs.map(({ past }) => past.value))].join(', ');
    const what =
      record.kind === 'read'
        ? `saw ${this.valueOf(record)}`
        : `of ${record.tag} cannot have taken effect`;
    return `${record.kind} ${record.index} of client ${record.client} (${record.startUs}-${record.endUs} us) ${what}; possible: ${possible}`;
  }

  /** All configurations in which `record` has taken effect, by every order of running writes. */
  private expand(config: Config, record: OpRecord, bit: number, into: ConfigSet): void {
    if (hasTakenEffect(config, record, bit)) {
      // Sets do not share what changes later.
      const { past, pending, found } = config;
      into.add({ past, pending, found });
      return;
    }
    if (into.size > CONFIGS_MAX || this.isSpent) return;
    let left = config.pending & (~this.hidden | bit);
    for (; left !== 0; left &= left - 1) {
      const next = this.applied(config, lowestBit(left));
      if (this.visited.size > CONFIGS_MAX * 4 || !this.visited.add(next)) continue;
      this.expand(next, record, bit, into);
    }
  }

  /** The running write in `slot` takes effect. */
  private applied({ past, pending, found }: Config, slot: number): Config {
    // Longer pasts allow for more.
    const cost = 1 + (past.length >> 3);
    this.stepsTaken += cost;
    this.budget.left -= cost;
    const write = this.slots[slot] ?? null;
    assert(write !== null, 'a write that has not taken effect runs');
    return {
      past: this.pasts.add(past, write.tag, write.index),
      pending: pending & ~(1 << slot) & ~this.hidden,
      found: found | this.readersOf(write.tag),
    };
  }

  /** The newest of the writes that are safe, and with it whatever it replaced, cannot be lost any more. */
  private cutPasts(isSafe: (write: OpRecord) => boolean): void {
    if (this.flushesLie || this.losses.length === 0) return;
    const cut = new Map<Past, Past>();
    for (const config of this.configs) {
      const before = config.past;
      let after = cut.get(before);
      if (after === undefined) {
        after = this.pasts.cut(before, (by) => {
          const record = this.byIndex.get(by);
          return record !== undefined && isSafe(record);
        });
        cut.set(before, after);
      }
      config.past = after;
    }
  }

  /** A flush makes safe what the same client was told about before it asked (C11). */
  private flushed({ client, startUs }: OpRecord): void {
    this.cutPasts((write) => write.client === client && write.endUs <= startUs);
  }

  /** All ways in which writes that run now may have taken effect so far, in any order. */
  private unfold(): readonly Config[] {
    const ways = new ConfigSet();
    const toDo = [...this.configs];
    for (let config = toDo.pop(); config !== undefined; config = toDo.pop()) {
      if (!ways.add(config)) continue;
      if (ways.size > CONFIGS_MAX || this.isSpent) {
        this.giveUp();
        return [];
      }
      for (let left = config.pending; left !== 0; left &= left - 1)
        toDo.push(this.applied(config, lowestBit(left)));
    }
    return ways.all;
  }

  /** Every configuration may fall back to any value since the last flush. */
  private lose(): void {
    const next = new ConfigSet();
    const bits = new Map<number, number>();
    let safe = 0;
    this.slots.forEach((record, slot) => {
      if (record === null) return;
      bits.set(record.index, 1 << slot);
      if (record.fua && !this.flushesLie) safe |= 1 << slot;
    });
    for (const config of this.unfold()) this.fallBack(config, bits, safe, next);
    this.configs = next.all;
  }

  /**
   * @param bits - of the records that run, by index
   * @param safe - those that are answered from media
   */
  private fallBack(
    { past, pending, found }: Config,
    bits: ReadonlyMap<number, number>,
    safe: number,
    into: ConfigSet,
  ): void {
    const ways: { past: Past; lost: number }[] = [];
    let lost = 0;
    for (let at: Past | null = past; at !== null; at = at.before) {
      ways.push({ past: at, lost });
      lost |= bits.get(at.by) ?? 0;
    }
    for (const way of ways.reverse()) {
      const foundNow = found | this.readersOf(way.past.value);
      // A running write that had taken effect may have been lost: its answer is on its way, unless it came from media,
      // or it takes effect again.
      into.add({ past: way.past, pending: pending | (way.lost & safe), found: foundNow });
      into.add({ past: way.past, pending: pending | way.lost, found: foundNow });
    }
  }
}

function hasTakenEffect({ pending, found }: Config, { kind }: OpRecord, bit: number): boolean {
  return kind === 'read' ? (found & bit) !== 0 : (pending & bit) === 0;
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}
