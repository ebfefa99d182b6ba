// What becomes of the data of devices that shall go: it is moved away first, and a removal that has nowhere to put it is
// refused. It must never let a comb lose a good copy.

import { formatSize } from '../../core/units.js';
import { isInSync, memberIndex } from '../../cluster-map/entry.js';
import type { CombEntry, Device } from '../../protocol/generated/types.js';
import { heldBytes, netCapacityBytes, promisedOf } from '../capacity.js';
import { canPlace, quotas } from '../placement.js';
import { withoutMember } from '../reconcile.js';
import { refuse } from '../refusal.js';
import { placesOf } from '../replacement.js';
import type { CommandContext } from './context.js';

/**
 * Removes devices: at once those that hold no good copy, the others when their data is elsewhere.
 *
 * @param force - also where devices of a single unit are left, as long as no good copy is lost by that
 * @returns whether all of them are gone
 * @throws Refusal SDS_HAS_DATA when the data of one cannot be put elsewhere
 */
export function removeDevices(
  context: CommandContext,
  devices: readonly Device[],
  force: boolean,
): boolean {
  const { state, replace } = context;
  const apart = force ? [] : poolsApart(context, devices);
  const staying = devices.filter((device) => holdsGoodCopy(context, device));
  const emptied = devices.filter((device) => !staying.includes(device));
  for (const device of emptied) strip(context, device);
  for (const device of staying) {
    requireGood(context, device);
    state.devices.put(device.key, { ...device, removing: true });
  }
  for (const poolKey of new Set(staying.map((device) => device.poolKey))) {
    const names = staying.filter((device) => device.poolKey === poolKey).map(nameOf);
    requirePlace(context, poolKey, names.join(', '));
  }
  requireApart(context, apart, emptied.map(nameOf).join(', '));
  for (const poolKey of new Set(emptied.map((device) => device.poolKey)))
    if (!hasVolumes(context, poolKey)) replace(poolKey);
  return staying.length === 0;
}

/**
 * Begins to take the data off devices that stay part of the system.
 *
 * @throws Refusal SDS_HAS_DATA as {@link removeDevices}
 */
export function emptyDevices(context: CommandContext, devices: readonly Device[]): void {
  const { state, replace } = context;
  const apart = poolsApart(context, devices);
  for (const device of devices) state.devices.put(device.key, { ...device, removing: true });
  for (const poolKey of new Set(devices.map((device) => device.poolKey))) {
    const own = devices.filter((device) => device.poolKey === poolKey);
    const holding = own.filter((device) => holdsGoodCopy(context, device));
    for (const device of holding) requireGood(context, device);
    if (holding.length > 0) requirePlace(context, poolKey, holding.map(nameOf).join(', '));
    if (!hasVolumes(context, poolKey)) replace(poolKey);
  }
  requireApart(context, apart, devices.map(nameOf).join(', '));
}

/** Pools with data whose devices are of two units. */
function poolsApart(context: CommandContext, devices: readonly Device[]): number[] {
  const poolKeys = [...new Set(devices.map(({ poolKey }) => poolKey))];
  return poolKeys.filter(
    (poolKey) => hasVolumes(context, poolKey) && canPlace(placesOf(context.state, poolKey)),
  );
}

/** A device that is about to come back may be all that there is of the other unit (scenario last-of-its-unit). */
function requireApart({ state }: CommandContext, poolKeys: readonly number[], names: string): void {
  if (poolKeys.every((poolKey) => canPlace(placesOf(state, poolKey)))) return;
  refuse(
    'SDS_HAS_DATA',
    `without ${names} its pool would be left with devices of fewer than two SDSs or fault sets`,
  );
}

export function nameOf({ name, path }: Pick<Device, 'name' | 'path'>): string {
  return `device ${name === '' ? path : name}`;
}

function hasVolumes({ state }: CommandContext, poolKey: number): boolean {
  return state.volumes.find((volume) => volume.poolKey === poolKey) !== undefined;
}

function entriesOf({ state }: CommandContext, device: Device): CombEntry[] {
  return state.combs.ofPool(device.poolKey).filter((entry) => memberIndex(entry, device.key) >= 0);
}

function holdsGoodCopy(context: CommandContext, device: Device): boolean {
  return (
    hasVolumes(context, device.poolKey) &&
    entriesOf(context, device).some((entry) => isInSync(entry, memberIndex(entry, device.key)))
  );
}

/** Takes out of the system what holds no good copy. */
function strip(context: CommandContext, device: Device): void {
  const { state } = context;
  if (hasVolumes(context, device.poolKey))
    for (const entry of entriesOf(context, device)) {
      const without = withoutMember(entry, device.key);
      if (without !== null) state.combs.put(device.poolKey, without);
    }
  state.devices.delete(device.key);
}

/** A copy that cannot be read cannot be moved. */
function requireGood(context: CommandContext, device: Device): void {
  if (device.state === 'up') return;
  const lone = entriesOf(context, device).filter((entry) =>
    isInSync(entry, memberIndex(entry, device.key)),
  );
  refuse(
    'SDS_HAS_DATA',
    `${nameOf(device)} is not there and holds the only good copy of ${lone.length} combs`,
  );
}

/** Whether the devices that are left can have all data of the pool, twice and apart. */
function requirePlace(context: CommandContext, poolKey: number, names: string): void {
  const { state, options, seen } = context;
  const pool = state.pools.get(poolKey);
  if (pool === undefined) return;
  if (options.movesMax === 0)
    refuse('SDS_HAS_DATA', `${names} holds a good copy, and moving data is switched off`);
  const places = placesOf(state, poolKey);
  if (!canPlace(places))
    refuse(
      'SDS_HAS_DATA',
      `${names} holds a good copy, and its pool would be left with devices of fewer than two SDSs or fault sets`,
    );
  const combCount = state.combs.ofPool(poolKey).length;
  const copies = quotas(places, combCount);
  const left = places.map(({ deviceKey, capacityBytes }) => ({
    capacityBytes,
    copies: copies.get(deviceKey) ?? 0,
  }));
  const netBytes = netCapacityBytes(left, combCount, pool.sparePercent);
  const promised = promisedOf(state, pool, options.sectorBytes);
  const neededBytes = promised.thickBytes + heldBytes(promised, seen.poolThinUsedBytes(poolKey));
  if (neededBytes > netBytes)
    refuse(
      'SDS_HAS_DATA',
      `${names} holds a good copy: ${formatSize(neededBytes)} of data do not fit on the devices that are left, which take ${formatSize(Math.max(0, netBytes))} beside the spare of ${pool.sparePercent} %`,
    );
}
