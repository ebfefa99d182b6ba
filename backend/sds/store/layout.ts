// Where everything lies on a device. It owns the arithmetic of areas; it must never read or write one.
//
// Order of the areas, all in blocks: superblock, log, directory, bitmap of units, entries, descriptors, units, superblock.
// Everything but the log and the units consists of pages with two slots side by side.

import { assert } from '../../core/assert.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import {
  DESCRIPTOR_BYTES,
  DIRECTORY_ROW_BYTES,
  ENTRY_ROW_BYTES,
  LOG_HEAD_BYTES,
  PAGE_HEAD_BYTES,
  RECORD_BYTES,
  SUPERBLOCK_BYTES,
} from '../../protocol/generated/disk.js';

import type { Geometry } from './store.js';

/** A page holds rows; smaller blocks than this are joined to pages. */
const PAGE_BYTES_MIN = 512;
/** Descriptors per chunk of capacity: thin volumes leave chunks half empty. */
const DESCRIPTORS_PER_CHUNK = 1.5;
const LOG_SHARE = 64;
const SEGMENTS_MIN = 16;
const SEGMENTS_MAX = 256;

/** What is chosen at format. */
export interface FormatSizes {
  readonly sizeBytes: number;
  /** Combs whose entries the device can keep; default: one per chunk within `deviceCombsMin` .. `deviceCombsMax`. */
  readonly entryRows?: number;
  /** Segments of the log; default: 1/64 of the device within 16 .. 256. */
  readonly segments?: number;
}

export interface Layout {
  readonly geometry: Geometry;
  readonly sizeBytes: number;
  readonly superblockBytes: number;
  /** Byte offset of the second superblock. */
  readonly secondSuperblockAt: number;
  readonly pageBytes: number;
  readonly descriptorBytes: number;
  readonly headerBytes: number;
  readonly headerBlocks: number;
  readonly unitsPerChunk: number;
  readonly logAt: number;
  readonly segments: number;
  readonly segmentBlocks: number;
  readonly logBlocks: number;
  readonly directoryAt: number;
  readonly directoryPages: number;
  readonly rowsPerPage: number;
  readonly chunks: number;
  readonly bitmapAt: number;
  readonly bitmapPages: number;
  readonly unitsPerPage: number;
  readonly units: number;
  readonly entriesAt: number;
  readonly entryPages: number;
  readonly entriesPerPage: number;
  readonly entryRows: number;
  readonly descriptorsAt: number;
  readonly dataAt: number;
}

/** Bytes of the states of a chunk's blocks in a log record: two bits each, whole words. */
export function stateBytes(chunkBlocks: number): number {
  return Math.ceil(chunkBlocks / 16) * 4;
}

