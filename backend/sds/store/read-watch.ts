// Finds out that nothing can be read from a device any more: after some failed reads in a row both superblocks are read, and
// when that fails too, the device is dead. It owns that judgement; a bad spot alone never ends a device, for whatever else
// it holds may exist nowhere else.

import { IO } from './io.js';
import type { Parts } from './parts.js';
import type { SuperblockWriter } from './superblock-writer.js';

/** Failed reads without a good one between, until the superblocks are tried. */
const FAILED_IN_ROW_MAX = 4;

export class ReadWatch {
  private readonly parts: Parts;
  private readonly writer: SuperblockWriter;
  private failedInRow = 0;
  private pending = 0;
  private anyGood = false;
  private bytes: Uint8Array | null = null;

  constructor(parts: Parts, writer: SuperblockWriter) {
    this.parts = parts;
    this.writer = writer;
  }

  /** The superblocks are being read: they must not be written. */
  get busy(): boolean {
    return this.pending > 0;
  }

  /** A read of blocks or of a descriptor is done. */
  note(ok: boolean): void {
    this.failedInRow = ok ? 0 : this.failedInRow + 1;
  }

  /** Tries the superblocks when it is time to. */
  pump(): void {
    if (this.failedInRow < FAILED_IN_ROW_MAX || this.busy || this.writer.busy) return;
    const { layout, queue, options } = this.parts;
    const { superblockBytes } = layout;
    this.bytes ??= options.allocate(2 * superblockBytes);
    this.pending = 2;
    this.anyGood = false;
    queue.read(IO.probe, 0, 0, 0, this.bytes, 0, superblockBytes);
    const second = layout.secondSuperblockAt;
    queue.read(IO.probe, 0, 0, second, this.bytes, superblockBytes, superblockBytes);
  }

  /**
   * A superblock was read, or not.
   *
   * @returns whether the device is dead
   */
  probed(ok: boolean): boolean {
    if (ok) this.anyGood = true;
    if (--this.pending > 0) return false;
    this.failedInRow = 0;
    return !this.anyGood;
  }
}
