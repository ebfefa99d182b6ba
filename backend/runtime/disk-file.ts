// A file, partition or whole disk as the Disk port. It owns one file descriptor and the queue of completions, which the
// loop of the process drains: nothing is called back from inside an operation. It must never retry a failed operation.
//
// Operations that are not large are done at once: on a page cache that costs a fifth of a trip through the thread pool. A read that
// proves slow and came from the medium was not cached; then the next ones go through the pool, so that the process goes on answering. Flushes and
// durable writes always do. Opened direct, everything does, with aligned memory.

import {
  closeSync,
  constants,
  fdatasync,
  openSync,
  read,
  readSync,
  write,
  writeSync,
} from 'node:fs';

import { AssertionError } from '../core/assert.js';
import { DISK_KIND, DiskMeter } from '../core/disk-meter.js';
import type { DiskKind, DiskTimes } from '../core/disk-meter.js';
import type { Disk, Micros, Token } from '../core/ports.js';

import { AlignedMemory } from './aligned-memory.js';
import { monotonicUs } from './loop.js';
import type { CompletionSource } from './loop.js';

/** Longest read that is done at once. */
const SYNC_READ_BYTES_MAX = 65_536;
/** Longest write that is done at once: a batch of a group commit costs half of what it does through the pool. */
const SYNC_WRITE_BYTES_MAX = 262_144;
/**
 * The page cache keeps what one call writes in one folio, and later small writes and flushes walk all of a folio; so large
 * writes are cut. At 16 KiB this costs 0.1 us per KiB more and saves a third of a random write later.
 */
const WRITE_PIECE_BYTES = 16_384;
/** A read that takes longer may have come from the medium. */
const SLOW_READ_US = 200;
/** After a slow read so many go through the thread pool. */
const POOLED_READS = 64;

/** Who hears of completions. */
export interface DiskClient {
  diskDone(nowUs: Micros, token: Token, ok: boolean): void;
}

/** Starts and ends a batch of inputs around completions that come from the thread pool. */
export interface DiskLoop {
  begin(): void;
  endWithOthers(): void;
}

const NO_ROOM_CODES: readonly string[] = ['ENOSPC', 'EDQUOT'];

const OPERATION = { write: 1, read: 2, flush: 3, writeDurable: 4 } as const;

function meteredAs(kind: number): DiskKind {
  if (kind === OPERATION.read) return DISK_KIND.read;
  return kind === OPERATION.write ? DISK_KIND.write : DISK_KIND.flush;
}

/** One operation on its way through the thread pool, with its callback made once. */
class PooledOperation {
  readonly finished: (error: Error | null, bytes?: number) => void;
  kind = 0;
  beganUs: Micros = 0;
  token: Token = 0;
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  lengthBytes = 0;
  doneBytes = 0;
  offsetBytes = 0;
  /** Where the caller wants the bytes, when the memory of the operation is a stand-in with the right alignment. */
  callerBytes: Uint8Array | null = null;
  callerAt = 0;

  constructor(disk: FileDisk) {
    this.finished = (error, bytes = 0) => {
      disk.pooledDone(this, error, bytes);
    };
  }
}

export class FileDisk implements Disk, CompletionSource {
  readonly sizeBytes: number;
  /** Why the first operation failed, for people; null: none did. */
  failure: string | null = null;
  /**
   * That failure was a write for which the file system under the device had no room. Nothing that was flushed is in doubt
   * then: the device is as after a kill, and may be opened again.
   */
  outOfRoom = false;
  private readonly fd: number;
  /** The same file, for writes that are durable when they return: only what they wrote is waited for. */
  private readonly durableFd: number;
  private readonly loop: DiskLoop;
  private client: DiskClient | null = null;
  private tokens: Token[] = [];
  private outcomes: boolean[] = [];
  private drainedTokens: Token[] = [];
  private drainedOutcomes: boolean[] = [];
  private readonly idle: PooledOperation[] = [];
  private readonly standIns: Uint8Array[] = [];
  /** For direct access only. */
  private readonly memory: AlignedMemory | null;
  private readonly meter = new DiskMeter();
  private pooledReads = 0;
  /** Units that the kernel counted as read from media. */
  private mediumReads = process.resourceUsage().fsRead;
  private running = 0;
  private closing = false;

