// Frames between this client and a primary: filled into the transmit buffer, verified in the receive buffer. It owns
// their layout as protocol/tables/messages.ts gives it; it must never decide what to send or what an answer means.

import { addressSeed, crc32Range } from '../core/checksum.js';
import type { Links } from '../core/ports.js';
import { HEADER_BYTES, sealFrame } from '../protocol/frames.js';
import { FLAG, FRAME, MSG } from '../protocol/generated/constants.js';
import {
  setAuthority,
  setBodyBytes,
  setChunkIndex,
  setCode,
  setComb,
  setCombLog2,
  setFlags,
  setGenerationEpoch,
  setGenerationNumber,
  setLengthSectors,
  setMagic,
  setOffsetSectors,
  setOpHigh,
  setOpLow,
  setTag,
  setVersion,
  setVolumeEpoch,
  setVolumeKey,
} from '../protocol/generated/frame-head.js';
import {
  OPEN_OPS_SINCE,
  openOpsBytes,
  opHighOf,
  opLowOf,
  putOpenOps,
  withoutOpen,
} from '../protocol/settled-ops.js';
import type { SettledOps } from '../protocol/settled-ops.js';

import { BLOCK_STATE, IO } from './block-front.js';
import type { DeviceLink } from './device-link.js';
import type { MappedVolume } from './mapped-volume.js';
import type { Op } from './op.js';

/** Sizes of the units, as all parts of a system agree on. */
export interface ClientGeometry {
  readonly sectorBytes: number;
  readonly blockBytes: number;
  readonly chunkBlocks: number;
}

/** Below this many bytes a loop beats a view and `set`. */
const COPY_LOOP_BYTES_MAX = 96;

function copy(
  from: Uint8Array,
  fromAt: number,
  to: Uint8Array,
  toAt: number,
  lengthBytes: number,
): void {
  if (lengthBytes > COPY_LOOP_BYTES_MAX) {
    to.set(from.subarray(fromAt, fromAt + lengthBytes), toAt);
    return;
  }
  for (let index = 0; index < lengthBytes; index++) to[toAt + index] = from[fromAt + index] ?? 0;
}

function plainCode(op: Op): number {
  if (op.kind === IO.read) return MSG.READ;
  return op.kind === IO.describe ? MSG.DESCRIBE : MSG.ZERO;
}

export class DataFrames {
  private readonly links: Links;
  private readonly geometry: ClientGeometry;
  private readonly sectorsPerBlock: number;

  constructor(links: Links, geometry: ClientGeometry) {
    this.links = links;
    this.geometry = geometry;
    this.sectorsPerBlock = geometry.blockBytes / geometry.sectorBytes;
  }

  /** Sends an operation on a link that is up. */
  send(op: Op, volume: MappedVolume, link: DeviceLink): void {
    if (op.kind === IO.write) this.sendWrite(op, volume, link);
    else if (op.kind === IO.flush) this.sendFlush(op, volume, link);
    else this.sendPlain(op, volume, link);
  }

  private blocksOf(op: Op): number {
    const first = Math.floor(op.firstSector / this.sectorsPerBlock);
    const last = Math.floor((op.firstSector + op.sectors - 1) / this.sectorsPerBlock);
    return last - first + 1;
  }

  private head(
    view: DataView,
    at: number,
    code: number,
    op: Op,
    volume: MappedVolume,
    bodyBytes: number,
    version: number,
  ): void {
    const { pool } = volume;
    setMagic(view, at, FRAME.magic);
    setVersion(view, at, version);
    setCombLog2(view, at, pool.pool.combCountLog2);
    setCode(view, at, code);
    view.setUint16(at + FRAME.status, 0, true);
    setBodyBytes(view, at, bodyBytes);
    setTag(view, at, op.tag);
    setComb(view, at, op.comb);
    setGenerationEpoch(view, at, pool.generationEpochs[op.comb] ?? 0);
    setGenerationNumber(view, at, pool.generationNumbers[op.comb] ?? 0);
    setVolumeKey(view, at, volume.key);
    setVolumeEpoch(view, at, volume.volume.epoch);
    setAuthority(view, at, volume.mapping.generation);
    setChunkIndex(view, at, op.chunkIndex);
    setOffsetSectors(view, at, op.firstSector);
    setLengthSectors(view, at, op.sectors);
    setOpLow(view, at, op.opLow);
    setOpHigh(view, at, op.opHigh);
    const flags =
      (op.fua ? FLAG.fua : 0) |
      (op.kind === IO.discard ? FLAG.discard : 0) |
      (op.everSent ? FLAG.retry : 0);
    setFlags(view, at, flags);
  }

  private sendPlain(op: Op, volume: MappedVolume, link: DeviceLink): void {
    const { bytes, view, at } = this.links.reserve(link.id, HEADER_BYTES);
    this.head(view, at, plainCode(op), op, volume, 0, link.version);
    sealFrame(bytes, view, at);
  }

