// The bytes of a simulated disk: what survives processes and power cuts, and what is wrong with it. It owns what is on
// media and what is only cached; it must never know a structure of the device format.
//
// Faults: power loss keeps an arbitrary subset of the sectors of every write that no completed flush covers; a killed
// process leaves its running writes half done in the cache; EIO on writes, reads, flushes; a failed flush that throws
// its data away and reports success afterwards; a lying flush; slow disk; bit rot; a lost, misdirected or torn write.

import { assert } from '../core/assert.js';
import type { Prng } from '../core/prng.js';

/** What goes wrong; changed at any time by a nemesis. */
export interface DiskFaults {
  /** Multiplies every latency. */
  slowFactor: number;
  /** The next so many operations of the kind fail. Infinity: from now on. */
  failWrites: number;
  failReads: number;
  /** A failed flush drops what it should have made durable from the cache's dirty set; later flushes succeed. */
  failFlushes: number;
  /** Flushes report success and make nothing durable. */
  lyingFlush: boolean;
  /** The next so many writes go nowhere, or to another place. */
  loseWrites: number;
  misdirectWrites: number;
  /** The next so many writes reach the disk only in part. */
  tearWrites: number;
}

/** So many of the last writes are remembered: what was written lately is what the newest content of a device hangs on. */
const RECENT_WRITES = 64;

export interface UnflushedWrite {
  readonly offsetBytes: number;
  readonly content: Uint8Array;
  /** Flushes submitted from this serial on cover it; Infinity while it runs. */
  completedSerial: number;
}

/** The bytes of a device: `cached` as every process of the host sees them, `media` as they are without power. */
export class SimMedium {
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  readonly faults: DiskFaults = {
    slowFactor: 1,
    failWrites: 0,
    failReads: 0,
    failFlushes: 0,
    lyingFlush: false,
    loseWrites: 0,
    misdirectWrites: 0,
    tearWrites: 0,
  };
  private readonly cached: Uint8Array;
  private readonly media: Uint8Array;
  /** A flush was reported and did nothing, and no true one came after it. */
  lied = false;
  private unflushed: UnflushedWrite[] = [];
  private readonly recent: UnflushedWrite[] = [];
  private serial = 0;
  private readonly prng: Prng;

  constructor(sizeBytes: number, sectorBytes: number, prng: Prng) {
    assert(sizeBytes % sectorBytes === 0, 'a disk has whole sectors');
    this.sizeBytes = sizeBytes;
    this.sectorBytes = sectorBytes;
    this.cached = new Uint8Array(sizeBytes);
    this.media = new Uint8Array(sizeBytes);
    this.prng = prng;
  }

  /** Takes over the content of another medium of the same size, on media. */
  copyFrom(other: SimMedium): void {
    this.cached.set(other.cached);
    this.media.set(other.cached);
    this.unflushed = [];
  }

  /** A write begins: until it is completed, any part of it may be in the cache after the process died. */
  beginWrite(offsetBytes: number, content: Uint8Array): UnflushedWrite {
    const write = { offsetBytes, content, completedSerial: Infinity };
    this.unflushed.push(write);
    if (this.recent.push(write) > RECENT_WRITES) this.recent.shift();
    return write;
  }

  endWrite(write: UnflushedWrite): void {
    this.cached.set(write.content, write.offsetBytes);
    write.completedSerial = this.serial;
  }

  /** A durable write is complete: what lay there before never comes back, whatever happens to it. */
  endDurableWrite(write: UnflushedWrite): void {
    this.endWrite(write);
    this.media.set(write.content, write.offsetBytes);
    const end = write.offsetBytes + write.content.length;
    this.unflushed = this.unflushed.filter((other) => other !== write);
    for (const other of this.unflushed) {
      const from = Math.max(write.offsetBytes, other.offsetBytes);
      const to = Math.min(end, other.offsetBytes + other.content.length);
      if (from >= to) continue;
      const part = write.content.subarray(from - write.offsetBytes, to - write.offsetBytes);
      other.content.set(part, from - other.offsetBytes);
    }
  }

  /** @returns the serial to give to `endFlush` */
  beginFlush(): number {
    return this.serial++;
  }

  /** Everything that completed before the flush began is on media now. */
  endFlush(serial: number): void {
    this.lied = false;
    this.settle(serial, true);
  }

  /** What the flush should have made durable stays cached, but no later flush writes it. */
  dropFlush(serial: number): void {
    this.settle(serial, false);
  }

  private settle(serial: number, durable: boolean): void {
    const kept: UnflushedWrite[] = [];
    for (const write of this.unflushed) {
      if (write.completedSerial > serial) kept.push(write);
      else if (durable) this.media.set(write.content, write.offsetBytes);
    }
    this.unflushed = kept;
  }

  read(offsetBytes: number, bytes: Uint8Array, at: number, lengthBytes: number): void {
    bytes.set(this.cached.subarray(offsetBytes, offsetBytes + lengthBytes), at);
  }

  /** The process died: each running write got some of its sectors into the cache. */
  processDied(): void {
    for (const write of this.unflushed) {
      if (write.completedSerial !== Infinity) continue;
      this.applySome(write, this.cached);
      // From now on it is as good as a completed write that consists of what the cache holds.
      write.content.set(
        this.cached.subarray(write.offsetBytes, write.offsetBytes + write.content.length),
      );
      write.completedSerial = this.serial;
    }
  }

  /** The power went: of each write that is not flushed, any sectors made it to the media. */
  powerLoss(): void {
    for (const write of this.unflushed) this.applySome(write, this.media);
    this.unflushed = [];
    this.cached.set(this.media);
  }

  private applySome(write: UnflushedWrite, target: Uint8Array): void {
    const { prng, sectorBytes } = this;
    const mode = prng.below(4);
    if (mode === 0) return;
    for (let at = 0; at < write.content.length; at += sectorBytes) {
      if (mode !== 1 && prng.chance(1, mode)) continue;
      target.set(write.content.subarray(at, at + sectorBytes), write.offsetBytes + at);
    }
  }

  /** Flips one bit for good. */
  rot(offsetBytes: number, bit: number): void {
    const value = (this.cached[offsetBytes] ?? 0) ^ (1 << (bit & 7));
    this.cached[offsetBytes] = value;
    this.media[offsetBytes] = value;
  }

  /** How many writes no flush has made durable yet. */
  unflushedCount(): number {
    return this.unflushed.length;
  }

  /** Copies a range as processes see it, for checkers. */
  snapshot(offsetBytes: number, lengthBytes: number): Uint8Array {
    return this.cached.slice(offsetBytes, offsetBytes + lengthBytes);
  }

  /** What a torn write leaves of its content: some sectors stay as they are on the disk now. */
  tear(offsetBytes: number, content: Uint8Array): void {
    const from = this.prng.below(content.length / this.sectorBytes) * this.sectorBytes;
    const old = this.cached.subarray(offsetBytes + from, offsetBytes + content.length);
    content.set(old, from);
  }

  /** A sector of one of the last writes, or any. */
  recentSector(): number {
    const { prng, recent, sectorBytes } = this;
    if (recent.length === 0) return this.randomSector();
    const { offsetBytes, content } = prng.pick(recent);
    return offsetBytes + prng.below(content.length / sectorBytes) * sectorBytes;
  }

  randomSector(): number {
    return this.prng.below(this.sizeBytes / this.sectorBytes) * this.sectorBytes;
  }

  delayUs(baseUs: number, spreadUs: number): number {
    return Math.ceil((baseUs + this.prng.below(spreadUs + 1)) * this.faults.slowFactor);
  }
}
