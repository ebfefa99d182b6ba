// Commands about SDSs and their devices. What becomes of the data of one that is removed is removals.ts.

import { formatId } from '../../core/ids.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { Address, Device, DeviceSpec, Sds } from '../../protocol/generated/types.js';
import { validDeviceMedia, validName, validPath, validSdsAddresses } from '../names.js';
import { found, refuse } from '../refusal.js';
import type { State } from '../state.js';
import { NOTHING } from './context.js';
import type { CommandContext, Handlers, WaitingSds } from './context.js';
import { removeDevices } from './removals.js';

/** RAM that the read cache of a new SDS may take, as in the original. */
const CACHE_MIB = 128;

function validCacheMiB(mib: number): number {
  const { cacheMiBMin, cacheMiBMax } = LIMIT;
  if (mib < cacheMiBMin || mib > cacheMiBMax)
    refuse(
      'LIMIT_ILLEGAL',
      `The RAM read cache of an SDS has ${cacheMiBMin} to ${cacheMiBMax} MiB, not ${mib}`,
    );
  return mib;
}

function freeSdsName(state: State, name: string, self = 0): string {
  validName(name);
  const other = state.sds.find((sds) => sds.name === name);
  if (other !== undefined && other.key !== self) refuse('SDS_NAME_IN_USE');
  return name;
}

/** Two SDSs may share a host only with different ports. */
function checkFree(state: State, addresses: readonly Address[], port: number, self = 0): void {
  const hosts = new Set(addresses.map(({ host }) => host));
  const other = state.sds.find(
    (sds) =>
      sds.key !== self && sds.port === port && sds.addresses.some(({ host }) => hosts.has(host)),
  );
  if (other !== undefined) refuse('SDS_ADDRESS_IN_USE');
}

/** A fault set that an SDS of a protection domain may be in. */
export function requireFaultSet(state: State, key: number, domainKey: number): void {
  const set = found(state.faultSets.get(key), 'FAULT_SET_NOT_FOUND');
  if (set.domainKey !== domainKey) refuse('FAULT_SET_MISMATCH');
  const members = state.sds.filter(({ faultSetKey }) => faultSetKey === key);
  if (members.length >= LIMIT.sdsPerFaultSetMax)
    refuse('TOO_MANY', `a fault set has at most ${LIMIT.sdsPerFaultSetMax} SDSs`);
}

function putAddresses(state: State, sds: Sds, addresses: readonly Address[]): void {
  checkFree(state, addresses, sds.port, sds.key);
  state.sds.put(sds.key, { ...sds, addresses: validSdsAddresses(addresses) });
}

/** Notes a device that shall be formatted; its SDS hears of it after the commit. */
function addDevice(state: State, sds: Sds, spec: DeviceSpec): number {
  const pool = found(state.pools.get(spec.poolKey), 'POOL_NOT_FOUND');
  if (pool.domainKey !== sds.domainKey)
    refuse('INVALID_PARAMETER', 'the storage pool must be of the protection domain of the SDS');
  validPath(spec.path);
  if (spec.name !== '') validName(spec.name);
  const others = state.devices.filter((device) => device.sdsKey === sds.key);
  if (others.length >= LIMIT.devicesPerSdsMax)
    refuse('TOO_MANY', `an SDS has at most ${LIMIT.devicesPerSdsMax} devices`);
  if (others.some(({ path }) => path === spec.path)) refuse('DEVICE_IN_USE');
  if (spec.name !== '' && others.some(({ name }) => name === spec.name))
    refuse('INVALID_PARAMETER', `the SDS has a device named ${spec.name} already`);
  const key = state.newKey();
  state.devices.put(key, {
    ...{ key, sdsKey: sds.key, poolKey: spec.poolKey, name: spec.name, path: spec.path },
    ...{ state: 'adding', incarnation: 0, capacityBytes: 0, force: spec.force, failure: '' },
    ...{ port: 0, formatted: false, dataSince: 0, rolledBackIncarnation: 0, removing: false },
    replaces: [],
    ...{ slowStage: 'none', mediaFound: '', mediaType: '' },
  });
  return key;
}

/** A device that stays after all; one that was closed already is opened again. */
export function kept(device: Device): Device {
  if (device.state !== 'removing') return { ...device, removing: false };
  return { ...device, removing: false, state: device.incarnation === 0 ? 'adding' : 'down' };
}

