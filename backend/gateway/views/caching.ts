// Views of the RAM read cache, as part of those of SDSs and storage pools.

import type { CacheWrites, Sds } from '../../protocol/generated/types.js';
import type { Json } from './parts.js';

/** The original's words for what the cache takes of writes. */
export const CACHE_WRITES_WORDS: Readonly<Record<CacheWrites, string>> = {
  passthrough: 'Passthrough',
  cached: 'Cached',
};

/** @param failed - one of its devices could not have the memory that its cache may have */
export function cacheView({ cacheEnabled, cacheMiB }: Sds, failed: boolean): Json {
  const state = failed ? 'AllocationFailed' : 'AllocationSuccessful';
  return {
    rmcacheEnabled: cacheEnabled,
    rmcacheSizeInKb: cacheMiB * 1024,
    rmcacheSizeInMb: cacheMiB,
    rmcacheMemoryAllocationState: state,
    RmcacheMemoryAllocationState: state,
  };
}
