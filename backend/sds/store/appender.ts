// Turns changes into log records and applies them to the state in memory, in one step: there is no change without its
// record, and no record without its change. It owns the choice between the log and a direct write; it must never wait.
//
// Data of whole units goes to newly allocated units directly and only the record goes to the log; everything else goes
// through the log and is copied home later (homing.ts). Both leave the old content alone until the record is durable.

import { assert } from '../../core/assert.js';
import { isZero } from '../../core/zero.js';
import * as disk from '../../protocol/generated/disk.js';
import { RECORD_FLAGS, RECORD_KIND } from '../../protocol/tables/disk.js';

import { STATE, UNIT_NONE, UNIT_UNKNOWN } from './chunk-cache.js';
import { bitCount } from './directory.js';
import { DirectWrites } from './direct-writes.js';
import type { Loader } from './loader.js';
import { ROW_NONE, touchedUnits } from './parts.js';
import type { Parts } from './parts.js';
import { Records } from './records.js';
import { IO_BLOCKS_MAX } from './store.js';
import type { WriteContext } from './store.js';

/** Units that overwriting in new places leaves alone. */
const SPARE_SHARE = 64;

function u32At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}

export class Appender {
  readonly records: Records;
  readonly direct: DirectWrites;
  private readonly parts: Parts;
  private readonly loader: Loader;
  private readonly spareUnits: number;
  /** Addresses freed by the record that is being made. */
  private readonly freed = new Uint32Array(32);

  constructor(parts: Parts, loader: Loader) {
    this.parts = parts;
    this.records = new Records(parts);
    this.direct = new DirectWrites(parts);
    this.loader = loader;
    this.spareUnits = Math.ceil(parts.layout.units / SPARE_SHARE);
  }

  /** See `Store.write`. */
  write(context: WriteContext, bytes: Uint8Array, crcsAt: number, dataAt: number): number {
    const { layout, directory, cache, log, ring } = this.parts;
    const { firstBlock, blockCount } = context;
    const { blockBytes, chunkBlocks } = layout.geometry;
    assert(blockCount > 0 && firstBlock + blockCount <= chunkBlocks, 'a write lies within a chunk');
    assert(blockCount <= IO_BLOCKS_MAX, 'a write is not too long');
    let row = directory.find(context.volumeKey, context.chunkIndex);
    const touched = touchedUnits(layout, firstBlock, blockCount);
    const mask = row < 0 ? 0 : (directory.unitMasks[row] ?? 0);
    if ((mask & touched) === 0 && isZero(bytes, dataAt, blockCount * blockBytes))
      return this.zero(context, false);
    const fresh = row < 0;
    if (fresh) row = this.createRow(context);
    const entry = this.loader.entryOf(row);
    const direct = this.chooseDirect(context, entry, touched);
    const newMask = (this.missing(entry, touched) | direct) >>> 0;
    const freeMask = this.takeOld(entry, newMask);
    const payloadBlocks = blockCount - bitCount(direct) * layout.geometry.unitBlocks;
    const addresses = bitCount(newMask) + bitCount(freeMask);
    const recordBytes = disk.RECORD_BYTES + 4 * (addresses + blockCount);
    const lsn = log.beginRecord(recordBytes, payloadBlocks);
    this.records.putHead(
      RECORD_KIND.write,
      fresh ? RECORD_FLAGS.fresh : 0,
      recordBytes,
      context,
      row,
    );
    const { view, recordAt } = log;
    disk.setRecordNewMask(view, recordAt, newMask);
    disk.setRecordFreeMask(view, recordAt, freeMask);
    disk.setRecordDirectMask(view, recordAt, direct);
    const crcsTo = this.putAddresses(entry, newMask, freeMask, lsn, recordAt + disk.RECORD_BYTES);
    directory.stamp(row, context.comb, context.generationEpoch, context.generationNumber);
    directory.setUnitMask(row, (mask | newMask) >>> 0);
    cache.touch(entry, lsn);
    ring.add(lsn, context, lsn);
    this.putBlocks(context, entry, direct, bytes, crcsAt, dataAt, crcsTo);
    return lsn;
  }

