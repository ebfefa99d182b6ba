// Which requests of clients use the RAM read cache of the device, and how often they do not. It owns the rule; what is in the
// cache is the store's. Reads for copies, comparisons and merges, and what secondaries apply, never ask here: they neither look
// into the cache nor push anything out of it.

import { LIMIT } from '../protocol/generated/constants.js';
import type { CacheUsage, MapPool } from '../protocol/generated/types.js';
import type { Op } from './op.js';
import type { Geometry, Store } from './store/store.js';

const BLOCKS_MAX = LIMIT.cachedReadBytesMax / LIMIT.blockBytes;

export class Caching {
  private readonly store: Store;
  private readonly sectorsPerBlock: number;
  private reads = false;
  private writes = false;
  private skippedLarge = 0;
  private skippedUnaligned = 0;

  constructor(store: Store, { blockBytes, sectorBytes }: Geometry) {
    this.store = store;
    this.sectorsPerBlock = blockBytes / sectorBytes;
  }

  /** What the pool of the device is set to. */
  apply(pool: MapPool | null): void {
    this.reads = pool?.rmcache === true;
    this.writes = this.reads && pool?.cacheWrites === 'cached';
  }

  /** Whether a read of a client may be answered from the cache, and fill it. */
  takesRead(op: Op): boolean {
    if (!this.reads || op.volume?.rmcache !== true || !this.store.cachesReads) return false;
    if (op.blockCount > BLOCKS_MAX) {
      this.skippedLarge++;
      return false;
    }
    const { sectorsPerBlock } = this;
    if (op.offsetSectors % sectorsPerBlock === 0 && op.lengthSectors % sectorsPerBlock === 0)
      return true;
    this.skippedUnaligned++;
    return false;
  }

  /** Whether what a client writes goes to the cache, too. */
  takesWrite(op: Op): boolean {
    if (!this.writes || op.volume?.rmcache !== true || !this.store.cachesReads) return false;
    return op.blockCount <= BLOCKS_MAX;
  }

  /** For the MDM; null: there is no cache, and none is wanted. */
  usage(): CacheUsage | null {
    const counts = this.store.cacheCounts();
    if (counts === null || (counts.sizeBytes === 0 && !counts.failed)) return null;
    const { skippedLarge, skippedUnaligned } = this;
    return { ...counts, skippedLarge, skippedUnaligned };
  }
}
