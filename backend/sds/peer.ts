// The data process of another device, as this one knows it: the link to it, what was forwarded on it in either
// direction, and leases. It owns these numbers and their order; what they mean is decided by the parts that use it.

import type { LinkId, Micros } from '../core/ports.js';
import type { OpId } from '../protocol/generated/types.js';
import { TagRing, tagAfter, tagDistance } from './tag-ring.js';

/** Sum over combs and generations, equal on both sides when both go by the same entries (C5). */
export class Digest {
  combs = 0;
  low = 0;
  high = 0;

  /** Adds (`sign` 1) or takes away (-1) one comb. */
  count(sign: 1 | -1, comb: number, epoch: number, number: number): void {
    this.combs += sign;
    const low = mix(mix(mix(0x2545f491 ^ comb) ^ epoch) ^ number);
    const high = mix(mix(mix(0x9e3779b9 ^ number) ^ comb) ^ epoch);
    this.low = (this.low + sign * low) >>> 0;
    this.high = (this.high + sign * high) >>> 0;
  }
}

/** The finalizer of MurmurHash3: every input bit moves every output bit with probability one half. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** What is forwarded from here to the peer. */
export class Outgoing {
  /** By tag: slot and serial of the operation that waits for it, slot -1: nobody. */
  readonly ring = new TagRing();
  /** Acknowledged by the peer. */
  writtenTag = 0;
  durableTag = 0;
  /** Newest that must get durable soon, and newest that need not. */
  lastMediaTag = 0;
  lastVolatileTag = 0;
  /** Newest for which a client was answered while the peer held it in volatile memory only: flush debt. */
  debtTag = 0;
  /** Blocks forwarded in all, and as far as the newest acknowledgement goes. */
  blocks = 0;
  blocksAcked = 0;
  /** Room that the peer granted with its newest acknowledgement (C12). */
  creditBlocks = 0;
  /** Of those, what changes of thin volumes leave free. */
  keptBlocks = 0;
  /** Until when the peer wants no further copies, by kind of copy; what clients wait for never waits. */
  readonly copyAfterUs: [Micros, Micros, Micros, Micros] = [0, 0, 0, 0];
  /** Newest tag that the peer was told is settled. */
  settledTag = 0;
  /** Time of the latest acknowledgement, or of the first tag since nothing was outstanding. */
  progressUs: Micros = 0;

  reset(): void {
    this.ring.reset();
    this.writtenTag = 0;
    this.durableTag = 0;
    this.lastMediaTag = 0;
    this.lastVolatileTag = 0;
    this.debtTag = 0;
    this.blocks = 0;
    this.blocksAcked = 0;
    this.creditBlocks = 0;
    this.keptBlocks = 0;
    this.copyAfterUs.fill(0);
    this.settledTag = 0;
  }

  /** Something was forwarded that the peer has not acknowledged as it should. */
  outstanding(): boolean {
    return (
      tagDistance(this.lastMediaTag, this.durableTag) > 0 ||
      tagDistance(this.lastVolatileTag, this.writtenTag) > 0
    );
  }

  /** Blocks that may still be forwarded before the peer says more. */
  creditLeft(): number {
    return this.creditBlocks - (this.blocks - this.blocksAcked);
  }

  /** The same for changes of thin volumes. */
  thinCreditLeft(): number {
    return this.creditLeft() - this.keptBlocks;
  }
}

/** What the peer forwards to here. */
export class Incoming {
  /** By tag: LSN here; and 1 where the peer wants it durable soon. Kept until settled. */
  readonly ring = new TagRing();
  /** Told to the peer. */
  writtenTag = 0;
  durableTag = 0;
  /** Settled by the word of the peer. */
  settledTag = 0;
  /** Room that the peer was granted last; before the first word it takes as much as it likes (C12). */
  creditTold = Number.MAX_SAFE_INTEGER;
  /** Of that, for thin volumes. */
  thinCreditTold = Number.MAX_SAFE_INTEGER;
  /** Newest that need not get durable soon. */
  lastVolatileTag = 0;
  /** Something new may be said to the peer. */
  dirty = false;
  /** Operation ids that it tells, and which of them is noted next; -1: the list is not complete. */
  readonly ops: { ops: OpId[]; next: number } = { ops: [], next: -1 };

  reset(): void {
    this.ring.reset();
    this.writtenTag = 0;
    this.durableTag = 0;
    this.settledTag = 0;
    this.creditTold = Number.MAX_SAFE_INTEGER;
    this.thinCreditTold = Number.MAX_SAFE_INTEGER;
    this.lastVolatileTag = 0;
    this.dirty = false;
    this.ops.ops = [];
    this.ops.next = -1;
  }

  /** LSN of the oldest change from the peer that is not settled, or Infinity. */
  oldestUnsettledLsn(): number {
    return this.ring.length === 0 ? Infinity : this.ring.value(tagAfter(this.ring.dropped));
  }
}

export class PeerDevice {
  readonly index: number;
  readonly key: number;

  /** The present or coming link, -1: none. */
  link: LinkId = -1;
  up = false;
  version = 1;
  /** Life of the device at the other end of the link. */
  incarnation = 0;
  linkEpoch = 0;
  /** Up to where its device said to be durable, in its present life and at most in all lives before. */
  durableLsn = 0;
  durableLsnBefore = 0;
  /** Since when there is no link. */
  downSinceUs: Micros;
  /** When to dial next; Infinity: not now. */
  dialAtUs: Micros = Infinity;
  attempts = 0;
  /** A frame of this link was not taken. */
  stalled = false;

  readonly out = new Outgoing();
  readonly in = new Incoming();

  /** Lease that the peer gave to this device, by the clock of this process. */
  leaseUntilUs: Micros = 0;
  /** When to ask for it again. */
  leaseAskUs: Micros = Infinity;
  leaseNumber = 0;
  /** Sending times of the latest requests by number, modulo their count. */
  readonly leaseSentUs: Float64Array = new Float64Array(8);
  /** Since when no request was answered, Infinity: none is open. */
  leaseUnansweredUs: Micros = Infinity;
  /** Until when the lease that this device gave may be in use, drift included. */
  grantedUntilUs: Micros;
  /** Combs whose primary is here and of which the peer is a member; and the other way round. */
  readonly ours = new Digest();
  readonly theirs = new Digest();
  /** Requests in a row whose digest did not match. */
  mismatches = 0;

  /**
   * @param grantedUntilUs - what an earlier life of this process may have granted
   */
  constructor(index: number, key: number, nowUs: Micros, grantedUntilUs: Micros) {
    this.index = index;
    this.key = key;
    this.downSinceUs = nowUs;
    this.grantedUntilUs = grantedUntilUs;
  }

  /** The device at the other end is in this life now. */
  setIncarnation(incarnation: number): void {
    if (incarnation === this.incarnation) return;
    this.incarnation = incarnation;
    this.durableLsnBefore = Math.max(this.durableLsnBefore, this.durableLsn);
    this.durableLsn = 0;
  }

  /** Some comb is shared with it: a link is wanted. */
  wanted(): boolean {
    return this.ours.combs + this.theirs.combs > 0;
  }
}
