// A disk in virtual time, with a volatile write cache and all the ways in which disks fail. SimMedium is what survives
// processes and power cuts; SimDisk is one open of it by one process. It owns what is on media and what is only cached;
// it must never know a structure of the device format.
//
// Faults: power loss keeps an arbitrary subset of the sectors of every write that no completed flush covers; a killed
// process leaves its running writes half done in the cache; EIO on writes, reads, flushes; a failed flush that throws
// its data away and reports success afterwards; a lying flush; slow disk; bit rot; a lost or misdirected write.

import { assert } from '../core/assert.js';
import type { Disk, Token } from '../core/ports.js';
import type { Prng } from '../core/prng.js';

import type { EventTarget } from './event-queue.js';

/** Where completions are put on the time line. */
export interface DiskScheduler {
  readonly nowUs: number;
  push(timeUs: number, target: EventTarget, what: number, argument: number): void;
}

/** Who hears of completions: hands them to the machine as inputs. */
export interface DiskOwner {
  diskDone(token: Token, ok: boolean): void;
}

/** Latencies in microseconds: base plus a random part below `spread`. */
export interface DiskTiming {
  readonly writeUs: number;
  readonly readUs: number;
  readonly flushUs: number;
  readonly spreadUs: number;
}

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
}

const TIMING: DiskTiming = { writeUs: 20, readUs: 80, flushUs: 150, spreadUs: 60 };

interface UnflushedWrite {
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
  };
  private readonly cached: Uint8Array;
  private readonly media: Uint8Array;
  private unflushed: UnflushedWrite[] = [];
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

  randomSector(): number {
    return this.prng.below(this.sizeBytes / this.sectorBytes) * this.sectorBytes;
  }

  delayUs(baseUs: number, spreadUs: number): number {
    return Math.ceil((baseUs + this.prng.below(spreadUs + 1)) * this.faults.slowFactor);
  }
}

const OP = { write: 1, read: 2, flush: 3, writeDurable: 4 } as const;

interface Operation {
  active: boolean;
  kind: number;
  token: Token;
  offsetBytes: number;
  lengthBytes: number;
  bytes: Uint8Array;
  at: number;
  write: UnflushedWrite | null;
  serial: number;
}

const NOTHING = new Uint8Array(0);

/** One open of a medium. The process that holds it calls `detach` when it ends. */
export class SimDisk implements Disk, EventTarget {
  readonly sizeBytes: number;
  private readonly medium: SimMedium;
  private readonly scheduler: DiskScheduler;
  private readonly timing: DiskTiming;
  private owner: DiskOwner | null = null;
  private readonly operations: Operation[] = [];
  private readonly free: number[] = [];

  constructor(medium: SimMedium, scheduler: DiskScheduler, timing: DiskTiming = TIMING) {
    this.medium = medium;
    this.sizeBytes = medium.sizeBytes;
    this.scheduler = scheduler;
    this.timing = timing;
  }

  attach(owner: DiskOwner): void {
    this.owner = owner;
  }

  /** The process ended: nothing completes any more; running writes are left half done. */
  detach(): void {
    this.owner = null;
    this.medium.processDied();
  }

