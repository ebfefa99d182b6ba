// Writes both copies of the superblock, one after the other with a flush between: one of them is valid at any moment. It
// owns the order; it must never decide what the superblock says.

import { IO } from './io.js';
import type { DiskQueue } from './io.js';
import type { Layout } from './layout.js';
import type { Log } from './log.js';
import { encodeSuperblock } from './superblock.js';
import type { Superblock } from './superblock.js';

const PHASE = { idle: 0, writing: 1, flushing: 2 } as const;

export class SuperblockWriter {
  private readonly layout: Layout;
  private readonly queue: DiskQueue;
  private readonly log: Log;
  private readonly bytes: Uint8Array;
  /** Which copy is written first: never the only valid one. */
  private firstCopy = 0;
  private copy = 0;
  private phase: number = PHASE.idle;
  private ticket = 0;
  private superblock: Superblock | null = null;

  constructor(
    layout: Layout,
    queue: DiskQueue,
    log: Log,
    allocate: (lengthBytes: number) => Uint8Array,
  ) {
    this.layout = layout;
    this.queue = queue;
    this.log = log;
    this.bytes = allocate(layout.superblockBytes);
  }

  get busy(): boolean {
    return this.phase !== PHASE.idle;
  }

  /** Says which copy the superblock was read from: the other one may be torn. */
  readFrom(copy: number): void {
    this.firstCopy = 1 - copy;
  }

  /** Starts; the superblock stays as it is until it is done. */
  begin(superblock: Superblock): void {
    superblock.sequence++;
    this.superblock = superblock;
    this.copy = this.firstCopy;
    this.write();
  }

  private write(): void {
    const { layout } = this;
    if (this.superblock === null) return;
    const offset = this.copy === 0 ? 0 : layout.secondSuperblockAt;
    encodeSuperblock(this.superblock, layout, offset, this.bytes);
    this.phase = PHASE.writing;
    this.queue.write(IO.superblock, 0, 0, offset, this.bytes, 0, layout.superblockBytes);
  }

  writeDone(): void {
    this.phase = PHASE.flushing;
    this.ticket = this.log.flusher.wantFlush();
  }

  /** Goes on after a flush. Returns true once, when both copies are on media. */
  pump(): boolean {
    if (this.phase !== PHASE.flushing || this.log.flusher.flushedSerial < this.ticket) return false;
    if (this.copy === this.firstCopy) {
      this.copy = 1 - this.firstCopy;
      this.write();
      return false;
    }
    this.phase = PHASE.idle;
    return true;
  }
}
