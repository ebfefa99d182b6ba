// The log: batches of records with their payload, appended round and round. It owns positions, batches, and which LSN is
// written and durable; the memory in which batches are built is log-window.ts. It must never know what a record means.
//
// A batch is a header (head and records) and the payload blocks. It is written with one disk write together with its
// neighbours. Batches never cross a segment; where one does not fit, the next segment is begun. The header carries the
// CRC of the header before it, so that no left-over of an earlier lap or of a torn tail ever joins the chain.
//
// A log that is to become durable is written through to the medium: that waits for nothing but the log, while a flush
// waits for all copies home that happen to be in the cache. Where direct writes belong to it, it is a flush. While one is
// under way, what arrives for the next is collected in one batch.
//
// A group is all that was appended between two submits. It is written when its log writes and its direct writes are done.

import { assert } from '../../core/assert.js';
import { crc32Range } from '../../core/checksum.js';
import * as disk from '../../protocol/generated/disk.js';
import { DISK_MAGIC, DISK_VERSION } from '../../protocol/tables/disk.js';

import { IO } from './io.js';
import type { DiskQueue } from './io.js';
import type { Layout } from './layout.js';
import { LogWindow } from './log-window.js';
import type { FormatId } from './pages.js';
import type { StoreOptions } from './store-options.js';

const GROUPS = 1024;
/** More segments than these are flushed, not written through. */
const THROUGH_SEGMENTS_MAX = 4;

interface Group {
  lastLsn: number;
  endPosition: number;
  /** Highest durable LSN that a batch of the group carries, and the position that was durable then. */
  markerLsn: number;
  markerPosition: number;
  pending: number;
  /** Direct writes belong to it. */
  direct: boolean;
  sealed: boolean;
}

/** Where the log stands, at start. */
export interface LogStart {
  readonly tailPosition: number;
  readonly headPosition: number;
  readonly chain: number;
  readonly lastLsn: number;
  readonly incarnation: number;
}

export class Log {
  readonly layout: Layout;
  lastLsn = 0;
  writtenLsn = 0;
  durableLsn = 0;
  settledLsn = 0;
  /** A durable batch says that everything up to here is durable: what recovery will know for certain. */
  confirmedLsn = 0;
  tailPosition = 0;
  /** End of the last closed batch. */
  headPosition = 0;
  durablePosition = 0;
  confirmedPosition = 0;
  chain = 0;
  /** Place of the record that was last begun, in `view` and `bytes`. */
  recordAt = 0;
  payloadAt = 0;
  payloadBlock = 0;
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(this.bytes.buffer);
  /** Index of the cached block (entry * blocks + block, + 1) whose content a block of the log is; 0: none. */
  readonly owners: Uint32Array;
  /** LSN and chain at the start of a segment's current lap. */
  readonly segmentLsns: Float64Array;
  readonly segmentChains: Uint32Array;
  /** Where the last batch of a segment's current lap ends, once the next segment was begun. */
  private readonly segmentEnds: Float64Array;
  readonly window: LogWindow;
  private readonly queue: DiskQueue;
  private readonly format: FormatId;
  private incarnation = 0;
  private writtenPosition = 0;
  private writtenMarkerLsn = 0;
  private writtenMarkerPosition = 0;

  private open = false;
  private batchPosition = 0;
  private batchAt = 0;
  private batchUsed = 0;
  private batchPayload = 0;
  private batchRecords = 0;
  private batchFirstLsn = 0;
  /** Closed batches that are not on their way to the disk: from here to headPosition, within one segment. */
  private runStart = 0;

  private readonly groups: Group[] = [];
  private groupHead = 0;
  private groupTail = 0;
  private flushing = false;
  private flushLsn = 0;
  private flushPosition = 0;
  private flushMarkerLsn = 0;
  private flushMarkerPosition = 0;
  private flushSerial = 0;
  private wantedLsn = 0;
  private wantedSerial = 0;
  /** As `wantedSerial`, but a flush of the log alone is enough. */
  private wantedLogSerial = 0;
  private wantedConfirm = 0;
  /** Parts of the running flush that are not done. */
  private flushParts = 0;
  /** Direct writes were done that no flush covers. */
  private directWritten = false;
  /** Position that the newest closed batch says is durable. */
  private markedPosition = 0;
  /** Number of the last flush that completed. */
  flushedSerial = 0;

