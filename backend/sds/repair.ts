// Blocks that do not verify at the primary (C9): fetched from another in-sync member under the lock of the operation that
// found them, written back, and given to the reader. It owns the asking; it must never serve what did not verify.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { getStatus, getTag } from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import { LOAD } from './load-token.js';
import { OP_KIND, OP_PHASE } from './op.js';
import type { Op } from './op.js';
import { MutableExtent, sealBlocks, verifies } from './payload.js';
import { askBlocks } from './peer-read.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';
import { ROOM, STORE_STATUS, makeContext } from './store/store.js';

const MARKS = {
  found: mark('sds.repair: a block did not verify'),
  repaired: mark('sds.repair: a block was repaired from another copy'),
  lost: mark('sds.repair: no copy of a block verifies'),
  nextCopy: mark('sds.repair: another copy did not help'),
};

/** Whoever waits for the content. */
export interface RepairOwner {
  repaired(nowUs: Micros, op: Op): void;
  lost(nowUs: Micros, op: Op): void;
}

/** A tag carries the slot and as much of the serial as fits below the bit of copies. */
const SLOTS = 8192;
const SERIALS = 0x20000;
const ALL_ONES = 0xffffffff;

interface Place {
  readonly firstBlock: number;
  readonly blockCount: number;
  readonly at: number;
}

export class Repair {
  private readonly shared: Shared;
  private readonly owner: RepairOwner;
  private readonly extent = new MutableExtent();
  private readonly context = makeContext();

  constructor(shared: Shared, owner: RepairOwner) {
    this.shared = shared;
    this.owner = owner;
  }

  /** Takes the outcome of one read of the store. */
  note(op: Op, part: number, status: number, badLow: number, badHigh: number): void {
    if (status === STORE_STATUS.ok) return;
    if (status === STORE_STATUS.zero) {
      if (part === LOAD.range) op.zero = true;
      else this.zeroPlace(op, part);
      return;
    }
    MARKS.found.hits++;
    op.badParts |= 1 << part;
    const all = status === STORE_STATUS.failed;
    const isChain = op.layers.length > 1 && op.kind !== OP_KIND.merge;
    if (op.kind === OP_KIND.merge) op.badLayers[part] = op.parentKey;
    else op.badLayers[part] = isChain ? this.layerOf(badLow, badHigh, all) : op.layerKey;
    if (part !== LOAD.range) return;
    op.badLow = all ? ALL_ONES : badLow;
    op.badHigh = all ? ALL_ONES : badHigh;
    if (isChain) this.keepLayer(op);
  }

  /** Through a chain: the layer of the first block that does not verify; 0: nobody knows. */
  private layerOf(badLow: number, badHigh: number, all: boolean): number {
    if (all) return 0;
    const first =
      badLow !== 0 ? 31 - Math.clz32(badLow & -badLow) : 63 - Math.clz32(badHigh & -badHigh);
    return this.shared.store.badLayers[first] ?? 0;
  }

  /** One layer after the other: blocks of others are found again when it is read again. */
  private keepLayer(op: Op): void {
    const { badLayers } = this.shared.store;
    const layerKey = op.badLayers[LOAD.range] ?? 0;
    for (let index = 0; index < op.blockCount; index++) {
      if (!isBad(op, index) || badLayers[index] === layerKey) continue;
      op.readsAgain = true;
      if (index < 32) op.badLow = (op.badLow & ~(1 << index)) >>> 0;
      else op.badHigh = (op.badHigh & ~(1 << (index - 32))) >>> 0;
    }
  }

  /** Asks the next copy for the first of what does not verify. */
  next(nowUs: Micros, op: Op): void {
    const { comb } = op;
    assert(comb !== null && op.badParts !== 0, 'something does not verify');
    const isKnown = op.badLayers[lowestPart(op)] !== 0;
    const index = comb.members.findIndex(
      (member, at) =>
        isKnown && member.inSync && member.joined && (op.askedMembers & (1 << at)) === 0,
    );
    const member = comb.members[index];
    if (member === undefined) {
      MARKS.lost.hits++;
      this.shared.log.event('error', 'sds.block-lost', {
        volume: op.volume?.key ?? 0,
        layer: op.badLayers[lowestPart(op)] ?? 0,
        chunk: op.chunkIndex,
        block: op.firstBlock,
        blocks: op.blockCount,
      });
      op.repairPeer = -1;
      this.owner.lost(nowUs, op);
      return;
    }
    if (op.askedMembers !== 0) MARKS.nextCopy.hits++;
    op.askedMembers |= 1 << index;
    op.repairPeer = member.peer.index;
    this.ask(op, member.peer);
  }

  /** A PEER_READ_REPLY. */
  reply(
    nowUs: Micros,
    peer: PeerDevice,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): void {
    const tag = getTag(view, at);
    const op = this.shared.ops.at(tag % SLOTS);
    if (
      op?.phase !== OP_PHASE.repairing ||
      op.kind === OP_KIND.free ||
      op.serial % SERIALS !== Math.floor(tag / SLOTS) ||
      op.repairPeer !== peer.index
    )
      return;
    if (getStatus(view, at) !== 0 || !this.take(op, bytes, view, at + HEADER_BYTES, bodyBytes)) {
      this.next(nowUs, op);
      return;
    }
    MARKS.repaired.hits++;
    op.repairPeer = -1;
    op.askedMembers = 0;
    op.badParts &= op.badParts - 1;
    this.owner.repaired(nowUs, op);
  }