/** @throws Refusal SDS_NOT_CONNECTED */
export function requireConnected({ seen }: CommandContext, sds: Sds): void {
  if (!seen.sdsConnected(sds.key)) refuse('SDS_NOT_CONNECTED', `${sds.name} is disconnected`);
}

/** An SDS that another system has not let go holds its data. */
function checkOwner(state: State, { systemId }: WaitingSds, forceClean: boolean): void {
  const { idPrefix, key } = state.system;
  if (systemId === '' || systemId === formatId(idPrefix, key) || forceClean) return;
  refuse(
    'SDS_OF_OTHER_SYSTEM',
    `it was taken in by system ${systemId}; remove it there first, or add it with force_clean`,
  );
}

/**
 * What an SDS holds is not changed while it rests, or is on its way to another domain.
 *
 * @throws Refusal SDS_IN_MAINTENANCE, SDS_MOVING
 */
export function requireWorking({ name, maintenance, move }: Sds): void {
  if (maintenance !== 'none') refuse('SDS_IN_MAINTENANCE');
  if (move !== null) refuse('SDS_MOVING', `abort the move of SDS ${name}, or wait for its end`);
}

export const SDS_COMMANDS: Handlers<
  | 'ADD_SDS'
  | 'REMOVE_SDS'
  | 'RENAME_SDS'
  | 'ADD_SDS_ADDRESS'
  | 'REMOVE_SDS_ADDRESS'
  | 'SET_SDS_ADDRESS_ROLE'
  | 'ABORT_REMOVE_SDS'
  | 'SET_SDS_CACHE'
> = {
  ADD_SDS({ state, seen, waitFor }, params) {
    const { domainKey, faultSetKey, devices } = params;
    found(state.domains.get(domainKey), 'DOMAIN_NOT_FOUND');
    if (faultSetKey !== 0) requireFaultSet(state, faultSetKey, domainKey);
    if (params.name !== '') freeSdsName(state, params.name);
    const addresses = validSdsAddresses(params.addresses);
    if (state.sds.size >= LIMIT.sdsMax) refuse('TOO_MANY', `at most ${LIMIT.sdsMax} SDSs`);
    if (params.port !== 0) checkFree(state, addresses, params.port);
    const waiting = addresses
      .map(({ host }) => seen.waitingSds(host, params.port))
      .find((process) => process !== null);
    if (waiting === undefined) {
      // Without a port an address belongs to one SDS: say so when that is the one.
      if (params.port === 0)
        for (const port of new Set(Array.from(state.sds.values(), (sds) => sds.port)))
          checkFree(state, addresses, port);
      refuse(
        'SDS_NOT_CONNECTED',
        `no SDS waits at ${addresses.map(({ host }) => host).join(', ')}`,
      );
    }
    const { guid, port } = waiting;
    checkFree(state, addresses, port);
    checkOwner(state, waiting, params.forceClean);
    const key = state.newKey();
    const name = params.name === '' ? madeName(state, key) : params.name;
    const idle = {
      ...{ removing: false, move: null },
      ...({ maintenance: 'none', maintenanceStage: 'none' } as const),
    };
    const cache = {
      cacheEnabled: params.cacheEnabled,
      cacheMiB: params.cacheMiB === 0 ? CACHE_MIB : validCacheMiB(params.cacheMiB),
    };
    const sds: Sds = {
      ...{ key, domainKey, faultSetKey, name, guid, addresses, port },
      ...idle,
      ...cache,
    };
    state.sds.put(key, sds);
    const deviceKeys = devices.map((spec) => addDevice(state, sds, spec));
    if (deviceKeys.length > 0) waitFor({ kind: 'devices', sdsKey: key, deviceKeys });
    return { key };
  },

  REMOVE_SDS(context, { key, force }) {
    const { state } = context;
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    requireWorking(sds);
    if (!force) requireConnected(context, sds);
    const devices = state.devices.filter(({ sdsKey }) => sdsKey === key);
    if (removeDevices(context, devices, force)) state.sds.delete(key);
    else state.sds.put(key, { ...sds, removing: true });
    return NOTHING;
  },

  ABORT_REMOVE_SDS({ state }, { key }) {
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    if (!sds.removing) refuse('INVALID_PARAMETER', `${sds.name} is not being removed`);
    state.sds.put(key, { ...sds, removing: false });
    for (const device of state.devices.filter(({ sdsKey }) => sdsKey === key))
      state.devices.put(device.key, kept(device));
    return NOTHING;
  },

  SET_SDS_CACHE({ state }, { key, enabled, mib }) {
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    state.sds.put(key, {
      ...sds,
      cacheEnabled: enabled ?? sds.cacheEnabled,
      cacheMiB: mib === null ? sds.cacheMiB : validCacheMiB(mib),
    });
    return NOTHING;
  },

  RENAME_SDS({ state }, { key, name }) {
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    state.sds.put(key, { ...sds, name: freeSdsName(state, name, key) });
    return NOTHING;
  },

  ADD_SDS_ADDRESS({ state }, { key, address }) {
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    putAddresses(state, sds, [...sds.addresses, address]);
    return NOTHING;
  },

  REMOVE_SDS_ADDRESS({ state }, { key, host }) {
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    const addresses = sds.addresses.filter((address) => address.host !== host);
    if (addresses.length === sds.addresses.length) refuse('NOT_FOUND');
    if (addresses.length === 0)
      refuse('INVALID_PARAMETER', 'the last address of an SDS cannot be removed');
    putAddresses(state, sds, addresses);
    return NOTHING;
  },

  SET_SDS_ADDRESS_ROLE({ state }, { key, address }) {
    const sds = found(state.sds.get(key), 'SDS_NOT_FOUND');
    if (!sds.addresses.some(({ host }) => host === address.host)) refuse('NOT_FOUND');
    putAddresses(
      state,
      sds,
      sds.addresses.map((known) => (known.host === address.host ? address : known)),
    );
    return NOTHING;
  },
};

