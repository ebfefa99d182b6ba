// Memory of the read cache of a simulated device. It owns what goes wrong with memory: it cannot be had, or a bit of it flips.
// What was given back is filled with rubbish, so that whoever still reads it is found.

import { MIB } from '../core/units.js';
import type { CacheMemory } from '../core/ports.js';
import type { Prng } from '../core/prng.js';

/** What a cache of this many MiB stands for as many blocks as the scenario says. */
const SCALE_BYTES = 128 * MIB;
/** Beside its content a block takes a few bytes of tables. */
const TABLE_BYTES = 10;
const RUBBISH = 0xee;

export class SimCacheMemory implements CacheMemory {
  /** So many requests for memory are refused from now on. */
  refusals = 0;
  private readonly held = new Set<Uint8Array>();

  hasRoom(): boolean {
    if (this.refusals === 0) return true;
    this.refusals -= 1;
    return false;
  }

  take(lengthBytes: number): Uint8Array | null {
    const bytes = new Uint8Array(lengthBytes);
    this.held.add(bytes);
    return bytes;
  }

  give(bytes: Uint8Array): void {
    this.held.delete(bytes);
    bytes.fill(RUBBISH);
  }

  /** A process ended. */
  clear(): void {
    this.held.clear();
  }

  /** Flips one bit in every so many bytes of content; false: there is none. */
  flip(prng: Prng): boolean {
    // The first piece is the table, which nobody can check.
    const slabs = [...this.held].slice(1);
    for (const slab of slabs)
      for (let at = prng.below(64); at < slab.length; at += 1 + prng.below(128))
        slab[at] = (slab[at] ?? 0) ^ (1 << prng.below(8));
    return slabs.length > 0;
  }
}

/** How much of memory a real size stands for. */
export function scaledCache(bytes: number, blocks: number, blockBytes: number): number {
  return Math.floor((bytes / SCALE_BYTES) * blocks) * (blockBytes + TABLE_BYTES);
}
