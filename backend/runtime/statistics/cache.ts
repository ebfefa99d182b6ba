// What the RAM read caches of devices tell, added up, in the original's words. It owns the arithmetic; it must never show a
// number for what does not exist here: entries of other sizes than a block.

import type { CacheUsage, Device } from '../../protocol/generated/types.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { Facts } from './facts.js';

/** Sums over devices; `failed`: how many could not have the memory that they may have. */
export type CacheSums = Omit<CacheUsage, 'failed'> & { readonly failed: number };

const NO_CACHE: CacheSums = {
  ...{ sizeBytes: 0, entries: 0, usedEntries: 0, hits: 0, misses: 0, inserts: 0, evictions: 0 },
  ...{ skippedLarge: 0, skippedUnaligned: 0, rejects: 0, failed: 0 },
};

export function cacheOf(facts: Facts, devices: readonly Device[]): CacheSums {
  let sums = NO_CACHE;
  for (const { key } of devices) {
    const cache = facts.deviceStatus.get(key)?.usage?.cache ?? null;
    if (cache === null) continue;
    sums = {
      sizeBytes: sums.sizeBytes + cache.sizeBytes,
      entries: sums.entries + cache.entries,
      usedEntries: sums.usedEntries + cache.usedEntries,
      hits: sums.hits + cache.hits,
      misses: sums.misses + cache.misses,
      inserts: sums.inserts + cache.inserts,
      evictions: sums.evictions + cache.evictions,
      skippedLarge: sums.skippedLarge + cache.skippedLarge,
      skippedUnaligned: sums.skippedUnaligned + cache.skippedUnaligned,
      rejects: sums.rejects + cache.rejects,
      failed: sums.failed + (cache.failed ? 1 : 0),
    };
  }
  return sums;
}

/** `rmcache...` properties of a scope. Every entry is one block of 4 KiB. */
export function cacheValues(
  facts: Facts,
  devices: readonly Device[],
): Readonly<Record<string, number>> {
  const cache = cacheOf(facts, devices);
  const kbPerEntry = LIMIT.blockBytes / 1024;
  return {
    rmcache4kbEntryCount: cache.entries,
    rmcacheCurrNumOf4kbEntries: cache.usedEntries,
    rmcacheEntryEvictionCount: cache.evictions,
    rmcacheEntryEvictionSizeCountInKb: cache.evictions * kbPerEntry,
    rmcacheNoEvictionCount: cache.inserts - cache.evictions,
    rmcacheSizeInKb: Math.floor(cache.sizeBytes / 1024),
    rmcacheSizeInUseInKb: cache.usedEntries * kbPerEntry,
    rmcacheSkipCountLargeIo: cache.skippedLarge,
    rmcacheSkipCountUnaligned4kbIo: cache.skippedUnaligned,
  };
}
