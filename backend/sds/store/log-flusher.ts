// Makes the log durable. It owns which LSN is durable, which is known to be (confirmed), who waits for either, and the one
// flush that is under way; it must never append.
//
// A log that is to become durable is written through to the medium: that waits for nothing but the log, while a flush
// waits for all copies home that happen to be in the cache. Where direct writes belong to it, it is a flush. While one is
// under way, what arrives for the next is collected in one batch.

import type { DiskQueue } from './io.js';
import { segmentOf } from './layout.js';
import type { Layout } from './layout.js';
import type { LogGroups } from './log-groups.js';
import type { LogWindow } from './log-window.js';

/** More segments than these are flushed, not written through. */
const THROUGH_SEGMENTS_MAX = 4;

export class LogFlusher {
  durableLsn = 0;
  durablePosition = 0;
  /** A durable batch says that everything up to here is durable: what recovery will know for certain. */
  confirmedLsn = 0;
  confirmedPosition = 0;
  /** Number of the last flush that completed. */
  flushedSerial = 0;
  private readonly layout: Layout;
  private readonly queue: DiskQueue;
  private readonly groups: LogGroups;
  private readonly window: LogWindow;
  private flushing = false;
  /** What the newest flush makes durable, and what a batch in it says is durable. */
  private flushLsn = 0;
  private flushPosition = 0;
  private flushMarkerLsn = 0;
  private flushMarkerPosition = 0;
  private flushSerial = 0;
  /** Parts of the running flush that are not done. */
  private flushParts = 0;
  private wantedLsn = 0;
  private wantedSerial = 0;
  /** As `wantedSerial`, but a flush of the log alone is enough. */
  private wantedLogSerial = 0;
  private wantedConfirm = 0;

  constructor(layout: Layout, queue: DiskQueue, groups: LogGroups, window: LogWindow) {
    this.layout = layout;
    this.queue = queue;
    this.groups = groups;
    this.window = window;
  }

  /** All up to here is durable and known to be. */
  begin(lsn: number, position: number): void {
    this.durableLsn = this.confirmedLsn = lsn;
    this.durablePosition = this.confirmedPosition = position;
  }

  /** @param lsn - of a record that was appended */
  wantDurable(lsn: number): void {
    if (lsn > this.wantedLsn) this.wantedLsn = lsn;
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

  /** Whether all up to an LSN goes with the flush behind the one that is under way. */
  collects(lastLsn: number): boolean {
    return this.flushing && this.wantedLsn >= lastLsn;
  }

  /**
   * Wants the flushes that `wantConfirmed` needs.
   *
   * @param markedPosition - what the newest closed batch says is durable
   * @returns whether a batch that says more has to be appended
   */
  pumpConfirm(markedPosition: number): boolean {
    const { groups, wantedConfirm: wanted } = this;
    if (wanted <= this.confirmedPosition) return false;
    if (wanted > this.durablePosition) this.flushFor(groups.writtenPosition, this.flushPosition);
    else if (markedPosition < wanted) return true;
    else this.flushFor(groups.writtenMarkerPosition, this.flushMarkerPosition);
    return false;
  }

  /** Wants a flush once what is wanted is written, unless the running one covers it. */
  private flushFor(writtenPosition: number, coveredPosition: number): void {
    if (writtenPosition < this.wantedConfirm) return;
    if (this.flushing && coveredPosition >= this.wantedConfirm) return;
    this.wantedLogSerial = this.flushSerial + 1;
  }

  /** Submits a flush if one is wanted and none is in flight. */
  pump(): void {
    if (this.flushing) return;
    const { groups } = this;
    const forLsn = this.wantedLsn > this.durableLsn && groups.writtenLsn > this.durableLsn;
    const forSerial = this.wantedSerial > this.flushSerial;
    const forLog = this.wantedLogSerial > this.flushSerial;
    if (!forLsn && !forSerial && !forLog) return;
    this.begun(groups.writtenLsn, groups.writtenPosition);
    this.flushMarkerLsn = groups.writtenMarkerLsn;
    this.flushMarkerPosition = groups.writtenMarkerPosition;
    const ownFlush = forSerial || groups.directWritten;
    if (!ownFlush && this.writeThrough(groups.writtenPosition, 0)) return;
    groups.directWritten = false;
    this.flushParts = 1;
    this.queue.flush();
  }

  private begun(lsn: number, position: number): void {
    this.flushing = true;
    this.flushSerial++;
    this.flushLsn = lsn;
    this.flushPosition = position;
  }

  /**
   * Writes closed batches through at once that are wanted durable, when nothing is in front of them.
   *
   * @param lastLsn - of the last of them
   * @param headPosition - their end
   * @returns whether they are on their way, as part of the group that is being filled
   */
  takeRun(lastLsn: number, headPosition: number): boolean {
    const { groups } = this;
    const group = groups.current;
    const wanted = this.wantedLsn >= lastLsn && this.wantedSerial <= this.flushSerial;
    const first = !this.flushing && groups.inFlight === 0 && group.pending === 0;
    if (!wanted || !first || groups.directWritten) return false;
    if (!this.writeThrough(headPosition, groups.head + 1)) return false;
    group.pending = this.flushParts;
    this.begun(lastLsn, headPosition);
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
    const { layout, window } = this;
    const { segmentBlocks, segments, logAt, logBlocks, geometry } = layout;
    const { blockBytes } = geometry;
    const first = segmentOf(layout, this.durablePosition);
    const last = segmentOf(layout, position - 1);
    if (position <= this.durablePosition || last - first >= THROUGH_SEGMENTS_MAX) return false;
    for (let segment = first; segment <= last; segment++)
      if (window.find(segment % segments) === null) return false;
    this.flushParts = 0;
    for (let segment = first; segment <= last; segment++) {
      const from = Math.max(this.durablePosition, segment * segmentBlocks);
      const end = Math.min(position, window.ends[segment % segments] ?? 0);
      const bytes = window.find(segment % segments);
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
  partDone(group: number): boolean {
    if (group > 0) this.groups.writeDone(group - 1);
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
}