  constructor(layout: Layout, queue: DiskQueue, format: FormatId, options: StoreOptions) {
    this.layout = layout;
    this.queue = queue;
    this.format = format;
    this.owners = new Uint32Array(layout.logBlocks);
    this.segmentLsns = new Float64Array(layout.segments);
    this.segmentChains = new Uint32Array(layout.segments);
    this.segmentEnds = new Float64Array(layout.segments);
    this.window = new LogWindow(layout, options);
    for (let index = 0; index < GROUPS; index++) {
      this.groups.push({
        lastLsn: 0,
        endPosition: 0,
        markerLsn: 0,
        markerPosition: 0,
        pending: 0,
        direct: false,
        sealed: false,
      });
    }
  }

  /** Goes on where recovery ended: all of it is durable and known to be. */
  begin(start: LogStart, settledLsn: number): void {
    this.incarnation = start.incarnation;
    this.tailPosition = start.tailPosition;
    this.headPosition = start.headPosition;
    this.runStart = start.headPosition;
    this.writtenPosition = this.durablePosition = this.confirmedPosition = start.headPosition;
    this.lastLsn = this.writtenLsn = this.durableLsn = this.confirmedLsn = start.lastLsn;
    this.writtenMarkerLsn = start.lastLsn;
    this.writtenMarkerPosition = start.headPosition;
    this.settledLsn = settledLsn;
    this.chain = start.chain;
    const first = this.segmentOf(start.headPosition);
    this.window.begin(first);
    const { segments, segmentBlocks } = this.layout;
    this.segmentEnds[first % segments] = (first + 1) * segmentBlocks;
    const group = this.groupAt(this.groupHead);
    this.resetGroup(group);
  }

  private resetGroup(group: Group): void {
    group.lastLsn = this.lastLsn;
    group.endPosition = this.headPosition;
    group.markerLsn = this.writtenMarkerLsn;
    group.markerPosition = this.writtenMarkerPosition;
    group.pending = 0;
    group.direct = false;
    group.sealed = false;
  }

  private groupAt(serial: number): Group {
    const group = this.groups[serial % GROUPS];
    assert(group !== undefined, 'the ring of groups is full of groups');
    return group;
  }

  /** Number of the segment since ever that holds a position. */
  segmentOf(position: number): number {
    return Math.floor(position / this.layout.segmentBlocks);
  }

  /** Blocks that may still be appended; a batch may waste the rest of a segment. */
  freeBlocks(): number {
    const end = this.open
      ? this.batchPosition + this.layout.headerBlocks + this.batchPayload
      : this.headPosition;
    return this.layout.logBlocks - (end - this.tailPosition);
  }

  get usedBlocks(): number {
    return this.headPosition - this.tailPosition;
  }

  /** Nothing is appended that was not submitted. */
  get quiet(): boolean {
    return !this.open && this.runStart === this.headPosition;
  }

  /** Groups that are not written yet. */
  get groupsInFlight(): number {
    return this.groupHead - this.groupTail;
  }

  /**
   * Makes room for a record in the open batch and gives it the next LSN. The caller fills `recordBytes` from
   * `recordAt` in `view`, and the payload from `payloadAt`; the payload's first block of the log is `payloadBlock`.
   */
  beginRecord(recordBytes: number, payloadBlocks: number): number {
    const { headerBytes, headerBlocks, segmentBlocks, geometry } = this.layout;
    const batchBlocks = headerBlocks + this.batchPayload + payloadBlocks;
    const fits =
      this.open &&
      this.batchUsed + recordBytes <= headerBytes &&
      (this.batchPosition % segmentBlocks) + batchBlocks <= segmentBlocks;
    if (!fits) this.openBatch(payloadBlocks);
    this.recordAt = this.batchAt + this.batchUsed;
    this.batchUsed += recordBytes;
    this.batchRecords++;
    const block = this.batchPosition + headerBlocks + this.batchPayload;
    this.payloadBlock = block % this.layout.logBlocks;
    this.payloadAt = (block % segmentBlocks) * geometry.blockBytes;
    this.batchPayload += payloadBlocks;
    return ++this.lastLsn;
  }

