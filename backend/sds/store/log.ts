// The log: batches of records with their payload, appended round and round. It owns positions and batches, and sends them
// off; what is written is log-groups.ts, what is durable log-flusher.ts, and the memory in which batches are built
// log-window.ts. It must never know what a record means.
//
// A batch is a header (head and records) and the payload blocks. It is written with one disk write together with its
// neighbours. Batches never cross a segment; where one does not fit, the next segment is begun. The header carries the
// CRC of the header before it, so that no left-over of an earlier lap or of a torn tail ever joins the chain.

import { assert } from '../../core/assert.js';
import { crc32Range } from '../../core/checksum.js';
import * as disk from '../../protocol/generated/disk.js';
import { DISK_MAGIC, DISK_VERSION } from '../../protocol/tables/disk.js';

import { IO } from './io.js';
import type { DiskQueue } from './io.js';
import { segmentOf } from './layout.js';
import type { Layout } from './layout.js';
import { LogFlusher } from './log-flusher.js';
import { LogGroups } from './log-groups.js';
import { LogWindow } from './log-window.js';
import type { FormatId } from './pages.js';
import type { StoreOptions } from './store-options.js';

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
  settledLsn = 0;
  tailPosition = 0;
  /** End of the last closed batch. */
  headPosition = 0;
  chain = 0;
  /** Place of the record that was last begun, in `view` and `bytes`. */
  recordAt = 0;
  payloadAt = 0;
  payloadBlock = 0;
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(this.bytes.buffer);
  /** Index of the cached block (entry * blocks + block, + 1) whose content a block of the log is; 0: none. */
  readonly owners: Uint32Array;
  /** 1: a block of the log goes to the read cache when it is copied home. */
  readonly caches: Uint8Array;
  /** LSN and chain at the start of a segment's current lap. */
  readonly segmentLsns: Float64Array;
  readonly segmentChains: Uint32Array;
  readonly window: LogWindow;
  readonly groups = new LogGroups();
  readonly flusher: LogFlusher;
  private readonly queue: DiskQueue;
  private readonly format: FormatId;
  private incarnation = 0;

  private open = false;
  private batchPosition = 0;
  private batchAt = 0;
  private batchUsed = 0;
  private batchPayload = 0;
  private batchRecords = 0;
  private batchFirstLsn = 0;
  /** Closed batches that are not on their way to the disk: from here to headPosition, within one segment. */
  private runStart = 0;

  /** Position that the newest closed batch says is durable. */
  private markedPosition = 0;

  constructor(layout: Layout, queue: DiskQueue, format: FormatId, options: StoreOptions) {
    this.layout = layout;
    this.queue = queue;
    this.format = format;
    this.owners = new Uint32Array(layout.logBlocks);
    this.caches = new Uint8Array(layout.logBlocks);
    this.segmentLsns = new Float64Array(layout.segments);
    this.segmentChains = new Uint32Array(layout.segments);
    this.window = new LogWindow(layout, options);
    this.flusher = new LogFlusher(layout, queue, this.groups, this.window);
  }

  /** Goes on where recovery ended: all of it is durable and known to be. */
  begin(start: LogStart, settledLsn: number): void {
    this.incarnation = start.incarnation;
    this.tailPosition = start.tailPosition;
    this.headPosition = start.headPosition;
    this.runStart = start.headPosition;
    this.lastLsn = start.lastLsn;
    this.settledLsn = settledLsn;
    this.chain = start.chain;
    this.window.begin(segmentOf(this.layout, start.headPosition));
    this.groups.begin(start.lastLsn, start.headPosition);
    this.flusher.begin(start.lastLsn, start.headPosition);
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

  /** Records that follow, without payload and of so many bytes together, are in one batch: all of them happened or none. */
  keepTogether(recordBytes: number): void {
    assert(disk.LOG_HEAD_BYTES + recordBytes <= this.layout.headerBytes, 'a batch holds them all');
    if (this.open && this.batchUsed + recordBytes > this.layout.headerBytes) this.closeBatch();
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
      this.window.ends[segmentOf(this.layout, this.headPosition) % segments] = this.headPosition;
      this.headPosition += left;
      this.runStart = this.headPosition;
    }
    // The memory of the next segment is another: what is closed goes off first.
    if (this.headPosition % segmentBlocks === 0) this.writeRun();
    assert(
      this.headPosition + needed - this.tailPosition <= this.layout.logBlocks,
      'the log has room for what may not be refused',
    );
    const segment = segmentOf(this.layout, this.headPosition) % segments;
    if (this.headPosition % segmentBlocks === 0) {
      this.segmentLsns[segment] = this.lastLsn + 1;
      this.segmentChains[segment] = this.chain;
      this.window.ends[segment] = this.headPosition + segmentBlocks;
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
    const { view, batchAt: at, flusher } = this;
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
    disk.setLogHeadDurableLsn(view, at, flusher.durableLsn);
    disk.setLogHeadSettledLsn(view, at, this.settledLsn);
    const crc = crc32Range(this.bytes, view, at, this.batchUsed);
    disk.setLogHeadCrc(view, at, crc);
    this.chain = crc;
    this.headPosition = this.batchPosition + this.layout.headerBlocks + this.batchPayload;
    const group = this.groups.current;
    group.markerLsn = flusher.durableLsn;
    group.markerPosition = flusher.durablePosition;
    this.markedPosition = flusher.durablePosition;
  }

  private writeRun(): void {
    if (this.runStart === this.headPosition) return;
    const { geometry, segmentBlocks, logBlocks, logAt } = this.layout;
    const at = (this.runStart % segmentBlocks) * geometry.blockBytes;
    const lengthBytes = (this.headPosition - this.runStart) * geometry.blockBytes;
    const offsetBytes = (logAt + (this.runStart % logBlocks)) * geometry.blockBytes;
    this.runStart = this.headPosition;
    this.groups.current.pending++;
    this.queue.write(IO.log, this.groups.head, 0, offsetBytes, this.bytes, at, lengthBytes);
  }

  /** Sends off all that was appended, unless all of it goes with the flush behind the one that is under way. */
  submitOrCollect(): void {
    if (!this.flusher.collects(this.lastLsn) || this.groups.current.pending > 0) this.submit();
  }

  /** Sends off all that was appended. */
  submit(): void {
    this.closeBatch();
    if (!this.quiet) {
      if (this.flusher.takeRun(this.lastLsn, this.headPosition)) this.runStart = this.headPosition;
      else this.writeRun();
    }
    if (this.groups.current.pending > 0) this.groups.seal(this.lastLsn, this.headPosition);
  }

  /** @param lsn - beyond the last one: all that was appended */
  wantDurable(lsn: number): void {
    this.flusher.wantDurable(Math.min(lsn, this.lastLsn));
  }

  /** Appends and flushes what somebody wants confirmed. */
  pumpConfirm(): void {
    if (!this.flusher.pumpConfirm(this.markedPosition)) return;
    this.appendMarker();
    this.submit();
  }

  /** Gives memory back of segments before `position` whose blocks are home. Returns whether any was. */
  releaseBefore(position: number): boolean {
    const limit = segmentOf(this.layout, Math.min(position, this.flusher.durablePosition));
    return this.window.releaseBefore(limit);
  }
}
