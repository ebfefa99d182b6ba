// Changes of a storage pool as commands carry them. It must never know which change is asked for.

import type { CommandParams } from '../protocol/generated/types.js';

/** Leaves everything of a pool as it is. */
export const KEEP_POOL_SETTINGS: Omit<CommandParams['SET_STORAGE_POOL'], 'key'> = {
  durability: null,
  fullPolicy: null,
  zeroPadding: null,
  checksums: null,
  rmcache: null,
  cacheWrites: null,
  sparePercent: null,
  capacityAlertHighPercent: null,
  capacityAlertCriticalPercent: null,
  mediaType: null,
  loneReturn: null,
  force: false,
};
