// Operations of the store on its disk: tokens, what each one is for, and which places of the data area are in flight.
// It owns the tokens; it must never decide what to read or write, nor let a write of the data area pass that the read cache
// does not hear of.
//
// The disk's rule is that a write in flight overlaps no other operation in flight. Log, pages and superblock keep it by
// their order; for the data area `overlaps` answers.

import { assert } from '../../core/assert.js';
import type { Disk, Token } from '../../core/ports.js';

import type { ReadCache } from './read-cache.js';

export const IO = {
  log: 1,
  direct: 2,
  home: 3,
  read: 4,
  load: 5,
  page: 6,
  superblock: 7,
  flush: 8,
  scan: 9,
  probe: 10,
} as const;

function isRanged(kind: number): boolean {
  return kind === IO.direct || kind === IO.home || kind === IO.read;
}

export class DiskQueue {
  private readonly disk: Disk;
  private capacity = 64;
  private kinds = new Uint8Array(this.capacity);
  private argsA = new Float64Array(this.capacity);
  private argsB = new Float64Array(this.capacity);
  private offsets = new Float64Array(this.capacity);
  private lengths = new Float64Array(this.capacity);
  /** Place of the token in `ranged`. */
  private places = new Int32Array(this.capacity);
  private ranged = new Int32Array(this.capacity);
  private rangedCount = 0;
  private free = new Int32Array(this.capacity);
  private freeCount = 0;
  /** Of an open device. */
  private cache: ReadCache | null = null;
  private blockBytes = 1;
  /** Reads and writes of any kind in flight. */
  inFlight = 0;

  constructor(disk: Disk) {
    this.disk = disk;
    for (let token = this.capacity - 1; token >= 0; token--) this.free[this.freeCount++] = token;
  }

  /** From now on this cache hears of what is written. */
  useCache(cache: ReadCache, blockBytes: number): void {
    this.cache = cache;
    this.blockBytes = blockBytes;
  }

  write(
    kind: number,
    argA: number,
    argB: number,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): Token {
    if (this.cache !== null && isRanged(kind))
      this.cache.dropRange(offsetBytes / this.blockBytes, lengthBytes / this.blockBytes);
    const token = this.take(kind, argA, argB, offsetBytes, lengthBytes);
    this.disk.write(token, offsetBytes, bytes, at, lengthBytes);
    return token;
  }

  read(
    kind: number,
    argA: number,
    argB: number,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): Token {
    const token = this.take(kind, argA, argB, offsetBytes, lengthBytes);
    this.disk.read(token, offsetBytes, bytes, at, lengthBytes);
    return token;
  }

  /** A write of the log that is durable when it completes, as a flush. `argA`: 0 where it was written before. */
  writeDurable(
    argA: number,
    offsetBytes: number,
    bytes: Uint8Array,
    at: number,
    lengthBytes: number,
  ): Token {
    const token = this.take(IO.flush, argA, 0, offsetBytes, lengthBytes);
    this.disk.writeDurable(token, offsetBytes, bytes, at, lengthBytes);
    return token;
  }

  flush(): Token {
    const token = this.take(IO.flush, 0, 0, 0, 0);
    this.disk.flush(token);
    return token;
  }

  kindOf(token: Token): number {
    return this.kinds[token] ?? 0;
  }

  argA(token: Token): number {
    return this.argsA[token] ?? 0;
  }

  argB(token: Token): number {
    return this.argsB[token] ?? 0;
  }

  /** Forgets a token whose operation is done. */
  done(token: Token): void {
    const kind = this.kinds[token] ?? 0;
    assert(kind !== 0, 'a completion answers an operation in flight');
    if (isRanged(kind)) {
      const place = this.places[token] ?? 0;
      const last = this.ranged[--this.rangedCount] ?? 0;
      this.ranged[place] = last;
      this.places[last] = place;
    }
    this.kinds[token] = 0;
    this.free[this.freeCount++] = token;
    this.inFlight--;
  }

  /** Whether an operation in flight touches this range of the data area. */
  overlaps(offsetBytes: number, lengthBytes: number): boolean {
    return this.touched(offsetBytes, lengthBytes, false);
  }

  /** Whether a direct write in flight touches this range: its content cannot be read yet. */
  overlapsWrite(offsetBytes: number, lengthBytes: number): boolean {
    return this.touched(offsetBytes, lengthBytes, true);
  }

  private touched(offsetBytes: number, lengthBytes: number, byWritesOnly: boolean): boolean {
    const end = offsetBytes + lengthBytes;
    for (let place = 0; place < this.rangedCount; place++) {
      const token = this.ranged[place] ?? 0;
      if (byWritesOnly && this.kinds[token] === IO.read) continue;
      const start = this.offsets[token] ?? 0;
      if (start < end && offsetBytes < start + (this.lengths[token] ?? 0)) return true;
    }
    return false;
  }

  private take(
    kind: number,
    argA: number,
    argB: number,
    offsetBytes: number,
    lengthBytes: number,
  ): Token {
    if (this.freeCount === 0) this.grow();
    const token = this.free[--this.freeCount] ?? 0;
    this.kinds[token] = kind;
    this.argsA[token] = argA;
    this.argsB[token] = argB;
    this.offsets[token] = offsetBytes;
    this.lengths[token] = lengthBytes;
    if (isRanged(kind)) {
      this.places[token] = this.rangedCount;
      this.ranged[this.rangedCount++] = token;
    }
    this.inFlight++;
    return token;
  }

  private grow(): void {
    const before = this.capacity;
    this.capacity = before * 2;
    this.kinds = grown(new Uint8Array(this.capacity), this.kinds);
    this.argsA = grown(new Float64Array(this.capacity), this.argsA);
    this.argsB = grown(new Float64Array(this.capacity), this.argsB);
    this.offsets = grown(new Float64Array(this.capacity), this.offsets);
    this.lengths = grown(new Float64Array(this.capacity), this.lengths);
    this.places = grown(new Int32Array(this.capacity), this.places);
    this.ranged = grown(new Int32Array(this.capacity), this.ranged);
    this.free = grown(new Int32Array(this.capacity), this.free);
    for (let token = this.capacity - 1; token >= before; token--)
      this.free[this.freeCount++] = token;
  }
}

function grown<T extends Uint8Array | Int32Array | Float64Array>(larger: T, smaller: T): T {
  larger.set(smaller);
  return larger;
}
