// Commands that take an SDS out of service for a while and back. They judge whether data would be left without a copy; they
// must never change a comb.

import { isInSync, memberIndex } from '../../cluster-map/entry.js';
import { formatSize } from '../../core/units.js';
import type { Device, Sds } from '../../protocol/generated/types.js';
import { heldBytes, netCapacityBytes, promisedOf } from '../capacity.js';
import { canPlace, quotas } from '../placement.js';
import { found, refuse } from '../refusal.js';
import { placesOf, unitOf } from '../replacement.js';
import { restOf } from '../rest.js';
import { unitName } from '../spare.js';
import { NOTHING } from './context.js';
import type { CommandContext, Handlers } from './context.js';

export const MAINTENANCE_COMMANDS: Handlers<'ENTER_MAINTENANCE' | 'EXIT_MAINTENANCE'> = {
  ENTER_MAINTENANCE(context, { key, maintenance }) {
    const { state, seen } = context;
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    if (maintenance === 'none')
      refuse('INVALID_PARAMETER', 'maintenance must be instant or protected');
    if (sds.maintenance !== 'none') refuse('SDS_IN_MAINTENANCE');
    if (sds.removing) refuse('MAINTENANCE_CONFLICT', `${sds.name} is being removed`);
    if (sds.move !== null)
      refuse('MAINTENANCE_CONFLICT', `${sds.name} is on its way to another Protection Domain`);
    if (!seen.sdsConnected(key)) refuse('SDS_NOT_CONNECTED', `${sds.name} is disconnected`);
    const devices = state.devices.filter(({ sdsKey }) => sdsKey === key);
    requireAlone(context, sds, devices);
    for (const device of devices) requireOtherCopies(context, device);
    if (maintenance === 'protected')
      for (const poolKey of new Set(devices.map((device) => device.poolKey)))
        requireRoom(context, sds, poolKey);
    state.sds.put(key, { ...sds, maintenance, maintenanceStage: 'entering' });
    return NOTHING;
  },

  EXIT_MAINTENANCE({ state, seen }, { key, abort, force }) {
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    const { maintenance, maintenanceStage } = sds;
    if (maintenance === 'none') refuse('SDS_NOT_IN_MAINTENANCE', `${sds.name} works`);
    if (maintenanceStage === 'exiting') return NOTHING;
    if (abort && maintenanceStage !== 'entering')
      refuse('SDS_NOT_IN_MAINTENANCE', `${sds.name} has entered it already: exit it`);
    // An SDS that is away would count as lost the moment that its maintenance ends.
    if (!force && !seen.sdsConnected(key))
      refuse(
        'SDS_NOT_CONNECTED',
        `${sds.name} is disconnected, and what it holds would be made anew elsewhere`,
      );
    state.sds.put(key, { ...sds, maintenanceStage: 'exiting' });
    return NOTHING;
  },
};

/** Nothing else may be away, or in maintenance, that could hold the other copy. */
function requireAlone({ state, seen }: CommandContext, sds: Sds, devices: readonly Device[]): void {
  const unit = sds.faultSetKey === 0 ? sds.key : sds.faultSetKey;
  const poolKeys = new Set(devices.map(({ poolKey }) => poolKey));
  for (const device of state.devices.values()) {
    const other = state.sds.get(device.sdsKey);
    if (other === undefined || !poolKeys.has(device.poolKey)) continue;
    const otherUnit = unitOf(state, device.key);
    if (otherUnit === unit) continue;
    if (other.maintenance !== 'none')
      refuse('MAINTENANCE_CONFLICT', `SDS ${other.name} is in maintenance mode`);
    if (!seen.sdsConnected(other.key))
      refuse('MAINTENANCE_CONFLICT', `SDS ${other.name} is disconnected`);
    if (device.state === 'down')
      refuse('MAINTENANCE_CONFLICT', `device ${device.path} of SDS ${other.name} is down`);
  }
}

/** Every comb of which the device has a copy has another one that works and stays. */
function requireOtherCopies({ state, seen }: CommandContext, { key, poolKey }: Device): void {
  let lone = 0;
  for (const entry of state.combs.ofPool(poolKey)) {
    const index = memberIndex(entry, key);
    if (index < 0 || !isInSync(entry, index)) continue;
    const hasOther = entry.members.some(
      (member, other) =>
        other !== index &&
        isInSync(entry, other) &&
        seen.isGood(member) &&
        unitOf(state, member.deviceKey) !== unitOf(state, key) &&
        restOf(state, member.deviceKey) === 'none',
    );
    if (!hasOther) lone++;
  }
  if (lone > 0)
    refuse(
      'MAINTENANCE_UNSAFE',
      `${lone} combs of storage pool ${state.pools.get(poolKey)?.name ?? poolKey} have no other copy now`,
    );
}

/** Whether all data of the pool fits, twice and apart, on the devices of the others. */
function requireRoom({ state, options, seen }: CommandContext, sds: Sds, poolKey: number): void {
  const pool = found(state.pools.get(poolKey), 'POOL_NOT_FOUND');
  if (options.movesMax === 0) refuse('MAINTENANCE_NO_ROOM', 'moving data is switched off');
  const unit = sds.faultSetKey === 0 ? sds.key : sds.faultSetKey;
  const places = placesOf(state, poolKey).filter(
    ({ deviceKey }) =>
      state.devices.get(deviceKey)?.sdsKey !== sds.key && restOf(state, deviceKey) === 'none',
  );
  if (!canPlace(places)) {
    const name = unitName(state, { kind: sds.faultSetKey === 0 ? 'sds' : 'faultSet', key: unit });
    refuse(
      'MAINTENANCE_NO_ROOM',
      `without SDS ${sds.name} of ${name} storage pool ${pool.name} has devices in fewer than two SDSs or fault sets; instant maintenance mode is possible`,
    );
  }
  const combCount = state.combs.ofPool(poolKey).length;
  const copies = quotas(places, combCount);
  const left = places.map(({ deviceKey, capacityBytes }) => ({
    capacityBytes,
    copies: copies.get(deviceKey) ?? 0,
  }));
  // The spare is there for this, too.
  const netBytes = netCapacityBytes(left, combCount, 0);
  const promised = promisedOf(state, pool, options.sectorBytes);
  const neededBytes = promised.thickBytes + heldBytes(promised, seen.poolThinUsedBytes(poolKey));
  if (neededBytes > netBytes)
    refuse(
      'MAINTENANCE_NO_ROOM',
      `${formatSize(neededBytes)} of data in storage pool ${pool.name} do not fit on the other devices, which take ${formatSize(netBytes)}; instant maintenance mode is possible`,
    );
}
