// Changes that begin or end inside a block: the primary reads the blocks at the ends and merges them under its range
// lock, so that only whole blocks are logged and forwarded. It owns the layout of such a change's buffer; it must never
// append anything.
//
// Layout for a write: checksums of all blocks, all blocks, then room for the two blocks at the ends as they were, each
// with its checksum in front. For zeroes only the blocks at the ends are kept: each as checksum and block, then the same
// as they were.

import { assert } from '../core/assert.js';
import { isZero } from '../core/zero.js';
import { LOAD } from './load-token.js';
import { OP_KIND } from './op.js';
import type { Op } from './op.js';
import { readBlocks } from './op-reads.js';
import { MutableExtent, sealBlocks } from './payload.js';
import type { Shared } from './shared.js';

/** A piece of a change to zero: `at` -1: zero it; otherwise whole blocks with checksums at that place. */
export interface ZeroPiece {
  readonly firstBlock: number;
  readonly blockCount: number;
  readonly at: number;
}

export class Edges {
  private readonly shared: Shared;
  private readonly extent = new MutableExtent();

  constructor(shared: Shared) {
    this.shared = shared;
  }

  /** Takes a buffer and puts the payload where it belongs; false: there is none. */
  keep(op: Op, bytes: Uint8Array, bodyAt: number): boolean {
    const { blockBytes } = this.shared.geometry;
    const spare = 2 * (4 + blockBytes);
    const mainBytes = op.kind === OP_KIND.zero ? spare : op.blockCount * (4 + blockBytes);
    const buffer = this.shared.buffers.take(mainBytes + spare);
    if (buffer === null) return false;
    op.buffer = buffer;
    if (op.kind === OP_KIND.zero) return true;
    const payloadAt = bodyAt + 4 * op.blockCount;
    const lengthBytes = op.lengthSectors * this.shared.geometry.sectorBytes;
    buffer.bytes.set(
      bytes.subarray(payloadAt, payloadAt + lengthBytes),
      4 * op.blockCount + this.headBytes(op),
    );
    return true;
  }

  /** Reads the blocks at the ends that are not covered as a whole. */
  load(op: Op): void {
    op.loads = 0;
    if (this.hasFirst(op)) this.loadOne(op, LOAD.first, op.firstBlock);
    if (this.hasLast(op)) this.loadOne(op, LOAD.last, op.firstBlock + op.blockCount - 1);
    assert(op.loads > 0, 'a partial change has an edge');
  }

  /** Where the checksum of an edge as it was lies in the buffer; its block follows. */
  savedAt(op: Op, part: number): number {
    const { blockBytes } = this.shared.geometry;
    const edge = 4 + blockBytes;
    const main = op.kind === OP_KIND.zero ? 2 * edge : op.blockCount * edge;
    return main + (part === LOAD.first ? 0 : edge);
  }

  /** Completes the partial blocks from what was read, and seals all blocks. */
  merge(op: Op): void {
    const { buffer, volume } = op;
    assert(buffer !== null && volume !== null, 'a partial change has a buffer');
    const { blockBytes } = this.shared.geometry;
    const head = this.headBytes(op);
    const tail = this.tailBytes(op);
    if (op.kind === OP_KIND.zero) {
      this.mergeZero(op, head, tail);
      return;
    }
    const dataAt = 4 * op.blockCount;
    const lastAt = dataAt + (op.blockCount - 1) * blockBytes;
    const first = this.savedAt(op, LOAD.first) + 4;
    if (head > 0) buffer.bytes.copyWithin(dataAt, first, first + head);
    if (tail > 0) {
      const saved = op.blockCount === 1 ? first : this.savedAt(op, LOAD.last) + 4;
      buffer.bytes.copyWithin(
        lastAt + blockBytes - tail,
        saved + blockBytes - tail,
        saved + blockBytes,
      );
    }
    const extent = this.extent.setBlocks(
      volume.vtreeKey,
      op.chunkIndex,
      op.firstBlock,
      op.blockCount,
      blockBytes,
    );
    sealBlocks(extent, buffer.bytes, buffer.view, 0, dataAt);
  }

