// The fault units of a pool as observers see them, with what is allocated on them. It must never judge them.

import { faultUnits } from '../cluster-map/fault-units.js';
import type { FaultUnit } from '../cluster-map/fault-units.js';
import type { StoragePool } from '../protocol/generated/types.js';
import type { Facts } from './statistics/facts.js';

/** Units of a pool, the largest first. */
export function unitsOfPool(facts: Facts, pool: StoragePool): readonly FaultUnit[] {
  const servers = new Map(facts.sds.map((sds) => [sds.key, sds]));
  const used = (key: number): number => facts.deviceStatus.get(key)?.usage?.usedBytes ?? 0;
  return faultUnits(pool.key, facts.devices, servers, used);
}
