// What fails together in a pool: its SDSs or, where they are in one, its fault sets, with their capacity. Pure arithmetic that
// the MDM and its observers share, so that both mean the same by "the largest unit". It must never decide what follows.

import type { Device, Sds } from '../protocol/generated/types.js';

/** Units that a pool needs to keep two copies apart. */
export const FAULT_UNITS_MIN = 2;

export interface FaultUnit {
  readonly kind: 'faultSet' | 'sds';
  /** Key of the fault set or SDS. */
  readonly key: number;
  readonly capacityBytes: number;
  /** Allocated; 0 where the caller does not know. */
  readonly usedBytes: number;
}

type UnitDevice = Pick<
  Device,
  'key' | 'sdsKey' | 'poolKey' | 'state' | 'capacityBytes' | 'removing'
>;
type UnitSds = Pick<Sds, 'faultSetKey' | 'removing'>;

/**
 * The fault units of a pool, the largest first. Devices that are not added yet, failed for good or leave are none of it.
 *
 * @param usedBytes - allocated on a device
 */
export function faultUnits(
  poolKey: number,
  devices: Iterable<UnitDevice>,
  sdsByKey: { get(key: number): UnitSds | undefined },
  usedBytes: (deviceKey: number) => number = () => 0,
): readonly FaultUnit[] {
  const units = new Map<number, FaultUnit>();
  for (const device of devices) {
    const sds = sdsByKey.get(device.sdsKey);
    if (device.poolKey !== poolKey || device.removing || sds === undefined || sds.removing)
      continue;
    if (device.state !== 'up' && device.state !== 'down') continue;
    const kind = sds.faultSetKey === 0 ? 'sds' : 'faultSet';
    const key = sds.faultSetKey === 0 ? device.sdsKey : sds.faultSetKey;
    const before = units.get(key);
    units.set(key, {
      ...{ kind, key },
      capacityBytes: (before?.capacityBytes ?? 0) + device.capacityBytes,
      usedBytes: (before?.usedBytes ?? 0) + usedBytes(device.key),
    });
  }
  return [...units.values()].sort(
    (one, other) => other.capacityBytes - one.capacityBytes || one.key - other.key,
  );
}

/** Capacity of all units together. */
export function totalBytesOf(units: readonly FaultUnit[]): number {
  return units.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
}

/**
 * The whole percentage that has to be kept free so that what the largest unit holds can be made anew elsewhere.
 *
 * @returns 0 where there are too few units to keep two copies: no spare helps there
 */
export function spareNeededPercent(units: readonly FaultUnit[]): number {
  const [largest] = units;
  const totalBytes = totalBytesOf(units);
  if (largest === undefined || units.length < FAULT_UNITS_MIN || totalBytes === 0) return 0;
  return Math.ceil((100 * largest.capacityBytes) / totalBytes);
}
