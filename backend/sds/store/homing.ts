// Copies data from the log to its home. It owns how far that has come; it must never touch a block whose newest version
// is elsewhere, nor one whose record is not confirmed as durable: until then recovery may still need what lies at home.

import { assert } from '../../core/assert.js';
import type { Micros } from '../../core/ports.js';

import { UNIT_NONE, UNIT_UNKNOWN } from './chunk-cache.js';
import { IO } from './io.js';
import { homeOffset } from './parts.js';
import type { Parts } from './parts.js';

const COPIES_IN_FLIGHT_MAX = 128;
/** A turn, and what is copied in it: on a page cache every copy holds up the process, and with it all requests. */
const TURN_US = 1000;
const BLOCKS_PER_TURN = 32;
/** When memory is about to run out. */
const BLOCKS_PER_URGENT_TURN = 256;

export class Homing {
  /** Everything before it was copied, or is on its way, or is superseded. */
  position = 0;
  inFlight = 0;
  /** When the next turn begins, Infinity: there is nothing to do in it. */
  dueUs: Micros = Infinity;
  private readonly parts: Parts;
  private target = 0;
  private turnUs: Micros = -TURN_US;
  private blocksLeft = 0;

  constructor(parts: Parts) {
    this.parts = parts;
  }

  begin(position: number): void {
    this.position = position;
    this.target = position;
  }

  /** Asks to copy everything before a position of closed batches. */
  want(position: number): void {
    if (position > this.target) this.target = position;
  }

  get wanted(): number {
    return this.target;
  }

  /** Whether everything before a position is home. */
  isHome(position: number): boolean {
    if (this.position < position) return false;
    if (this.inFlight === 0) return true;
    const { log, layout } = this.parts;
    const last = Math.ceil(position / layout.segmentBlocks);
    for (let segment = log.window.firstSegment; segment < last; segment++)
      if ((log.window.copies[segment % layout.segments] ?? 0) > 0) return false;
    return true;
  }

  /**
   * Starts copies as far as wanted and allowed, and as this turn permits.
   *
   * @param urgent - whoever appends will have to wait soon
   */
  pump(nowUs: Micros, urgent: boolean): void {
    const { log } = this.parts;
    this.dueUs = Infinity;
    if (this.position >= this.target) return;
    if (log.flusher.confirmedPosition < this.target) log.flusher.wantConfirmed(this.target);
    const limit = Math.min(this.target, log.flusher.confirmedPosition);
    if (nowUs >= this.turnUs + TURN_US) {
      this.turnUs = nowUs;
      this.blocksLeft = urgent ? BLOCKS_PER_URGENT_TURN : BLOCKS_PER_TURN;
    }
    while (this.position < limit && this.inFlight < COPIES_IN_FLIGHT_MAX) {
      if (this.blocksLeft <= 0) {
        this.dueUs = this.turnUs + TURN_US;
        return;
      }
      const blocks = this.copyNext(limit);
      if (blocks === 0) return;
      this.blocksLeft -= blocks;
    }
  }

  /** Handles the block at the position and its neighbours. Returns how many, 0 when it must wait. */
  private copyNext(limit: number): number {
    const { log, cache, layout, queue } = this.parts;
    const { blockBytes, unitBlocks } = layout.geometry;
    const logBlock = this.position % layout.logBlocks;
    const owner = log.owners[logBlock] ?? 0;
    if (owner === 0 || cache.places[owner - 1] !== logBlock + 1) {
      this.position++;
      return 1;
    }
    const entry = Math.floor((owner - 1) / cache.chunkBlocks);
    const block = (owner - 1) % cache.chunkBlocks;
    const unit = Math.floor(block / unitBlocks);
    const address = cache.units[entry * cache.unitsPerChunk + unit] ?? 0;
    if (address === UNIT_UNKNOWN) return 0;
    assert(address !== UNIT_NONE, 'a block of the log has a home');
    const segmentEnd = (Math.floor(logBlock / layout.segmentBlocks) + 1) * layout.segmentBlocks;
    const blocksMax = Math.min(limit - this.position, segmentEnd - logBlock);
    const count = this.runLength(logBlock, owner, entry, block, address, blocksMax);
    const offset = homeOffset(layout, address, block % unitBlocks);
    if (queue.overlaps(offset, count * blockBytes)) return 0;
    const segment = Math.floor(logBlock / layout.segmentBlocks);
    log.window.copies[segment] = (log.window.copies[segment] ?? 0) + 1;
    this.inFlight++;
    this.position += count;
    const at = (logBlock % layout.segmentBlocks) * blockBytes;
    const memory = log.window.memoryOf(logBlock);
    queue.write(IO.home, logBlock, count, offset, memory, at, count * blockBytes);
    const { readCache } = this.parts;
    if (readCache.isOn)
      for (let index = 0; index < count; index++)
        if (log.caches[logBlock + index] === 1)
          readCache.put(offset / blockBytes + index, memory, at + index * blockBytes);
    return count;
  }

  /** How many blocks that follow each other in the log follow each other at home too. */
  private runLength(
    logBlock: number,
    owner: number,
    entry: number,
    block: number,
    address: number,
    blocksMax: number,
  ): number {
    const { log, cache, layout } = this.parts;
    const { unitBlocks } = layout.geometry;
    const firstUnit = Math.floor(block / unitBlocks);
    let count = 1;
    for (; count < blocksMax && block + count < cache.chunkBlocks; count++) {
      if (log.owners[logBlock + count] !== owner + count) break;
      if (cache.places[owner - 1 + count] !== logBlock + count + 1) break;
      const unit = Math.floor((block + count) / unitBlocks);
      const there = cache.units[entry * cache.unitsPerChunk + unit];
      if (there !== address + (unit - firstUnit)) break;
    }
    return count;
  }

  /** A copy is done: what is still the newest version is read from home from now on. */
  copyDone(logBlock: number, count: number): void {
    const { log, cache, layout } = this.parts;
    this.inFlight--;
    const segment = Math.floor(logBlock / layout.segmentBlocks);
    log.window.copies[segment] = (log.window.copies[segment] ?? 0) - 1;
    for (let index = logBlock; index < logBlock + count; index++) {
      const owner = (log.owners[index] ?? 0) - 1;
      if (cache.places[owner] !== index + 1) continue;
      cache.places[owner] = 0;
      const entry = Math.floor(owner / cache.chunkBlocks);
      cache.logCounts[entry] = (cache.logCounts[entry] ?? 0) - 1;
    }
  }
}
