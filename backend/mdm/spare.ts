// What a pool keeps free for the loss of its largest fault unit: whether that is enough, and in whose name it is not. It must
// never change anything.

import {
  FAULT_UNITS_MIN,
  faultUnits,
  spareNeededPercent,
  totalBytesOf,
} from '../cluster-map/fault-units.js';
import type { FaultUnit } from '../cluster-map/fault-units.js';
import { formatSize } from '../core/units.js';
import type { StoragePool } from '../protocol/generated/types.js';
import { heldBytes, promisedOf } from './capacity.js';
import { refuse } from './refusal.js';
import type { State } from './state.js';

/** `SDS sds1` or `Fault Set rack1`. */
export function unitName(state: State, { kind, key }: Pick<FaultUnit, 'kind' | 'key'>): string {
  return kind === 'sds'
    ? `SDS ${state.sds.get(key)?.name ?? key}`
    : `Fault Set ${state.faultSets.get(key)?.name ?? key}`;
}

export function unitsOf(state: State, poolKey: number): readonly FaultUnit[] {
  return faultUnits(poolKey, state.devices.values(), state.sds);
}

/**
 * Judges a new spare percentage.
 *
 * @param usedBytes - what thin volumes of the pool hold, one copy counted
 * @throws Refusal SPARE_ILLEGAL when the largest unit does not fit into the spare, or what is promised not beside it
 */
export function checkSpare(
  state: State,
  pool: StoragePool,
  usedBytes: number,
  sectorBytes: number,
): void {
  const units = unitsOf(state, pool.key);
  const [largest] = units;
  const needed = spareNeededPercent(units);
  if (largest !== undefined && pool.sparePercent < needed) {
    const spareBytes = Math.floor((totalBytesOf(units) * pool.sparePercent) / 100);
    refuse(
      'SPARE_ILLEGAL',
      `${pool.sparePercent} % are ${formatSize(spareBytes)}, less than ${unitName(state, largest)}, the largest fault unit, has (${formatSize(largest.capacityBytes)}): at least ${needed} % are needed`,
    );
  }
  const promised = promisedOf(state, pool, sectorBytes);
  const { netBytes } = promised;
  const promisedBytes = promised.thickBytes + heldBytes(promised, usedBytes);
  if (promisedBytes > netBytes)
    refuse(
      'SPARE_ILLEGAL',
      `${pool.sparePercent} % would leave ${formatSize(netBytes)} for volumes, which hold or reserve ${formatSize(promisedBytes)}`,
    );
}

/** Why a pool has no placement, in words. */
export function unplacedReason(state: State, poolKey: number): string {
  const units = unitsOf(state, poolKey);
  const [only] = units;
  if (only === undefined) return 'it has no device that works';
  if (units.length >= FAULT_UNITS_MIN) return 'its devices have not been opened yet';
  return `all of its devices lie in ${unitName(state, only)}`;
}
