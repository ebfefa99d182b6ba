// How much a storage pool can hold and how much of it is promised. It must never promise: commands do.

import { formatSize } from '../core/units.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type { CombEntry, Device, StoragePool } from '../protocol/generated/types.js';
import { refuse } from './refusal.js';
import type { State } from './state.js';

/** A device and the number of copies of combs that it has. */
export interface PlacedDevice {
  readonly capacityBytes: number;
  readonly copies: number;
}

/**
 * Data that fits: half of the capacity, but never more than the first device that would be full allows, less the spare.
 *
 * @param combCount - of the pool; 0: it has no placement, and nothing fits
 */
export function netCapacityBytes(
  devices: readonly PlacedDevice[],
  combCount: number,
  sparePercent: number,
): number {
  let half = 0;
  let first = Infinity;
  for (const { capacityBytes, copies } of devices) {
    if (copies === 0) continue;
    half += capacityBytes / 2;
    first = Math.min(first, (capacityBytes / copies) * combCount);
  }
  if (combCount === 0) return 0;
  return Math.floor((Math.min(half, first) * (100 - sparePercent)) / 100);
}

/** Copies of combs by device key. */
export function copiesByDevice(combs: readonly CombEntry[]): ReadonlyMap<number, number> {
  const copies = new Map<number, number>();
  for (const entry of combs)
    for (const { deviceKey } of entry.members)
      copies.set(deviceKey, (copies.get(deviceKey) ?? 0) + 1);
  return copies;
}

/** What of a pool is promised, in bytes. */
export interface Promised {
  readonly netBytes: number;
  readonly thickBytes: number;
  readonly thinBytes: number;
  /** Of snapshots: they promise nothing, but may come to hold so much. */
  readonly snapshotBytes: number;
}

/** What is held beside thick volumes, of all that may be: a volume that was removed may still be reported. */
export function heldBytes({ thinBytes, snapshotBytes }: Promised, thinUsedBytes: number): number {
  return Math.min(thinUsedBytes, thinBytes + snapshotBytes);
}

/** Whether the data of a device is being moved away. */
export function isLeaving(state: State, { sdsKey, removing }: Device): boolean {
  return removing || state.sds.get(sdsKey)?.removing === true;
}

export function promisedOf(state: State, pool: StoragePool, sectorBytes: number): Promised {
  const combs = state.combs.ofPool(pool.key);
  const copies = copiesByDevice(combs);
  const devices = state.devices
    .filter((device) => device.poolKey === pool.key && !isLeaving(state, device))
    .map(({ key, capacityBytes }) => ({ capacityBytes, copies: copies.get(key) ?? 0 }));
  let thickBytes = 0;
  let thinBytes = 0;
  let snapshotBytes = 0;
  for (const volume of state.volumes.values()) {
    if (volume.poolKey !== pool.key) continue;
    const bytes = volume.sizeSectors * sectorBytes;
    if (volume.provisioning === 'thick') thickBytes += bytes;
    else if (volume.ancestorKey === 0) thinBytes += bytes;
    else snapshotBytes += bytes;
  }
  return {
    netBytes: netCapacityBytes(devices, combs.length, pool.sparePercent),
    thickBytes,
    thinBytes,
    snapshotBytes,
  };
}

/** What a pool may still promise, in bytes; less than zero where too much is promised already. */
export interface Allowance {
  readonly thinBytes: number;
  readonly thickBytes: number;
}

/**
 * Thick volumes together with what thin ones hold never exceed the net capacity, all volumes together never exceed the
 * factor times it.
 *
 * @param thinUsedBytes - what thin volumes of the pool hold now, one copy counted
 */
export function allowanceOf(
  promised: Promised,
  thinUsedBytes: number,
  overProvisioningFactor: number,
): Allowance {
  const { netBytes, thickBytes, thinBytes } = promised;
  const left = netBytes * overProvisioningFactor - thickBytes - thinBytes;
  const leftThick = netBytes - thickBytes - heldBytes(promised, thinUsedBytes);
  return { thinBytes: left, thickBytes: Math.min(left, leftThick) };
}

/** Combs whose entries a device of this size keeps. */
export function combsKept(capacityBytes: number): number {
  const perMib = Math.max(LIMIT.deviceCombsMin, Math.floor(capacityBytes / LIMIT.chunkBytes));
  return Math.min(perMib, LIMIT.deviceCombsMax);
}

/** Why a device could not keep the entries of all combs of its pool, which it may be a member of; or ''. */
export function combsFault(pool: StoragePool | undefined, capacityBytes: number): string {
  const combs = 2 ** (pool?.combCountLog2 ?? 0);
  const kept = combsKept(capacityBytes);
  if (combs <= kept) return '';
  return `its pool has ${combs} combs, and a device of its size keeps ${kept}, one per MiB`;
}

/**
 * Judges whether a pool can promise more.
 *
 * @param moreBytes - of the new volume or of its growth
 * @throws Refusal CAPACITY_EXCEEDED
 */
export function checkPromise(moreBytes: number, leftBytes: number): void {
  if (moreBytes <= leftBytes) return;
  const left = formatSize(Math.max(0, Math.floor(leftBytes)));
  refuse('CAPACITY_EXCEEDED', `${formatSize(moreBytes)} requested, ${left} can still be allocated`);
}
