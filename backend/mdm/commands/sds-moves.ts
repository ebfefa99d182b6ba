// Commands that take an SDS with all its devices to another protection domain, pool or fault set, and back. They judge
// whether what it leaves behind can have its data; they must never change a comb. How it goes on is sds-mover.ts.

import { spareNeededPercent } from '../../cluster-map/fault-units.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { CommandParams, Device, MovedDevice, Sds } from '../../protocol/generated/types.js';
import { combsFault } from '../capacity.js';
import { found, refuse } from '../refusal.js';
import { unitName, unitsOf } from '../spare.js';
import { NOTHING } from './context.js';
import type { CommandContext, Handlers } from './context.js';
import { emptyDevices, nameOf } from './removals.js';
import { kept, requireConnected, requireFaultSet, requireWorking } from './sds.js';

export const SDS_MOVE_COMMANDS: Handlers<'MOVE_SDS' | 'ABORT_MOVE_SDS'> = {
  MOVE_SDS(context, params) {
    const { state } = context;
    const { key, domainKey, faultSetKey, force } = params;
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    requireWorking(sds);
    if (sds.removing) refuse('INVALID_PARAMETER', `${sds.name} is being removed`);
    requireConnected(context, sds);
    found(state.domains.get(domainKey), 'DOMAIN_NOT_FOUND');
    if (faultSetKey !== 0 && faultSetKey !== sds.faultSetKey)
      requireFaultSet(state, faultSetKey, domainKey);
    const own = state.devices.filter(({ sdsKey }) => sdsKey === key);
    const devices = targetsOf(context, own, params);
    const isThere =
      sds.domainKey === domainKey &&
      sds.faultSetKey === faultSetKey &&
      devices.every(({ poolKey, fromPoolKey }) => poolKey === fromPoolKey);
    if (isThere) refuse('INVALID_PARAMETER', `SDS ${sds.name} is there already`);
    const before = coveredPools(context, own);
    emptyDevices(context, own);
    if (!force) requireSpare(context, sds, before);
    const from = { fromDomainKey: sds.domainKey, fromFaultSetKey: sds.faultSetKey };
    const move = { stage: 'leaving', domainKey, faultSetKey, ...from, devices } as const;
    state.sds.put(key, { ...sds, move });
    return NOTHING;
  },

  ABORT_MOVE_SDS(context, { key }) {
    const { state } = context;
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    if (sds.move === null) refuse('INVALID_PARAMETER', `SDS ${sds.name} is not being moved`);
    if (sds.move.stage === 'leaving') stay(context, sds);
    else goBack(context, sds);
    return NOTHING;
  },
};

/** Where each device goes. @throws Refusal DEVICE_NOT_FOUND, POOL_NOT_FOUND, INVALID_PARAMETER, DEVICE_TOO_SMALL */
function targetsOf(
  { state }: CommandContext,
  own: readonly Device[],
  { domainKey, poolKey: defaultKey, devices }: CommandParams['MOVE_SDS'],
): MovedDevice[] {
  for (const { deviceKey } of devices)
    if (!own.some(({ key }) => key === deviceKey)) refuse('DEVICE_NOT_FOUND');
  return own.map((device) => {
    if (device.removing)
      refuse('INVALID_PARAMETER', `${nameOf(device)} is being removed: wait until it is gone`);
    if (device.state !== 'up')
      refuse(
        'INVALID_PARAMETER',
        `${nameOf(device)} is not there (${device.state}): it must work, or be removed first`,
      );
    const poolKey =
      devices.find(({ deviceKey }) => deviceKey === device.key)?.poolKey ?? defaultKey;
    if (poolKey === 0)
      refuse('INVALID_PARAMETER', `no storage pool is given for ${nameOf(device)}`);
    const pool = found(state.pools.get(poolKey), 'POOL_NOT_FOUND');
    if (pool.domainKey !== domainKey)
      refuse(
        'INVALID_PARAMETER',
        `storage pool ${pool.name} is not of the protection domain that the SDS goes to`,
      );
    const fault = combsFault(pool, device.capacityBytes);
    if (fault !== '') refuse('DEVICE_TOO_SMALL', `${nameOf(device)}: ${fault}`);
    return { deviceKey: device.key, poolKey, fromPoolKey: device.poolKey };
  });
}