  /**
   * @param direct - opened with O_DIRECT
   * @param loop - of the process, for completions from the thread pool
   */
  constructor(fd: number, sizeBytes: number, direct: boolean, loop: DiskLoop) {
    this.fd = fd;
    const flags = constants.O_RDWR | constants.O_DSYNC | (direct ? constants.O_DIRECT : 0);
    this.durableFd = openSync(`/proc/self/fd/${fd}`, flags);
    this.sizeBytes = sizeBytes;
    this.memory = direct ? new AlignedMemory() : null;
    this.loop = loop;
  }

  /** Says who hears of completions; before the first operation. */
  attach(client: DiskClient): void {
    this.client = client;
  }

  /** Memory that this disk takes as it is. */
  allocate(lengthBytes: number): Uint8Array {
    return this.memory === null ? new Uint8Array(lengthBytes) : this.memory.allocate(lengthBytes);
  }

  /** Takes memory back that `allocate` gave out. */
  release(bytes: Uint8Array): void {
    this.memory?.release(bytes);
  }

  write(
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void {
    if (this.memory !== null || lengthBytes > SYNC_WRITE_BYTES_MAX) {
      this.submit(OPERATION.write, token, offsetBytes, bytes, at, lengthBytes);
      return;
    }
    const beganUs = monotonicUs();
    try {
      let done = 0;
      while (done < lengthBytes)
        done += writeSync(
          this.fd,
          bytes,
          at + done,
          Math.min(lengthBytes - done, WRITE_PIECE_BYTES),
          offsetBytes + done,
        );
      this.complete(token, true);
    } catch (error) {
      this.failed(token, 'write', offsetBytes, error as Error);
    }
    this.meter.add(DISK_KIND.write, monotonicUs() - beganUs);
  }

  read(
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void {
    if (this.memory !== null || lengthBytes > SYNC_READ_BYTES_MAX || this.pooledReads > 0) {
      if (this.pooledReads > 0) this.pooledReads--;
      this.submit(OPERATION.read, token, offsetBytes, bytes, at, lengthBytes);
      return;
    }
    const beganUs = monotonicUs();
    try {
      let done = 0;
      while (done < lengthBytes) {
        const more = readSync(this.fd, bytes, at + done, lengthBytes - done, offsetBytes + done);
        if (more === 0) throw new Error('the device ends here');
        done += more;
      }
      this.complete(token, true);
    } catch (error) {
      this.failed(token, 'read', offsetBytes, error as Error);
    }
    const tookUs = monotonicUs() - beganUs;
    this.meter.add(DISK_KIND.read, tookUs);
    if (tookUs > SLOW_READ_US && this.readMedium()) this.pooledReads = POOLED_READS;
  }

  times(): DiskTimes {
    return this.meter.times(monotonicUs());
  }

  /**
   * Whether this process read from a medium since it was last asked. A read may also be slow because another process got the
   * processor: the pool would only make that worse.
   */
  private readMedium(): boolean {
    const { fsRead } = process.resourceUsage();
    // Always 0: the kernel does not count.
    const any = fsRead === 0 || fsRead !== this.mediumReads;
    this.mediumReads = fsRead;
    return any;
  }

  writeDurable(
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void {
    this.submit(OPERATION.writeDurable, token, offsetBytes, bytes, at, lengthBytes);
  }

  flush(token: Token): void {
    const operation = this.take(OPERATION.flush, token);
    fdatasync(this.fd, operation.finished);
  }

  private take(kind: number, token: Token): PooledOperation {
    const operation = this.idle.pop() ?? new PooledOperation(this);
    operation.kind = kind;
    operation.token = token;
    operation.doneBytes = 0;
    operation.callerBytes = null;
    operation.beganUs = monotonicUs();
    this.meter.begin(meteredAs(kind), operation.beganUs);
    this.running++;
    return operation;
  }

  private submit(
    kind: number,
    token: Token,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): void {
    const operation = this.take(kind, token);
    operation.offsetBytes = offsetBytes;
    operation.lengthBytes = lengthBytes;
    operation.bytes = bytes;
    operation.at = at;
    if (this.memory?.isAligned(bytes, at) === false) {
      const standIn = this.standIn(lengthBytes);
      if (kind !== OPERATION.read) standIn.set(bytes.subarray(at, at + lengthBytes));
      operation.callerBytes = bytes;
      operation.callerAt = at;
      operation.bytes = standIn;
      operation.at = 0;
    }
    this.go(operation);
  }

  private standIn(lengthBytes: number): Uint8Array {
    const place = this.standIns.findIndex((bytes) => bytes.length >= lengthBytes);
    if (place >= 0) {
      const [bytes] = this.standIns.splice(place, 1);
      if (bytes !== undefined) return bytes;
    }
    return this.allocate(Math.max(SYNC_READ_BYTES_MAX, lengthBytes));
  }

  private go(operation: PooledOperation): void {
    const { bytes, at, doneBytes, lengthBytes, offsetBytes, finished } = operation;
    const rest = lengthBytes - doneBytes;
    if (operation.kind === OPERATION.writeDurable)
      write(this.durableFd, bytes, at + doneBytes, rest, offsetBytes + doneBytes, finished);
    else if (operation.kind === OPERATION.write)
      write(this.fd, bytes, at + doneBytes, rest, offsetBytes + doneBytes, finished);
    else read(this.fd, bytes, at + doneBytes, rest, offsetBytes + doneBytes, finished);
  }

  /** The thread pool is done with an operation, or with a part of it. */
  pooledDone(operation: PooledOperation, error: Error | null, bytes: number): void {
    const { kind } = operation;
    if (error === null && kind !== OPERATION.flush) {
      operation.doneBytes += bytes;
      if (bytes > 0 && operation.doneBytes < operation.lengthBytes) {
        this.go(operation);
        return;
      }
    }
    this.running--;
    this.meter.end(meteredAs(kind), operation.beganUs, monotonicUs());
    this.loop.begin();
    const short = kind !== OPERATION.flush && operation.doneBytes < operation.lengthBytes;
    if (error === null && !short) this.pooledOk(operation);
    else {
      const what = kind === OPERATION.read ? 'read' : kind === OPERATION.flush ? 'flush' : 'write';
      const cause = error ?? new Error('the device ends here');
      this.failed(operation.token, what, operation.offsetBytes, cause);
    }
    if (operation.callerBytes !== null) this.standIns.push(operation.bytes);
    operation.callerBytes = null;
    this.idle.push(operation);
    this.loop.endWithOthers();
    this.closeIfDone();
  }

  private pooledOk(operation: PooledOperation): void {
    const { callerBytes, callerAt, bytes, lengthBytes } = operation;
    if (callerBytes !== null && operation.kind === OPERATION.read)
      callerBytes.set(bytes.subarray(0, lengthBytes), callerAt);
    this.complete(operation.token, true);
  }

  private complete(token: Token, ok: boolean): void {
    this.tokens.push(token);
    this.outcomes.push(ok);
  }

  private failed(token: Token, what: string, offsetBytes: number, error: Error): void {
    // A programming error is none of the device's.
    if (error instanceof AssertionError || error instanceof TypeError) throw error;
    if (this.failure === null) {
      this.failure = `${what} at ${offsetBytes}: ${error.message}`;
      const code = (error as NodeJS.ErrnoException).code ?? '';
      this.outOfRoom = what === 'write' && NO_ROOM_CODES.includes(code);
    }
    this.complete(token, false);
  }

  drain(nowUs: Micros): boolean {
    if (this.tokens.length === 0 || this.client === null) return false;
    const { tokens, outcomes } = this;
    this.tokens = this.drainedTokens;
    this.outcomes = this.drainedOutcomes;
    for (let index = 0; index < tokens.length; index++)
      this.client.diskDone(nowUs, tokens[index] ?? 0, outcomes[index] ?? false);
    tokens.length = 0;
    outcomes.length = 0;
    this.drainedTokens = tokens;
    this.drainedOutcomes = outcomes;
    return true;
  }

  /** Closes the device once nothing is running; no completion is handed over any more. */
  close(): void {
    this.client = null;
    this.closing = true;
    this.closeIfDone();
  }

  private closeIfDone(): void {
    if (!this.closing || this.running > 0) return;
    this.closing = false;
    closeSync(this.durableFd);
    closeSync(this.fd);
  }
}

/** Opens a device for reading and writing; the caller holds its lock. */
export function openFileDisk(
  path: string,
  sizeBytes: number,
  block: boolean,
  direct: boolean,
  loop: DiskLoop,
): FileDisk {
  const flags =
    constants.O_RDWR | (block ? constants.O_EXCL : 0) | (direct ? constants.O_DIRECT : 0);
  return new FileDisk(openSync(path, flags), sizeBytes, direct, loop);
}