function madeName(state: State, key: number): string {
  const wanted = `SDS-${key.toString(16).padStart(8, '0')}`;
  return state.sds.find(({ name }) => name === wanted) === undefined ? wanted : `${wanted}-2`;
}

export const DEVICE_COMMANDS: Handlers<
  'ADD_DEVICE' | 'REMOVE_DEVICE' | 'CLEAR_DEVICE_ERROR' | 'ABORT_REMOVE_DEVICE' | 'SET_DEVICE_MEDIA'
> = {
  ADD_DEVICE(context, { sdsKey, device }) {
    const { state, waitFor } = context;
    const sds = found(state.sds.get(sdsKey), 'SDS_NOT_FOUND');
    if (sds.removing) refuse('INVALID_PARAMETER', `${sds.name} is being removed`);
    requireWorking(sds);
    requireConnected(context, sds);
    const key = addDevice(state, sds, device);
    waitFor({ kind: 'devices', sdsKey: 0, deviceKeys: [key] });
    return { key };
  },

  REMOVE_DEVICE(context, { key, force }) {
    const { state } = context;
    const device = found(state.devices.get(key), 'DEVICE_NOT_FOUND');
    const sds = found(state.sds.get(device.sdsKey), 'SDS_NOT_FOUND');
    // A disk that cannot be brought along would keep its SDS on the way for ever.
    const isLeftBehind = sds.move?.stage === 'joining' && device.state === 'adding';
    if (!isLeftBehind) requireWorking(sds);
    if (!force) requireConnected(context, sds);
    removeDevices(context, [device], force);
    return NOTHING;
  },

  ABORT_REMOVE_DEVICE({ state }, { key }) {
    const device = found(state.devices.get(key), 'DEVICE_NOT_FOUND');
    if (!device.removing) refuse('INVALID_PARAMETER', 'the device is not being removed');
    requireWorking(found(state.sds.get(device.sdsKey), 'SDS_NOT_FOUND'));
    if (state.sds.get(device.sdsKey)?.removing === true)
      refuse('INVALID_PARAMETER', 'the SDS of the device is being removed');
    state.devices.put(key, kept(device));
    return NOTHING;
  },

  SET_DEVICE_MEDIA({ state }, { key, mediaType }) {
    const device = found(state.devices.get(key), 'DEVICE_NOT_FOUND');
    state.devices.put(key, { ...device, mediaType: validDeviceMedia(mediaType) });
    return NOTHING;
  },

  CLEAR_DEVICE_ERROR({ state }, { key }) {
    const device = found(state.devices.get(key), 'DEVICE_NOT_FOUND');
    if (device.state === 'failed' || device.slowStage !== 'none')
      state.devices.put(key, {
        ...device,
        state: device.state === 'failed' ? 'down' : device.state,
        ...{ failure: '', slowStage: 'none' },
      });
    return NOTHING;
  },
};