  write(
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void {
    const write = this.beginWrite(offsetBytes, bytes, at, lengthBytes);
    this.begin(OP.write, token, offsetBytes, NOTHING, 0, lengthBytes, write, this.timing.writeUs);
  }

  writeDurable(
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void {
    const write = this.beginWrite(offsetBytes, bytes, at, lengthBytes);
    const baseUs = this.timing.flushUs;
    this.begin(OP.writeDurable, token, offsetBytes, NOTHING, 0, lengthBytes, write, baseUs);
  }

  /** Null: the write goes nowhere. */
  private beginWrite(
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): UnflushedWrite | null {
    this.check(offsetBytes, lengthBytes);
    const { medium } = this;
    const content = bytes.slice(at, at + lengthBytes);
    let target = offsetBytes;
    let write: UnflushedWrite | null = null;
    if (medium.faults.loseWrites > 0) medium.faults.loseWrites--;
    else {
      if (medium.faults.misdirectWrites > 0) {
        medium.faults.misdirectWrites--;
        target = Math.min(medium.randomSector(), this.sizeBytes - lengthBytes);
      }
      write = medium.beginWrite(target, content);
    }
    return write;
  }

  read(
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void {
    this.check(offsetBytes, lengthBytes);
    this.begin(OP.read, token, offsetBytes, bytes, at, lengthBytes, null, this.timing.readUs);
  }

  flush(token: Token): void {
    this.begin(OP.flush, token, 0, NOTHING, 0, 0, null, this.timing.flushUs);
  }

  /** The event of a completion. */
  fire(_timeUs: number, _what: number, index: number): void {
    const operation = this.operations[index];
    assert(operation !== undefined, 'a completion belongs to an operation');
    this.free.push(index);
    operation.active = false;
    const owner = this.owner;
    if (owner === null) return;
    const ok = this.perform(operation);
    operation.bytes = NOTHING;
    operation.write = null;
    owner.diskDone(operation.token, ok);
  }

  private perform(operation: Operation): boolean {
    const { medium } = this;
    const { faults } = medium;
    if (operation.kind === OP.write) {
      if (faults.failWrites > 0) {
        faults.failWrites--;
        return false;
      }
      if (operation.write !== null) medium.endWrite(operation.write);
      return true;
    }
    if (operation.kind === OP.read) {
      if (faults.failReads > 0) {
        faults.failReads--;
        return false;
      }
      medium.read(operation.offsetBytes, operation.bytes, operation.at, operation.lengthBytes);
      return true;
    }
    if (operation.kind === OP.writeDurable) return this.performDurable(operation);
    if (faults.failFlushes > 0) {
      faults.failFlushes--;
      medium.dropFlush(operation.serial);
      return false;
    }
    if (!faults.lyingFlush) medium.endFlush(operation.serial);
    return true;
  }

  /** Fails as a write does or as a flush does; a disk that lies about flushes keeps it in its cache. */
  private performDurable(operation: Operation): boolean {
    const { medium } = this;
    const { faults } = medium;
    if (faults.failWrites > 0) {
      faults.failWrites--;
      return false;
    }
    if (faults.failFlushes > 0) {
      faults.failFlushes--;
      return false;
    }
    if (operation.write === null) return true;
    if (faults.lyingFlush) medium.endWrite(operation.write);
    else medium.endDurableWrite(operation.write);
    return true;
  }

  private check(offsetBytes: number, lengthBytes: number): void {
    assert(
      offsetBytes >= 0 && lengthBytes > 0 && offsetBytes + lengthBytes <= this.sizeBytes,
      'an operation lies within the disk',
    );
    assert(
      offsetBytes % this.medium.sectorBytes === 0 && lengthBytes % this.medium.sectorBytes === 0,
      'an operation has whole sectors',
    );
  }

  /** The port's rule: a write in flight overlaps no other operation in flight. */
  private checkOverlap(kind: number, offsetBytes: number, lengthBytes: number): void {
    for (const other of this.operations) {
      if (!other.active || (kind === OP.read && other.kind === OP.read)) continue;
      const apart =
        other.offsetBytes + other.lengthBytes <= offsetBytes ||
        offsetBytes + lengthBytes <= other.offsetBytes;
      assert(apart, 'a write in flight overlaps no other operation in flight');
    }
  }

  private begin(
    kind: number,
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
    write: UnflushedWrite | null,
    baseUs: number,
  ): void {
    const serial = kind === OP.flush ? this.medium.beginFlush() : 0;
    if (kind !== OP.flush) this.checkOverlap(kind, offsetBytes, lengthBytes);
    const operation = {
      active: true,
      kind,
      token,
      offsetBytes,
      lengthBytes,
      bytes,
      at,
      write,
      serial,
    };
    let index = this.free.pop();
    if (index === undefined) index = this.operations.push(operation) - 1;
    else this.operations[index] = operation;
    const delayUs = this.medium.delayUs(baseUs, this.timing.spreadUs);
    this.scheduler.push(this.scheduler.nowUs + delayUs, this, kind, index);
  }
}
