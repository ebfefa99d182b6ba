// A check of blocks of one layer's chunk at the primary, under way, pooled. It owns the shape; what is checked, and what
// follows, is decided by scan-checks.

import { assert } from '../core/assert.js';
import type { PayloadBuffer } from './buffers.js';
import type { Comb, Member } from './comb.js';
import { LockRequest } from './range-lock.js';
import type { Micros } from '../core/ports.js';

export const SCAN_PHASE = {
  idle: 0,
  locking: 1,
  /** The store reads the blocks, or describes them, or what lies below. */
  looking: 2,
  describing: 3,
  lookingBelow: 4,
  /** A member was asked what it holds, or for one block of it. */
  asking: 5,
  fetching: 6,
} as const;

/** mend: blocks that do not verify here are taken from another copy. compare: the other copies are compared with this one. */
export const SCAN_GOAL = { mend: 0, compare: 1 } as const;

/** Below the layer there are these; null: nobody here knows which, so that nothing is said about what they would show. */
export type Below = readonly number[] | null;

export class ScanTask extends LockRequest {
  readonly index: number;
  phase: number = SCAN_PHASE.idle;
  goal: number = SCAN_GOAL.mend;
  comb: Comb | null = null;
  layerKey = 0;
  vtreeKey = 0;
  chunkIndex = 0;
  firstBlock = 0;
  blockCount = 0;
  below: Below = null;
  /** What is here: by block from the first of the chunk. */
  readonly states: Uint8Array;
  readonly sums: Uint32Array;
  readonly belowStates: Uint8Array;
  /** What the member holds: by block from the first of the range. */
  memberStates: Uint8Array = new Uint8Array(0);
  memberSums: DataView = new DataView(new ArrayBuffer(0));
  /** Blocks that do not verify here, 1 each, by block from the first of the range. */
  readonly bad: Uint8Array;
  /** Member whose turn it is, and how it stood when that began. */
  memberAt = -1;
  member: Member | null = null;
  session = 0;
  /** Block that is fetched, from the first of the range; and under which tag the member was asked. */
  fetched = 0;
  tag = 0;
  askedUs: Micros = 0;
  buffer: PayloadBuffer | null = null;

  constructor(index: number, chunkBlocks: number) {
    super();
    this.index = index;
    this.states = new Uint8Array(chunkBlocks);
    this.sums = new Uint32Array(chunkBlocks);
    this.belowStates = new Uint8Array(chunkBlocks);
    this.bad = new Uint8Array(chunkBlocks);
  }

  get inUse(): boolean {
    return this.phase !== SCAN_PHASE.idle;
  }

  /** The comb of a task in use. */
  itsComb(): Comb {
    const { comb } = this;
    assert(comb !== null, 'a check in use has its comb');
    return comb;
  }

  /** What it is about, with the lock that it needs. */
  cover(
    layerKey: number,
    vtreeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): void {
    this.layerKey = layerKey;
    this.vtreeKey = vtreeKey;
    this.chunkIndex = chunkIndex;
    this.firstBlock = firstBlock;
    this.blockCount = blockCount;
    this.lockVtree = vtreeKey;
    this.lockChunk = chunkIndex;
    this.lockFirst = firstBlock;
    this.lockEnd = firstBlock + blockCount;
    this.lockExclusive = false;
    this.memberAt = -1;
    this.member = null;
    this.below = null;
  }
}
