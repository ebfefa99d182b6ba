// Applies the records of the log to the state in memory at start. Records say what is, not what changes, so applying
// them to pages that already reflect later records ends in the same state. It must never write to the device.

import * as disk from '../../protocol/generated/disk.js';
import { RECORD_FLAGS, RECORD_KIND } from '../../protocol/tables/disk.js';

import { STATE, UNIT_NONE } from './chunk-cache.js';
import { stateBytes } from './layout.js';
import { ROW_NONE } from './parts.js';
import type { Parts } from './parts.js';
import { forEachRecord, listsOf } from './replay-scan.js';
import type { Batch } from './replay-scan.js';
import { makeContext } from './store.js';

/** Rows whose descriptors are needed before records can be applied: those that are not made anew by the first record. */
export function rowsToLoad(batches: readonly Batch[]): number[] {
  const seen = new Set<number>();
  const rows: number[] = [];
  const want = (row: number, needed: boolean): void => {
    if (row === ROW_NONE || seen.has(row)) return;
    seen.add(row);
    if (needed) rows.push(row);
  };
  for (const batch of batches) {
    const { header } = batch;
    forEachRecord(batch, (at) => {
      const row = disk.getRecordRow(header, at);
      const kind = disk.getRecordKind(header, at);
      const fresh = (disk.getRecordFlags(header, at) & RECORD_FLAGS.fresh) !== 0;
      if (kind === RECORD_KIND.merge) want(disk.getRecordExtra(header, at), true);
      want(row, kind !== RECORD_KIND.freeChunk && !fresh);
    });
  }
  return rows;
}

export class ReplayApply {
  private readonly parts: Parts;
  private readonly context = makeContext();

  constructor(parts: Parts) {
    this.parts = parts;
  }

  /** Applies a batch; batches come in order. */
  apply(batch: Batch): void {
    const { header } = batch;
    const { layout } = this.parts;
    let payload = 0;
    forEachRecord(batch, (at, lsn) => {
      this.readContext(header, at);
      switch (disk.getRecordKind(header, at)) {
        case RECORD_KIND.write: {
          const direct = disk.getRecordDirectMask(header, at);
          this.write(batch, at, lsn, payload);
          for (let index = 0; index < this.context.blockCount; index++) {
            const unit = Math.floor((this.context.firstBlock + index) / layout.geometry.unitBlocks);
            if ((direct & (1 << unit)) === 0) payload++;
          }
          break;
        }
        case RECORD_KIND.merge:
          this.merge(header, at, lsn);
          break;
        case RECORD_KIND.zero:
          this.zero(header, at, lsn);
          break;
        default:
          this.applyOther(header, at, lsn);
      }
    });
  }

  private applyOther(header: DataView, at: number, lsn: number): void {
    const { ring, dying, mode } = this.parts;
    const { context } = this;
    ring.addPlain(lsn);
    switch (disk.getRecordKind(header, at)) {
      case RECORD_KIND.freeUnits:
        this.freeUnits(header, at, lsn, this.entryOf(disk.getRecordRow(header, at), false));
        break;
      case RECORD_KIND.freeChunk:
        this.freeChunk(header, at, lsn);
        break;
      case RECORD_KIND.freeVolume:
        dying.add(context.volumeKey);
        break;
      case RECORD_KIND.entry:
        this.entry(header, at);
        break;
      case RECORD_KIND.restamp:
        this.restamp(header, at);
        break;
      case RECORD_KIND.note: {
        const low = header.getUint32(at + disk.RECORD_BYTES, true);
        const high = header.getUint32(at + disk.RECORD_BYTES + 4, true);
        ring.add(lsn, context, low + high * 0x100000000);
        break;
      }
      case RECORD_KIND.mode:
        mode.volatile = (disk.getRecordFlags(header, at) & RECORD_FLAGS.volatile) !== 0;
        break;
      case RECORD_KIND.forget:
        ring.forgetComb(context.comb, lsn);
        break;
    }
  }

  private readContext(header: DataView, at: number): void {
    const { context } = this;
    context.comb = disk.getRecordComb(header, at);
    context.generationEpoch = disk.getRecordGenerationEpoch(header, at);
    context.generationNumber = disk.getRecordGenerationNumber(header, at);
    context.volumeKey = disk.getRecordVolumeKey(header, at);
    context.vtreeKey = disk.getRecordVtreeKey(header, at);
    context.volumeEpoch = disk.getRecordVolumeEpoch(header, at);
    context.chunkIndex = disk.getRecordChunkIndex(header, at);
    context.firstBlock = disk.getRecordFirstBlock(header, at);
    context.blockCount = disk.getRecordBlockCount(header, at);
    context.run = disk.getRecordRun(header, at);
    context.opLow = disk.getRecordOpLow(header, at);
    context.opHigh = disk.getRecordOpHigh(header, at);
  }

