// The superblock: its form on the device and what makes one acceptable. It must never decide when one is written.

import { crc32 } from '../../core/checksum.js';
import { BOOT_ID_BYTES, SYSTEM_ID_BYTES, readDiskIdentity } from '../../protocol/disk-identity.js';
import * as disk from '../../protocol/generated/disk.js';
import { DISK_MAGIC, SUPERBLOCK_FLAGS } from '../../protocol/tables/disk.js';

import { geometryFault, layoutOf } from './layout.js';
import type { Layout } from './layout.js';
import type { Geometry } from './store.js';

/** What a superblock says beside the layout. One object lives as long as the store and is written again and again. */
export interface Superblock {
  readonly formatLow: number;
  readonly formatHigh: number;
  readonly systemId: string;
  readonly deviceKey: number;
  readonly poolKey: number;
  /** Format of the device as a whole, 1 to DISK_FORMAT_MAX. */
  format: number;
  sequence: number;
  incarnation: number;
  dataIncarnation: number;
  bootId: string;
  clean: boolean;
  volatile: boolean;
  /** Acknowledged writes may be missing, and the cluster has not been told for certain. */
  rolledBack: boolean;
  tailPosition: number;
  tailLsn: number;
  tailChain: number;
  durableLsn: number;
  settledLsn: number;
  /** Sequence of the last checkpoint that ended, and the digest of the pages of tables that count. */
  tablesSequence: number;
  tablesDigest: number;
}

function putText(bytes: Uint8Array, at: number, length: number, text: string): void {
  for (let index = 0; index < length; index++) {
    bytes[at + index] = index < text.length ? text.charCodeAt(index) & 0x7f : 0;
  }
}

/**
 * Writes one copy.
 *
 * @param bytes - of at least `layout.superblockBytes`; all of them are filled
 * @param offsetBytes - where the copy will lie on the device
 */
