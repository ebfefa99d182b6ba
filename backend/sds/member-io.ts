// What another data process forwards to this one as a member of its combs: changes in order, and their acknowledgement. It
// owns the checks of a forwarded change (C1, C2) and the batching of acknowledgements. It must never refuse for any reason
// but the generation, except that it leaves the set when it has no room (C12), or when a client's change goes to a layer that
// is frozen: what a snapshot reads never changes. Copies and merges do go there.

import { mark } from '../core/marks.js';
import { ERR, FLAG, MSG } from '../protocol/generated/constants.js';
import {
  getAuthority,
  getChunkIndex,
  getCode,
  getComb,
  getCombLog2,
  getFlags,
  getGenerationEpoch,
  getGenerationNumber,
  getLengthSectors,
  getOffsetSectors,
  getOpHigh,
  getOpLow,
  getTag,
  getVolumeEpoch,
  getVolumeKey,
  setAuthority,
  setChunkIndex,
  setOpLow,
} from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import { PART } from './comb.js';
import type { Comb } from './comb.js';
import type { CopyLimits } from './copy-limits.js';
import { writeWaits } from './copy-waits.js';
import { copyKindHere } from './copy-work.js';
import { closeFrame, openFrame, sendBytes, setDurable } from './data-frame.js';
import { MERGE_BYTES, VTREE_BYTES } from './forward.js';
import { MutableExtent, verifies } from './payload.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';
import { ROOM, makeContext } from './store/store.js';
import { tagAfter, tagDistance } from './tag-ring.js';

/** A peer that was granted less is told when there is more: without changes it gets no acknowledgement otherwise. */
const CREDIT_LOW_BLOCKS = 65_536;

const MARKS = {
  stale: mark('sds.member: refused a forwarded change of another generation'),
  overtook: mark('sds.member: took a change of the generation before'),
  stalled: mark('sds.member: a peer link waits for room'),
  full: mark('sds.member: no room for a forwarded change'),
  frozen: mark('sds.member: refused a change of a client to a frozen layer'),
  removed: mark('sds.member: ignored a change of a removed volume'),
  merged: mark('sds.member: merged a chunk of a layer into its child'),
};

/** What became of a forwarded frame. */
export const TAKEN = { yes: 0, later: 1, broken: 2 } as const;
export type Taken = (typeof TAKEN)[keyof typeof TAKEN];

const NOTHING = new Uint8Array(0);
const NO_CONTEXT = makeContext();
export class MemberIo {
  private readonly shared: Shared;
  private readonly limits: CopyLimits;
  /** Something was written to a chunk of a layer. */
  private readonly changed: (layerKey: number, chunkIndex: number) => void;
  private readonly context = makeContext();
  private readonly extent = new MutableExtent();

  constructor(
    shared: Shared,
    limits: CopyLimits,
    changed: (layerKey: number, chunkIndex: number) => void,
  ) {
    this.changed = changed;
    this.shared = shared;
    this.limits = limits;
  }

  /** PEER_WRITE or PEER_ZERO. */
  change(
    peer: PeerDevice,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): Taken {
    const tag = getTag(view, at);
    if (tag !== tagAfter(peer.in.ring.last)) return TAKEN.broken;
    const isWrite = getCode(view, at) === MSG.PEER_WRITE;
    const { blockBytes, sectorBytes } = this.shared.geometry;
    const vtreeAt = at + HEADER_BYTES + bodyBytes - VTREE_BYTES;
    if (bodyBytes < VTREE_BYTES) return TAKEN.broken;
    const extent = this.extent.setSectors(
      view.getUint32(vtreeAt, true),
      getChunkIndex(view, at),
      getOffsetSectors(view, at) * sectorBytes,
      getLengthSectors(view, at) * sectorBytes,
      blockBytes,
    );
    const payloadBytes = isWrite ? extent.blockCount * (4 + blockBytes) : 0;
    if (
      extent.blockCount === 0 ||
      extent.headBytes !== 0 ||
      extent.lengthBytes !== extent.blockCount * blockBytes ||
      extent.firstBlock + extent.blockCount > this.shared.geometry.chunkBlocks ||
      bodyBytes !== payloadBytes + VTREE_BYTES
    )
      return TAKEN.broken;
    const comb = this.accept(peer, view, at);
    if (comb === null) return this.refuse(peer, tag, ERR.STALE_GENERATION, getComb(view, at));
    const bodyAt = at + HEADER_BYTES;
    if (isWrite && !verifies(extent, bytes, view, bodyAt, bodyAt + 4 * extent.blockCount))
      return TAKEN.broken;
    return this.apply(peer, comb, tag, isWrite, bytes, view, at);
  }