  /** The entry of a record's row, which becomes the chunk's that the record names. */
  private entryOf(row: number, fresh: boolean): number {
    const { directory, cache } = this.parts;
    const { volumeKey, vtreeKey, chunkIndex, comb } = this.context;
    directory.replayAssign(row, volumeKey, vtreeKey, chunkIndex, comb, fresh);
    let entry = directory.cacheEntryOf(row);
    if (entry < 0) {
      entry = cache.open(row);
      cache.reset(entry);
    } else if (fresh) cache.reset(entry);
    return entry;
  }

  private write(batch: Batch, at: number, lsn: number, payload: number): void {
    const { ring, cache, directory, units, layout, log } = this.parts;
    const { header } = batch;
    const { context } = this;
    const row = disk.getRecordRow(header, at);
    const fresh = (disk.getRecordFlags(header, at) & RECORD_FLAGS.fresh) !== 0;
    const entry = this.entryOf(row, fresh);
    const direct = disk.getRecordDirectMask(header, at);
    const newMask = disk.getRecordNewMask(header, at);
    const lists = listsOf(header, at);
    this.freeUnits(header, at, lsn, entry);
    let place = lists.news;
    for (let rest = newMask; rest !== 0; rest &= rest - 1, place += 4) {
      const unit = 31 - Math.clz32(rest & -rest);
      const address = header.getUint32(place, true);
      units.replayTake(address - 1);
      cache.units[entry * cache.unitsPerChunk + unit] = address;
    }
    directory.setUnitMask(row, ((directory.unitMasks[row] ?? 0) | newMask) >>> 0);
    directory.raiseStamp(row, context.generationEpoch, context.generationNumber);
    cache.touch(entry, lsn);
    if (context.blockCount === 0) ring.addPlain(lsn);
    else ring.add(lsn, context, lsn);
    let block = payload;
    for (let index = 0; index < context.blockCount; index++) {
      const inChunk = context.firstBlock + index;
      const crc = header.getUint32(lists.crcs + 4 * index, true);
      if ((direct & (1 << Math.floor(inChunk / layout.geometry.unitBlocks))) !== 0) {
        cache.setHome(entry, inChunk, STATE.data, crc);
        continue;
      }
      const logBlock = (batch.position + layout.headerBlocks + block) % layout.logBlocks;
      // A rotten copy in the log: home is older, so its checksum will tell whoever reads the block.
      if (batch.badBlocks.includes(block)) cache.setHome(entry, inChunk, STATE.data, crc);
      else {
        cache.setInLog(entry, inChunk, crc, logBlock);
        log.owners[logBlock] = entry * cache.chunkBlocks + inChunk + 1;
      }
      block++;
    }
  }

  private zero(header: DataView, at: number, lsn: number): void {
    const { ring, cache, directory } = this.parts;
    const { context } = this;
    ring.add(lsn, context, lsn);
    const row = disk.getRecordRow(header, at);
    if (row === ROW_NONE) return;
    const flags = disk.getRecordFlags(header, at);
    const entry = this.entryOf(row, (flags & RECORD_FLAGS.fresh) !== 0);
    const isAbsent = (flags & (RECORD_FLAGS.discard | RECORD_FLAGS.masks)) === RECORD_FLAGS.discard;
    const state = isAbsent ? STATE.absent : STATE.zero;
    for (let index = 0; index < context.blockCount; index++)
      cache.setHome(entry, context.firstBlock + index, state, 0);
    this.freeUnits(header, at, lsn, entry);
    directory.raiseStamp(row, context.generationEpoch, context.generationNumber);
    cache.touch(entry, lsn);
  }

