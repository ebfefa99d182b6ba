// Frees the chunks of combs that the device carries no more, a few at a time. It owns how far it has come; that a comb is
// not carried is the owner's word, which is told anew after each start: nothing about it is written. It must stop at once
// when a comb is taken back.

import type { Appender } from './appender.js';
import type { Loader } from './loader.js';
import { ringTakes } from './notes.js';
import type { Parts } from './parts.js';

const CHUNKS_PER_PUMP = 32;
const LOADS_MAX = 8;
/** Part of the ring that is left to what the owner writes meanwhile. */
const RING_LEFT = 1 / 8;

export class CombReaper {
  private readonly parts: Parts;
  private readonly loader: Loader;
  private readonly appender: Appender;
  private readonly combs = new Set<number>();
  /** The comb whose rows are being freed, -1: none. */
  private comb = -1;
  private rows: number[] = [];
  /** Rows whose descriptors are needed first. */
  private awaited: number[] = [];

  constructor(parts: Parts, loader: Loader, appender: Appender) {
    this.parts = parts;
    this.loader = loader;
    this.appender = appender;
  }

  /** Combs that have chunks to be freed, or had a moment ago. */
  get size(): number {
    return this.combs.size;
  }

  /** Frees the chunks of a comb from now on. */
  drop(comb: number): void {
    this.combs.add(comb);
  }

  /** Frees no more of a comb. */
  keep(comb: number): void {
    this.combs.delete(comb);
    if (this.comb !== comb) return;
    this.comb = -1;
    this.rows = [];
    this.awaited = [];
  }

  /** Frees some chunks. Returns whether it should be called again soon. */
  pump(logBlocksMin: number): boolean {
    if (this.combs.size === 0) return false;
    this.awaited = this.awaited.filter((row) => !this.mayAppend(logBlocksMin) || !this.free(row));
    for (let count = 0; count < CHUNKS_PER_PUMP; count++) {
      if (!this.mayAppend(logBlocksMin)) return false;
      if (!this.step()) return false;
      if (this.combs.size === 0) return false;
    }
    return true;
  }

  /** Freeing can wait: a checkpoint may take longer than it takes to fill the log or the ring. */
  private mayAppend(logBlocksMin: number): boolean {
    const { log, ring } = this.parts;
    const records = log.lastLsn + 1 - ring.tailLsn;
    if (!ringTakes(records + Math.floor(ring.capacity * RING_LEFT), ring.capacity, true))
      return false;
    return log.freeBlocks() >= logBlocksMin && !log.groups.crowded;
  }

  /** Goes to the next chunk or ends a comb; false when it must wait. */
  private step(): boolean {
    const { directory, cache } = this.parts;
    if (this.comb < 0) {
      const [next] = this.combs;
      if (next === undefined) return false;
      this.comb = next;
      this.rows = directory.rowsOfComb(next).reverse();
    }
    const awaitedMax = Math.min(LOADS_MAX, Math.max(1, Math.floor(cache.capacity / 2)));
    if (this.rows.length > 0 && this.awaited.length >= awaitedMax) return false;
    const row = this.rows.pop();
    if (row !== undefined) {
      if (!this.free(row)) this.awaited.push(row);
      return true;
    }
    if (this.awaited.length > 0) return false;
    this.combs.delete(this.comb);
    this.comb = -1;
    return true;
  }

  /** Frees a chunk if its descriptor is here and nobody uses it; else sees to it that it comes. */
  private free(row: number): boolean {
    const { cache, directory } = this.parts;
    // The volume may have been removed meanwhile, and the row be another chunk's.
    if (directory.volumeKeys[row] === 0 || directory.combs[row] !== this.comb) return true;
    const entry = this.loader.entryOf(row);
    if (cache.loaded[entry] === 0 || (cache.pins[entry] ?? 0) > 0) return false;
    this.appender.freeChunk(row, entry);
    return true;
  }
}
