// Endpoints for the RAM read cache: of an SDS, of the writes of a storage pool, of a volume. Whether a pool uses it at all is
// among its other settings. It must never judge a size: that is the MDM's.

import { KEEP_POOL_SETTINGS } from '../../runtime/pool-settings.js';
import type { CacheWrites } from '../../protocol/generated/types.js';
import { action, ask, pathKey } from '../action.js';
import { FLAG, WHOLE, flagOf, object, oneOf, textIn, wholeOf } from '../body.js';
import type { Route } from '../route.js';
import { CACHE_WRITES_WORDS } from '../views/caching.js';

export const CACHE_WRITES = oneOf(Object.values(CACHE_WRITES_WORDS));

export function cacheWritesOf(text: string | undefined): CacheWrites | undefined {
  if (text === undefined) return undefined;
  return text.toLowerCase() === 'passthrough' ? 'passthrough' : 'cached';
}

export const CACHING_ROUTES: readonly Route[] = [
  action(
    'Sds',
    'setSdsRmcacheEnabled',
    object({ rmcacheEnabled: FLAG }, ['rmcacheEnabled']),
    (call) =>
      ask(call, 'SET_SDS_CACHE', {
        ...{ key: pathKey(call), mib: null },
        enabled: flagOf(call.body, 'rmcacheEnabled') ?? null,
      }),
  ),
  action(
    'Sds',
    'setSdsRmcacheSize',
    object({ rmcacheSizeInMB: WHOLE }, ['rmcacheSizeInMB']),
    (call) =>
      ask(call, 'SET_SDS_CACHE', {
        ...{ key: pathKey(call), enabled: null },
        mib: wholeOf(call.body, 'rmcacheSizeInMB') ?? null,
      }),
  ),
  action(
    'StoragePool',
    'setRmcacheWriteHandlingMode',
    object({ rmcacheWriteHandlingMode: CACHE_WRITES }, ['rmcacheWriteHandlingMode']),
    (call) =>
      ask(call, 'SET_STORAGE_POOL', {
        ...{ ...KEEP_POOL_SETTINGS, key: pathKey(call) },
        cacheWrites: cacheWritesOf(textIn(call.body, 'rmcacheWriteHandlingMode')) ?? null,
      }),
  ),
  action('Volume', 'setVolumeUseRmcache', object({ useRmcache: FLAG }, ['useRmcache']), (call) =>
    ask(call, 'SET_VOLUME_CACHE', {
      key: pathKey(call),
      rmcache: flagOf(call.body, 'useRmcache') ?? true,
    }),
  ),
];