  /** Appends a batch without records: its header says what is durable by now. */
  appendMarker(): void {
    if (!this.open) this.openBatch(0);
  }

  private openBatch(payloadBlocks: number): void {
    this.closeBatch();
    const { segmentBlocks, headerBlocks, geometry, segments } = this.layout;
    const needed = headerBlocks + payloadBlocks;
    assert(needed <= segmentBlocks, 'a record fits into a segment');
    const left = segmentBlocks - (this.headPosition % segmentBlocks);
    if (left < needed) {
      this.writeRun();
      this.segmentEnds[this.segmentOf(this.headPosition) % segments] = this.headPosition;
      this.headPosition += left;
      this.runStart = this.headPosition;
    }
    // The memory of the next segment is another: what is closed goes off first.
    if (this.headPosition % segmentBlocks === 0) this.writeRun();
    assert(
      this.headPosition + needed - this.tailPosition <= this.layout.logBlocks,
      'the log has room for what may not be refused',
    );
    const segment = this.segmentOf(this.headPosition) % segments;
    if (this.headPosition % segmentBlocks === 0) {
      this.segmentLsns[segment] = this.lastLsn + 1;
      this.segmentChains[segment] = this.chain;
      this.segmentEnds[segment] = this.headPosition + segmentBlocks;
    }
    const { bytes, view } = this.window.hold(segment);
    this.bytes = bytes;
    this.view = view;
    this.open = true;
    this.batchPosition = this.headPosition;
    this.batchAt = (this.headPosition % segmentBlocks) * geometry.blockBytes;
    this.batchUsed = disk.LOG_HEAD_BYTES;
    this.batchPayload = 0;
    this.batchRecords = 0;
    this.batchFirstLsn = this.lastLsn + 1;
    const first = this.headPosition % this.layout.logBlocks;
    this.owners.fill(0, first, first + headerBlocks);
  }

  private closeBatch(): void {
    if (!this.open) return;
    const { view, batchAt: at } = this;
    this.open = false;
    disk.setLogHeadMagic(view, at, DISK_MAGIC.log);
    disk.setLogHeadVersion(view, at, DISK_VERSION);
    disk.setLogHeadRecordCount(view, at, this.batchRecords);
    disk.setLogHeadCrc(view, at, 0);
    disk.setLogHeadChain(view, at, this.chain);
    disk.setLogHeadFormatLow(view, at, this.format.formatLow);
    disk.setLogHeadFormatHigh(view, at, this.format.formatHigh);
    disk.setLogHeadIncarnation(view, at, this.incarnation);
    disk.setLogHeadUsedBytes(view, at, this.batchUsed);
    disk.setLogHeadPayloadBlocks(view, at, this.batchPayload);
    view.setUint32(at + 36, 0, true);
    disk.setLogHeadPosition(view, at, this.batchPosition);
    disk.setLogHeadFirstLsn(view, at, this.batchFirstLsn);
    disk.setLogHeadDurableLsn(view, at, this.durableLsn);
    disk.setLogHeadSettledLsn(view, at, this.settledLsn);
    const crc = crc32Range(this.bytes, view, at, this.batchUsed);
    disk.setLogHeadCrc(view, at, crc);
    this.chain = crc;
    this.headPosition = this.batchPosition + this.layout.headerBlocks + this.batchPayload;
    const group = this.groupAt(this.groupHead);
    group.markerLsn = this.durableLsn;
    group.markerPosition = this.durablePosition;
    this.markedPosition = this.durablePosition;
  }