  /** PEER_MERGE. */
  merge(peer: PeerDevice, view: DataView, at: number, bodyBytes: number): Taken {
    const tag = getTag(view, at);
    if (tag !== tagAfter(peer.in.ring.last) || bodyBytes !== MERGE_BYTES) return TAKEN.broken;
    const { store, volumes, geometry } = this.shared;
    const { context, extent } = this;
    const vtreeKey = view.getUint32(at + HEADER_BYTES, true);
    const parentKey = view.getUint32(at + HEADER_BYTES + VTREE_BYTES, true);
    const childKey = getVolumeKey(view, at);
    const chunkIndex = getChunkIndex(view, at);
    extent.setBlocks(vtreeKey, chunkIndex, 0, geometry.chunkBlocks, geometry.blockBytes);
    const comb = this.accept(peer, view, at);
    if (comb === null) return this.refuse(peer, tag, ERR.STALE_GENERATION, getComb(view, at));
    const media = (getFlags(view, at) & FLAG.fua) !== 0;
    if (volumes.isFreed(childKey) || volumes.isFreed(parentKey)) {
      MARKS.removed.hits++;
      this.added(peer, store.lastLsn, media);
      return TAKEN.yes;
    }
    const room = store.mergeRoom(childKey, parentKey, chunkIndex, true);
    if (room === ROOM.wait) return this.stall(peer);
    if (room === ROOM.full) {
      MARKS.full.hits++;
      return this.refuse(peer, tag, ERR.NO_SPACE, comb.index);
    }
    Object.assign(context, NO_CONTEXT);
    context.comb = comb.index;
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    context.volumeKey = childKey;
    context.vtreeKey = vtreeKey;
    context.chunkIndex = chunkIndex;
    this.added(peer, store.merge(context, parentKey), media);
    MARKS.merged.hits++;
    return TAKEN.yes;
  }

  /** The link waits for room. */
  stall(peer: PeerDevice): Taken {
    MARKS.stalled.hits++;
    peer.stalled = true;
    return TAKEN.later;
  }

  /** PEER_FLUSH and other numbered frames: they hold with what was appended so far. */
  note(peer: PeerDevice, tag: number, media: boolean): Taken {
    if (tag !== tagAfter(peer.in.ring.last)) return TAKEN.broken;
    this.added(peer, this.shared.store.lastLsn, media);
    return TAKEN.yes;
  }

  /** Says to each peer how far this device is, where there is news. Once per batch of inputs. */
  acknowledge(): void {
    for (const peer of this.shared.peers) {
      if (!peer.up) continue;
      if (peer.in.dirty) this.acknowledgeTo(peer);
      if (this.grantsMore(peer)) this.sendAcknowledgement(peer);
    }
  }

  /** The store may have room again. */
  resumeStalled(): void {
    for (const peer of this.shared.peers) {
      if (!peer.stalled) continue;
      peer.stalled = false;
      if (peer.up) this.shared.links.resume(peer.link);
    }
  }

