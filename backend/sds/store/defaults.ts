// Sizes of the store in the product: its geometry from the limits, its memory from the options. It must never decide
// anything.

import { LIMITS } from '../../protocol/tables/limits.js';
import { OPTIONS } from '../../protocol/tables/options.js';

import type { StoreOptions } from './store-options.js';
import type { Geometry } from './store.js';

/** Geometry of every real device. */
export const PRODUCT_GEOMETRY: Geometry = {
  sectorBytes: LIMITS.sectorBytes.value,
  blockBytes: LIMITS.blockBytes.value,
  chunkBlocks: LIMITS.chunkBytes.value / LIMITS.blockBytes.value,
  unitBlocks: LIMITS.unitBytes.value / LIMITS.blockBytes.value,
};

/** What the options say by default. Memory is touched only as far as it is used. */
export const DEFAULT_STORE_OPTIONS: Omit<StoreOptions, 'allocate' | 'release'> = {
  windowSegments: OPTIONS.logWindowMiB.default,
  cacheChunks: OPTIONS.descriptorCacheChunks.default,
  ringRecords: 131_072,
  directBytesMax: OPTIONS.directWritesMiB.default * 2 ** 20,
  idleUs: OPTIONS.logIdleMs.default * 1000,
};