  private writeRun(): void {
    if (this.runStart === this.headPosition) return;
    const { geometry, segmentBlocks, logBlocks, logAt } = this.layout;
    const at = (this.runStart % segmentBlocks) * geometry.blockBytes;
    const lengthBytes = (this.headPosition - this.runStart) * geometry.blockBytes;
    const offsetBytes = (logAt + (this.runStart % logBlocks)) * geometry.blockBytes;
    this.runStart = this.headPosition;
    this.groupAt(this.groupHead).pending++;
    this.queue.write(IO.log, this.groupHead, 0, offsetBytes, this.bytes, at, lengthBytes);
  }

  /** A direct write belongs to the running group: notes it and returns the group's number. */
  joinGroup(): number {
    const group = this.groupAt(this.groupHead);
    group.pending++;
    group.direct = true;
    return this.groupHead;
  }

  /** Sends off all that was appended, unless all of it goes with the flush behind the one that is under way. */
  submitOrCollect(): void {
    const collects = this.flushing && this.wantedLsn >= this.lastLsn;
    if (!collects || this.groupAt(this.groupHead).pending > 0) this.submit();
  }

  /** Sends off all that was appended. */
  submit(): void {
    this.closeBatch();
    if (!this.flushRun()) this.writeRun();
    const group = this.groupAt(this.groupHead);
    if (group.pending === 0) return;
    assert(
      this.groupHead - this.groupTail < GROUPS - 1,
      'the number of groups in flight is bounded',
    );
    group.lastLsn = this.lastLsn;
    group.endPosition = this.headPosition;
    group.sealed = true;
    this.groupHead++;
    this.resetGroup(this.groupAt(this.groupHead));
  }

  /** Whether the next submit would exceed the bound on groups in flight. */
  get crowded(): boolean {
    return this.groupsInFlight >= GROUPS - 8;
  }

  /** A log write or direct write of a group is done. Returns whether writtenLsn or the written position moved. */
  writeDone(serial: number): boolean {
    this.groupAt(serial).pending--;
    let moved = false;
    while (this.groupTail < this.groupHead) {
      const group = this.groupAt(this.groupTail);
      if (group.pending > 0) break;
      if (group.direct) this.directWritten = true;
      this.writtenLsn = group.lastLsn;
      this.writtenPosition = group.endPosition;
      this.writtenMarkerLsn = group.markerLsn;
      this.writtenMarkerPosition = group.markerPosition;
      this.groupTail++;
      moved = true;
    }
    return moved;
  }

  wantDurable(lsn: number): void {
    if (lsn > this.wantedLsn) this.wantedLsn = Math.min(lsn, this.lastLsn);
  }

  /** Asks for a flush that is submitted from now on; `flushedSerial` reaches the result when it is done. */
  wantFlush(): number {
    this.wantedSerial = this.flushSerial + 1;
    return this.wantedSerial;
  }

  /** Asks that everything up to a position of closed batches is confirmed soon, by a batch of its own if need be. */
  wantConfirmed(position: number): void {
    if (position > this.wantedConfirm) this.wantedConfirm = position;
  }

  /** Appends and flushes what `wantConfirmed` needs. */
  pumpConfirm(): void {
    const wanted = this.wantedConfirm;
    if (wanted <= this.confirmedPosition) return;
    if (wanted > this.durablePosition) this.flushFor(this.writtenPosition, this.flushPosition);
    else if (this.markedPosition < wanted) {
      this.appendMarker();
      this.submit();
    } else this.flushFor(this.writtenMarkerPosition, this.flushMarkerPosition);
  }

  /** Wants a flush once what is wanted is written, unless the running one covers it. */
  private flushFor(writtenPosition: number, coveredPosition: number): void {
    if (writtenPosition < this.wantedConfirm) return;
    if (this.flushing && coveredPosition >= this.wantedConfirm) return;
    this.wantedLogSerial = this.flushSerial + 1;
  }

