// The bitmap of allocation units. It owns which unit is free; it must never know what a unit holds.
//
// A freed unit is reused only after a durable batch of the log said that its freeing record was durable, and when no
// operation is in flight on it: until then it is blocked. Recovery relies on it: the content of a unit that an
// unconfirmed record names is still there.
//
// Places that were freed lately are taken first: they are in the page cache and have their blocks in a file that holds
// the device. Overwriting would else wander through the whole device, and every write would pay for new pages.

import { assert } from '../../core/assert.js';
import { PAGE_HEAD_BYTES } from '../../protocol/generated/disk.js';

import type { Layout } from './layout.js';

const RUN_UNKNOWN = -1;
/** A full device has few whole runs: each allocation looks at so many places at most. */
const RUNS_TRIED_MAX = 1024;
/** So many freed places are remembered; what is beyond is found again by searching. */
const RECYCLED_MAX = 4096;

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** Places that were freed, oldest first. Whoever takes one checks that it still is free. */
class Recycled {
  private readonly places = new Uint32Array(RECYCLED_MAX);
  private head = 0;
  private tail = 0;

  add(place: number): void {
    if (this.tail - this.head < RECYCLED_MAX) this.places[this.tail++ % RECYCLED_MAX] = place;
  }

  /** The oldest, or -1. */
  take(): number {
    return this.head === this.tail ? -1 : (this.places[this.head++ % RECYCLED_MAX] ?? -1);
  }
}

export class UnitMap {
  readonly dirtyPages: Uint8Array;
  /** Units that may be allocated now. */
  freeCount: number;
  private readonly units: number;
  private readonly perChunk: number;
  private readonly unitsPerPage: number;
  private readonly used: Uint32Array;
  private readonly blocked: Uint32Array;
  private cursor = 0;
  private runCursor = 0;
  private readonly freedRuns = new Recycled();
  private readonly freedUnits = new Recycled();
  private blockedUnits: number[] = [];
  private blockedLsns: number[] = [];
  private blockedHead = 0;

  constructor(layout: Layout) {
    this.units = layout.units;
    this.perChunk = layout.unitsPerChunk;
    this.unitsPerPage = layout.unitsPerPage;
    const words = Math.ceil(layout.units / 32);
    this.used = new Uint32Array(words);
    this.blocked = new Uint32Array(words);
    this.dirtyPages = new Uint8Array(layout.bitmapPages);
    this.freeCount = layout.units;
  }

  /** Freed units that cannot be allocated yet. */
  get blockedCount(): number {
    return this.blockedUnits.length - this.blockedHead;
  }

  /** LSN of the oldest freeing that keeps units blocked, or 0. */
  get oldestBlockedLsn(): number {
    return this.blockedLsns[this.blockedHead] ?? 0;
  }

  /** LSN of the newest freeing that keeps units blocked, or 0. */
  get newestBlockedLsn(): number {
    return this.blockedLsns.at(-1) ?? 0;
  }

  get usedCount(): number {
    return this.units - this.freeCount - this.blockedCount;
  }

  isUsed(unit: number): boolean {
    return ((this.used[unit >>> 5] ?? 0) & (1 << (unit & 31))) !== 0;
  }

  private isFree(unit: number): boolean {
    const word = (this.used[unit >>> 5] ?? 0) | (this.blocked[unit >>> 5] ?? 0);
    return (word & (1 << (unit & 31))) === 0;
  }

  private take(unit: number): number {
    const word = unit >>> 5;
    this.used[word] = (this.used[word] ?? 0) | (1 << (unit & 31));
    this.freeCount--;
    this.touch(unit);
    return unit;
  }

  private touch(unit: number): void {
    this.dirtyPages[Math.floor(unit / this.unitsPerPage)] = 1;
  }

  /**
   * Allocates a unit; the caller made sure that one is free.
   *
   * @param hint - preferred unit (next to the chunk's other units), or -1
   * @param indexInChunk - place of the unit in its chunk: where no hint helps, a chunk starts in a whole free run
   * @param alone - a single unit of a chunk that has others: no whole run is broken for it as long as there is another place
   */
  allocate(hint: number, indexInChunk: number, alone: boolean): number {
    assert(this.freeCount > 0, 'a unit is free');
    if (hint >= 0 && hint < this.units && this.isFree(hint)) return this.take(hint);
    if (alone) {
      const unit = this.freedUnit();
      return this.take(unit >= 0 ? unit : this.findAny());
    }
    const run = this.findRun();
    if (run !== RUN_UNKNOWN) return this.take(run + indexInChunk);
    return this.take(this.findAny());
  }