  /** Takes a row for a chunk that has none; the record that says so has the flag `fresh`. */
  createRow(context: WriteContext): number {
    const { directory, cache } = this.parts;
    const { volumeKey, vtreeKey, chunkIndex, comb } = context;
    const row = directory.create(volumeKey, vtreeKey, chunkIndex, comb);
    cache.reset(cache.open(row));
    return row;
  }

  /** Touched units that have no place. */
  missing(entry: number, touched: number): number {
    const { cache } = this.parts;
    const base = entry * cache.unitsPerChunk;
    let mask = 0;
    for (let rest = touched; rest !== 0; rest &= rest - 1) {
      const unit = 31 - Math.clz32(rest & -rest);
      if (cache.units[base + unit] === UNIT_NONE) mask |= 1 << unit;
    }
    return mask >>> 0;
  }

  /** Units whose whole content the write replaces and for which a new place can be had. */
  private chooseDirect(context: WriteContext, entry: number, touched: number): number {
    const { layout, cache, units } = this.parts;
    const { unitBlocks, blockBytes } = layout.geometry;
    const { firstBlock, blockCount } = context;
    if (blockCount < unitBlocks) return 0;
    if (!this.direct.fits(blockCount * blockBytes)) return 0;
    const first = Math.ceil(firstBlock / unitBlocks);
    const end = Math.floor((firstBlock + blockCount) / unitBlocks);
    const base = entry * cache.unitsPerChunk;
    let spare = units.freeCount - this.spareUnits - bitCount(this.missing(entry, touched));
    let mask = 0;
    for (let unit = first; unit < end; unit++) {
      const address = cache.units[base + unit];
      if (address === UNIT_UNKNOWN) continue;
      if (address !== UNIT_NONE && spare-- <= 0) continue;
      mask |= 1 << unit;
    }
    return mask >>> 0;
  }

  /** Notes the addresses that new ones will replace. Returns which units had one. */
  private takeOld(entry: number, newMask: number): number {
    const { cache } = this.parts;
    const base = entry * cache.unitsPerChunk;
    let mask = 0;
    let count = 0;
    for (let rest = newMask; rest !== 0; rest &= rest - 1) {
      const unit = 31 - Math.clz32(rest & -rest);
      const address = cache.units[base + unit] ?? 0;
      if (address === UNIT_NONE) continue;
      mask |= 1 << unit;
      this.freed[count++] = address;
      cache.units[base + unit] = UNIT_NONE;
    }
    return mask >>> 0;
  }

  /** Allocates what is new, frees what is old, writes both behind the record's head. Returns the place behind. */
  private putAddresses(
    entry: number,
    newMask: number,
    freeMask: number,
    lsn: number,
    at: number,
  ): number {
    const { cache, units, log } = this.parts;
    const base = entry * cache.unitsPerChunk;
    const single = (newMask & (newMask - 1)) === 0;
    let place = at;
    for (let rest = newMask; rest !== 0; rest &= rest - 1) {
      const unit = 31 - Math.clz32(rest & -rest);
      const hint = this.hint(base, unit);
      const address = 1 + units.allocate(hint, unit, single && hint >= 0);
      cache.units[base + unit] = address;
      log.view.setUint32(place, address, true);
      place += 4;
    }
    const freedCount = bitCount(freeMask);
    for (let index = 0; index < freedCount; index++) {
      const address = this.freed[index] ?? 0;
      units.release(address - 1, lsn, false);
      log.view.setUint32(place, address, true);
      place += 4;
    }
    return place;
  }

  /** The unit next to a neighbour in the chunk. */
  private hint(base: number, unit: number): number {
    const { cache } = this.parts;
    const before = unit > 0 ? (cache.units[base + unit - 1] ?? 0) : UNIT_NONE;
    if (before !== UNIT_NONE && before !== UNIT_UNKNOWN) return before;
    const behind = unit + 1 < cache.unitsPerChunk ? (cache.units[base + unit + 1] ?? 0) : UNIT_NONE;
    return behind !== UNIT_NONE && behind !== UNIT_UNKNOWN ? behind - 2 : -1;
  }