  /** The front end's bytes are copied once, into the frame; checksums are computed over the copy while it is warm. */
  private sendWrite(op: Op, volume: MappedVolume, link: DeviceLink): void {
    const { sectorBytes, blockBytes } = this.geometry;
    const blocks = this.blocksOf(op);
    const dataBytes = op.sectors * sectorBytes;
    const bodyBytes = 4 * blocks + dataBytes;
    const { bytes, view, at } = this.links.reserve(link.id, HEADER_BYTES + bodyBytes);
    this.head(view, at, MSG.WRITE, op, volume, bodyBytes, link.version);
    const crcsAt = at + HEADER_BYTES;
    let dataAt = crcsAt + 4 * blocks;
    copy(op.bytes, op.at, bytes, dataAt, dataBytes);
    const end = dataAt + dataBytes;
    let block = Math.floor(op.firstSector / this.sectorsPerBlock);
    let inBlock = (op.firstSector % this.sectorsPerBlock) * sectorBytes;
    for (let index = 0; index < blocks; index++) {
      const length = Math.min(blockBytes - inBlock, end - dataAt);
      const seed = addressSeed(op.vtreeKey, op.chunkIndex, block);
      view.setUint32(crcsAt + 4 * index, crc32Range(bytes, view, dataAt, length, seed), true);
      dataAt += length;
      inBlock = 0;
      block += 1;
    }
    sealFrame(bytes, view, at);
  }

  private sendFlush(op: Op, volume: MappedVolume, link: DeviceLink): void {
    const bodyBytes = 4 * op.combs.length;
    const { bytes, view, at } = this.links.reserve(link.id, HEADER_BYTES + bodyBytes);
    this.head(view, at, MSG.FLUSH, op, volume, bodyBytes, link.version);
    let place = at + HEADER_BYTES;
    for (const comb of op.combs) {
      view.setUint32(place, comb, true);
      place += 4;
    }
    sealFrame(bytes, view, at);
  }

  /** Says for which operations no answer is awaited. */
  sendSettled(link: DeviceLink, settled: SettledOps): void {
    const said = link.version < OPEN_OPS_SINCE ? withoutOpen(settled) : settled;
    const bodyBytes = openOpsBytes(said);
    const { bytes, view, at } = this.links.reserve(link.id, HEADER_BYTES + bodyBytes);
    bytes.fill(0, at, at + HEADER_BYTES);
    setMagic(view, at, FRAME.magic);
    setVersion(view, at, link.version);
    setCode(view, at, MSG.OPS_SETTLED);
    setBodyBytes(view, at, bodyBytes);
    setOpLow(view, at, opLowOf(said.belowId));
    setOpHigh(view, at, opHighOf(said.belowId));
    putOpenOps(said, view, at + HEADER_BYTES);
    sealFrame(bytes, view, at);
  }

  /**
   * Takes the content of a read's answer: verifies each block where it lies, then copies what was asked for.
   *
   * @param bodyAt - start of the body: one CRC per block, then whole blocks; empty: all zero
   * @returns false when the length or a checksum is wrong; nothing the caller may use was written then
   */
  takeRead(op: Op, bytes: Uint8Array, view: DataView, bodyAt: number, bodyBytes: number): boolean {
    const { sectorBytes, blockBytes } = this.geometry;
    const lengthBytes = op.sectors * sectorBytes;
    if (bodyBytes === 0) {
      op.bytes.fill(0, op.at, op.at + lengthBytes);
      return true;
    }
    const blocks = this.blocksOf(op);
    if (bodyBytes !== blocks * (4 + blockBytes)) return false;
    const firstBlock = Math.floor(op.firstSector / this.sectorsPerBlock);
    const dataAt = bodyAt + 4 * blocks;
    for (let index = 0; index < blocks; index++) {
      const seed = addressSeed(op.vtreeKey, op.chunkIndex, firstBlock + index);
      const crc = crc32Range(bytes, view, dataAt + index * blockBytes, blockBytes, seed);
      if (crc !== view.getUint32(bodyAt + 4 * index, true)) return false;
    }
    const skip = (op.firstSector % this.sectorsPerBlock) * sectorBytes;
    copy(bytes, dataAt + skip, op.bytes, op.at, lengthBytes);
    return true;
  }

  /**
   * Takes the content of a description's answer: one byte per block.
   *
   * @returns false when the length is wrong
   */
  takeDescription(op: Op, bytes: Uint8Array, bodyAt: number, bodyBytes: number): boolean {
    const blocks = this.blocksOf(op);
    if (bodyBytes !== 0 && bodyBytes !== Math.ceil(blocks / 4)) return false;
    for (let index = 0; index < blocks; index++) {
      const bits = bodyBytes === 0 ? 0 : (bytes[bodyAt + (index >>> 2)] ?? 0);
      op.bytes[op.at + index] = (bits >>> (2 * (index & 3))) & 3;
    }
    return true;
  }

  /** Nobody could say: all blocks of the range count as data. */
  assumeData(op: Op): void {
    op.bytes.fill(BLOCK_STATE.data, op.at, op.at + this.blocksOf(op));
  }
}
