// What is wrong with storage pools: how their data is kept, how full they are and will be, what their largest unit has. It owns
// the conditions and their weight; it keeps nothing.

import { FAULT_UNITS_MIN, spareNeededPercent, totalBytesOf } from '../cluster-map/fault-units.js';
import type { FaultUnit } from '../cluster-map/fault-units.js';
import { formatSize } from '../core/units.js';
import type { StoragePool, System } from '../protocol/generated/types.js';
import type { Alert, AlertSeverity, Finding } from './alert.js';
import type { ClusterReader } from './cluster-reader.js';
import { unitsOfPool } from './pool-units.js';
import { scopeOfPools } from './statistics/facts.js';
import type { Facts } from './statistics/facts.js';
import { capacityValues } from './statistics/values.js';

function numberIn(values: ReturnType<typeof capacityValues>, name: string): number {
  const value = values[name];
  return typeof value === 'number' ? value : 0;
}

/** Percentages in use above which there are alerts; where a pool has none of its own, those of the system. */
export function thresholdsOf(
  system: System,
  pool: StoragePool,
): { readonly high: number; readonly critical: number } {
  return {
    high: pool.capacityAlertHighPercent || system.capacityAlertHighPercent,
    critical: pool.capacityAlertCriticalPercent || system.capacityAlertCriticalPercent,
  };
}

/** How full a pool is, against its own thresholds. */
function fullness(reader: ClusterReader, facts: Facts, pool: StoragePool): readonly Named[] {
  const capacity = capacityValues(facts, scopeOfPools(facts, [pool]));
  const usableKb = numberIn(capacity, 'maxUserDataCapacityInKb');
  if (usableKb <= 0) return [];
  const percent = Math.floor((numberIn(capacity, 'capacityInUseInKb') / usableKb) * 100);
  const { high, critical } = thresholdsOf(reader.system, pool);
  const values = { percent, highPercent: high, criticalPercent: critical };
  if (critical > 0 && percent >= critical)
    return [['CAPACITY_UTILIZATION_ABOVE_CRITICAL_THRESHOLD', 'high', values]];
  if (high > 0 && percent >= high)
    return [['CAPACITY_UTILIZATION_ABOVE_HIGH_THRESHOLD', 'medium', values]];
  return [];
}

/** A pool that is full within a week wants disks ordered, within a day somebody now. */
const FULL_SOON_S = { medium: 7 * 86_400, high: 86_400 } as const;

/** Whether a pool will be full soon if it goes on as it did. */
function filling(facts: Facts, pool: StoragePool): readonly Named[] {
  const status = facts.poolStatus.get(pool.key);
  if (status?.isFillingUp !== true || status.fullInS > FULL_SOON_S.medium) return [];
  const severity = status.fullInS <= FULL_SOON_S.high ? 'high' : 'medium';
  const hours = Math.floor(status.fullInS / 3600);
  const values = { fullInHours: hours, growthPerDay: formatSize(status.growthBytesPerDay) };
  return [['STORAGE_POOL_FILLING_UP', severity, values]];
}

type Named = readonly [type: string, severity: AlertSeverity, values: Alert['values']];

/** How the data of a pool is kept. */
function protection(facts: Facts, pool: StoragePool): readonly Named[] {
  const found: Named[] = [];
  const status = facts.poolStatus.get(pool.key);
  const { combs = 0, degradedCombs = 0, unavailableCombs = 0 } = status ?? {};
  if (unavailableCombs > 0)
    found.push(['STORAGE_POOL_HAS_FAILED_CAPACITY', 'high', { combs, unavailableCombs }]);
  if (degradedCombs > 0)
    found.push(['STORAGE_POOL_HAS_DEGRADED_CAPACITY', 'medium', { combs, degradedCombs }]);
  const { stuckRebuildCombs = 0, stuckMoveCombs = 0, stuckResyncCombs = 0 } = status ?? {};
  if (stuckResyncCombs > 0)
    found.push(['BKWD_REBUILD_STUCK', 'high', { combsWithoutRoom: stuckResyncCombs }]);
  if (stuckRebuildCombs > 0)
    found.push(['FWD_REBUILD_STUCK', 'high', { combsWithoutRoom: stuckRebuildCombs }]);
  if (stuckMoveCombs > 0)
    found.push(['REBALANCE_STUCK', 'low', { combsWithoutRoom: stuckMoveCombs }]);
  const capacity = capacityValues(facts, scopeOfPools(facts, [pool]));
  const unreachableKb = numberIn(capacity, 'unreachableUnusedCapacityInKb');
  if (unreachableKb > 0)
    found.push(['STORAGE_POOL_HAS_UNREACHABLE_CAPACITY', 'medium', { unreachableKb }]);
  return [...found, ...largestUnit(facts, pool, combs)];
}

