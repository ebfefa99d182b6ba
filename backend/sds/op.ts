// Operations of clients at the primary, pooled. It owns their fields and their slots; what becomes of an operation is
// decided by the parts that hold it. All fields are set once in the constructor, in one order, so that all operations
// have one shape; nothing is allocated while operations come and go.

import { assert } from '../core/assert.js';
import type { Micros } from '../core/ports.js';
import type { PayloadBuffer } from './buffers.js';
import type { Client } from './clients.js';
import type { Comb } from './comb.js';
import { LIMIT } from '../protocol/generated/constants.js';
import { LockRequest } from './range-lock.js';
import type { Volume } from './volumes.js';

export const OP_KIND = {
  free: 0,
  read: 1,
  write: 2,
  zero: 3,
  flush: 4,
  describe: 5,
  merge: 6,
} as const;
export type OpKind = (typeof OP_KIND)[keyof typeof OP_KIND];

/** Whether it changes nothing: it shares its blocks with others of that kind. */
export function isShared(kind: OpKind): boolean {
  return kind === OP_KIND.read || kind === OP_KIND.describe;
}

/** locking: nothing happened yet. loading: reads from the store. repairing: reads from a peer. applied: awaits copies. */
export const OP_PHASE = { locking: 0, loading: 1, repairing: 2, applied: 3 } as const;
export type OpPhase = (typeof OP_PHASE)[keyof typeof OP_PHASE];

/** Other members that an operation can wait for. */
const WAITS_MAX = LIMIT.combMembersMax - 1;
const NOBODY = -1;
const NO_LAYERS: readonly number[] = [];

export class Op extends LockRequest {
  readonly slot: number;
  /** Goes up each time the slot is used: tells an operation from an earlier one in its slot. */
  serial = 0;
  kind: OpKind = OP_KIND.free;
  phase: OpPhase = OP_PHASE.locking;
  /** Who gets the answer, null: nobody any more. */
  client: Client | null = null;
  tag = 0;
  sdcKey = 0;
  run = 0;
  opLow = 0;
  opHigh = 0;
  flags = 0;
  /** Mapping generation by which it was admitted. */
  authority = 0;
  /** It was revoked since, or all I/O was stopped: error by which it ends where it has not begun. 0: it may go on. */
  revoked = 0;
  volume: Volume | null = null;
  comb: Comb | null = null;
  vtreeKey = 0;
  /** Chain of the volume when it was admitted; the first layer is written. */
  layers: readonly number[] = NO_LAYERS;
  layerKey = 0;
  /** Zeroes must hide what layers below hold of the chunk. */
  masks = false;
  /** Of a merge: the layer that goes. */
  parentKey = 0;
  chunkIndex = 0;
  offsetSectors = 0;
  lengthSectors = 0;
  firstBlock = 0;
  blockCount = 0;
  startedUs: Micros = 0;
  /** Log position of the change here. */
  lsn = 0;
  needMedia = false;
  /** This device has not reported it stable yet. */
  waitsHere = false;
  /** Number of peers that have not acknowledged it. */
  waits = 0;
  /** Which: index of the peer, and tag under which it was forwarded (0: not on the present link). */
  readonly waitPeers: Int32Array = new Int32Array(WAITS_MAX).fill(NOBODY);
  readonly waitTags: Float64Array = new Float64Array(WAITS_MAX);
  /** Payload of a write that waits, or blocks on their way to a reader. */
  buffer: PayloadBuffer | null = null;
  /** The range begins or ends inside a block. */
  partial = false;
  /** A reader gets zeroes: nothing is in the buffer. */
  zero = false;
  /** What it read came from the read cache. */
  cached = false;
  /** Reads from the store that have not ended. */
  loads = 0;
  /** Reads that did not verify, bit 0: of the range, 1: first block, 2: last block; and which blocks of the range (C9). */
  badParts = 0;
  badLow = 0;
  badHigh = 0;
  /** By part: the layer in which they lie; 0: nobody knows. */
  readonly badLayers: Uint32Array = new Uint32Array(3);
  /** Blocks of other layers did not verify either: it is read again after these are repaired, and how often it was. */
  readsAgain = false;
  timesAgain = 0;
  /** Members that were asked for the present one of them, as a mask of indexes; and the peer that is asked now, or -1. */
  askedMembers = 0;
  repairPeer = NOBODY;
  nextFree: Op | null = null;

