// How much memory the store may use and where it gets it from. It must never hold a default: those are in the table of
// options (defaults.ts).

import type { CacheMemory } from '../../core/ports.js';

export interface StoreOptions {
  /** Segments of the log whose data may be kept in memory. */
  readonly windowSegments: number;
  /** Descriptors kept in memory. */
  readonly cacheChunks: number;
  /** Records that the log may hold; a power of two. */
  readonly ringRecords: number;
  /** Data of direct writes in flight. */
  readonly directBytesMax: number;
  /** After so long without a change, data is copied home and the log trimmed. */
  readonly idleUs: number;
  /** Memory that the disk can take: aligned where the disk needs it. Called rarely. */
  readonly allocate: (lengthBytes: number) => Uint8Array;
  /** Takes memory back; what is not given back is kept. */
  readonly release?: (bytes: Uint8Array) => void;
  /** Memory of the read cache; without it there is none. */
  readonly cacheMemory?: CacheMemory;
  /**
   * The incarnation of this open is at least this, and higher than the one before. It keeps two lives that begin from
   * copies of one device apart: counted up by one, both would have the same incarnation, and the stale copy would pass for
   * the one that was written to meanwhile.
   */
  readonly incarnationFloor?: number;
  /** Whose device it must be; another one is refused. */
  readonly expected?: { readonly systemId: string; readonly deviceKey: number };
}
