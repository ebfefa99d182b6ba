// The resident directory: one row per chunk that has a descriptor, found by (volume, chunk), by comb, or by row number.
// It owns stamps and which units a chunk has; addresses and states of blocks are in the descriptor (chunk-cache.ts).
// At most 64 bytes per row in all.
//
// A row stays when its chunk is discarded: the stamp still says that another copy may lack the discard (C6). Rows go
// only with their volume, or when the device carries their comb no more.

import { assert } from '../../core/assert.js';
import {
  DIRECTORY_ROW_BYTES,
  PAGE_HEAD_BYTES,
  getDirectoryRowChunkIndex,
  getDirectoryRowComb,
  getDirectoryRowDescriptorSequence,
  getDirectoryRowStampEpoch,
  getDirectoryRowStampNumber,
  getDirectoryRowUnitMask,
  getDirectoryRowVolumeKey,
  getDirectoryRowVtreeKey,
  setDirectoryRowChunkIndex,
  setDirectoryRowComb,
  setDirectoryRowDescriptorSequence,
  setDirectoryRowStampEpoch,
  setDirectoryRowStampNumber,
  setDirectoryRowUnitMask,
  setDirectoryRowVolumeKey,
  setDirectoryRowVtreeKey,
} from '../../protocol/generated/disk.js';

import type { Layout } from './layout.js';
import { RowLists } from './row-lists.js';
import type { ChunkInfo, ChunkPlace } from './store.js';

const NONE = -1;
/** No volume has it. */
const FREED = 0;

function hashOf(volumeKey: number, chunkIndex: number): number {
  let mix = Math.imul(volumeKey, 0x9e3779b1) ^ Math.imul(chunkIndex + 1, 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 15), 0x2c1b3c6d);
  return (mix ^ (mix >>> 13)) >>> 0;
}

export function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

interface VolumeRows {
  rows: number;
  units: number;
}

export class Directory {
  readonly capacity: number;
  readonly dirtyPages: Uint8Array;
  readonly volumeKeys: Uint32Array;
  readonly vtreeKeys: Uint32Array;
  readonly chunkIndexes: Uint32Array;
  readonly combs: Uint32Array;
  readonly stampEpochs: Uint32Array;
  readonly stampNumbers: Uint32Array;
  readonly unitMasks: Uint32Array;
  /** Low 32 bits of the sequence of the page that is the row's descriptor, 0: none was written. */
  readonly descriptorSequences: Uint32Array;
  /** 1 + entry of the chunk cache that holds the row's descriptor; 0 costs no memory until it is used. */
  private readonly cacheEntries: Int32Array;
  private readonly byComb: RowLists;
  private readonly byVolume: RowLists;
  private readonly volumes = new Map<number, VolumeRows>();
  private readonly rowsPerPage: number;
  private readonly table: Int32Array;
  private readonly tableMask: number;
  private rowCount = 0;
  /** Rows from here on were never used; freed ones are listed by volume FREED. */
  private fresh = 0;

  constructor(layout: Layout) {
    const capacity = layout.chunks;
    this.capacity = capacity;
    this.rowsPerPage = layout.rowsPerPage;
    this.dirtyPages = new Uint8Array(layout.directoryPages);
    this.volumeKeys = new Uint32Array(capacity);
    this.vtreeKeys = new Uint32Array(capacity);
    this.chunkIndexes = new Uint32Array(capacity);
    this.combs = new Uint32Array(capacity);
    this.stampEpochs = new Uint32Array(capacity);
    this.stampNumbers = new Uint32Array(capacity);
    this.unitMasks = new Uint32Array(capacity);
    this.descriptorSequences = new Uint32Array(capacity);
    this.cacheEntries = new Int32Array(capacity);
    this.byComb = new RowLists(capacity);
    this.byVolume = new RowLists(capacity);
    let size = 16;
    while (size * 3 < capacity * 4) size *= 2;
    this.table = new Int32Array(size);
    this.tableMask = size - 1;
  }