  /** Submits a flush if one is wanted and none is in flight. */
  pumpFlush(): void {
    if (this.flushing) return;
    const forLsn = this.wantedLsn > this.durableLsn && this.writtenLsn > this.durableLsn;
    const forSerial = this.wantedSerial > this.flushSerial;
    const forLog = this.wantedLogSerial > this.flushSerial;
    if (!forLsn && !forSerial && !forLog) return;
    this.flushing = true;
    this.flushSerial++;
    this.flushLsn = this.writtenLsn;
    this.flushPosition = this.writtenPosition;
    this.flushMarkerLsn = this.writtenMarkerLsn;
    this.flushMarkerPosition = this.writtenMarkerPosition;
    if (!forSerial && !this.directWritten && this.writeThrough(this.writtenPosition, 0)) return;
    this.directWritten = false;
    this.flushParts = 1;
    this.queue.flush();
  }

  /** Closed batches that are wanted durable are written through at once when nothing is in front of them. */
  private flushRun(): boolean {
    const group = this.groupAt(this.groupHead);
    const wanted = this.wantedLsn >= this.lastLsn && this.wantedSerial <= this.flushSerial;
    const first = !this.flushing && this.groupTail === this.groupHead && group.pending === 0;
    if (!wanted || !first || this.directWritten || this.runStart === this.headPosition)
      return false;
    if (!this.writeThrough(this.headPosition, this.groupHead + 1)) return false;
    group.pending = this.flushParts;
    this.runStart = this.headPosition;
    this.flushing = true;
    this.flushSerial++;
    this.flushLsn = this.lastLsn;
    this.flushPosition = this.headPosition;
    this.flushMarkerLsn = group.markerLsn;
    this.flushMarkerPosition = group.markerPosition;
    return true;
  }

  /**
   * Writes what is not durable through to the medium.
   *
   * @param position - end of it
   * @param group - 1 + number of the group that it completes, 0: none
   * @returns false where only a flush will do
   */
  private writeThrough(position: number, group: number): boolean {
    const { segmentBlocks, segments, logAt, logBlocks, geometry } = this.layout;
    const { blockBytes } = geometry;
    const first = this.segmentOf(this.durablePosition);
    const last = this.segmentOf(position - 1);
    if (position <= this.durablePosition || last - first >= THROUGH_SEGMENTS_MAX) return false;
    for (let segment = first; segment <= last; segment++)
      if (this.window.find(segment % segments) === null) return false;
    this.flushParts = 0;
    for (let segment = first; segment <= last; segment++) {
      const from = Math.max(this.durablePosition, segment * segmentBlocks);
      const segmentEnd = this.segmentEnds[segment % segments] ?? 0;
      const end = Math.min(position, segmentEnd);
      const bytes = this.window.find(segment % segments);
      if (from >= end || bytes === null) continue;
      this.flushParts++;
      const offsetBytes = (logAt + (from % logBlocks)) * blockBytes;
      const at = (from % segmentBlocks) * blockBytes;
      this.queue.writeDurable(group, offsetBytes, bytes, at, (end - from) * blockBytes);
    }
    return this.flushParts > 0;
  }

  /**
   * A part of the running flush is done.
   *
   * @param group - what the operation was given
   * @returns whether it was the last
   */
  flushDone(group: number): boolean {
    if (group > 0) this.writeDone(group - 1);
    if (--this.flushParts > 0) return false;
    this.flushing = false;
    this.flushedSerial = this.flushSerial;
    this.durableLsn = this.flushLsn;
    this.durablePosition = this.flushPosition;
    this.confirmedLsn = this.flushMarkerLsn;
    this.confirmedPosition = this.flushMarkerPosition;
    return true;
  }

  /** The superblock says on the device that everything up to here is durable. */
  confirm(lsn: number, position: number): void {
    if (lsn > this.confirmedLsn) this.confirmedLsn = lsn;
    if (position > this.confirmedPosition) this.confirmedPosition = position;
  }

  /** Gives memory back of segments before `position` whose blocks are home. Returns whether any was. */
  releaseBefore(position: number): boolean {
    const limit = Math.min(this.segmentOf(position), this.segmentOf(this.durablePosition));
    return this.window.releaseBefore(limit);
  }
}
