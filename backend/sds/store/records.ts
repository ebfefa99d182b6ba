// Records that carry facts and no blocks, and the head that all records have. It owns their form; it must never touch the
// content of a chunk.

import { assert } from '../../core/assert.js';
import * as disk from '../../protocol/generated/disk.js';
import { RECORD_FLAGS, RECORD_KIND } from '../../protocol/tables/disk.js';

import { ROW_NONE } from './parts.js';
import type { Parts } from './parts.js';
import { makeContext } from './store.js';
import type { SavedEntry, WriteContext } from './store.js';

const EMPTY = makeContext();
export const NOTE_BYTES = disk.RECORD_BYTES + 8;

export class Records {
  private readonly parts: Parts;

  constructor(parts: Parts) {
    this.parts = parts;
  }

  /** Fills the head of the record that was begun last; masks are zero. */
  putHead(
    kind: number,
    flags: number,
    recordBytes: number,
    context: WriteContext,
    row: number,
  ): void {
    const { view, recordAt: at } = this.parts.log;
    disk.setRecordKind(view, at, kind);
    disk.setRecordFlags(view, at, flags);
    disk.setRecordRecordBytes(view, at, recordBytes);
    disk.setRecordComb(view, at, context.comb);
    disk.setRecordGenerationEpoch(view, at, context.generationEpoch);
    disk.setRecordGenerationNumber(view, at, context.generationNumber);
    disk.setRecordVolumeKey(view, at, context.volumeKey);
    disk.setRecordVtreeKey(view, at, context.vtreeKey);
    disk.setRecordVolumeEpoch(view, at, context.volumeEpoch);
    disk.setRecordChunkIndex(view, at, context.chunkIndex);
    disk.setRecordFirstBlock(view, at, context.firstBlock);
    disk.setRecordBlockCount(view, at, context.blockCount);
    disk.setRecordRun(view, at, context.run);
    disk.setRecordOpLow(view, at, context.opLow);
    disk.setRecordOpHigh(view, at, context.opHigh);
    view.setUint16(at + 46, 0, true);
    disk.setRecordRow(view, at, row);
    disk.setRecordNewMask(view, at, 0);
    disk.setRecordFreeMask(view, at, 0);
    disk.setRecordDirectMask(view, at, 0);
    disk.setRecordExtra(view, at, 0);
  }

  /** Begins a record of the store's own about a row; the caller fills in what lies behind its head. */
  beginRow(kind: number, recordBytes: number, row: number): number {
    const { directory, log, ring } = this.parts;
    const lsn = log.beginRecord(recordBytes, 0);
    ring.addPlain(lsn);
    this.putHead(kind, 0, recordBytes, EMPTY, row);
    disk.setRecordComb(log.view, log.recordAt, directory.combs[row] ?? 0);
    disk.setRecordVolumeKey(log.view, log.recordAt, directory.volumeKeys[row] ?? 0);
    disk.setRecordVtreeKey(log.view, log.recordAt, directory.vtreeKeys[row] ?? 0);
    disk.setRecordChunkIndex(log.view, log.recordAt, directory.chunkIndexes[row] ?? 0);
    return lsn;
  }

  /** A record without blocks. */
  private appendBare(kind: number, flags: number, context: WriteContext): number {
    const { log, ring } = this.parts;
    const lsn = log.beginRecord(disk.RECORD_BYTES, 0);
    ring.addPlain(lsn);
    this.putHead(kind, flags, disk.RECORD_BYTES, context, ROW_NONE);
    return lsn;
  }

  freeVolume(volumeKey: number): number {
    return this.appendBare(RECORD_KIND.freeVolume, 0, { ...EMPTY, volumeKey });
  }

  setVolatile(volatileMode: boolean): number {
    const { mode } = this.parts;
    const flags = volatileMode ? RECORD_FLAGS.volatile : 0;
    const lsn = this.appendBare(RECORD_KIND.mode, flags, EMPTY);
    mode.volatile = volatileMode;
    mode.lsn = lsn;
    return lsn;
  }

  forgetOps(comb: number): number {
    const { ring } = this.parts;
    const lsn = this.appendBare(RECORD_KIND.forget, 0, { ...EMPTY, comb });
    ring.forgetComb(comb, lsn);
    return lsn;
  }

  /** Notes an operation or an unsettled range anew. `originLsn` 0: settled. */
  note(context: WriteContext, originLsn: number): number {
    const { log, ring } = this.parts;
    const recordBytes = NOTE_BYTES;
    const lsn = log.beginRecord(recordBytes, 0);
    this.putHead(RECORD_KIND.note, 0, recordBytes, context, ROW_NONE);
    const at = log.recordAt + disk.RECORD_BYTES;
    log.view.setUint32(at, originLsn >>> 0, true);
    log.view.setUint32(at + 4, Math.floor(originLsn / 0x100000000), true);
    ring.add(lsn, context, originLsn);
    return lsn;
  }

  saveEntries(entries: readonly SavedEntry[]): number {
    const { log, ring, entries: table } = this.parts;
    assert(table.fits(entries), 'the table of entries has room for every comb of the device');
    let lsn = log.lastLsn;
    for (const { comb, bytes } of entries) {
      const recordBytes = disk.RECORD_BYTES + Math.ceil(bytes.length / 4) * 4;
      lsn = log.beginRecord(recordBytes, 0);
      ring.addPlain(lsn);
      this.putHead(
        RECORD_KIND.entry,
        0,
        recordBytes,
        { ...EMPTY, comb, blockCount: bytes.length },
        ROW_NONE,
      );
      log.bytes.set(bytes, log.recordAt + disk.RECORD_BYTES);
      table.set(comb, bytes.slice());
    }
    return lsn;
  }

  /** Stamps rows with a generation. */
  restamp(rows: readonly number[], comb: number, epoch: number, number: number): number {
    const { log, ring, directory, layout } = this.parts;
    const perRecord = Math.floor(
      (layout.headerBytes - disk.LOG_HEAD_BYTES - disk.RECORD_BYTES) / 4,
    );
    let lsn = log.lastLsn;
    for (let start = 0; start < rows.length; start += perRecord) {
      const part = rows.slice(start, start + perRecord);
      const recordBytes = disk.RECORD_BYTES + 4 * part.length;
      lsn = log.beginRecord(recordBytes, 0);
      ring.addPlain(lsn);
      const context = { ...EMPTY, comb, generationEpoch: epoch, generationNumber: number };
      this.putHead(RECORD_KIND.restamp, 0, recordBytes, context, ROW_NONE);
      disk.setRecordBlockCount(log.view, log.recordAt, part.length);
      part.forEach((row, index) => {
        log.view.setUint32(log.recordAt + disk.RECORD_BYTES + 4 * index, row, true);
        directory.raiseStamp(row, epoch, number);
      });
    }
    return lsn;
  }
}