  get freeRows(): number {
    return this.capacity - this.rowCount;
  }

  /** Entry of the chunk cache that holds the row's descriptor, or -1. */
  cacheEntryOf(row: number): number {
    return (this.cacheEntries[row] ?? 0) - 1;
  }

  /** @param entry - of the chunk cache, -1: none */
  setCacheEntry(row: number, entry: number): void {
    this.cacheEntries[row] = entry + 1;
  }

  /** Row of a chunk, or -1. */
  find(volumeKey: number, chunkIndex: number): number {
    let place = hashOf(volumeKey, chunkIndex) & this.tableMask;
    for (;;) {
      const row = (this.table[place] ?? 0) - 1;
      if (row < 0) return NONE;
      if (this.volumeKeys[row] === volumeKey && this.chunkIndexes[row] === chunkIndex) return row;
      place = (place + 1) & this.tableMask;
    }
  }

  /** Takes a free row for a chunk that has none. */
  create(volumeKey: number, vtreeKey: number, chunkIndex: number, comb: number): number {
    let row = this.byVolume.first(FREED);
    if (row !== NONE) this.byVolume.unlink(FREED, row);
    else row = this.fresh++;
    assert(row < this.capacity, 'a row is free');
    this.assign(row, volumeKey, vtreeKey, chunkIndex, comb);
    this.link(row);
    return row;
  }

  private assign(
    row: number,
    volumeKey: number,
    vtreeKey: number,
    chunkIndex: number,
    comb: number,
  ): void {
    this.volumeKeys[row] = volumeKey;
    this.vtreeKeys[row] = vtreeKey;
    this.chunkIndexes[row] = chunkIndex;
    this.combs[row] = comb;
    this.stampEpochs[row] = 0;
    this.stampNumbers[row] = 0;
    this.unitMasks[row] = 0;
    this.descriptorSequences[row] = 0;
    this.touch(row);
  }

  /** Gives a row to a chunk as a log record says, before `rebuild`. Keeps a row that is the chunk's already. */
  replayAssign(
    row: number,
    volumeKey: number,
    vtreeKey: number,
    chunkIndex: number,
    comb: number,
    fresh: boolean,
  ): void {
    const same = this.volumeKeys[row] === volumeKey && this.chunkIndexes[row] === chunkIndex;
    if (!same || fresh) this.assign(row, volumeKey, vtreeKey, chunkIndex, comb);
    else this.combs[row] = comb;
    this.touch(row);
  }

  /** Clears a row as a log record says, before `rebuild`. */
  replayFree(row: number): void {
    this.assign(row, 0, 0, 0, 0);
  }

  /** Frees a row; its units were released by the caller. */
  free(row: number): void {
    const volumeKey = this.volumeKeys[row] ?? 0;
    this.unhash(row);
    this.byComb.unlink(this.combs[row] ?? 0, row);
    this.byVolume.unlink(volumeKey, row);
    const volume = this.volumes.get(volumeKey);
    if (volume !== undefined) {
      volume.units -= bitCount(this.unitMasks[row] ?? 0);
      if (--volume.rows === 0) this.volumes.delete(volumeKey);
    }
    this.assign(row, 0, 0, 0, 0);
    this.rowCount--;
    this.byVolume.link(FREED, row);
  }

  /** Builds everything that is not on the device from the rows. */
  rebuild(): void {
    this.fresh = 0;
    for (let row = 0; row < this.capacity; row++)
      if (this.volumeKeys[row] !== 0) this.fresh = row + 1;
    for (let row = this.fresh - 1; row >= 0; row--) {
      if (this.volumeKeys[row] !== 0) this.link(row);
      else this.byVolume.link(FREED, row);
    }
  }

