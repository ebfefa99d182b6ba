// Whether a change finds room: units and rows of the device, the descriptor cache, the log and its memory. It owns what is
// kept back for changes that may not be refused; it must never change anything but what the log is asked to confirm.

import type { Appender } from './appender.js';
import type { ChunkCache } from './chunk-cache.js';
import { bitCount } from './directory.js';
import { notesBlocks, ringTakes } from './notes.js';
import { touchedUnits } from './parts.js';
import type { Parts } from './parts.js';
import { ROOM } from './store.js';
import type { Room } from './store.js';

/** Segments that writes leave to records which may not be refused. */
const RESERVED_SEGMENTS = 3;

/**
 * Shares of the rows that each leaves to the next: changes of clients, zeroes that hide what lies below, merges of this device
 * as primary. What is forwarded may take the last row, for a member that refuses leaves the set. Rows exceed chunks by half,
 * so none of this takes room from chunks that are full.
 */
const ROWS_LEFT = { changes: 1 / 6, masks: 1 / 12, merges: 1 / 24 };

/** Reads need entries too; so writes leave some that can be had. */
function isCrowded(cache: ChunkCache): boolean {
  return cache.dirtyCount * 4 > cache.capacity * 3 || !cache.hasRoom();
}

export class Rooms {
  /** Blocks of the log that are kept back. */
  readonly reservedBlocks: number;
  private readonly parts: Parts;
  private readonly appender: Appender;
  /** Somebody waits for an entry in the cache. */
  private cacheWanted = false;

  constructor(parts: Parts, appender: Appender) {
    this.parts = parts;
    this.appender = appender;
    this.reservedBlocks = RESERVED_SEGMENTS * parts.layout.segmentBlocks;
  }

  /** Rows that may be taken by somebody who leaves this share of all. */
  private rowsLeft(share: number, forwarded: boolean): number {
    const { freeRows, capacity } = this.parts.directory;
    return forwarded ? freeRows : freeRows - Math.floor(capacity * share);
  }

  /** See `Store.room`. */
  judge(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    forwarded: boolean,
  ): Room {
    const space =
      blockCount > 0
        ? this.spaceFor(volumeKey, chunkIndex, firstBlock, blockCount, forwarded)
        : ROOM.ok;
    return space === ROOM.ok && !this.logTakes(blockCount, forwarded) ? ROOM.wait : space;
  }

  private spaceFor(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    forwarded: boolean,
  ): Room {
    const { directory, cache, units } = this.parts;
    const row = directory.find(volumeKey, chunkIndex);
    if (row < 0 && this.rowsLeft(ROWS_LEFT.changes, forwarded) <= 0) return ROOM.full;
    const entry = row < 0 ? -1 : directory.cacheEntryOf(row);
    if (entry < 0 && isCrowded(cache)) {
      this.cacheWanted = true;
      return ROOM.wait;
    }
    const needed = bitCount(this.missingUnits(row, entry, firstBlock, blockCount));
    if (needed <= units.freeCount) return ROOM.ok;
    if (needed > units.freeCount + units.blockedCount) return ROOM.full;
    this.confirmFreed();
    return ROOM.wait;
  }

  /**
   * Asks that units are soon known to be free by everybody. Where they are, and an operation on them alone is waited for, each
   * batch that says so would ask for the next, until the log is full (test/sim/scenarios/freed-and-in-use.json).
   */
  confirmFreed(): void {
    const { units, log } = this.parts;
    if (units.newestBlockedLsn > log.flusher.confirmedLsn)
      log.flusher.wantConfirmed(log.headPosition);
  }

  /** Units of a chunk that a write to these blocks would allocate. */
  private missingUnits(row: number, entry: number, firstBlock: number, blockCount: number): number {
    const { layout, directory } = this.parts;
    const touched = touchedUnits(layout, firstBlock, blockCount);
    if (row < 0) return touched >>> 0;
    if (entry >= 0) return this.appender.missing(entry, touched) >>> 0;
    return (touched & ~(directory.unitMasks[row] ?? 0)) >>> 0;
  }

