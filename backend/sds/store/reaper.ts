// Frees the chunks of deleted volumes, a few at a time. It owns how far it has come; it must never free a chunk of a volume
// that nobody named.

import type { Appender } from './appender.js';
import type { Loader } from './loader.js';
import { ringTakes } from './notes.js';
import type { Parts } from './parts.js';

const CHUNKS_PER_PUMP = 32;
const LOADS_MAX = 8;
/** Part of the ring that is left to what the owner writes meanwhile. */
const RING_LEFT = 1 / 8;

export class Reaper {
  private readonly parts: Parts;
  private readonly loader: Loader;
  private readonly appender: Appender;
  private volumeKey = 0;
  /** Where the search for further chunks of the volume goes on. */
  private row = 0;
  /** Rows whose descriptors are needed first: few, or a small cache would lose each before its turn comes. */
  private awaited: number[] = [];

  constructor(parts: Parts, loader: Loader, appender: Appender) {
    this.parts = parts;
    this.loader = loader;
    this.appender = appender;
  }

  /** Frees some chunks. Returns whether it should be called again soon. */
  pump(logBlocksMin: number): boolean {
    const { dying } = this.parts;
    if (dying.size === 0) return false;
    this.awaited = this.awaited.filter((row) => !this.mayAppend(logBlocksMin) || !this.free(row));
    for (let count = 0; count < CHUNKS_PER_PUMP; count++) {
      if (!this.mayAppend(logBlocksMin)) return false;
      if (!this.step()) return false;
      if (dying.size === 0) return false;
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

  /** Goes to the next chunk or ends a volume; false when it must wait. */
  private step(): boolean {
    const { dying, directory, cache } = this.parts;
    if (!dying.has(this.volumeKey)) {
      const [next] = dying;
      if (next === undefined) return false;
      this.volumeKey = next;
      this.row = 0;
    }
    const row = directory.nextRowOfVolume(this.volumeKey, this.row);
    if (row < 0) {
      if (this.awaited.length > 0) return false;
      this.row = 0;
      if (directory.nextRowOfVolume(this.volumeKey, 0) < 0) dying.delete(this.volumeKey);
      return true;
    }
    const awaitedMax = Math.min(LOADS_MAX, Math.max(1, Math.floor(cache.capacity / 2)));
    if (this.awaited.length >= awaitedMax) return false;
    this.row = row + 1;
    if (!this.free(row)) this.awaited.push(row);
    return true;
  }

  /** Frees a chunk if its descriptor is here and nobody uses it; else sees to it that it comes. */
  private free(row: number): boolean {
    const { cache } = this.parts;
    const entry = this.loader.entryOf(row);
    if (cache.loaded[entry] === 0 || (cache.pins[entry] ?? 0) > 0) return false;
    this.appender.freeChunk(row, entry);
    return true;
  }
}