  /** The comb of a forwarded frame if the sender may forward to it under that generation, else null. */
  accept(peer: PeerDevice, view: DataView, at: number, extent = this.extent): Comb | null {
    const comb = this.shared.comb(getComb(view, at));
    const log2 = this.shared.pool?.pool.combCountLog2;
    if (comb?.joinedFrom !== peer || comb.primary !== peer) return null;
    if (comb.part !== PART.inSync && comb.part !== PART.target) return null;
    if (
      getGenerationEpoch(view, at) !== comb.joinedEpoch ||
      getGenerationNumber(view, at) !== comb.joinedNumber
    )
      return null;
    if (log2 !== undefined && getCombLog2(view, at) !== log2) return null;
    if (!comb.isAt(comb.joinedEpoch, comb.joinedNumber)) MARKS.overtook.hits++;
    return this.shared.pool === null ||
      this.shared.pool.combOf(extent.vtreeKey, extent.chunkIndex) === comb.index
      ? comb
      : null;
  }

  private apply(
    peer: PeerDevice,
    comb: Comb,
    tag: number,
    isWrite: boolean,
    bytes: Uint8Array,
    view: DataView,
    at: number,
  ): Taken {
    const { store, volumes } = this.shared;
    const { context, extent } = this;
    const flags = getFlags(view, at);
    const media = (flags & FLAG.fua) !== 0;
    const named = (flags & FLAG.copied) === 0;
    const volumeKey = getVolumeKey(view, at);
    if (volumes.isFreed(volumeKey)) {
      MARKS.removed.hits++;
      this.added(peer, store.lastLsn, media);
      return TAKEN.yes;
    }
    // A target becomes what the primary is, in every layer; who is in sync holds what the snapshot is.
    if (named && comb.part === PART.inSync && volumes.isFrozen(volumeKey)) {
      MARKS.frozen.hits++;
      return this.refuse(peer, tag, ERR.STALE_VOLUME_EPOCH, comb.index);
    }
    // Zeroes need no units, but a place in the log.
    const needed = isWrite ? extent.blockCount : 0;
    const masks = (flags & FLAG.masks) !== 0;
    const room =
      masks && !isWrite
        ? store.maskRoom(volumeKey, extent.chunkIndex, true)
        : store.room(volumeKey, extent.chunkIndex, extent.firstBlock, needed, true);
    if (room === ROOM.wait) return this.stall(peer);
    if (room === ROOM.full) {
      MARKS.full.hits++;
      return this.refuse(peer, tag, ERR.NO_SPACE, comb.index);
    }
    context.comb = comb.index;
    // The stamp is of the entry that this device goes by, which may be one newer than the sender's.
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    context.volumeKey = volumeKey;
    context.vtreeKey = extent.vtreeKey;
    context.volumeEpoch = getVolumeEpoch(view, at);
    context.chunkIndex = extent.chunkIndex;
    context.firstBlock = extent.firstBlock;
    context.blockCount = extent.blockCount;
    context.run = named ? getAuthority(view, at) : 0;
    context.opLow = named ? getOpLow(view, at) : 0;
    context.opHigh = named ? getOpHigh(view, at) : 0;
    context.masks = masks;
    const crcsAt = at + HEADER_BYTES;
    const lsn = isWrite
      ? store.write(context, bytes, crcsAt, crcsAt + 4 * extent.blockCount)
      : store.zero(context, (flags & FLAG.discard) !== 0);
    if (!named && isWrite) this.copied(comb, extent.blockCount * this.shared.geometry.blockBytes);
    this.added(peer, lsn, media);
    this.changed(volumeKey, extent.chunkIndex);
    return TAKEN.yes;
  }

  private copied(comb: Comb, bytes: number): void {
    const kind = copyKindHere(comb, this.shared.deviceKey);
    this.shared.copies.of(kind).wrote(bytes);
    if (comb.part === PART.target) this.limits.arrived(this.shared.nowUs, kind, bytes);
  }

  private added(peer: PeerDevice, lsn: number, media: boolean): void {
    const tag = peer.in.ring.add(lsn, media ? 1 : 0);
    if (media) this.shared.store.wantDurable(lsn);
    else peer.in.lastVolatileTag = tag;
    peer.in.dirty = true;
  }

