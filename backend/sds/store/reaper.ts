// Frees the chunks of deleted volumes, a few at a time. It owns how far it has come; it must never free a chunk of a volume
// that nobody named.

import type { Appender } from './appender.js';
import type { Loader } from './loader.js';
import type { Parts } from './parts.js';

const CHUNKS_PER_PUMP = 32;
const LOADS_MAX = 8;

export class Reaper {
  private readonly parts: Parts;
  private readonly loader: Loader;
  private readonly appender: Appender;
  private volumeKey = 0;
  private row = 0;

  constructor(parts: Parts, loader: Loader, appender: Appender) {
    this.parts = parts;
    this.loader = loader;
    this.appender = appender;
  }

  /** Frees some chunks. Returns whether it should be called again soon. */
  pump(logBlocksMin: number): boolean {
    const { dying, log } = this.parts;
    if (dying.size === 0) return false;
    for (let count = 0; count < CHUNKS_PER_PUMP; count++) {
      if (log.freeBlocks() < logBlocksMin || log.crowded) return false;
      if (!this.step()) return false;
      if (dying.size === 0) return false;
    }
    return true;
  }

  /** Frees one chunk or ends a volume; false when it must wait. */
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
      // Rows that were passed because somebody used them come in another round.
      const again = directory.nextRowOfVolume(this.volumeKey, 0) >= 0;
      if (!again) dying.delete(this.volumeKey);
      this.row = 0;
      return !again;
    }
    if (directory.cacheEntryOf(row) < 0 && this.loader.loading >= LOADS_MAX) return false;
    const entry = this.loader.entryOf(row);
    if (cache.loaded[entry] === 0 || (cache.pins[entry] ?? 0) > 0) {
      this.row = row + 1;
      return true;
    }
    this.row = row + 1;
    this.appender.freeChunk(row, entry);
    return true;
  }
}
