// When a change is safe enough to be acknowledged (C3, C4): stable here and acknowledged by every required member. It owns
// the waiting of operations for this device and for peers; it must never answer anybody itself.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import type { Comb } from './comb.js';
import { OP_KIND, OP_PHASE } from './op.js';
import type { Op } from './op.js';
import type { PeerDevice } from './peer.js';
import type { Shared, StabilityPart } from './shared.js';
import { tagAfter, tagDistance } from './tag-ring.js';

const MARKS = {
  alone: mark('sds.stability: a lone survivor finishes a write from media'),
  left: mark('sds.stability: a write stopped waiting for a member that left'),
};

const FIRST_CAPACITY = 1024;

/** Handles of operations in the order of their log positions. */
class LocalQueue {
  private handles = new Float64Array(FIRST_CAPACITY);
  private lsns = new Float64Array(FIRST_CAPACITY);
  private head = 0;
  private tail = 0;

  push(handle: number, lsn: number): void {
    if (this.tail - this.head === this.handles.length) this.grow();
    const at = this.tail++ & (this.handles.length - 1);
    this.handles[at] = handle;
    this.lsns[at] = lsn;
  }

  /** The next handle whose position is at most `lsn`, or 0. */
  take(lsn: number): number {
    if (this.head === this.tail) return 0;
    const at = this.head & (this.handles.length - 1);
    if ((this.lsns[at] ?? Infinity) > lsn) return 0;
    this.head++;
    return this.handles[at] ?? 0;
  }

  private grow(): void {
    const capacity = this.handles.length * 2;
    const handles = new Float64Array(capacity);
    const lsns = new Float64Array(capacity);
    for (let index = this.head; index < this.tail; index++) {
      const from = index & (this.handles.length - 1);
      handles[index & (capacity - 1)] = this.handles[from] ?? 0;
      lsns[index & (capacity - 1)] = this.lsns[from] ?? 0;
    }
    this.handles = handles;
    this.lsns = lsns;
  }
}

export class Stability implements StabilityPart {
  private readonly shared: Shared;
  private readonly media = new LocalQueue();
  private readonly written = new LocalQueue();
  /** Operations that must wait for media although they did not have to at first. */
  private late: number[] = [];
  /** Newest LSN for which a client was answered while it was volatile here: flush debt. */
  debtLsn = 0;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  applied(op: Op, lsn: number): void {
    op.lsn = lsn;
    op.phase = OP_PHASE.applied;
    op.waitsHere = true;
    const handle = this.shared.ops.handleOf(op);
    if (op.needMedia) {
      this.media.push(handle, lsn);
      this.shared.store.wantDurable(lsn);
    } else this.written.push(handle, lsn);
  }

  /** The store made progress. */
  storeProgress(nowUs: Micros): void {
    const { store, ops } = this.shared;
    const { durableLsn, writtenLsn } = store;
    for (let handle = this.media.take(durableLsn); handle !== 0;) {
      this.stableHere(nowUs, ops.find(handle));
      handle = this.media.take(durableLsn);
    }
    for (let handle = this.written.take(writtenLsn); handle !== 0;) {
      const op = ops.find(handle);
      if (op?.needMedia === true && op.lsn > durableLsn) this.late.push(handle);
      else this.stableHere(nowUs, op);
      handle = this.written.take(writtenLsn);
    }
    if (this.late.length > 0) this.checkLate(nowUs);
  }

  /**
   * A peer acknowledged.
   *
   * @returns false when it claims more than was forwarded
   */
  acked(
    nowUs: Micros,
    peer: PeerDevice,
    writtenTag: number,
    durableTag: number,
    credit: number,
    kept: number,
  ): boolean {
    const { out } = peer;
    if (tagDistance(writtenTag, out.ring.last) > 0 || tagDistance(durableTag, writtenTag) > 0)
      return false;
    out.creditBlocks = credit;
    out.keptBlocks = kept;
    out.progressUs = nowUs;
    if (out.ring.has(writtenTag)) out.blocksAcked = out.ring.other(writtenTag);
    while (tagDistance(writtenTag, out.writtenTag) > 0) {
      out.writtenTag = tagAfter(out.writtenTag);
      this.peerHas(nowUs, peer, out.writtenTag, false);
    }
    while (tagDistance(durableTag, out.durableTag) > 0) {
      out.durableTag = tagAfter(out.durableTag);
      this.peerHas(nowUs, peer, out.durableTag, true);
    }
    out.ring.drop(out.durableTag);
    return true;
  }

  membersChanged(nowUs: Micros, comb: Comb): void {
    for (const op of this.shared.ops.inUse()) {
      if (op.comb !== comb || op.phase !== OP_PHASE.applied || op.kind === OP_KIND.flush) continue;
      for (const index of [...op.waitPeers]) {
        if (index < 0) continue;
        const peer = this.shared.peers[index];
        assert(peer !== undefined, 'a peer is never forgotten');
        if (comb.memberOf(peer)?.required === true) continue;
        op.stopWaiting(index);
        MARKS.left.hits++;
      }
      if (comb.alone && !op.needMedia) this.toMedia(op);
      this.check(nowUs, op);
    }
  }

  private toMedia(op: Op): void {
    MARKS.alone.hits++;
    op.needMedia = true;
    this.shared.store.wantDurable(op.lsn);
    if (op.waitsHere || op.lsn <= this.shared.store.durableLsn) return;
    op.waitsHere = true;
    this.late.push(this.shared.ops.handleOf(op));
  }

  private checkLate(nowUs: Micros): void {
    const waiting = this.late;
    this.late = [];
    for (const handle of waiting) {
      const op = this.shared.ops.find(handle);
      if (op === null) continue;
      if (op.lsn <= this.shared.store.durableLsn) this.stableHere(nowUs, op);
      else this.late.push(handle);
    }
  }

  private stableHere(nowUs: Micros, op: Op | null): void {
    if (op === null) return;
    op.waitsHere = false;
    if (!op.needMedia && op.lsn > this.debtLsn) this.debtLsn = op.lsn;
    this.check(nowUs, op);
  }

  private peerHas(nowUs: Micros, peer: PeerDevice, tag: number, durable: boolean): void {
    const { out } = peer;
    if (!out.ring.has(tag)) return;
    const handle = out.ring.value(tag);
    if (handle === 0) return;
    const op = this.shared.ops.find(handle);
    if (op?.needMedia !== durable || !op.stopWaiting(peer.index, tag)) return;
    if (!durable) out.debtTag = tag;
    this.check(nowUs, op);
  }

  private check(nowUs: Micros, op: Op): void {
    if (op.waits === 0 && !op.waitsHere) this.shared.parts.serve.finish(nowUs, op, 0);
  }
}
