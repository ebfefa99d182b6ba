// Copies home what only the log holds when a device is opened, segment by segment. It owns how far that has come; it begins
// after the superblock says that all of the log is durable (R1).

import { STATE, UNIT_NONE, UNIT_UNKNOWN } from './chunk-cache.js';
import { IO } from './io.js';
import { segmentOf } from './layout.js';
import { homeOffset } from './parts.js';
import type { Parts } from './parts.js';

const COPIES_MAX = 64;

export class ReplayHome {
  private readonly parts: Parts;
  /** Holds a segment. */
  private readonly bytes: Uint8Array;
  private pending = 0;
  private segment: number;
  private copyBlock = 0;
  private segmentLoaded = false;
  private readingSegment = -1;

  constructor(parts: Parts, bytes: Uint8Array) {
    this.parts = parts;
    this.bytes = bytes;
    this.segment = segmentOf(parts.layout, parts.log.tailPosition);
  }

  /** A segment was read. */
  readDone(): void {
    this.segmentLoaded = true;
  }

  copyDone(): void {
    this.pending--;
  }

  /** Goes on as far as possible. Returns whether everything is home. */
  pump(): boolean {
    const { log, layout, queue } = this.parts;
    for (;;) {
      if (this.pending >= COPIES_MAX) return false;
      if (this.segment > segmentOf(layout, log.headPosition)) return this.pending === 0;
      const first = (this.segment % layout.segments) * layout.segmentBlocks;
      const block = this.nextLive(first);
      if (block < 0) {
        // The memory is reused: copies from it must be done.
        if (this.pending > 0) return false;
        this.segment++;
        this.copyBlock = 0;
        this.segmentLoaded = false;
        continue;
      }
      if (!this.segmentLoaded) {
        const lengthBytes = layout.segmentBlocks * layout.geometry.blockBytes;
        const offset = (layout.logAt + first) * layout.geometry.blockBytes;
        if (this.readingSegment !== this.segment)
          queue.read(IO.scan, 0, 0, offset, this.bytes, 0, lengthBytes);
        this.readingSegment = this.segment;
        return false;
      }
      this.copyHome(first, block);
    }
  }

  private nextLive(first: number): number {
    const { log, cache, layout } = this.parts;
    for (; this.copyBlock < layout.segmentBlocks; this.copyBlock++) {
      const owner = log.owners[first + this.copyBlock] ?? 0;
      if (owner !== 0 && cache.places[owner - 1] === first + this.copyBlock + 1)
        return this.copyBlock;
    }
    return -1;
  }

  private copyHome(first: number, block: number): void {
    const { log, cache, layout, queue } = this.parts;
    const { blockBytes, unitBlocks } = layout.geometry;
    const owner = (log.owners[first + block] ?? 0) - 1;
    const entry = Math.floor(owner / cache.chunkBlocks);
    const inChunk = owner % cache.chunkBlocks;
    const unit = Math.floor(inChunk / unitBlocks);
    const address = cache.units[entry * cache.unitsPerChunk + unit] ?? 0;
    cache.places[owner] = 0;
    cache.logCounts[entry] = (cache.logCounts[entry] ?? 0) - 1;
    this.copyBlock++;
    // Its place was lost with an unreadable descriptor; the checksum will tell whoever reads it.
    if (address === UNIT_NONE || address === UNIT_UNKNOWN) {
      cache.states[owner] = STATE.lost;
      return;
    }
    this.pending++;
    const offset = homeOffset(layout, address, inChunk % unitBlocks);
    queue.write(IO.home, 0, 0, offset, this.bytes, block * blockBytes, blockBytes);
  }
}