/** Pools with volumes whose spare covers the loss of their largest unit now. */
function coveredPools({ state }: CommandContext, devices: readonly Device[]): readonly number[] {
  return [...new Set(devices.map(({ poolKey }) => poolKey))].filter((poolKey) => {
    const pool = state.pools.get(poolKey);
    const isUsed = state.volumes.find((volume) => volume.poolKey === poolKey) !== undefined;
    return isUsed && (pool?.sparePercent ?? 0) >= spareNeededPercent(unitsOf(state, poolKey));
  });
}

/** A spare that covered the loss of any unit still does. @throws Refusal SPARE_ILLEGAL */
function requireSpare({ state }: CommandContext, sds: Sds, poolKeys: readonly number[]): void {
  for (const poolKey of poolKeys) {
    const pool = state.pools.get(poolKey);
    const units = unitsOf(state, poolKey);
    const [largest] = units;
    const needed = spareNeededPercent(units);
    if (pool === undefined || largest === undefined || pool.sparePercent >= needed) continue;
    refuse(
      'SPARE_ILLEGAL',
      `without SDS ${sds.name} the spare of storage pool ${pool.name} (${pool.sparePercent} %) does not cover ${unitName(state, largest)}: at least ${needed} % are needed; change it first, or move with force`,
    );
  }
}

/** It stays where it is: its devices are not emptied further, and opened where they were closed. */
function stay({ state, replace }: CommandContext, sds: Sds): void {
  const own = state.devices.filter(({ sdsKey }) => sdsKey === sds.key);
  for (const device of own) state.devices.put(device.key, kept(device));
  for (const poolKey of new Set(own.map((device) => device.poolKey)))
    if (state.volumes.find((volume) => volume.poolKey === poolKey) === undefined) replace(poolKey);
  // On the way back from where it never was: then it goes on being made part of it.
  const isNew = own.some(({ incarnation }) => incarnation === 0);
  state.sds.put(sds.key, { ...sds, move: isNew ? reversed(sds, own, 'joining') : null });
}

/** It goes where it was: what its devices hold already is moved away again. */
function goBack(context: CommandContext, sds: Sds): void {
  const { state } = context;
  const { move } = sds;
  if (move === null) return;
  found(state.domains.get(move.fromDomainKey), 'DOMAIN_NOT_FOUND');
  if (move.fromFaultSetKey !== 0)
    found(state.faultSets.get(move.fromFaultSetKey), 'FAULT_SET_NOT_FOUND');
  for (const { fromPoolKey } of move.devices) found(state.pools.get(fromPoolKey), 'POOL_NOT_FOUND');
  const own = state.devices.filter(({ sdsKey }) => sdsKey === sds.key);
  const full = own.find(({ replaces }) => replaces.length >= LIMIT.replacedDevicesMax);
  if (full !== undefined)
    refuse('SDS_MOVING', `${nameOf(full)} went back and forth too often: wait until it is up`);
  emptyDevices(context, own);
  state.sds.put(sds.key, { ...sds, move: reversed(sds, own, 'leaving') });
}

/** The same way in the other direction. */
function reversed(
  { move }: Sds,
  own: readonly Device[],
  stage: 'leaving' | 'joining',
): Sds['move'] {
  if (move === null) return null;
  return {
    ...{ stage, domainKey: move.fromDomainKey, faultSetKey: move.fromFaultSetKey },
    ...{ fromDomainKey: move.domainKey, fromFaultSetKey: move.faultSetKey },
    devices: own.map(({ key, poolKey }) => {
      const known = move.devices.find(({ deviceKey }) => deviceKey === key);
      return { deviceKey: key, poolKey: known?.fromPoolKey ?? poolKey, fromPoolKey: poolKey };
    }),
  };
}