  constructor(slot: number) {
    super();
    this.slot = slot;
  }

  /** Waits for a peer's acknowledgement of this tag. */
  waitFor(peerIndex: number, tag: number): void {
    const { waitPeers } = this;
    for (let index = 0; index < WAITS_MAX; index++) {
      if (waitPeers[index] !== NOBODY) continue;
      waitPeers[index] = peerIndex;
      this.waitTags[index] = tag;
      this.waits++;
      return;
    }
    assert(false, 'a comb has at most four members');
  }

  /** Notes a new tag for a peer that is waited for already; false: it is not. */
  waitAgain(peerIndex: number, tag: number): boolean {
    const index = this.placeOf(peerIndex);
    if (index < 0) return false;
    this.waitTags[index] = tag;
    return true;
  }

  /** The tag that is waited for at a peer, or -1. */
  tagAt(peerIndex: number): number {
    const index = this.placeOf(peerIndex);
    return index < 0 ? -1 : (this.waitTags[index] ?? -1);
  }

  /** A search of three places costs less than the call of a built-in one. */
  private placeOf(peerIndex: number): number {
    for (let index = 0; index < WAITS_MAX; index++)
      if (this.waitPeers[index] === peerIndex) return index;
    return -1;
  }

  /** The peer need not be waited for (any more); with a tag, only if it is waited for under that. */
  stopWaiting(peerIndex: number, tag = -1): boolean {
    const index = this.placeOf(peerIndex);
    if (index < 0 || (tag >= 0 && this.waitTags[index] !== tag)) return false;
    this.waitPeers[index] = NOBODY;
    this.waits--;
    return true;
  }
}

/** Slots fit beside a serial in one number, see `handleOf`. */
const SLOTS_MAX = 8192;

/** Operations by slot, made when first needed and kept. */
export class OpPool {
  private readonly ops: Op[] = [];
  private readonly countMax: number;
  private free: Op | null = null;
  private used = 0;
  private serial = 0;

  /** @param countMax - 1 .. 8191 */
  constructor(countMax: number) {
    assert(countMax >= 1 && countMax < SLOTS_MAX, 'slots fit into a handle');
    this.countMax = countMax;
  }

  /** Operations in use. */
  get size(): number {
    return this.used;
  }

  /** An operation with a new serial, or null when all are in use. */
  take(): Op | null {
    let op = this.free;
    if (op === null) {
      if (this.ops.length === this.countMax) return null;
      op = new Op(this.ops.length);
      this.ops.push(op);
    } else this.free = op.nextFree;
    op.nextFree = null;
    this.used++;
    op.serial = ++this.serial;
    op.phase = OP_PHASE.locking;
    op.revoked = 0;
    op.lsn = 0;
    op.needMedia = false;
    op.waitsHere = false;
    op.zero = false;
    op.cached = false;
    op.loads = 0;
    op.badParts = 0;
    op.badLow = 0;
    op.badHigh = 0;
    op.readsAgain = false;
    op.timesAgain = 0;
    op.masks = false;
    op.parentKey = 0;
    op.askedMembers = 0;
    op.repairPeer = NOBODY;
    return op;
  }

  give(op: Op): void {
    assert(op.kind !== OP_KIND.free, 'an operation is given back once');
    op.kind = OP_KIND.free;
    op.client = null;
    op.volume = null;
    op.comb = null;
    op.layers = NO_LAYERS;
    if (op.waits > 0) {
      op.waitPeers.fill(NOBODY);
      op.waits = 0;
    }
    op.nextFree = this.free;
    this.free = op;
    this.used--;
  }

  /** One number that names an operation for good, never 0. */
  handleOf(op: Op): number {
    return op.serial * SLOTS_MAX + op.slot;
  }

  /** The operation of a handle, or null when it is over. */
  find(handle: number): Op | null {
    const op = this.ops[handle % SLOTS_MAX];
    return op !== undefined &&
      op.kind !== OP_KIND.free &&
      op.serial === Math.floor(handle / SLOTS_MAX)
      ? op
      : null;
  }

  /** The operation in a slot, in use or not. */
  at(slot: number): Op | undefined {
    return this.ops[slot];
  }

  /** Operations in use, in order of slot. */
  *inUse(): Iterable<Op> {
    for (const op of this.ops) if (op.kind !== OP_KIND.free) yield op;
  }
}