  /** A peer will not answer any more. */
  peerGone(nowUs: Micros, peer: PeerDevice): void {
    for (const op of this.shared.ops.inUse())
      if (op.phase === OP_PHASE.repairing && op.repairPeer === peer.index) this.next(nowUs, op);
  }

  private ask(op: Op, peer: PeerDevice): void {
    const { comb } = op;
    assert(comb !== null, 'an operation in use has its comb');
    const part = lowestPart(op);
    const { firstBlock, blockCount } = this.place(op, part);
    const tag = (op.serial % SERIALS) * SLOTS + op.slot;
    askBlocks(this.shared, peer, comb, tag, {
      volumeKey: op.badLayers[part] ?? 0,
      vtreeKey: op.vtreeKey,
      chunkIndex: op.chunkIndex,
      firstBlock,
      blockCount,
    });
  }

  /** Where the blocks of a part go. */
  private place(op: Op, part: number): Place {
    if (part === LOAD.range) return { firstBlock: op.firstBlock, blockCount: op.blockCount, at: 0 };
    const { blockBytes } = this.shared.geometry;
    const edge = 4 + blockBytes;
    const main = op.kind === OP_KIND.zero ? 2 * edge : op.blockCount * edge;
    return part === LOAD.first
      ? { firstBlock: op.firstBlock, blockCount: 1, at: main }
      : { firstBlock: op.firstBlock + op.blockCount - 1, blockCount: 1, at: main + edge };
  }

  private zeroPlace(op: Op, part: number): void {
    const place = this.place(op, part);
    op.buffer?.bytes.fill(0, place.at, place.at + 4 + this.shared.geometry.blockBytes);
  }

  /** Takes the bad blocks out of an answer; false: the answer does not verify either. */
  private take(
    op: Op,
    bytes: Uint8Array,
    view: DataView,
    bodyAt: number,
    bodyBytes: number,
  ): boolean {
    const { vtreeKey, buffer } = op;
    assert(buffer !== null, 'a loading operation has a buffer');
    const { blockBytes } = this.shared.geometry;
    const part = lowestPart(op);
    const { firstBlock, blockCount, at } = this.place(op, part);
    const extent = this.extent.setBlocks(
      vtreeKey,
      op.chunkIndex,
      firstBlock,
      blockCount,
      blockBytes,
    );
    const crcBytes = 4 * blockCount;
    const isZero = bodyBytes === 0;
    // Absent or zero: in a layer that others lie below that is not the same, and nobody may guess.
    if (isZero && op.layers.length > 1) return false;
    if (!isZero) {
      if (bodyBytes !== crcBytes + blockCount * blockBytes) return false;
      if (!verifies(extent, bytes, view, bodyAt, bodyAt + crcBytes)) return false;
    }
    for (let index = 0; index < blockCount; index++) {
      if (part === LOAD.range && !isBad(op, index)) continue;
      // Where it is absent over there, zeroes stand for it: in a chain only what was written here is the same.
      if (op.layers.length > 1 && !isSameSum(buffer.view, at, view, bodyAt, index)) return false;
      const dataAt = at + crcBytes + index * blockBytes;
      if (isZero) buffer.bytes.fill(0, dataAt, dataAt + blockBytes);
      else {
        const from = bodyAt + crcBytes + index * blockBytes;
        buffer.bytes.set(bytes.subarray(from, from + blockBytes), dataAt);
      }
      const block = this.extent.setBlocks(
        vtreeKey,
        op.chunkIndex,
        firstBlock + index,
        1,
        blockBytes,
      );
      sealBlocks(block, buffer.bytes, buffer.view, at + 4 * index, dataAt);
      this.writeBack(op, op.badLayers[part] ?? 0, firstBlock + index, at + 4 * index, dataAt);
    }
    return true;
  }

  /** The copy here is made right again; content is the same on all copies, so nothing is forwarded. */
  private writeBack(op: Op, layerKey: number, block: number, crcAt: number, dataAt: number): void {
    const { comb, volume, buffer } = op;
    assert(comb !== null && buffer !== null, 'the operation is loading');
    if (this.shared.store.room(layerKey, op.chunkIndex, block, 1) !== ROOM.ok) return;
    const { context } = this;
    context.comb = comb.index;
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    context.volumeKey = layerKey;
    context.vtreeKey = op.vtreeKey;
    context.volumeEpoch = volume?.epoch ?? 0;
    context.masks = this.shared.volumes.isLayered(layerKey);
    context.chunkIndex = op.chunkIndex;
    context.firstBlock = block;
    context.blockCount = 1;
    this.shared.store.write(context, buffer.bytes, crcAt, dataAt);
    this.shared.parts.settling.appended(1);
  }
}

function lowestPart(op: Op): number {
  return 31 - Math.clz32(op.badParts & -op.badParts);
}

function isBad(op: Op, index: number): boolean {
  return index < 32 ? ((op.badLow >>> index) & 1) === 1 : ((op.badHigh >>> (index - 32)) & 1) === 1;
}

/** Whether the checksum of a block, of those that lie at both places, is the same. */
function isSameSum(
  one: DataView,
  oneAt: number,
  other: DataView,
  otherAt: number,
  index: number,
): boolean {
  return one.getUint32(oneAt + 4 * index, true) === other.getUint32(otherAt + 4 * index, true);
}
