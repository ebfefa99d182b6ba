// The records of the log in memory, without their data: which client operations were applied (C10), which ranges are not
// settled (C6, C7). It owns a ring indexed by LSN and a hash of operation ids; it must never decide what is trimmed.

import { assert } from '../../core/assert.js';

import type { OpRef, UnsettledRange, WriteContext } from './store.js';

const NONE = -1;

/** By LSN of a change, the newest record that notes it. A merge is a change of two layers: the other one is in `second`. */
interface NewestNotes {
  readonly first: Map<number, number>;
  readonly second: Map<number, number>;
}

export class OpRing {
  readonly capacity: number;
  /** LSNs from here on are held. */
  tailLsn = 1;
  /** LSN of the change; differs from the slot's LSN when it was noted again. 0: nothing of interest. */
  readonly originLsns: Float64Array;
  readonly runs: Uint32Array;
  readonly opLows: Uint32Array;
  readonly opHighs: Uint16Array;
  readonly combs: Uint32Array;
  readonly epochs: Uint32Array;
  readonly numbers: Uint32Array;
  readonly volumeKeys: Uint32Array;
  readonly vtreeKeys: Uint32Array;
  readonly volumeEpochs: Uint32Array;
  readonly chunkIndexes: Uint32Array;
  readonly firstBlocks: Uint16Array;
  readonly blockCounts: Uint16Array;
  private readonly heads: Int32Array;
  private readonly nexts: Int32Array;
  private readonly mask: number;

  /** @param capacity - a power of two: records that the log may hold */
  constructor(capacity: number) {
    assert((capacity & (capacity - 1)) === 0, 'the ring is a power of two');
    this.capacity = capacity;
    this.mask = capacity - 1;
    this.originLsns = new Float64Array(capacity);
    this.runs = new Uint32Array(capacity);
    this.opLows = new Uint32Array(capacity);
    this.opHighs = new Uint16Array(capacity);
    this.combs = new Uint32Array(capacity);
    this.epochs = new Uint32Array(capacity);
    this.numbers = new Uint32Array(capacity);
    this.volumeKeys = new Uint32Array(capacity);
    this.vtreeKeys = new Uint32Array(capacity);
    this.volumeEpochs = new Uint32Array(capacity);
    this.chunkIndexes = new Uint32Array(capacity);
    this.firstBlocks = new Uint16Array(capacity);
    this.blockCounts = new Uint16Array(capacity);
    this.heads = new Int32Array(capacity).fill(NONE);
    this.nexts = new Int32Array(capacity);
  }

  private hash(run: number, opLow: number, opHigh: number): number {
    let mix =
      Math.imul(run, 0x9e3779b1) ^ Math.imul(opLow, 0x85ebca6b) ^ Math.imul(opHigh, 0xc2b2ae35);
    mix ^= mix >>> 15;
    return (Math.imul(mix, 0x2c1b3c6d) >>> 7) & this.mask;
  }

  slotOf(lsn: number): number {
    return lsn % this.capacity;
  }

  /** The slot of a new record. One that took the place of an unsettled change would lose it for C6 and C7. */
  private freeSlot(lsn: number): number {
    assert(lsn - this.tailLsn < this.capacity, 'a new record finds a free place in the ring');
    return this.slotOf(lsn);
  }

  /** A record that is neither an operation nor a change of a range. */
  addPlain(lsn: number): void {
    const slot = this.freeSlot(lsn);
    this.originLsns[slot] = 0;
    this.runs[slot] = 0;
  }

  add(lsn: number, context: WriteContext, originLsn: number): void {
    const slot = this.freeSlot(lsn);
    this.originLsns[slot] = originLsn;
    this.combs[slot] = context.comb;
    this.epochs[slot] = context.generationEpoch;
    this.numbers[slot] = context.generationNumber;
    this.volumeKeys[slot] = context.volumeKey;
    this.vtreeKeys[slot] = context.vtreeKey;
    this.volumeEpochs[slot] = context.volumeEpoch;
    this.chunkIndexes[slot] = context.chunkIndex;
    this.firstBlocks[slot] = context.firstBlock;
    this.blockCounts[slot] = context.blockCount;
    this.runs[slot] = context.run;
    this.opLows[slot] = context.opLow;
    this.opHighs[slot] = context.opHigh;
    if (context.run === 0) return;
    const head = this.hash(context.run, context.opLow, context.opHigh);
    this.nexts[slot] = this.heads[head] ?? NONE;
    this.heads[head] = slot;
  }

  /** Copies a slot into a context, to note it again. */
  load(slot: number, context: WriteContext): void {
    context.comb = this.combs[slot] ?? 0;
    context.generationEpoch = this.epochs[slot] ?? 0;
    context.generationNumber = this.numbers[slot] ?? 0;
    context.volumeKey = this.volumeKeys[slot] ?? 0;
    context.vtreeKey = this.vtreeKeys[slot] ?? 0;
    context.volumeEpoch = this.volumeEpochs[slot] ?? 0;
    context.chunkIndex = this.chunkIndexes[slot] ?? 0;
    context.firstBlock = this.firstBlocks[slot] ?? 0;
    context.blockCount = this.blockCounts[slot] ?? 0;
    context.run = this.runs[slot] ?? 0;
    context.opLow = this.opLows[slot] ?? 0;
    context.opHigh = this.opHighs[slot] ?? 0;
  }