  /** Data of the record: payload of the log, or direct writes; CRCs to the record; states to the cache. */
  private putBlocks(
    context: WriteContext,
    entry: number,
    direct: number,
    bytes: Uint8Array,
    crcsAt: number,
    dataAt: number,
    crcsTo: number,
  ): void {
    const { layout, cache, log } = this.parts;
    const { unitBlocks, blockBytes } = layout.geometry;
    const end = context.firstBlock + context.blockCount;
    let logBlock = log.payloadBlock;
    let payloadAt = log.payloadAt;
    for (let block = context.firstBlock; block < end;) {
      const start = block;
      const isDirect = (direct & (1 << Math.floor(block / unitBlocks))) !== 0;
      for (; block < end; block++) {
        const unit = Math.floor(block / unitBlocks);
        if (((direct & (1 << unit)) !== 0) !== isDirect) break;
        const index = block - context.firstBlock;
        const crc = u32At(bytes, crcsAt + 4 * index);
        log.view.setUint32(crcsTo + 4 * index, crc, true);
        if (isDirect) cache.setHome(entry, block, STATE.data, crc);
        else {
          cache.setInLog(entry, block, crc, logBlock);
          log.caches[logBlock] = context.caches ? 1 : 0;
          log.owners[logBlock++] = entry * cache.chunkBlocks + block + 1;
        }
      }
      const from = dataAt + (start - context.firstBlock) * blockBytes;
      if (isDirect) this.direct.write(entry, start, block, bytes, from, context.caches);
      else {
        const lengthBytes = (block - start) * blockBytes;
        log.bytes.set(bytes.subarray(from, from + lengthBytes), payloadAt);
        payloadAt += lengthBytes;
      }
    }
  }

  /** See `Store.zero`. */
  zero(context: WriteContext, discard: boolean): number {
    const { layout, directory, cache, log, ring } = this.parts;
    const { firstBlock, blockCount } = context;
    assert(firstBlock + blockCount <= layout.geometry.chunkBlocks, 'a change lies within a chunk');
    let row = directory.find(context.volumeKey, context.chunkIndex);
    let flags = discard ? RECORD_FLAGS.discard : 0;
    if (context.masks) flags |= RECORD_FLAGS.masks;
    if (row < 0 && context.masks) {
      row = this.createRow(context);
      flags |= RECORD_FLAGS.fresh;
    }
    if (row < 0) {
      const lsn = log.beginRecord(disk.RECORD_BYTES, 0);
      this.records.putHead(RECORD_KIND.zero, flags, disk.RECORD_BYTES, context, ROW_NONE);
      ring.add(lsn, context, lsn);
      return lsn;
    }
    const entry = this.loader.entryOf(row);
    const state = discard && !context.masks ? STATE.absent : STATE.zero;
    for (let block = firstBlock; block < firstBlock + blockCount; block++)
      cache.setHome(entry, block, state, 0);
    const freeMask = discard ? this.takeEmpty(entry, row, firstBlock, blockCount) : 0;
    const recordBytes = disk.RECORD_BYTES + 4 * bitCount(freeMask);
    const lsn = log.beginRecord(recordBytes, 0);
    this.records.putHead(RECORD_KIND.zero, flags, recordBytes, context, row);
    disk.setRecordFreeMask(log.view, log.recordAt, freeMask);
    this.putAddresses(entry, 0, freeMask, lsn, log.recordAt + disk.RECORD_BYTES);
    directory.stamp(row, context.comb, context.generationEpoch, context.generationNumber);
    cache.touch(entry, lsn);
    ring.add(lsn, context, lsn);
    return lsn;
  }

  /** Takes units from a chunk that hold nothing any more. Units that cannot be judged yet are looked at when loaded. */
  private takeEmpty(entry: number, row: number, firstBlock: number, blockCount: number): number {
    const { layout, cache } = this.parts;
    const touched = touchedUnits(layout, firstBlock, blockCount);
    if (cache.loaded[entry] === 0) {
      cache.emptied[entry] = ((cache.emptied[entry] ?? 0) | touched) >>> 0;
      return 0;
    }
    return this.emptyUnits(entry, row, touched);
  }

