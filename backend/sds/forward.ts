// What a primary forwards to other members (C3, C12): frames PEER_WRITE, PEER_ZERO and PEER_FLUSH, numbered per link. It
// owns the numbering and the count of what is outstanding; it must never choose to whom something goes.

import type { Region } from '../core/ports.js';
import { FLAG, MSG } from '../protocol/generated/constants.js';
import {
  setAuthority,
  setChunkIndex,
  setComb,
  setCombLog2,
  setFlags,
  setGenerationEpoch,
  setGenerationNumber,
  setLengthSectors,
  setOffsetSectors,
  setOpHigh,
  setOpLow,
  setVolumeEpoch,
  setVolumeKey,
} from '../protocol/generated/frame-head.js';
import { encodeControl } from '../protocol/control.js';
import type { ControlCode } from '../protocol/control.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import { sendFrame } from '../protocol/send.js';
import type { ControlBodies } from '../protocol/generated/types.js';
import type { Comb, Member } from './comb.js';
import { closeFrame, openFrame } from './data-frame.js';
import type { PeerDevice } from './peer.js';
import type { ForwardPart, Shared } from './shared.js';
import type { WriteContext } from './store/store.js';

/** Nobody waits for what was forwarded. */
const NO_HANDLE = 0;
/** A forwarded change names its V-tree behind everything else. */
export const VTREE_BYTES = 4;
/** And a merge the layer below. */
export const MERGE_BYTES = 8;

export class Forward implements ForwardPart {
  private readonly shared: Shared;
  constructor(shared: Shared) {
    this.shared = shared;
  }

  write(
    member: Member,
    comb: Comb,
    context: WriteContext,
    flags: number,
    handle: number,
    bytes: Uint8Array,
    crcsAt: number,
  ): number {
    const { blockBytes } = this.shared.geometry;
    const crcBytes = 4 * context.blockCount;
    const payloadBytes = crcBytes + context.blockCount * blockBytes;
    const tag = this.number(member.peer, flags, handle, context.blockCount);
    const region = this.open(
      member.peer,
      MSG.PEER_WRITE,
      tag,
      payloadBytes + VTREE_BYTES,
      comb,
      context,
      flags,
    );
    const bodyAt = region.at + HEADER_BYTES;
    region.bytes.set(bytes.subarray(crcsAt, crcsAt + payloadBytes), bodyAt);
    region.view.setUint32(bodyAt + payloadBytes, context.vtreeKey, true);
    closeFrame(region, crcBytes);
    return tag;
  }

  zero(member: Member, comb: Comb, context: WriteContext, flags: number, handle: number): number {
    const tag = this.number(member.peer, flags, handle, 0);
    const region = this.open(member.peer, MSG.PEER_ZERO, tag, VTREE_BYTES, comb, context, flags);
    region.view.setUint32(region.at + HEADER_BYTES, context.vtreeKey, true);
    closeFrame(region, VTREE_BYTES);
    return tag;
  }

  merge(
    member: Member,
    comb: Comb,
    context: WriteContext,
    flags: number,
    handle: number,
    parentKey: number,
  ): number {
    const { peer } = member;
    const tag = this.number(peer, flags, handle, 0);
    const region = this.open(peer, MSG.PEER_MERGE, tag, MERGE_BYTES, comb, context, flags);
    region.view.setUint32(region.at + HEADER_BYTES, context.vtreeKey, true);
    region.view.setUint32(region.at + HEADER_BYTES + VTREE_BYTES, parentKey, true);
    closeFrame(region, MERGE_BYTES);
    return tag;
  }

  flush(peer: PeerDevice): number {
    return this.control(peer, MSG.PEER_FLUSH, {}, true);
  }

  /**
   * A control frame that takes its number among what is forwarded.
   *
   * @param media - it must get durable soon
   */
  control<C extends ControlCode>(
    peer: PeerDevice,
    code: C,
    body: ControlBodies[C],
    media: boolean,
  ): number {
    const tag = this.number(peer, media ? FLAG.fua : 0, NO_HANDLE, 0);
    sendFrame(this.shared.links, peer.link, encodeControl(code, tag, 0, body, peer.version));
    return tag;
  }

  private number(peer: PeerDevice, flags: number, handle: number, blocks: number): number {
    const { out } = peer;
    if (!out.outstanding()) out.progressUs = this.shared.nowUs;
    out.blocks += blocks;
    const tag = out.ring.add(handle, out.blocks);
    if ((flags & FLAG.fua) !== 0) out.lastMediaTag = tag;
    else out.lastVolatileTag = tag;
    // Also what changes nothing here, such as a repair of the member alone, is settled there in the end.
    this.shared.parts.settling.forwarded();
    return tag;
  }

  private open(
    peer: PeerDevice,
    code: number,
    tag: number,
    bodyBytes: number,
    comb: Comb,
    context: WriteContext,
    flags: number,
  ): Region {
    const { links, pool, sectorsPerBlock } = this.shared;
    const region = openFrame(links, peer.link, peer.version, code, 0, tag, bodyBytes);
    const { view, at } = region;
    setCombLog2(view, at, pool?.pool.combCountLog2 ?? 0);
    setComb(view, at, comb.index);
    setGenerationEpoch(view, at, comb.epoch);
    setGenerationNumber(view, at, comb.number);
    setVolumeKey(view, at, context.volumeKey);
    setVolumeEpoch(view, at, context.volumeEpoch);
    setAuthority(view, at, context.run);
    setChunkIndex(view, at, context.chunkIndex);
    setOffsetSectors(view, at, context.firstBlock * sectorsPerBlock);
    setLengthSectors(view, at, context.blockCount * sectorsPerBlock);
    setOpLow(view, at, context.opLow);
    setOpHigh(view, at, context.opHigh);
    setFlags(view, at, context.masks ? flags | FLAG.masks : flags);
    return region;
  }
}
