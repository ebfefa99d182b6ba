// One open of a simulated disk by one process: operations in virtual time and their completions. It owns what is in
// flight; what is on the disk is the medium's.

import { assert } from '../core/assert.js';
import { DISK_KIND, DiskMeter } from '../core/disk-meter.js';
import type { DiskKind, DiskTimes } from '../core/disk-meter.js';
import type { Disk, Token } from '../core/ports.js';

import type { EventTarget } from './event-queue.js';
import type { SimMedium, UnflushedWrite } from './medium.js';

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

const TIMING: DiskTiming = { writeUs: 20, readUs: 80, flushUs: 150, spreadUs: 60 };

const OP = { write: 1, read: 2, flush: 3, writeDurable: 4 } as const;

function meteredAs(kind: number): DiskKind {
  if (kind === OP.read) return DISK_KIND.read;
  return kind === OP.write ? DISK_KIND.write : DISK_KIND.flush;
}

interface Operation {
  active: boolean;
  kind: number;
  beganUs: number;
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
  private readonly meter = new DiskMeter();

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
      if (medium.faults.tearWrites > 0) {
        medium.faults.tearWrites--;
        medium.tear(target, content);
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

  times(): DiskTimes {
    return this.meter.times(this.scheduler.nowUs);
  }

  /** The event of a completion. */
  fire(_timeUs: number, _what: number, index: number): void {
    const operation = this.operations[index];
    assert(operation !== undefined, 'a completion belongs to an operation');
    this.free.push(index);
    operation.active = false;
    this.meter.end(meteredAs(operation.kind), operation.beganUs, this.scheduler.nowUs);
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
    if (faults.lyingFlush) medium.lied = true;
    else medium.endFlush(operation.serial);
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
    if (faults.lyingFlush) {
      medium.lied = true;
      medium.endWrite(operation.write);
    } else medium.endDurableWrite(operation.write);
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
    const beganUs = this.scheduler.nowUs;
    this.meter.begin(meteredAs(kind), beganUs);
    const operation = {
      active: true,
      kind,
      beganUs,
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