  private emptyUnits(entry: number, row: number, candidates: number): number {
    const { cache, directory } = this.parts;
    const base = entry * cache.unitsPerChunk;
    let mask = 0;
    let count = 0;
    for (let rest = candidates; rest !== 0; rest &= rest - 1) {
      const unit = 31 - Math.clz32(rest & -rest);
      const address = cache.units[base + unit] ?? 0;
      if (address === UNIT_NONE || address === UNIT_UNKNOWN) continue;
      if (!cache.unitIsEmpty(entry, unit)) continue;
      mask |= 1 << unit;
      this.freed[count++] = address;
      cache.units[base + unit] = UNIT_NONE;
    }
    const left = (directory.unitMasks[row] ?? 0) & ~mask;
    directory.setUnitMask(row, left >>> 0);
    return mask >>> 0;
  }

  /** After a descriptor arrived: frees units that a discard had emptied. */
  reclaim(entry: number): void {
    const { cache, log } = this.parts;
    const candidates = cache.emptied[entry] ?? 0;
    if (candidates === 0) return;
    cache.emptied[entry] = 0;
    const row = cache.rows[entry] ?? 0;
    const freeMask = this.emptyUnits(entry, row, candidates);
    if (freeMask === 0) return;
    const recordBytes = disk.RECORD_BYTES + 4 * bitCount(freeMask);
    const lsn = this.records.beginRow(RECORD_KIND.freeUnits, recordBytes, row);
    disk.setRecordFreeMask(log.view, log.recordAt, freeMask);
    this.putAddresses(entry, 0, freeMask, lsn, log.recordAt + disk.RECORD_BYTES);
    cache.touch(entry, lsn);
  }

  /**
   * After a descriptor was read: blocks that were written meanwhile need places where their units were lost, with this
   * descriptor or with an earlier one. The directory goes on to name lost units, so that nobody takes their blocks for
   * absent, and so the write took their places for merely unknown (seed 154005480).
   */
  giveHomes(entry: number): void {
    const { cache, layout, log, units, directory } = this.parts;
    if ((cache.logCounts[entry] ?? 0) === 0) return;
    const base = entry * cache.chunkBlocks;
    let wanted = 0;
    for (let block = 0; block < cache.chunkBlocks; block++) {
      const unit = Math.floor(block / layout.geometry.unitBlocks);
      const placed = cache.units[entry * cache.unitsPerChunk + unit] !== UNIT_NONE;
      if (placed || cache.places[base + block] === 0) continue;
      if (bitCount(wanted | (1 << unit)) <= units.freeCount) wanted |= 1 << unit;
      else cache.setHome(entry, block, STATE.lost, 0);
    }
    if (wanted === 0) return;
    const row = cache.rows[entry] ?? 0;
    const recordBytes = disk.RECORD_BYTES + 4 * bitCount(wanted);
    const lsn = this.records.beginRow(RECORD_KIND.write, recordBytes, row);
    disk.setRecordNewMask(log.view, log.recordAt, wanted >>> 0);
    this.putAddresses(entry, wanted >>> 0, 0, lsn, log.recordAt + disk.RECORD_BYTES);
    directory.setUnitMask(row, ((directory.unitMasks[row] ?? 0) | wanted) >>> 0);
    cache.touch(entry, lsn);
  }

  /** Frees a loaded chunk with its row. */
  freeChunk(row: number, entry: number): void {
    const { cache, directory, log } = this.parts;
    const base = entry * cache.unitsPerChunk;
    let freeMask = 0;
    let count = 0;
    for (let unit = 0; unit < cache.unitsPerChunk; unit++) {
      const address = cache.units[base + unit] ?? 0;
      if (address === UNIT_NONE) continue;
      freeMask |= 1 << unit;
      this.freed[count++] = address;
    }
    const recordBytes = disk.RECORD_BYTES + 4 * count;
    const lsn = this.records.beginRow(RECORD_KIND.freeChunk, recordBytes, row);
    disk.setRecordFreeMask(log.view, log.recordAt, freeMask >>> 0);
    this.putAddresses(entry, 0, freeMask >>> 0, lsn, log.recordAt + disk.RECORD_BYTES);
    cache.drop(entry);
    directory.free(row);
  }
}