  /** See `LayerStore.maskRoom`. */
  judgeMask(layerKey: number, chunkIndex: number, forwarded: boolean): Room {
    const { directory, cache } = this.parts;
    const row = directory.find(layerKey, chunkIndex);
    if (row < 0 && this.rowsLeft(ROWS_LEFT.masks, forwarded) <= 0) return ROOM.full;
    if ((row < 0 || directory.cacheEntryOf(row) < 0) && isCrowded(cache)) {
      this.cacheWanted = true;
      return ROOM.wait;
    }
    return this.logTakes(0, forwarded) ? ROOM.ok : ROOM.wait;
  }

  /** See `LayerStore.mergeRoom`; `parentRow` is there. */
  judgeMerge(row: number, parentRow: number, forwarded: boolean): Room {
    const { directory, cache } = this.parts;
    if (row < 0 && this.rowsLeft(ROWS_LEFT.merges, forwarded) <= 0) return ROOM.full;
    for (const needed of [row, parentRow]) {
      if (needed >= 0 && directory.cacheEntryOf(needed) >= 0) continue;
      if (!isCrowded(cache)) continue;
      this.cacheWanted = true;
      return ROOM.wait;
    }
    // The note may go to a batch of its own.
    return this.logTakes(this.parts.layout.headerBlocks, forwarded) ? ROOM.ok : ROOM.wait;
  }

  /** See `Store.takesSpace`. */
  takesSpace(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): boolean {
    const { directory } = this.parts;
    const row = directory.find(volumeKey, chunkIndex);
    const entry = row < 0 ? -1 : directory.cacheEntryOf(row);
    return this.missingUnits(row, entry, firstBlock, blockCount) !== 0;
  }

  private logTakes(blockCount: number, forwarded: boolean): boolean {
    const { layout, options, log, ring } = this.parts;
    if (log.groups.crowded) return false;
    // A record may begin a batch in the next segment and leave the rest of this one unused.
    const blocks = blockCount + layout.headerBlocks + layout.segmentBlocks;
    const records = log.lastLsn + 1 - ring.tailLsn;
    const reserved = this.reservedBlocks + notesBlocks(layout, records);
    if (log.freeBlocks() < blocks + reserved) return false;
    if (!ringTakes(records, ring.capacity, forwarded)) return false;
    return log.window.segments < options.windowSegments;
  }

  /** See `Store.roomForNotes`. */
  takesNotes(count: number): boolean {
    const { layout, log, ring } = this.parts;
    const records = log.lastLsn + 1 - ring.tailLsn + count;
    const blocks =
      notesBlocks(layout, count) +
      notesBlocks(layout, records) +
      layout.segmentBlocks +
      this.reservedBlocks;
    return (
      !log.groups.crowded && log.freeBlocks() >= blocks && ringTakes(records, ring.capacity, true)
    );
  }

  /** Returns true once when an entry that somebody waits for can be had. */
  cacheFreed(): boolean {
    if (!this.cacheWanted || isCrowded(this.parts.cache)) return false;
    this.cacheWanted = false;
    return true;
  }

  /** See `Store.freeBlocks`. */
  freeBlocks(): number {
    const rows = this.rowsLeft(ROWS_LEFT.changes, false);
    return Math.max(0, Math.min(this.parts.units.freeCount, rows));
  }

  /** See `Store.thinBlocks`. */
  thinBlocks(keptBytes: number): number {
    const { layout, units } = this.parts;
    const rows = this.rowsLeft(ROWS_LEFT.changes, false);
    const kept = Math.ceil(keptBytes / (layout.geometry.unitBlocks * layout.geometry.blockBytes));
    return Math.max(0, Math.min(units.freeCount - kept, rows));
  }
}