  private link(row: number): void {
    const volumeKey = this.volumeKeys[row] ?? 0;
    let place = hashOf(volumeKey, this.chunkIndexes[row] ?? 0) & this.tableMask;
    while (this.table[place] !== 0) place = (place + 1) & this.tableMask;
    this.table[place] = row + 1;
    this.rowCount++;
    this.byComb.link(this.combs[row] ?? 0, row);
    this.byVolume.link(volumeKey, row);
    const units = bitCount(this.unitMasks[row] ?? 0);
    const volume = this.volumes.get(volumeKey);
    if (volume === undefined) this.volumes.set(volumeKey, { rows: 1, units });
    else {
      volume.rows++;
      volume.units += units;
    }
  }

  /** Removes a row from the hash by moving later ones of its cluster forward. */
  private unhash(row: number): void {
    const { table, tableMask } = this;
    let hole = hashOf(this.volumeKeys[row] ?? 0, this.chunkIndexes[row] ?? 0) & tableMask;
    while (table[hole] !== row + 1) hole = (hole + 1) & tableMask;
    let place = hole;
    for (;;) {
      place = (place + 1) & tableMask;
      const other = (table[place] ?? 0) - 1;
      if (other < 0) break;
      const home = hashOf(this.volumeKeys[other] ?? 0, this.chunkIndexes[other] ?? 0) & tableMask;
      if (((place - home) & tableMask) < ((place - hole) & tableMask)) continue;
      table[hole] = other + 1;
      hole = place;
    }
    table[hole] = 0;
  }

  /** The chunk was written under a generation; a stamp never goes back. */
  stamp(row: number, comb: number, epoch: number, number: number): void {
    if (this.combs[row] !== comb) {
      this.byComb.unlink(this.combs[row] ?? 0, row);
      this.combs[row] = comb;
      this.byComb.link(comb, row);
      this.touch(row);
    }
    this.raiseStamp(row, epoch, number);
  }

  /** As `stamp`, before `rebuild`. */
  raiseStamp(row: number, epoch: number, number: number): void {
    const oldEpoch = this.stampEpochs[row] ?? 0;
    const oldNumber = this.stampNumbers[row] ?? 0;
    if (epoch < oldEpoch || (epoch === oldEpoch && number <= oldNumber)) return;
    this.stampEpochs[row] = epoch;
    this.stampNumbers[row] = number;
    this.touch(row);
  }

  /** Sets which units the chunk has. */
  setUnitMask(row: number, mask: number): void {
    const before = this.unitMasks[row] ?? 0;
    if (before === mask >>> 0) return;
    const volume = this.volumes.get(this.volumeKeys[row] ?? 0);
    if (volume !== undefined) volume.units += bitCount(mask) - bitCount(before);
    this.unitMasks[row] = mask;
    this.touch(row);
  }

  /** The row's descriptor is the page with that sequence from now on. */
  setDescriptorSequence(row: number, sequence: number): void {
    this.descriptorSequences[row] = sequence >>> 0;
    this.touch(row);
  }

  private touch(row: number): void {
    this.dirtyPages[Math.floor(row / this.rowsPerPage)] = 1;
  }

  /** Rows of a comb, ascending. */
  rowsOfComb(comb: number): number[] {
    return this.byComb.rowsOf(comb);
  }

  /** See `Store.chunksStampedAfter`. */
  *stampedAfter(comb: number, epoch: number, number: number): Generator<ChunkInfo> {
    for (const row of this.rowsOfComb(comb)) {
      const stampEpoch = this.stampEpochs[row] ?? 0;
      const stampNumber = this.stampNumbers[row] ?? 0;
      const after = stampEpoch > epoch || (stampEpoch === epoch && stampNumber > number);
      const volumeKey = this.volumeKeys[row] ?? 0;
      // The row may have gone while the caller was busy with others.
      if (!after || volumeKey === 0 || this.combs[row] !== comb) continue;
      const vtreeKey = this.vtreeKeys[row] ?? 0;
      const chunkIndex = this.chunkIndexes[row] ?? 0;
      yield { volumeKey, vtreeKey, chunkIndex, comb, stampEpoch, stampNumber };
    }
  }