  /**
   * What a partial change to zero consists of, after `merge`. A block at an end that is zero as a whole is zeroed: what
   * is written was allocated before, so that zeroing takes no space, and works at a full device.
   */
  zeroPlan(op: Op): readonly ZeroPiece[] {
    const { blockBytes } = this.shared.geometry;
    const hasFirst = this.hasFirst(op);
    const hasLast = this.hasLast(op);
    const pieces: ZeroPiece[] = [];
    if (hasFirst) pieces.push({ firstBlock: op.firstBlock, blockCount: 1, at: this.edgeAt(op, 0) });
    const inner = op.blockCount - (hasFirst ? 1 : 0) - (hasLast ? 1 : 0);
    if (inner > 0)
      pieces.push({
        firstBlock: op.firstBlock + (hasFirst ? 1 : 0),
        blockCount: inner,
        at: -1,
      });
    if (hasLast)
      pieces.push({
        firstBlock: op.firstBlock + op.blockCount - 1,
        blockCount: 1,
        at: this.edgeAt(op, 4 + blockBytes),
      });
    return pieces;
  }

  /** Where a merged block lies in the buffer, -1: it is zero. */
  private edgeAt(op: Op, at: number): number {
    const { buffer } = op;
    assert(buffer !== null, 'edges lie in a buffer');
    return isZero(buffer.bytes, at + 4, this.shared.geometry.blockBytes) ? -1 : at;
  }

  /** The edges as they were, with the range between them zero. */
  private mergeZero(op: Op, head: number, tail: number): void {
    const { buffer, volume } = op;
    assert(buffer !== null && volume !== null, 'a partial change has a buffer');
    const { blockBytes } = this.shared.geometry;
    const edge = 4 + blockBytes;
    for (const part of [LOAD.first, LOAD.last]) {
      const isFirst = part === LOAD.first;
      if (isFirst ? !this.hasFirst(op) : !this.hasLast(op)) continue;
      const at = isFirst ? 0 : edge;
      const saved = this.savedAt(op, part);
      buffer.bytes.copyWithin(at + 4, saved + 4, saved + edge);
      const single = op.blockCount === 1;
      const from = isFirst ? head : 0;
      const end = !isFirst || single ? blockBytes - tail : blockBytes;
      buffer.bytes.fill(0, at + 4 + from, at + 4 + end);
      const block = isFirst ? op.firstBlock : op.firstBlock + op.blockCount - 1;
      const extent = this.extent.setBlocks(volume.vtreeKey, op.chunkIndex, block, 1, blockBytes);
      sealBlocks(extent, buffer.bytes, buffer.view, at, at + 4);
    }
  }

  private loadOne(op: Op, part: number, block: number): void {
    const { buffer } = op;
    assert(buffer !== null, 'a partial change has a buffer');
    op.loads++;
    readBlocks(this.shared.store, op, part, block, 1, buffer.bytes, this.savedAt(op, part));
  }

  private headBytes(op: Op): number {
    const { blockBytes, sectorBytes } = this.shared.geometry;
    return (op.offsetSectors * sectorBytes) % blockBytes;
  }

  /** Bytes of the last block behind the range. */
  private tailBytes(op: Op): number {
    const { blockBytes, sectorBytes } = this.shared.geometry;
    const end = ((op.offsetSectors + op.lengthSectors) * sectorBytes) % blockBytes;
    return end === 0 ? 0 : blockBytes - end;
  }

  private hasFirst(op: Op): boolean {
    return this.headBytes(op) > 0 || (op.blockCount === 1 && this.tailBytes(op) > 0);
  }

  private hasLast(op: Op): boolean {
    return op.blockCount > 1 && this.tailBytes(op) > 0;
  }
}