function unitName(facts: Facts, { kind, key }: FaultUnit): string {
  const list = kind === 'sds' ? facts.sds : facts.faultSets;
  return list.find((object) => object.key === key)?.name ?? '';
}

/** Whether the loss of any one unit can be made good. */
function largestUnit(facts: Facts, pool: StoragePool, combs: number): readonly Named[] {
  const units = unitsOfPool(facts, pool);
  const [largest] = units;
  if (largest === undefined || units.length < FAULT_UNITS_MIN)
    return combs > 0 || units.length > 0
      ? [['NOT_ENOUGH_FAULT_UNITS_IN_SP', 'high', { faultUnits: units.length }]]
      : [];
  const found: Named[] = [];
  const totalBytes = totalBytesOf(units);
  const usedBytes = units.reduce((sum, unit) => sum + unit.usedBytes, 0);
  const neededPercent = spareNeededPercent(units);
  const unit = {
    faultUnit: unitName(facts, largest),
    faultUnitType: largest.kind === 'sds' ? 'SDS' : 'Fault Set',
    faultUnitCapacity: formatSize(largest.capacityBytes),
  };
  const percents = { sparePercent: pool.sparePercent, neededPercent };
  if (pool.sparePercent < neededPercent)
    found.push([
      'CONFIGURED_SPARE_CAPACITY_SMALLER_THAN_LARGEST_FAULT_UNIT',
      'medium',
      { ...unit, ...percents },
    ]);
  if (totalBytes - usedBytes < largest.capacityBytes)
    found.push([
      'SPARE_CAPACITY_AND_FREE_CAPACITY_SMALLER_THAN_LARGEST_FAULT_UNIT',
      'high',
      { ...unit, free: formatSize(Math.max(0, totalBytes - usedBytes)) },
    ]);
  const restBytes = totalBytes - largest.capacityBytes;
  const unusable = formatSize(Math.max(0, largest.capacityBytes - restBytes));
  // One copy of everything is in other units: what the largest has beyond all of them is never used.
  if (largest.capacityBytes > 2 * restBytes)
    found.push(['STORAGE_POOL_EXTREMELY_UNBALANCED', 'medium', { ...unit, unusable }]);
  else if (largest.capacityBytes > restBytes)
    found.push(['STORAGE_POOL_UNBALANCED', 'low', { ...unit, unusable }]);
  return found;
}

/** Of all pools. */
export function ofPools(reader: ClusterReader, facts: Facts): readonly Finding[] {
  return facts.pools.flatMap((pool) => {
    const gone = facts.devices
      .filter(({ poolKey }) => poolKey === pool.key)
      .map(({ key }) => facts.deviceStatus.get(key))
      .filter((status) => status !== undefined && status.liveness !== 'connected')
      .map((status) => status?.sinceMs ?? 0);
    const sinceMs = gone.length === 0 ? null : Math.min(...gone);
    const found = [
      ...protection(facts, pool),
      ...fullness(reader, facts, pool),
      ...filling(facts, pool),
    ];
    return found.map(([type, severity, values]): Finding => ({
      ...{ type, severity, objectType: 'StoragePool', objectKey: pool.key, sinceMs },
      values: { name: pool.name, ...values },
    }));
  });
}