  /** A unit that was freed lately, but not one of a whole free run, or -1. */
  private freedUnit(): number {
    for (let unit = this.freedUnits.take(); unit >= 0; unit = this.freedUnits.take())
      if (this.isFree(unit) && !this.runIsFree(unit - (unit % this.perChunk))) return unit;
    return -1;
  }

  private findRun(): number {
    for (let first = this.freedRuns.take(); first >= 0; first = this.freedRuns.take())
      if (this.runIsFree(first)) return first;
    const runs = Math.floor(this.units / this.perChunk);
    const steps = Math.min(runs, RUNS_TRIED_MAX);
    for (let step = 0; step < steps; step++) {
      const run = this.runCursor;
      if (this.runIsFree(run * this.perChunk)) return run * this.perChunk;
      this.runCursor = (run + 1) % runs;
    }
    return RUN_UNKNOWN;
  }

  private runIsFree(first: number): boolean {
    if (first + this.perChunk > this.units) return false;
    for (let unit = first; unit < first + this.perChunk; unit++)
      if (!this.isFree(unit)) return false;
    return true;
  }

  private findAny(): number {
    const words = this.used.length;
    for (let step = 0; step <= words; step++) {
      const word = (this.cursor + step) % words;
      const free = ~((this.used[word] ?? 0) | (this.blocked[word] ?? 0));
      if (free === 0) continue;
      const unit = word * 32 + lowestBit(free);
      if (unit >= this.units) continue;
      this.cursor = word;
      return unit;
    }
    throw new Error('the count of free units is wrong');
  }

  /** Marks a unit as used, as a log record says. */
  replayTake(unit: number): void {
    if (!this.isUsed(unit)) this.take(unit);
  }

  /** The unit can be allocated again. */
  private recycle(unit: number): void {
    this.freeCount++;
    this.freedUnits.add(unit);
    const first = unit - (unit % this.perChunk);
    if (this.runIsFree(first)) this.freedRuns.add(first);
  }

  /**
   * Frees a unit by the record `lsn`.
   *
   * @param confirmed - the record is known to be durable by everybody: the unit may be reused at once
   */
  release(unit: number, lsn: number, confirmed: boolean): void {
    const word = unit >>> 5;
    const bit = 1 << (unit & 31);
    if (((this.used[word] ?? 0) & bit) === 0) return;
    this.used[word] = (this.used[word] ?? 0) & ~bit;
    this.touch(unit);
    if (confirmed) {
      this.recycle(unit);
      return;
    }
    this.blocked[word] = (this.blocked[word] ?? 0) | bit;
    this.blockedUnits.push(unit);
    this.blockedLsns.push(lsn);
  }

  /**
   * Makes units usable whose freeing is confirmed up to `confirmedLsn`.
   *
   * @param busy - whether an operation is in flight on a unit
   * @returns whether any unit became free
   */
  confirm(confirmedLsn: number, busy: (unit: number) => boolean): boolean {
    let any = false;
    while (this.blockedHead < this.blockedUnits.length) {
      const unit = this.blockedUnits[this.blockedHead] ?? 0;
      if ((this.blockedLsns[this.blockedHead] ?? 0) > confirmedLsn || busy(unit)) break;
      const word = unit >>> 5;
      this.blocked[word] = (this.blocked[word] ?? 0) & ~(1 << (unit & 31));
      this.blockedHead++;
      this.recycle(unit);
      any = true;
    }
    if (this.blockedHead === this.blockedUnits.length && this.blockedHead > 0) {
      this.blockedUnits = [];
      this.blockedLsns = [];
      this.blockedHead = 0;
    } else if (this.blockedHead > 4096) {
      this.blockedUnits = this.blockedUnits.slice(this.blockedHead);
      this.blockedLsns = this.blockedLsns.slice(this.blockedHead);
      this.blockedHead = 0;
    }
    return any;
  }

  /** Writes the content of a page behind its head. */
  encodePage(page: number, bytes: Uint8Array, view: DataView, at: number, pageBytes: number): void {
    bytes.fill(0, at, at + pageBytes);
    const first = (page * this.unitsPerPage) / 32;
    const last = Math.min(this.used.length, first + this.unitsPerPage / 32);
    for (let word = first; word < last; word++) {
      view.setUint32(at + PAGE_HEAD_BYTES + (word - first) * 4, this.used[word] ?? 0, true);
    }
  }

  /** Reads the content of a page, at start. */
  decodePage(page: number, view: DataView, at: number): void {
    const first = (page * this.unitsPerPage) / 32;
    const last = Math.min(this.used.length, first + this.unitsPerPage / 32);
    for (let word = first; word < last; word++) {
      let bits = view.getUint32(at + PAGE_HEAD_BYTES + (word - first) * 4, true);
      if (bits === 0) continue;
      this.used[word] = bits;
      for (; bits !== 0; bits &= bits - 1) this.freeCount--;
    }
  }
}
