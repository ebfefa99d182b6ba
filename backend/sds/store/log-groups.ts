// The groups of the log: all that is appended between two submits, with the direct writes that belong to it. It owns
// which group is written, and so how far the log is; it must never write.
//
// A group is written when its log writes and its direct writes are done, and all groups before it are written.

import { assert } from '../../core/assert.js';

const GROUPS = 1024;
/** Groups that are kept free for what one step of the store submits after it asked. */
const GROUPS_KEPT = 8;

export interface Group {
  lastLsn: number;
  endPosition: number;
  /** Highest durable LSN that a batch of the group carries, and the position that was durable then. */
  markerLsn: number;
  markerPosition: number;
  pending: number;
  /** Direct writes belong to it. */
  direct: boolean;
}

export class LogGroups {
  /** All up to here is written, of the last written group. */
  writtenLsn = 0;
  writtenPosition = 0;
  /** What the newest written batch says is durable. */
  writtenMarkerLsn = 0;
  writtenMarkerPosition = 0;
  /** Direct writes were done that no flush covers. */
  directWritten = false;
  /** Number of the group that is being filled. */
  head = 0;
  private tail = 0;
  /** A ring; each is made when its place is used first. */
  private readonly groups: Group[] = [];

  /** All up to here is written and known to be durable. */
  begin(lsn: number, position: number): void {
    this.writtenLsn = this.writtenMarkerLsn = lsn;
    this.writtenPosition = this.writtenMarkerPosition = position;
    this.open(lsn, position);
  }

  private open(lsn: number, position: number): void {
    const group = this.current;
    group.lastLsn = lsn;
    group.endPosition = position;
    group.markerLsn = this.writtenMarkerLsn;
    group.markerPosition = this.writtenMarkerPosition;
    group.pending = 0;
    group.direct = false;
  }

  /** The group that is being filled. */
  get current(): Group {
    return this.at(this.head);
  }

  private at(serial: number): Group {
    return (this.groups[serial % GROUPS] ??= {
      lastLsn: 0,
      endPosition: 0,
      markerLsn: 0,
      markerPosition: 0,
      pending: 0,
      direct: false,
    });
  }

  /** Groups that are sealed and not written yet. */
  get inFlight(): number {
    return this.head - this.tail;
  }

  /** Whether the next submit might exceed the bound on groups in flight. */
  get crowded(): boolean {
    return this.inFlight >= GROUPS - GROUPS_KEPT;
  }

  /** A direct write belongs to the group that is being filled: notes it and returns the group's number. */
  joinDirect(): number {
    const group = this.current;
    group.pending++;
    group.direct = true;
    return this.head;
  }

  /** The group that is being filled ends here. */
  seal(lsn: number, position: number): void {
    assert(this.inFlight < GROUPS - 1, 'the number of groups in flight is bounded');
    const group = this.current;
    group.lastLsn = lsn;
    group.endPosition = position;
    this.head++;
    this.open(lsn, position);
  }

  /** A log write or direct write of a group is done. Returns whether what is written moved. */
  writeDone(serial: number): boolean {
    this.at(serial).pending--;
    let moved = false;
    while (this.tail < this.head) {
      const group = this.at(this.tail);
      if (group.pending > 0) break;
      if (group.direct) this.directWritten = true;
      this.writtenLsn = group.lastLsn;
      this.writtenPosition = group.endPosition;
      this.writtenMarkerLsn = group.markerLsn;
      this.writtenMarkerPosition = group.markerPosition;
      this.tail++;
      moved = true;
    }
    return moved;
  }
}
