// Payloads of requests: checksums of the blocks that a range touches, and the merging of partial blocks. It owns the
// arithmetic of ranges that begin or end inside a block; it must never know an operation. Nothing here allocates but the
// views that zlib wants.

import { addressSeed, crc32Range } from '../core/checksum.js';

/** Where a payload lies and which bytes of which blocks it holds. */
export interface Extent {
  readonly vtreeKey: number;
  readonly chunkIndex: number;
  readonly firstBlock: number;
  readonly blockCount: number;
  readonly blockBytes: number;
  /** Bytes of the first block before the payload. */
  readonly headBytes: number;
  /** Length of the payload. */
  readonly lengthBytes: number;
}

/** Bytes of the payload that lie in its block number `index`. */
function partBytes(extent: Extent, index: number): number {
  const from = index === 0 ? extent.headBytes : 0;
  const end = extent.headBytes + extent.lengthBytes - index * extent.blockBytes;
  return Math.min(end, extent.blockBytes) - from;
}

/**
 * Whether each checksum matches the bytes of its block that the payload holds.
 *
 * @param crcsAt - u32 per block touched
 * @param dataAt - the payload
 */
export function verifies(
  extent: Extent,
  bytes: Uint8Array,
  view: DataView,
  crcsAt: number,
  dataAt: number,
): boolean {
  const { vtreeKey, chunkIndex, firstBlock, blockCount } = extent;
  let position = dataAt;
  for (let index = 0; index < blockCount; index++) {
    const length = partBytes(extent, index);
    const seed = addressSeed(vtreeKey, chunkIndex, firstBlock + index);
    const crc = crc32Range(bytes, view, position, length, seed);
    if (crc !== view.getUint32(crcsAt + 4 * index, true)) return false;
    position += length;
  }
  return true;
}

/** Puts the right checksums in front of whole blocks. */
export function sealBlocks(
  extent: Extent,
  bytes: Uint8Array,
  view: DataView,
  crcsAt: number,
  dataAt: number,
): void {
  const { vtreeKey, chunkIndex, firstBlock, blockCount, blockBytes } = extent;
  for (let index = 0; index < blockCount; index++) {
    const seed = addressSeed(vtreeKey, chunkIndex, firstBlock + index);
    const crc = crc32Range(bytes, view, dataAt + index * blockBytes, blockBytes, seed);
    view.setUint32(crcsAt + 4 * index, crc, true);
  }
}

/** An extent that is filled in again and again. */
export class MutableExtent implements Extent {
  vtreeKey = 0;
  chunkIndex = 0;
  firstBlock = 0;
  blockCount = 0;
  blockBytes = 0;
  headBytes = 0;
  lengthBytes = 0;

  /** A range of sectors of one chunk. */
  setSectors(
    vtreeKey: number,
    chunkIndex: number,
    offsetBytes: number,
    lengthBytes: number,
    blockBytes: number,
  ): this {
    this.vtreeKey = vtreeKey;
    this.chunkIndex = chunkIndex;
    this.blockBytes = blockBytes;
    this.firstBlock = Math.floor(offsetBytes / blockBytes);
    this.headBytes = offsetBytes - this.firstBlock * blockBytes;
    this.lengthBytes = lengthBytes;
    this.blockCount = Math.ceil((this.headBytes + lengthBytes) / blockBytes);
    return this;
  }

  /** Whole blocks. */
  setBlocks(
    vtreeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    blockBytes: number,
  ): this {
    this.vtreeKey = vtreeKey;
    this.chunkIndex = chunkIndex;
    this.blockBytes = blockBytes;
    this.firstBlock = firstBlock;
    this.headBytes = 0;
    this.lengthBytes = blockCount * blockBytes;
    this.blockCount = blockCount;
    return this;
  }
}