  knows(run: number, opLow: number, opHigh: number): boolean {
    let slot = this.heads[this.hash(run, opLow, opHigh)] ?? NONE;
    for (; slot !== NONE; slot = this.nexts[slot] ?? NONE) {
      const same =
        this.runs[slot] === run && this.opLows[slot] === opLow && this.opHighs[slot] === opHigh;
      if (same) return true;
    }
    return false;
  }

  /** Whether no newer slot holds the same operation. */
  isNewest(slot: number): boolean {
    const run = this.runs[slot];
    const opLow = this.opLows[slot];
    const opHigh = this.opHighs[slot];
    // Chains begin with what was added last.
    let place = this.heads[this.hash(run ?? 0, opLow ?? 0, opHigh ?? 0)] ?? NONE;
    for (; place !== NONE; place = this.nexts[place] ?? NONE) {
      if (place === slot) return true;
      if (
        this.runs[place] === run &&
        this.opLows[place] === opLow &&
        this.opHighs[place] === opHigh
      )
        return false;
    }
    return true;
  }

  /** Which changes were noted again, and by which records last. */
  newestNotes(lastLsn: number): NewestNotes {
    const newest: NewestNotes = { first: new Map(), second: new Map() };
    for (let lsn = this.tailLsn; lsn <= lastLsn; lsn++) {
      const originLsn = this.originLsns[this.slotOf(lsn)] ?? 0;
      if (originLsn === 0 || originLsn === lsn) continue;
      const before = newest.first.get(originLsn) ?? lsn;
      if (!this.isSameLayer(before, lsn)) newest.second.set(originLsn, before);
      newest.first.set(originLsn, lsn);
    }
    return newest;
  }

  /** Whether a later record notes the same change of the same layer. */
  isNotedLater(lsn: number, { first, second }: NewestNotes): boolean {
    const originLsn = this.originLsns[this.slotOf(lsn)] ?? 0;
    if (originLsn === 0) return false;
    for (const notes of [first, second]) {
      const noted = notes.get(originLsn) ?? lsn;
      if (noted > lsn && this.isSameLayer(noted, lsn)) return true;
    }
    return false;
  }

  private isSameLayer(lsn: number, otherLsn: number): boolean {
    return this.volumeKeys[this.slotOf(lsn)] === this.volumeKeys[this.slotOf(otherLsn)];
  }

  /** Forgets the operation of a slot; its range stays. */
  forgetOp(slot: number): void {
    const run = this.runs[slot] ?? 0;
    if (run === 0) return;
    const head = this.hash(run, this.opLows[slot] ?? 0, this.opHighs[slot] ?? 0);
    this.runs[slot] = 0;
    const next = this.nexts[slot] ?? NONE;
    let place = this.heads[head] ?? NONE;
    if (place === slot) {
      this.heads[head] = next;
      return;
    }
    while (place !== NONE && this.nexts[place] !== slot) place = this.nexts[place] ?? NONE;
    assert(place !== NONE, 'an operation is in its chain');
    this.nexts[place] = next;
  }

  /** Forgets the operations of a comb up to `lastLsn`. */
  forgetComb(comb: number, lastLsn: number): void {
    for (let lsn = this.tailLsn; lsn <= lastLsn; lsn++) {
      const slot = this.slotOf(lsn);
      if (this.runs[slot] !== 0 && this.combs[slot] === comb) this.forgetOp(slot);
    }
  }

  /** Forgets everything before `lsn`. */
  trim(lsn: number): void {
    for (; this.tailLsn < lsn; this.tailLsn++) {
      const slot = this.slotOf(this.tailLsn);
      this.forgetOp(slot);
      this.originLsns[slot] = 0;
    }
  }

  isUnsettled(slot: number, settledLsn: number): boolean {
    return (this.originLsns[slot] ?? 0) > settledLsn;
  }

  *unsettled(comb: number, settledLsn: number, lastLsn: number): Generator<UnsettledRange> {
    for (let lsn = this.tailLsn; lsn <= lastLsn; lsn++) {
      const slot = this.slotOf(lsn);
      if (this.combs[slot] !== comb || !this.isUnsettled(slot, settledLsn)) continue;
      yield {
        comb,
        volumeKey: this.volumeKeys[slot] ?? 0,
        vtreeKey: this.vtreeKeys[slot] ?? 0,
        chunkIndex: this.chunkIndexes[slot] ?? 0,
        firstBlock: this.firstBlocks[slot] ?? 0,
        blockCount: this.blockCounts[slot] ?? 0,
      };
    }
  }

  *ops(comb: number, lastLsn: number): Generator<OpRef> {
    for (let lsn = this.tailLsn; lsn <= lastLsn; lsn++) {
      const slot = this.slotOf(lsn);
      const run = this.runs[slot] ?? 0;
      if (run === 0 || this.combs[slot] !== comb) continue;
      yield { run, opLow: this.opLows[slot] ?? 0, opHigh: this.opHighs[slot] ?? 0 };
    }
  }
}