/** Number, counted since ever, of the log's segment that holds a position. */
export function segmentOf(layout: Layout, position: number): number {
  return Math.floor(position / layout.segmentBlocks);
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** Reason why the machines cannot work with a geometry, or null. */
export function geometryFault(geometry: Geometry): string | null {
  const { sectorBytes, blockBytes, chunkBlocks, unitBlocks } = geometry;
  const values = [sectorBytes, blockBytes, chunkBlocks, unitBlocks];
  if (!values.every((value) => Number.isInteger(value) && value > 0))
    return 'a size is not positive';
  if (blockBytes % sectorBytes !== 0 || blockBytes % 4 !== 0) return 'blocks are not whole sectors';
  if (chunkBlocks % unitBlocks !== 0) return 'chunks are not whole units';
  if (chunkBlocks / unitBlocks > 32) return 'a chunk has more than 32 units';
  if (chunkBlocks % 4 !== 0 || chunkBlocks > 256) return 'a chunk has not 4 to 256 blocks';
  return null;
}

interface Counts {
  readonly segments: number;
  readonly segmentBlocks: number;
  readonly chunks: number;
  readonly entryRows: number;
}

/** Bytes of a descriptor before it is rounded up to blocks. */
export function descriptorContentBytes(geometry: Geometry): number {
  const { chunkBlocks, unitBlocks } = geometry;
  return (
    PAGE_HEAD_BYTES +
    DESCRIPTOR_BYTES +
    (4 * chunkBlocks) / unitBlocks +
    4 * chunkBlocks +
    chunkBlocks / 4
  );
}

function place(geometry: Geometry, sizeBytes: number, counts: Counts): Layout {
  const { blockBytes, chunkBlocks, unitBlocks } = geometry;
  const pageBytes = roundUp(Math.max(blockBytes, PAGE_BYTES_MIN), blockBytes);
  const pageBlocks = pageBytes / blockBytes;
  const descriptorBytes = roundUp(descriptorContentBytes(geometry), blockBytes);
  const unitsPerChunk = chunkBlocks / unitBlocks;
  // A header must at least hold the largest record: every unit new and freed, every block with its CRC and its state.
  const recordBytesMax =
    RECORD_BYTES + 8 * unitsPerChunk + 4 * chunkBlocks + stateBytes(chunkBlocks);
  const headerBytes = roundUp(
    Math.max(blockBytes, PAGE_BYTES_MIN, LOG_HEAD_BYTES + recordBytesMax),
    blockBytes,
  );
  const superblockBytes = roundUp(SUPERBLOCK_BYTES, blockBytes);
  const sizeBlocks = Math.floor(sizeBytes / blockBytes);
  const secondSuperblock = sizeBlocks - superblockBytes / blockBytes;
  const rowsPerPage = Math.floor((pageBytes - PAGE_HEAD_BYTES) / DIRECTORY_ROW_BYTES);
  const unitsPerPage = Math.floor((pageBytes - PAGE_HEAD_BYTES) / 4) * 32;
  const entriesPerPage = Math.floor((pageBytes - PAGE_HEAD_BYTES) / ENTRY_ROW_BYTES);
  const directoryPages = Math.ceil(counts.chunks / rowsPerPage);
  const bitmapPages = Math.ceil(sizeBlocks / unitBlocks / unitsPerPage);
  const entryPages = Math.ceil(counts.entryRows / entriesPerPage);
  const logAt = superblockBytes / blockBytes;
  const logBlocks = counts.segments * counts.segmentBlocks;
  const directoryAt = logAt + logBlocks;
  const bitmapAt = directoryAt + 2 * directoryPages * pageBlocks;
  const entriesAt = bitmapAt + 2 * bitmapPages * pageBlocks;
  const descriptorsAt = entriesAt + 2 * entryPages * pageBlocks;
  const dataAt = roundUp(
    descriptorsAt + (2 * counts.chunks * descriptorBytes) / blockBytes,
    unitBlocks,
  );
  return {
    geometry,
    sizeBytes,
    superblockBytes,
    secondSuperblockAt: secondSuperblock * blockBytes,
    pageBytes,
    descriptorBytes,
    headerBytes,
    headerBlocks: headerBytes / blockBytes,
    unitsPerChunk,
    logAt,
    segments: counts.segments,
    segmentBlocks: counts.segmentBlocks,
    logBlocks,
    directoryAt,
    directoryPages,
    rowsPerPage,
    chunks: counts.chunks,
    bitmapAt,
    bitmapPages,
    unitsPerPage,
    units: Math.max(0, Math.floor((secondSuperblock - dataAt) / unitBlocks)),
    entriesAt,
    entryPages,
    entriesPerPage,
    entryRows: counts.entryRows,
    descriptorsAt,
    dataAt,
  };
}

/**
 * Plans a device at format.
 *
 * @returns the layout, or the reason why the device is too small for one
 */
export function planLayout(geometry: Geometry, sizes: FormatSizes): Layout | string {
  const fault = geometryFault(geometry);
  if (fault !== null) return fault;
  const { blockBytes, chunkBlocks } = geometry;
  const segmentBlocks = Math.min(256, Math.max(64, chunkBlocks));
  const segmentBytes = segmentBlocks * blockBytes;
  const wanted = Math.floor(sizes.sizeBytes / LOG_SHARE / segmentBytes);
  const segments = sizes.segments ?? Math.min(SEGMENTS_MAX, Math.max(SEGMENTS_MIN, wanted));
  const descriptorBytes = roundUp(descriptorContentBytes(geometry), blockBytes);
  const perChunk =
    chunkBlocks * blockBytes + DESCRIPTORS_PER_CHUNK * 2 * (descriptorBytes + DIRECTORY_ROW_BYTES);
  const rest = Math.max(0, sizes.sizeBytes - segments * segmentBytes);
  const chunks = Math.floor((rest / perChunk) * DESCRIPTORS_PER_CHUNK);
  const entryRows =
    sizes.entryRows ?? Math.min(LIMIT.deviceCombsMax, Math.max(LIMIT.deviceCombsMin, chunks));
  const layout = place(geometry, sizes.sizeBytes, { segments, segmentBlocks, chunks, entryRows });
  if (layout.units < 4 * layout.unitsPerChunk) {
    const fixed = layout.dataAt * blockBytes;
    return `${sizes.sizeBytes} bytes leave no room for data behind ${fixed} bytes of log and tables`;
  }
  return layout;
}

/** The layout that a superblock describes; the caller checks that its areas are the planned ones. */
export function layoutOf(geometry: Geometry, sizeBytes: number, counts: Counts): Layout {
  assert(geometryFault(geometry) === null, 'the geometry was checked');
  return place(geometry, sizeBytes, counts);
}
