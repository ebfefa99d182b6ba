// When data is copied home and the log trimmed: when memory, log or cache run short, when the device is idle, and before it
// is closed. It owns that decision; how a checkpoint goes is checkpoint.ts.

import type { Micros } from '../../core/ports.js';

import type { Checkpoint } from './checkpoint.js';
import type { Homing } from './homing.js';
import type { Parts } from './parts.js';

/** A checkpoint that gained too little is tried again after this time, or when something was settled. */
const RETRY_US = 100_000;
/** Checkpoints in a row that may gain nothing while the device is closed. */
const CLOSING_IDLE_MAX = 3;

export class Trimming {
  /** The device is to be closed. */
  closing = false;
  /** A checkpoint after the last change said so in the superblock. */
  closed = false;
  /** Changes of the owner since the last checkpoint began. */
  changes = 0;
  private readonly parts: Parts;
  private readonly homing: Homing;
  private readonly checkpoint: Checkpoint;
  private lastChangeUs: Micros;
  /** Where the log stood when it was last trimmed. */
  private trimmedLsn = 0;
  private trimmedPosition = 0;
  private settledAtTrim = 0;
  private retryAtUs: Micros = Infinity;
  private retry = false;
  /** Fewest blocks of the log in use since the device is to be closed, and checkpoints since then. */
  private closingBlocks = Infinity;
  private closingIdle = 0;

  constructor(parts: Parts, homing: Homing, checkpoint: Checkpoint, nowUs: Micros) {
    this.parts = parts;
    this.homing = homing;
    this.checkpoint = checkpoint;
    this.lastChangeUs = nowUs;
    // What was replayed is trimmed when the device is idle.
    this.changes = parts.log.usedBlocks > 0 ? 1 : 0;
  }

  private idleAtUs(): Micros {
    const idle = this.changes > 0 && !this.checkpoint.running;
    return idle ? this.lastChangeUs + this.parts.options.idleUs : Infinity;
  }

  nextDeadlineUs(): Micros {
    return Math.min(this.retryAtUs, this.idleAtUs());
  }

  tick(nowUs: Micros): void {
    if (nowUs >= this.retryAtUs) {
      this.retryAtUs = Infinity;
      this.retry = true;
    }
    if (nowUs >= this.idleAtUs()) this.begin(true);
  }

  /** Something may have been appended since the last call. */
  noteChanges(nowUs: Micros): void {
    if (!this.parts.log.quiet) this.lastChangeUs = nowUs;
  }

  /**
   * Starts copying home and trimming when memory, log, or cache run short.
   *
   * @param roomWanted - somebody waits for room
   */
  relieve(nowUs: Micros, roomWanted: boolean): void {
    const { log, layout, options, ring, cache } = this.parts;
    if (log.window.segments * 2 > options.windowSegments) {
      const keep = Math.floor(options.windowSegments / 4) * layout.segmentBlocks;
      this.homing.want(Math.max(this.homing.wanted, log.headPosition - keep));
    }
    if (this.checkpoint.running) return;
    const logShort = log.usedBlocks * 2 > layout.logBlocks;
    const ringShort = (log.lastLsn - ring.tailLsn) * 4 > ring.capacity;
    const cacheShort = cache.dirtyCount * 2 > cache.capacity;
    if (!logShort && !ringShort && !cacheShort) return;
    // Notes that had to be made again are no reason to trim again: only what came after the last checkpoint is.
    const gained =
      (log.lastLsn - this.trimmedLsn) * 16 > ring.capacity ||
      (log.headPosition - this.trimmedPosition) * 8 > layout.logBlocks ||
      (log.settledLsn > this.settledAtTrim && this.changes > 0);
    const { retry } = this;
    this.retry = false;
    // Half of the log again and again may hold the same notes twice for ever (test/sim/scenarios/kept-ids-fill-ring.json).
    if (gained || retry || cacheShort) this.begin((cacheShort && !logShort) || (retry && !gained));
    else if (this.retryAtUs === Infinity && (roomWanted || this.changes > 0))
      this.retryAtUs = nowUs + RETRY_US;
  }

  /** Whether memory for the log is about to run out, or the device is to be closed. */
  get urgent(): boolean {
    const { log, options } = this.parts;
    return this.closing || log.window.segments * 4 > options.windowSegments * 3;
  }

  /** Lets a running checkpoint go on. Returns true once, when the log was trimmed. */
  pump(): boolean {
    if (!this.checkpoint.pump()) return false;
    const { log } = this.parts;
    this.trimmedLsn = log.lastLsn;
    this.trimmedPosition = log.headPosition;
    this.settledAtTrim = log.settledLsn;
    if (this.changes === 0) log.window.shrink();
    if (!this.closing) return true;
    // Only a checkpoint that began after the last change, and said so in the superblock, closes the device cleanly. Where
    // none can trim any more it ends like a crash: the next open reads the log.
    const isClean = this.checkpoint.isClosing && log.flusher.durableLsn >= log.lastLsn;
    const isStuck = this.checkpoint.isStuck || !this.closingGains();
    if (this.changes === 0 && (isClean || isStuck)) this.closed = true;
    else this.begin(true);
    return true;
  }

  /** Notes that fill more than half of the log are noted half by half for ever (test/sim/scenarios/notes-outlive-close.json). */
  private closingGains(): boolean {
    const { usedBlocks } = this.parts.log;
    this.closingIdle = usedBlocks < this.closingBlocks ? 0 : this.closingIdle + 1;
    this.closingBlocks = Math.min(this.closingBlocks, usedBlocks);
    return this.closingIdle <= CLOSING_IDLE_MAX;
  }

  close(): void {
    this.closing = true;
    if (!this.checkpoint.running) this.begin(true);
  }

  private begin(all: boolean): void {
    const { checkpoint } = this;
    this.changes = 0;
    this.retryAtUs = Infinity;
    if (all) checkpoint.beginAll(this.closing);
    else checkpoint.beginHalf();
  }
}