  /** See merger.ts: units and blocks change hands as the record says, and the parent's chunk is empty. */
  private merge(header: DataView, at: number, lsn: number): void {
    const { ring, cache, directory, units, log } = this.parts;
    const { context } = this;
    ring.add(lsn, context, lsn);
    const row = disk.getRecordRow(header, at);
    const parentRow = disk.getRecordExtra(header, at);
    const entry = this.entryOf(row, (disk.getRecordFlags(header, at) & RECORD_FLAGS.fresh) !== 0);
    // Changed, so that the other entry does not take its place.
    cache.touch(entry, lsn);
    const childKey = context.volumeKey;
    context.volumeKey = context.volumeEpoch;
    const parent = this.entryOf(parentRow, false);
    context.volumeKey = childKey;
    const newMask = disk.getRecordNewMask(header, at);
    const { news, crcs: statesAt } = listsOf(header, at);
    this.releaseUnits(header, at, lsn);
    let place = news;
    for (let unit = 0; unit < cache.unitsPerChunk; unit++) {
      cache.units[parent * cache.unitsPerChunk + unit] = UNIT_NONE;
      if ((newMask & (1 << unit)) === 0) continue;
      const address = header.getUint32(place, true);
      units.replayTake(address - 1);
      cache.units[entry * cache.unitsPerChunk + unit] = address;
      place += 4;
    }
    let crcAt = statesAt + stateBytes(cache.chunkBlocks);
    for (let block = 0; block < cache.chunkBlocks; block++) {
      const state = (header.getUint8(statesAt + (block >>> 2)) >>> ((block & 3) * 2)) & 3;
      if (state === STATE.absent) {
        cache.setHome(parent, block, STATE.absent, 0);
        continue;
      }
      const crc = state === STATE.data ? header.getUint32(crcAt, true) : 0;
      if (state === STATE.data) crcAt += 4;
      const logBlock = cache.takeBlock(entry, parent, block, state, crc);
      if (logBlock >= 0) log.owners[logBlock] = entry * cache.chunkBlocks + block + 1;
    }
    directory.setUnitMask(row, ((directory.unitMasks[row] ?? 0) | newMask) >>> 0);
    directory.setUnitMask(parentRow, 0);
    for (const changed of [row, parentRow])
      directory.raiseStamp(changed, context.generationEpoch, context.generationNumber);
    cache.touch(parent, lsn);
  }

  private releaseUnits(header: DataView, at: number, lsn: number): void {
    let place = listsOf(header, at).freed;
    for (let rest = disk.getRecordFreeMask(header, at); rest !== 0; rest &= rest - 1, place += 4)
      this.parts.units.release(header.getUint32(place, true) - 1, lsn, true);
  }

  private freeUnits(header: DataView, at: number, lsn: number, entry: number): void {
    const { cache, directory, units } = this.parts;
    const freeMask = disk.getRecordFreeMask(header, at);
    if (freeMask === 0) return;
    let place = listsOf(header, at).freed;
    for (let rest = freeMask; rest !== 0; rest &= rest - 1, place += 4) {
      const unit = 31 - Math.clz32(rest & -rest);
      units.release(header.getUint32(place, true) - 1, lsn, true);
      cache.units[entry * cache.unitsPerChunk + unit] = UNIT_NONE;
    }
    const row = cache.rows[entry] ?? 0;
    directory.setUnitMask(row, ((directory.unitMasks[row] ?? 0) & ~freeMask) >>> 0);
    cache.touch(entry, lsn);
  }

  private freeChunk(header: DataView, at: number, lsn: number): void {
    const { cache, directory } = this.parts;
    const row = disk.getRecordRow(header, at);
    this.releaseUnits(header, at, lsn);
    const entry = directory.cacheEntryOf(row);
    if (entry >= 0) {
      cache.pins[entry] = 0;
      cache.drop(entry);
    }
    directory.replayFree(row);
  }

  private entry(header: DataView, at: number): void {
    const length = Math.min(
      this.context.blockCount,
      disk.getRecordRecordBytes(header, at) - disk.RECORD_BYTES,
    );
    const start = header.byteOffset + at + disk.RECORD_BYTES;
    this.parts.entries.set(this.context.comb, new Uint8Array(header.buffer, start, length).slice());
  }

  private restamp(header: DataView, at: number): void {
    const { context } = this;
    const { directory } = this.parts;
    const count = Math.min(
      context.blockCount,
      (disk.getRecordRecordBytes(header, at) - disk.RECORD_BYTES) / 4,
    );
    for (let index = 0; index < count; index++) {
      const row = header.getUint32(at + disk.RECORD_BYTES + 4 * index, true);
      if (row < directory.capacity && directory.volumeKeys[row] !== 0)
        directory.raiseStamp(row, context.generationEpoch, context.generationNumber);
    }
  }
}
