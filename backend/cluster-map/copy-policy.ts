// What copying may take of a device unless an operator says otherwise, and what a policy means. It must never know who copies.

import type { CopyLoad, CopyPolicy, StoragePool } from '../protocol/generated/types.js';

/** Copies that make combs whole: freely where nobody works, beside clients so that these keep nearly all of the device. */
export const REBUILD_POLICY: CopyPolicy = {
  policy: 'dynamicBandwidth',
  concurrentIos: 1,
  bandwidthKbps: 20 * 1024,
  appIops: 10,
  appKbps: 1024,
  quietMs: 1000,
};

/** Data that is moved waits for clients more than lost copies do. */
export const REBALANCE_POLICY: CopyPolicy = { ...REBUILD_POLICY, bandwidthKbps: 10 * 1024 };

/** What a new storage pool starts with. */
export const COPYING_OF_NEW_POOL = {
  rebuildEnabled: true,
  rebalanceEnabled: true,
  rebuild: REBUILD_POLICY,
  rebalance: REBALANCE_POLICY,
  movesPerDevice: 4,
} as const satisfies Partial<StoragePool>;

/** Nothing is copied. */
export const NO_COPY_LOAD: CopyLoad = { readOps: 0, readBytes: 0, writeOps: 0, writeBytes: 0 };

/** Requests of copies at a time, while clients keep a device busy or not; null: as many as fit. */
export function copiesAtATime({ policy, concurrentIos }: CopyPolicy, busy: boolean): number | null {
  if (policy === 'unlimited') return null;
  return policy === 'dynamicBandwidth' && !busy ? null : concurrentIos;
}

/** Bytes per second; null: no limit. */
export function copyBandwidth({ policy, bandwidthKbps }: CopyPolicy, busy: boolean): number | null {
  if (policy === 'favorApplication' || (policy === 'dynamicBandwidth' && busy))
    return bandwidthKbps * 1024;
  return null;
}
