// A copy of blocks of a chunk under way, pooled. It owns what is copied and the order of layers; it must never send anything.

import type { CopyRange } from './block-ranges.js';
import type { PayloadBuffer } from './buffers.js';
import type { Comb, Member } from './comb.js';
import { COPY_KIND } from './copy-work.js';
import type { CopyKind } from './copy-work.js';
import { LockRequest } from './range-lock.js';

export const PHASE = {
  idle: 0,
  locking: 1,
  describing: 2,
  paused: 3,
  reading: 4,
  mending: 5,
} as const;
/**
 * What is forwarded of a layer. Of several layers of a chunk first everything that is there in any, then everything that is
 * not: at no moment a copy lacks what it had, whichever of both sides has merged the layers.
 */
export const PASS = { both: 0, present: 1, absent: 2 } as const;

export class CopyTask extends LockRequest {
  readonly index: number;
  readonly states: Uint8Array;
  phase: number = PHASE.idle;
  comb: Comb | null = null;
  member: Member | null = null;
  session = 0;
  /** Of the operation that is sent again, 0: a copy of content. */
  handle = 0;
  kind: CopyKind = COPY_KIND.awaited;
  /** The layer whose turn it is, of all that are copied; several are gone through twice: what is there, then what is not. */
  volumeKey = 0;
  layers: readonly number[] = [];
  layerAt = 0;
  pass: number = PASS.both;
  first = 0;
  vtreeKey = 0;
  chunkIndex = 0;
  /** Next block, and the one behind the last. */
  next = 0;
  end = 0;
  /** Blocks of the read in flight. */
  reading = 0;
  buffer: PayloadBuffer | null = null;
  /** Blocks of the read that did not verify, and the tag under which the member was asked for them. */
  badLow = 0;
  badHigh = 0;
  mendTag = 0;

  constructor(index: number, chunkBlocks: number) {
    super();
    this.index = index;
    this.states = new Uint8Array(chunkBlocks);
  }

  /** What it copies, with the lock that it needs. */
  cover(range: CopyRange, chunkBlocks: number): void {
    this.vtreeKey = range.vtreeKey;
    this.chunkIndex = range.chunkIndex;
    this.layers = range.layers;
    this.layerAt = 0;
    this.pass = range.layers.length > 1 ? PASS.present : PASS.both;
    this.volumeKey = range.layers[0] ?? range.volumeKey;
    this.first = range.firstBlock;
    this.next = range.firstBlock;
    this.end = Math.min(range.firstBlock + range.blockCount, chunkBlocks);
    this.lockVtree = range.vtreeKey;
    this.lockChunk = range.chunkIndex;
    this.lockFirst = this.next;
    this.lockEnd = this.end;
    this.lockExclusive = false;
  }

  /** Goes on with the next layer, or through all of them again; false: that was all. */
  nextLayer(): boolean {
    if (this.pass === PASS.both) return false;
    this.layerAt++;
    if (this.layerAt === this.layers.length) {
      if (this.pass === PASS.absent) return false;
      this.pass = PASS.absent;
      this.layerAt = 0;
    }
    this.volumeKey = this.layers[this.layerAt] ?? 0;
    this.next = this.first;
    return true;
  }
}

export function isBadBlock(task: CopyTask, index: number): boolean {
  const word = index < 32 ? task.badLow >>> index : task.badHigh >>> (index - 32);
  return (word & 1) === 1;
}