  private refuse(peer: PeerDevice, tag: number, status: number, combIndex: number): Taken {
    if (status === ERR.STALE_GENERATION) MARKS.stale.hits++;
    const comb: Comb | undefined = this.shared.comb(combIndex);
    const entry = comb?.entryBytes ?? NOTHING;
    sendBytes(this.shared.links, peer.link, peer.version, MSG.PEER_REFUSED, status, tag, entry);
    this.added(peer, this.shared.store.lastLsn, false);
    return TAKEN.yes;
  }

  private acknowledgeTo(peer: PeerDevice): void {
    const incoming = peer.in;
    const { ring } = incoming;
    const { writtenLsn, durableLsn } = this.shared.store;
    let written = incoming.writtenTag;
    let durable = incoming.durableTag;
    while (ring.has(tagAfter(durable)) && ring.value(tagAfter(durable)) <= durableLsn)
      durable = tagAfter(durable);
    if (tagDistance(durable, written) > 0) written = durable;
    while (ring.has(tagAfter(written)) && ring.value(tagAfter(written)) <= writtenLsn)
      written = tagAfter(written);
    const volatileNews =
      tagDistance(incoming.lastVolatileTag, incoming.writtenTag) > 0 &&
      written !== incoming.writtenTag;
    if (durable === incoming.durableTag && !volatileNews) return;
    incoming.writtenTag = written;
    incoming.durableTag = durable;
    incoming.dirty = durable !== ring.last;
    this.dropSettled(peer);
    this.sendAcknowledgement(peer);
  }

  /** Tells how far the peer's changes are here, and how much room there is for more. */
  private sendAcknowledgement(peer: PeerDevice): void {
    const { links } = this.shared;
    const { durableTag, writtenTag } = peer.in;
    const { store } = this.shared;
    const credit = this.share(store.freeBlocks());
    const thinCredit = Math.min(credit, this.share(store.thinBlocks()));
    const region = openFrame(links, peer.link, peer.version, MSG.PEER_ACK, 0, durableTag, 0);
    setOpLow(region.view, region.at, writtenTag);
    setAuthority(region.view, region.at, credit);
    setChunkIndex(region.view, region.at, credit - thinCredit);
    writeWaits(region, this.shared.nowUs, this.limits);
    setDurable(region, store.durableLsn);
    closeFrame(region, 0);
    peer.in.creditTold = credit;
    peer.in.thinCreditTold = thinCredit;
  }

  /** SETTLED by the peer. */
  settled(peer: PeerDevice, tag: number): Taken {
    if (tagDistance(tag, peer.in.ring.last) > 0) return TAKEN.broken;
    if (tagDistance(tag, peer.in.settledTag) > 0) peer.in.settledTag = tag;
    this.dropSettled(peer);
    return TAKEN.yes;
  }

  private dropSettled(peer: PeerDevice): void {
    const { ring, settledTag, durableTag } = peer.in;
    ring.drop(tagDistance(settledTag, durableTag) > 0 ? durableTag : settledTag);
  }

  /** Where what was granted may be too little for one request, every block more counts: a write may wait for it. */
  private grantsMore(peer: PeerDevice): boolean {
    const { creditTold, thinCreditTold } = peer.in;
    if (thinCreditTold >= CREDIT_LOW_BLOCKS) return false;
    const { store } = this.shared;
    return (
      this.isMuchMore(this.share(store.thinBlocks()), thinCreditTold) ||
      (creditTold < CREDIT_LOW_BLOCKS &&
        this.isMuchMore(this.share(store.freeBlocks()), creditTold))
    );
  }

  private isMuchMore(credit: number, told: number): boolean {
    return credit > (told < this.shared.ioBlocksMax ? told : 2 * told);
  }

  /** Every peer may use its share of the room, and so may this device as primary (C12). */
  private share(blocks: number): number {
    let sharers = 1;
    for (const peer of this.shared.peers) if (peer.up) sharers++;
    return Math.min(0xffffffff, Math.floor(blocks / sharers));
  }
}