export function encodeSuperblock(
  superblock: Superblock,
  layout: Layout,
  offsetBytes: number,
  bytes: Uint8Array,
): void {
  bytes.fill(0, 0, layout.superblockBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { geometry } = layout;
  const flags =
    (superblock.clean ? SUPERBLOCK_FLAGS.clean : 0) |
    (superblock.volatile ? SUPERBLOCK_FLAGS.volatile : 0) |
    (superblock.rolledBack ? SUPERBLOCK_FLAGS.rolledBack : 0);
  disk.setSuperblockMagic(view, 0, DISK_MAGIC.superblock);
  disk.setSuperblockVersion(view, 0, superblock.format);
  disk.setSuperblockFlags(view, 0, flags);
  disk.setSuperblockOffsetBytes(view, 0, offsetBytes);
  disk.setSuperblockSequence(view, 0, superblock.sequence);
  disk.setSuperblockFormatLow(view, 0, superblock.formatLow);
  disk.setSuperblockFormatHigh(view, 0, superblock.formatHigh);
  putText(bytes, disk.SUPERBLOCK_SYSTEM_ID_AT, SYSTEM_ID_BYTES, superblock.systemId);
  disk.setSuperblockDeviceKey(view, 0, superblock.deviceKey);
  disk.setSuperblockPoolKey(view, 0, superblock.poolKey);
  disk.setSuperblockIncarnation(view, 0, superblock.incarnation);
  disk.setSuperblockDataIncarnation(view, 0, superblock.dataIncarnation);
  putText(bytes, disk.SUPERBLOCK_BOOT_ID_AT, BOOT_ID_BYTES, superblock.bootId);
  disk.setSuperblockSectorBytes(view, 0, geometry.sectorBytes);
  disk.setSuperblockBlockBytes(view, 0, geometry.blockBytes);
  disk.setSuperblockChunkBlocks(view, 0, geometry.chunkBlocks);
  disk.setSuperblockUnitBlocks(view, 0, geometry.unitBlocks);
  disk.setSuperblockSizeBytes(view, 0, layout.sizeBytes);
  disk.setSuperblockLogAt(view, 0, layout.logAt);
  disk.setSuperblockSegments(view, 0, layout.segments);
  disk.setSuperblockSegmentBlocks(view, 0, layout.segmentBlocks);
  disk.setSuperblockDirectoryAt(view, 0, layout.directoryAt);
  disk.setSuperblockChunks(view, 0, layout.chunks);
  disk.setSuperblockEntryRows(view, 0, layout.entryRows);
  disk.setSuperblockBitmapAt(view, 0, layout.bitmapAt);
  disk.setSuperblockEntriesAt(view, 0, layout.entriesAt);
  disk.setSuperblockDescriptorsAt(view, 0, layout.descriptorsAt);
  disk.setSuperblockDataAt(view, 0, layout.dataAt);
  disk.setSuperblockUnits(view, 0, layout.units);
  disk.setSuperblockTailChain(view, 0, superblock.tailChain);
  disk.setSuperblockTailPosition(view, 0, superblock.tailPosition);
  disk.setSuperblockTailLsn(view, 0, superblock.tailLsn);
  disk.setSuperblockDurableLsn(view, 0, superblock.durableLsn);
  disk.setSuperblockSettledLsn(view, 0, superblock.settledLsn);
  disk.setSuperblockTablesSequence(view, 0, superblock.tablesSequence);
  disk.setSuperblockTablesDigest(view, 0, superblock.tablesDigest);
  disk.setSuperblockCrc(view, 0, crc32(bytes.subarray(0, disk.SUPERBLOCK_BYTES)));
}

export interface DecodedSuperblock {
  readonly superblock: Superblock;
  readonly layout: Layout;
}

function geometryOf(view: DataView): Geometry {
  return {
    sectorBytes: disk.getSuperblockSectorBytes(view, 0),
    blockBytes: disk.getSuperblockBlockBytes(view, 0),
    chunkBlocks: disk.getSuperblockChunkBlocks(view, 0),
    unitBlocks: disk.getSuperblockUnitBlocks(view, 0),
  };
}

function layoutFrom(view: DataView): Layout | null {
  const geometry = geometryOf(view);
  if (geometryFault(geometry) !== null) return null;
  const layout = layoutOf(geometry, disk.getSuperblockSizeBytes(view, 0), {
    segments: disk.getSuperblockSegments(view, 0),
    segmentBlocks: disk.getSuperblockSegmentBlocks(view, 0),
    chunks: disk.getSuperblockChunks(view, 0),
    entryRows: disk.getSuperblockEntryRows(view, 0),
  });
  const asWritten =
    layout.logAt === disk.getSuperblockLogAt(view, 0) &&
    layout.directoryAt === disk.getSuperblockDirectoryAt(view, 0) &&
    layout.bitmapAt === disk.getSuperblockBitmapAt(view, 0) &&
    layout.entriesAt === disk.getSuperblockEntriesAt(view, 0) &&
    layout.descriptorsAt === disk.getSuperblockDescriptorsAt(view, 0) &&
    layout.dataAt === disk.getSuperblockDataAt(view, 0) &&
    layout.units === disk.getSuperblockUnits(view, 0);
  return asWritten ? layout : null;
}

/**
 * Reads one copy.
 *
 * @param offsetBytes - where it was read from
 * @returns the content, or a reason for people
 */
export function decodeSuperblock(
  bytes: Uint8Array,
  offsetBytes: number,
): DecodedSuperblock | string {
  const identity = readDiskIdentity(bytes, offsetBytes);
  if (typeof identity === 'string') return identity;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const layout = layoutFrom(view);
  if (layout === null) return 'the superblock describes an impossible layout';
  const flags = disk.getSuperblockFlags(view, 0);
  const superblock: Superblock = {
    formatLow: disk.getSuperblockFormatLow(view, 0),
    formatHigh: disk.getSuperblockFormatHigh(view, 0),
    systemId: identity.systemId,
    deviceKey: identity.deviceKey,
    poolKey: identity.poolKey,
    format: disk.getSuperblockVersion(view, 0),
    sequence: identity.sequence,
    incarnation: identity.incarnation,
    dataIncarnation: disk.getSuperblockDataIncarnation(view, 0),
    bootId: identity.bootId,
    clean: (flags & SUPERBLOCK_FLAGS.clean) !== 0,
    volatile: (flags & SUPERBLOCK_FLAGS.volatile) !== 0,
    rolledBack: (flags & SUPERBLOCK_FLAGS.rolledBack) !== 0,
    tailPosition: disk.getSuperblockTailPosition(view, 0),
    tailLsn: disk.getSuperblockTailLsn(view, 0),
    tailChain: disk.getSuperblockTailChain(view, 0),
    durableLsn: disk.getSuperblockDurableLsn(view, 0),
    settledLsn: disk.getSuperblockSettledLsn(view, 0),
    tablesSequence: disk.getSuperblockTablesSequence(view, 0),
    tablesDigest: disk.getSuperblockTablesDigest(view, 0),
  };
  return { superblock, layout };
}
