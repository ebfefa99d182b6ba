// What reads and descriptions say of their blocks: from the log's memory, from the read cache, from home, or nothing where a
// block is absent or zero. It must never change a block. What comes from the device is verified block by block (C9).

import { addressSeed, blockChecksum } from '../../core/checksum.js';

import { STATE } from './chunk-cache.js';
import { IO } from './io.js';
import { homeOffset } from './parts.js';
import type { Parts } from './parts.js';
import { putU32, u32At } from './read-op.js';
import type { ReadOp } from './read-op.js';
import { BLOCK_STATE, STORE_STATUS } from './store.js';

const RANGE = 1024;
const NONE = -1;

export class ReadFilling {
  private readonly parts: Parts;
  /** All of an operation is there. */
  private readonly filled: (op: ReadOp) => void;
  private readonly zeros: Uint8Array;

  constructor(parts: Parts, filled: (op: ReadOp) => void) {
    this.parts = parts;
    this.filled = filled;
    this.zeros = new Uint8Array(parts.layout.geometry.blockBytes);
  }

  /** The entry that holds a block of an operation, by its place in it; -1: none. */
  private entryAt(op: ReadOp, index: number): number {
    return op.layers === null ? op.entry : (op.sources[index] ?? NONE);
  }

  /** Fills a description. */
  describe(op: ReadOp): void {
    const { cache } = this.parts;
    for (let block = 0; block < op.blockCount; block++) {
      const entry = this.entryAt(op, block);
      const at = entry * cache.chunkBlocks + block;
      const state = entry < 0 ? STATE.absent : cache.states[at];
      if (op.sums !== null) {
        op.sums[block] = state === STATE.data ? (cache.crcs[at] ?? 0) : 0;
        op.bytes[block] = state ?? STATE.lost;
        continue;
      }
      op.bytes[block] =
        state === STATE.absent
          ? BLOCK_STATE.absent
          : state === STATE.zero
            ? BLOCK_STATE.zero
            : BLOCK_STATE.data;
    }
    this.filled(op);
  }

  private offsetOf(entry: number, block: number): number {
    const { cache, layout } = this.parts;
    const { unitBlocks } = layout.geometry;
    const unit = Math.floor(block / unitBlocks);
    const address = cache.units[entry * cache.unitsPerChunk + unit] ?? 0;
    return homeOffset(layout, address, block % unitBlocks);
  }

  /** Whether a block at home is being written directly right now. */
  mustWait(op: ReadOp): boolean {
    const { cache, queue, layout } = this.parts;
    for (let index = 0; index < op.blockCount; index++) {
      const entry = this.entryAt(op, index);
      if (entry < 0) continue;
      const block = op.firstBlock + index;
      const at = entry * cache.chunkBlocks + block;
      if (cache.states[at] !== STATE.data || cache.places[at] !== 0) continue;
      if (queue.overlapsWrite(this.offsetOf(entry, block), layout.geometry.blockBytes)) return true;
    }
    return false;
  }

  /** Fills a read whose blocks are known and at rest. */
  fill(op: ReadOp): void {
    const { cache, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    op.pending = 1;
    let runStart = -1;
    let runOffset = 0;
    let runEnd = 0;
    for (let index = 0; index < op.blockCount; index++) {
      const block = op.firstBlock + index;
      const entry = this.entryAt(op, index);
      const at = entry * cache.chunkBlocks + block;
      const state = entry < 0 ? STATE.absent : (cache.states[at] ?? 0);
      if (state !== STATE.data || cache.places[at] !== 0) {
        this.fillFromMemory(op, index, state, at);
        continue;
      }
      putU32(op.bytes, op.at + 4 * index, cache.crcs[at] ?? 0);
      const offset = this.offsetOf(entry, block);
      if (op.caches && this.fillFromCache(op, index, offset)) continue;
      if (
        runStart >= 0 &&
        runEnd === index &&
        offset === runOffset + (index - runStart) * blockBytes
      )
        runEnd = index + 1;
      else {
        if (runStart >= 0) this.readRun(op, runStart, runEnd, runOffset);
        runStart = index;
        runEnd = index + 1;
        runOffset = offset;
      }
    }
    if (runStart >= 0) this.readRun(op, runStart, runEnd, runOffset);
    this.part(op);
  }

  /** @param cached - index of the block in the cache, where it is data */
  private fillFromMemory(op: ReadOp, index: number, state: number, cached: number): void {
    const { cache, layout, log } = this.parts;
    const { blockBytes } = layout.geometry;
    const block = op.firstBlock + index;
    const to = op.dataAt + index * blockBytes;
    if (state === STATE.data) {
      const place = cache.places[cached] ?? 0;
      const memory = log.window.memoryOf(place - 1);
      const from = ((place - 1) % layout.segmentBlocks) * blockBytes;
      op.bytes.set(memory.subarray(from, from + blockBytes), to);
      putU32(op.bytes, op.at + 4 * index, cache.crcs[cached] ?? 0);
      return;
    }
    op.bytes.fill(0, to, to + blockBytes);
    if (state === STATE.lost) {
      this.bad(op, index);
      // Whether it was there at all is lost too.
      if (op.layers !== null) op.sourceLayers[index] = 0;
    }
    const seed = addressSeed(op.vtreeKey, op.chunkIndex, block);
    putU32(op.bytes, op.at + 4 * index, blockChecksum(this.zeros, seed));
  }

  /** false: the block has to be read from the device. */
  private fillFromCache(op: ReadOp, index: number, offsetBytes: number): boolean {
    const { readCache, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    const place = offsetBytes / blockBytes;
    op.places[index] = place;
    if (!readCache.get(place, op.bytes, op.dataAt + index * blockBytes)) return false;
    if (this.verifies(op, index)) {
      op.cacheHits++;
      return true;
    }
    readCache.reject(place);
    return false;
  }

  /** Whether the content of a block is what its checksum says. */
  private verifies(op: ReadOp, index: number): boolean {
    const { blockBytes } = this.parts.layout.geometry;
    const seed = addressSeed(op.vtreeKey, op.chunkIndex, op.firstBlock + index);
    const at = op.dataAt + index * blockBytes;
    const crc = blockChecksum(op.bytes.subarray(at, at + blockBytes), seed);
    return crc === u32At(op.bytes, op.at + 4 * index);
  }

  private readRun(op: ReadOp, start: number, end: number, offsetBytes: number): void {
    const { queue, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    const to = op.dataAt + start * blockBytes;
    op.pending++;
    op.readsDevice = true;
    queue.read(
      IO.read,
      op.index,
      start * RANGE + (end - start),
      offsetBytes,
      op.bytes,
      to,
      (end - start) * blockBytes,
    );
  }

  /** A run arrived; a failed read is as bad as a wrong checksum. */
  arrived(op: ReadOp, range: number, ok: boolean): void {
    const { readCache, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    const start = Math.floor(range / RANGE);
    const end = start + (range % RANGE);
    for (let index = start; index < end; index++) {
      if (!ok || !this.verifies(op, index)) this.bad(op, index);
      else if (op.caches)
        readCache.put(op.places[index] ?? 0, op.bytes, op.dataAt + index * blockBytes);
    }
    this.part(op);
  }

  private bad(op: ReadOp, index: number): void {
    op.status = STORE_STATUS.corrupt;
    if (index < 32) op.badLow = (op.badLow | (1 << index)) >>> 0;
    else op.badHigh = (op.badHigh | (1 << (index - 32))) >>> 0;
  }

  private part(op: ReadOp): void {
    if (--op.pending === 0) this.filled(op);
  }
}
