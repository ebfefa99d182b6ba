// A read or a description under way, pooled. It owns the shape; what happens to it is the reader's.

import type { Token } from '../../core/ports.js';

import { STORE_STATUS } from './store.js';
import type { StoreStatus } from './store.js';

export const NOTHING = new Uint8Array(0);
const NO_SOURCES = new Int32Array(0);
const NO_LAYERS = new Uint32Array(0);
const NO_PLACES = new Float64Array(0);

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

export function u32At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}

export class ReadOp {
  index = 0;
  token: Token = 0;
  describes = false;
  entry = 0;
  /** The chain that it goes through, null: one layer, whose chunk is `entry`. */
  layers: readonly number[] | null = null;
  /** Through a chain, by block: entry and layer in which it was found; entry -1: in none. */
  sources = NO_SOURCES;
  sourceLayers = NO_LAYERS;
  /** Entries that stay while it waits for descriptors, or for a direct write. */
  readonly held: number[] = [];
  vtreeKey = 0;
  chunkIndex = 0;
  firstBlock = 0;
  blockCount = 0;
  /** Of a description: checksums, null: nobody asked for them. */
  sums: Uint32Array | null = null;
  bytes: Uint8Array = NOTHING;
  at = 0;
  dataAt = 0;
  pending = 0;
  status: StoreStatus = STORE_STATUS.ok;
  badLow = 0;
  badHigh = 0;
  /** It may use the read cache. */
  caches = false;
  /** Blocks that came from there, and whether anything came from the device. */
  cacheHits = 0;
  readsDevice = false;
  /** By block: where it lies on the device, of those that are read from there. */
  places = NO_PLACES;

  /** It uses the read cache. */
  useCache(blocksMax: number): void {
    this.caches = true;
    if (this.places.length === 0) this.places = new Float64Array(blocksMax);
  }

  /** The chain that it looks through. */
  goThrough(layers: readonly number[], chunkBlocks: number): void {
    this.layers = layers;
    if (this.sources.length > 0) return;
    this.sources = new Int32Array(chunkBlocks);
    this.sourceLayers = new Uint32Array(chunkBlocks);
  }
}
