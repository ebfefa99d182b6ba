// The bytes of a disk with a volatile write cache: what every process sees, and what is on the medium when the power goes. It
// owns which writes are flushed; it must never let content come back that a later durable write replaced.
//
// When the power goes, of each write that no completed flush covers any sectors or blocks have reached the medium, none and
// all among them: disks write what they cached in any order.

import { readSync, writeSync } from 'node:fs';

import type { Prng } from '../../backend/core/prng.js';

/** What a disk can write whole or not at all, if it says so. */
export const SECTOR_BYTES = 512;
export const BLOCK_BYTES = 4096;
/** As much as a disk caches; beyond it the oldest writes reach the medium although nobody asked. */
const CACHE_BYTES_MAX = 32 * 2 ** 20;

/** What the power cuts of a disk met. */
export interface CutCounts {
  readonly cuts: number;
  /** Writes that were not flushed when the power went. */
  readonly unflushed: number;
  /** Of those, writes of which at least a part was lost. */
  readonly torn: number;
}

interface CachedWrite {
  readonly offsetBytes: number;
  readonly content: Uint8Array;
  /** Flushes that began at this serial or later cover it; Infinity while it is under way. */
  serial: number;
}

export class VolatileMedium {
  readonly sizeBytes: number;
  readonly #physicalSectorBytes: number;
  readonly #seenFd: number;
  readonly #mediumFd: number;
  readonly #random: Prng;
  #cached: CachedWrite[] = [];
  #cachedBytes = 0;
  #serial = 0;
  #counts: CutCounts = { cuts: 0, unflushed: 0, torn: 0 };

  /**
   * @param seenFd - a file with what processes see; as large as the disk
   * @param mediumFd - a file with the same content: what is on the medium
   * @param physicalSectorBytes - 512 or 4096: a part of a write that is no larger and aligned is never torn
   */
  constructor(
    seenFd: number,
    mediumFd: number,
    sizeBytes: number,
    physicalSectorBytes: number,
    random: Prng,
  ) {
    this.#physicalSectorBytes = physicalSectorBytes;
    this.#seenFd = seenFd;
    this.#mediumFd = mediumFd;
    this.sizeBytes = sizeBytes;
    this.#random = random;
  }

  get counts(): CutCounts {
    return this.#counts;
  }

  read(bytes: Uint8Array, at: number, lengthBytes: number, offsetBytes: number): void {
    const done = readSync(this.#seenFd, bytes, at, lengthBytes, offsetBytes);
    if (done !== lengthBytes) throw new Error(`a read at ${offsetBytes} ended after ${done} bytes`);
  }

  /** A write into the cache. @param content - kept, and changed when it is replaced in part */
  write(offsetBytes: number, content: Uint8Array): void {
    put(this.#seenFd, content, offsetBytes);
    this.#cached.push({ offsetBytes, content, serial: this.#serial });
    this.#cachedBytes += content.length;
    while (this.#cachedBytes > CACHE_BYTES_MAX) {
      const [oldest] = this.#cached;
      if (oldest === undefined || oldest.serial === Infinity) break;
      this.#settle(oldest);
      this.#cached.shift();
    }
  }

  /** A write that is durable once `done` was called; until then any part of it may be. */
  writeDurable(offsetBytes: number, content: Uint8Array): { readonly done: () => void } {
    put(this.#seenFd, content, offsetBytes);
    const write = { offsetBytes, content, serial: Infinity };
    this.#cached.push(write);
    this.#cachedBytes += content.length;
    return {
      done: () => {
        // Whoever wrote there later, or at the same time, is no part of this.
        const before = this.#cached.slice(0, this.#cached.indexOf(write));
        this.#settle(write);
        this.#cached = this.#cached.filter((one) => one !== write);
        for (const one of before) replace(one, write);
      },
    };
  }

  /** @returns what `endFlush` is to be given */
  beginFlush(): number {
    return this.#serial++;
  }

  /** Whatever was written before the flush began is on the medium now. */
  endFlush(serial: number): void {
    for (const write of this.#cached) if (write.serial <= serial) this.#settle(write);
    this.#cached = this.#cached.filter((write) => write.serial > serial);
  }

  #settle({ offsetBytes, content }: CachedWrite): void {
    put(this.#mediumFd, content, offsetBytes);
    this.#cachedBytes -= content.length;
  }

  /** The power went, and is back: from now on everybody sees what had reached the medium. */
  cut(): void {
    const { cuts, unflushed, torn: before } = this.#counts;
    const { lost, torn } = this.lose();
    this.#counts = { cuts: cuts + 1, unflushed: unflushed + lost, torn: before + torn };
  }

  /** Of what was not flushed any part is gone, for everybody; of how many writes, and of how many at least a part. */
  lose(): { readonly lost: number; readonly torn: number } {
    const lost = this.#cached;
    let torn = 0;
    for (const write of lost) if (!this.#applySome(write)) torn++;
    for (const { offsetBytes, content } of lost) {
      readSync(this.#mediumFd, content, 0, content.length, offsetBytes);
      put(this.#seenFd, content, offsetBytes);
    }
    this.#cached = [];
    this.#cachedBytes = 0;
    return { lost: lost.length, torn };
  }

  /** @returns whether all of the write reached the medium */
  #applySome({ offsetBytes, content }: CachedWrite): boolean {
    const random = this.#random;
    const mode = random.below(4);
    const unit = random.chance(1, 2) ? this.#physicalSectorBytes : BLOCK_BYTES;
    let isWhole = true;
    let next;
    for (let at = 0; at < content.length; at = next) {
      next = at + unit - ((offsetBytes + at) % unit);
      if (mode === 0 || (mode !== 1 && random.chance(1, mode))) isWhole = false;
      else put(this.#mediumFd, content.subarray(at, next), offsetBytes + at);
    }
    return isWhole;
  }
}

function put(fd: number, content: Uint8Array, offsetBytes: number): void {
  const done = writeSync(fd, content, 0, content.length, offsetBytes);
  if (done !== content.length)
    throw new Error(`a write at ${offsetBytes} ended after ${done} bytes`);
}

/** What lies under a newer write never reaches the medium as it was. */
function replace(older: CachedWrite, newer: CachedWrite): void {
  const from = Math.max(older.offsetBytes, newer.offsetBytes);
  const to = Math.min(
    older.offsetBytes + older.content.length,
    newer.offsetBytes + newer.content.length,
  );
  if (from >= to) return;
  const part = newer.content.subarray(from - newer.offsetBytes, to - newer.offsetBytes);
  older.content.set(part, from - older.offsetBytes);
}
