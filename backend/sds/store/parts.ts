// What the machines of the store share: the parts that hold its state. It must never hold behaviour of its own beyond
// looking things up.

import type { ChunkCache } from './chunk-cache.js';
import type { Directory } from './directory.js';
import type { EntryTable } from './entry-table.js';
import type { DiskQueue } from './io.js';
import type { Layout } from './layout.js';
import type { Log } from './log.js';
import type { OpRing } from './op-ring.js';
import type { ReadCache } from './read-cache.js';
import type { StoreOptions } from './store-options.js';
import type { UnitMap } from './unit-map.js';

export const ROW_NONE = 0xffffffff;

export interface Parts {
  readonly layout: Layout;
  readonly options: StoreOptions;
  readonly queue: DiskQueue;
  readonly log: Log;
  readonly ring: OpRing;
  readonly directory: Directory;
  readonly units: UnitMap;
  readonly cache: ChunkCache;
  readonly readCache: ReadCache;
  readonly entries: EntryTable;
  /** Volumes that are being freed. */
  readonly dying: Set<number>;
  /** Mode as of the last record, and the LSN from which `false` may be believed after a crash. */
  readonly mode: {
    volatile: boolean;
    lsn: number;
    /** Format of the device that is on media in both superblocks, and the one that the next are to say. */
    format: number;
    wantedFormat: number;
  };
}

/** Mask of the units that a range of blocks touches. */
export function touchedUnits(layout: Layout, firstBlock: number, blockCount: number): number {
  const { unitBlocks } = layout.geometry;
  const first = Math.floor(firstBlock / unitBlocks);
  const last = Math.floor((firstBlock + blockCount - 1) / unitBlocks);
  let mask = 0;
  for (let unit = first; unit <= last; unit++) mask |= 1 << unit;
  return mask >>> 0;
}

/** Byte offset on the device of a block of a unit. `address` as in the descriptor: 1 + unit. */
export function homeOffset(layout: Layout, address: number, blockInUnit: number): number {
  const { unitBlocks, blockBytes } = layout.geometry;
  return (layout.dataAt + (address - 1) * unitBlocks + blockInUnit) * blockBytes;
}
