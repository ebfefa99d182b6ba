// Keeps changing operations of one client from overlapping in flight (C10): of two that overlap, the younger waits until
// the outcome of the older is known. It owns the order; it must never send anything.

import type { Op } from './op.js';

const BUCKETS = 4096;

export class RangeTable {
  private readonly oldest: (Op | null)[] = new Array<Op | null>(BUCKETS).fill(null);
  private readonly newest: (Op | null)[] = new Array<Op | null>(BUCKETS).fill(null);

  /**
   * Adds an operation behind all others.
   *
   * @returns whether it may go now
   */
  add(op: Op): boolean {
    const bucket = bucketOf(op.vtreeKey, op.chunkIndex);
    const last = this.newest[bucket] ?? null;
    op.bucket = bucket;
    op.bucketOlder = last;
    op.bucketNewer = null;
    if (last === null) this.oldest[bucket] = op;
    else last.bucketNewer = op;
    this.newest[bucket] = op;
    return this.mayGo(op);
  }

  /** Whether nothing older overlaps. */
  mayGo(op: Op): boolean {
    for (let older = op.bucketOlder; older !== null; older = older.bucketOlder)
      if (overlap(older, op)) return false;
    return true;
  }

  /** Takes an operation out, wherever it stands. */
  remove(op: Op): void {
    const { bucket } = op;
    if (op.bucketOlder === null) this.oldest[bucket] = op.bucketNewer;
    else op.bucketOlder.bucketNewer = op.bucketNewer;
    if (op.bucketNewer === null) this.newest[bucket] = op.bucketOlder;
    else op.bucketNewer.bucketOlder = op.bucketOlder;
    op.bucket = -1;
    op.bucketOlder = null;
    op.bucketNewer = null;
  }

  /**
   * The next operation behind `after` that overlaps `gone`, which was just taken out; null: none is left.
   *
   * @param after - null: from the start of the bucket
   */
  nextBehind(gone: Op, bucket: number, after: Op | null): Op | null {
    let op = after === null ? (this.oldest[bucket] ?? null) : after.bucketNewer;
    while (op !== null && !overlap(gone, op)) op = op.bucketNewer;
    return op;
  }
}

function overlap(one: Op, other: Op): boolean {
  return (
    one.chunkIndex === other.chunkIndex &&
    one.volume === other.volume &&
    one.firstSector < other.firstSector + other.sectors &&
    other.firstSector < one.firstSector + one.sectors
  );
}

function bucketOf(vtreeKey: number, chunkIndex: number): number {
  return (Math.imul(vtreeKey, 0x9e3779b1) + chunkIndex) & (BUCKETS - 1);
}