  /** Lowest row at or behind `from` that belongs to the volume, or -1. */
  nextRowOfVolume(volumeKey: number, from: number): number {
    if (!this.volumes.has(volumeKey)) return NONE;
    for (let row = from; row < this.fresh; row++)
      if (this.volumeKeys[row] === volumeKey) return row;
    return NONE;
  }

  /** See `LayerStore.chunksOf`. */
  *chunksOf(layerKey: number): Generator<ChunkInfo> {
    for (const row of this.byVolume.rowsOf(layerKey)) {
      // The row may have gone while the caller was busy with others.
      if (this.volumeKeys[row] === layerKey) yield this.infoOf(row);
    }
  }

  /** See `Store.chunkFrom`; a place is a row. */
  chunkFrom(place: number): ChunkPlace | null {
    for (let row = place; row < this.fresh; row++)
      if (this.volumeKeys[row] !== FREED) return { place: row, chunk: this.infoOf(row) };
    return null;
  }

  private infoOf(row: number): ChunkInfo {
    return {
      volumeKey: this.volumeKeys[row] ?? 0,
      vtreeKey: this.vtreeKeys[row] ?? 0,
      chunkIndex: this.chunkIndexes[row] ?? 0,
      comb: this.combs[row] ?? 0,
      stampEpoch: this.stampEpochs[row] ?? 0,
      stampNumber: this.stampNumbers[row] ?? 0,
    };
  }

  /** Volumes that have rows, with the number of their units. */
  volumeUnits(): ReadonlyMap<number, Readonly<VolumeRows>> {
    return this.volumes;
  }

  /** Writes the content of a page behind its head. */
  encodePage(page: number, bytes: Uint8Array, view: DataView, at: number, pageBytes: number): void {
    bytes.fill(0, at, at + pageBytes);
    const first = page * this.rowsPerPage;
    const last = Math.min(this.capacity, first + this.rowsPerPage);
    for (let row = first; row < last; row++) {
      const place = at + PAGE_HEAD_BYTES + (row - first) * DIRECTORY_ROW_BYTES;
      setDirectoryRowVolumeKey(view, place, this.volumeKeys[row] ?? 0);
      setDirectoryRowVtreeKey(view, place, this.vtreeKeys[row] ?? 0);
      setDirectoryRowChunkIndex(view, place, this.chunkIndexes[row] ?? 0);
      setDirectoryRowComb(view, place, this.combs[row] ?? 0);
      setDirectoryRowStampEpoch(view, place, this.stampEpochs[row] ?? 0);
      setDirectoryRowStampNumber(view, place, this.stampNumbers[row] ?? 0);
      setDirectoryRowUnitMask(view, place, this.unitMasks[row] ?? 0);
      setDirectoryRowDescriptorSequence(view, place, this.descriptorSequences[row] ?? 0);
    }
  }

  /** Reads the content of a page, at start, before `rebuild`. */
  decodePage(page: number, view: DataView, at: number): void {
    const first = page * this.rowsPerPage;
    const last = Math.min(this.capacity, first + this.rowsPerPage);
    for (let row = first; row < last; row++) {
      const place = at + PAGE_HEAD_BYTES + (row - first) * DIRECTORY_ROW_BYTES;
      const volumeKey = getDirectoryRowVolumeKey(view, place);
      if (volumeKey === 0) continue;
      this.volumeKeys[row] = volumeKey;
      this.vtreeKeys[row] = getDirectoryRowVtreeKey(view, place);
      this.chunkIndexes[row] = getDirectoryRowChunkIndex(view, place);
      this.combs[row] = getDirectoryRowComb(view, place);
      this.stampEpochs[row] = getDirectoryRowStampEpoch(view, place);
      this.stampNumbers[row] = getDirectoryRowStampNumber(view, place);
      this.unitMasks[row] = getDirectoryRowUnitMask(view, place);
      this.descriptorSequences[row] = getDirectoryRowDescriptorSequence(view, place);
    }
  }
}
