// Locks on ranges of blocks of a chunk. Writes exclude everything that overlaps them; reads and copies of content share.
// It owns the order: first come, first served, so that nobody starves. It must never know what a holder does.
//
// Requests are intrusive list nodes, so that locking allocates nothing.

import { assert } from '../core/assert.js';

/** log2 of the number of lists; requests of different chunks rarely share one. */
const BUCKETS_LOG2 = 10;
const BUCKET_MASK = (1 << BUCKETS_LOG2) - 1;

export const LOCK_STATE = { idle: 0, waiting: 1, held: 2 } as const;

/** What wants to lock; operations and copies extend it. */
export class LockRequest {
  /** V-tree: all layers of a chunk have one lock, for a read looks through them and a merge changes two. */
  lockVtree = 0;
  lockChunk = 0;
  /** First block, and the one behind the last. */
  lockFirst = 0;
  lockEnd = 0;
  lockExclusive = false;
  lockState: number = LOCK_STATE.idle;
  /** Earlier requests that this one conflicts with. */
  lockBlockers = 0;
  lockPrevious: LockRequest | null = null;
  lockNext: LockRequest | null = null;
  /** Next in the list of requests that got their lock and were not told yet. */
  grantedNext: LockRequest | null = null;
}

function conflict(one: LockRequest, other: LockRequest): boolean {
  return (
    one.lockVtree === other.lockVtree &&
    one.lockChunk === other.lockChunk &&
    (one.lockExclusive || other.lockExclusive) &&
    one.lockFirst < other.lockEnd &&
    other.lockFirst < one.lockEnd
  );
}

function bucketOf(request: LockRequest): number {
  const mix = Math.imul(request.lockVtree, 0x9e3779b1) ^ Math.imul(request.lockChunk, 0x85ebca6b);
  return (mix >>> (32 - BUCKETS_LOG2)) & BUCKET_MASK;
}

export class RangeLock {
  private readonly heads: (LockRequest | null)[];
  private readonly tails: (LockRequest | null)[];
  private grantedHead: LockRequest | null = null;
  private grantedTail: LockRequest | null = null;

  constructor() {
    this.heads = new Array<LockRequest | null>(BUCKET_MASK + 1).fill(null);
    this.tails = new Array<LockRequest | null>(BUCKET_MASK + 1).fill(null);
  }

  /**
   * Queues for the range that stands in the request.
   *
   * @returns true: held now; false: `takeGranted` will return it once it is
   */
  acquire(request: LockRequest): boolean {
    assert(request.lockState === LOCK_STATE.idle, 'a request locks once at a time');
    const bucket = bucketOf(request);
    let blockers = 0;
    for (let other = this.heads[bucket] ?? null; other !== null; other = other.lockNext)
      if (conflict(request, other)) blockers++;
    const tail = this.tails[bucket] ?? null;
    request.lockPrevious = tail;
    request.lockNext = null;
    if (tail === null) this.heads[bucket] = request;
    else tail.lockNext = request;
    this.tails[bucket] = request;
    request.lockBlockers = blockers;
    request.lockState = blockers === 0 ? LOCK_STATE.held : LOCK_STATE.waiting;
    return blockers === 0;
  }

  /** Gives the range up, held or still waited for. Those that become free are queued for `takeGranted`. */
  release(request: LockRequest): void {
    assert(request.lockState !== LOCK_STATE.idle, 'only a queued request is released');
    const bucket = bucketOf(request);
    for (let other = request.lockNext; other !== null; other = other.lockNext) {
      if (!conflict(request, other)) continue;
      other.lockBlockers--;
      if (other.lockBlockers === 0) this.grant(other);
    }
    const { lockPrevious, lockNext } = request;
    if (lockPrevious === null) this.heads[bucket] = lockNext;
    else lockPrevious.lockNext = lockNext;
    if (lockNext === null) this.tails[bucket] = lockPrevious;
    else lockNext.lockPrevious = lockPrevious;
    request.lockPrevious = null;
    request.lockNext = null;
    request.lockState = LOCK_STATE.idle;
  }

  /** The next request that got its lock while waiting, or null. Those released meanwhile are skipped. */
  takeGranted(): LockRequest | null {
    for (;;) {
      const granted = this.grantedHead;
      if (granted === null) return null;
      this.grantedHead = granted.grantedNext;
      if (this.grantedHead === null) this.grantedTail = null;
      granted.grantedNext = null;
      if (granted.lockState === LOCK_STATE.held) return granted;
    }
  }

  private grant(request: LockRequest): void {
    request.lockState = LOCK_STATE.held;
    if (this.grantedTail === null) this.grantedHead = request;
    else this.grantedTail.grantedNext = request;
    this.grantedTail = request;
  }
}
