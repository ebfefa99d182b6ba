// Commands about protection domains, storage pools and fault sets.

import { COPYING_OF_NEW_POOL } from '../../cluster-map/copy-policy.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { SdsMove, StoragePool } from '../../protocol/generated/types.js';
import { validMediaType, validName } from '../names.js';
import { found, refuse } from '../refusal.js';
import { checkSpare } from '../spare.js';
import type { State } from '../state.js';
import { NOTHING } from './context.js';
import type { CommandContext, Handlers } from './context.js';

function freeDomainName(state: State, name: string, self = 0): string {
  validName(name);
  const other = state.domains.find((domain) => domain.name === name);
  if (other !== undefined && other.key !== self) refuse('DOMAIN_NAME_IN_USE');
  return name;
}

function freePoolName(state: State, domainKey: number, name: string, self = 0): string {
  validName(name);
  const other = state.pools.find((pool) => pool.domainKey === domainKey && pool.name === name);
  if (other !== undefined && other.key !== self) refuse('POOL_NAME_IN_USE');
  return name;
}

function freeFaultSetName(state: State, domainKey: number, name: string, self = 0): string {
  validName(name);
  const other = state.faultSets.find((set) => set.domainKey === domainKey && set.name === name);
  if (other !== undefined && other.key !== self) refuse('FAULT_SET_NAME_IN_USE');
  return name;
}

function checkAlerts(high: number, critical: number): void {
  if (high > critical)
    refuse(
      'LIMIT_ILLEGAL',
      `The high capacity alert (${high} %) must not lie above the critical one (${critical} %)`,
    );
}

/** What an SDS is on its way to stays. @throws Refusal SDS_MOVING */
function requireNoMove(state: State, goesThere: (move: SdsMove) => boolean): void {
  const sds = state.sds.find(({ move }) => move !== null && goesThere(move));
  if (sds !== undefined) refuse('SDS_MOVING', `SDS ${sds.name} goes there`);
}

/** Clients whose I/O would have to wait. @throws Refusal DOMAIN_IN_USE */
function requireUnused({ state, seen }: CommandContext, pools: readonly StoragePool[]): void {
  const poolKeys = new Set(pools.map(({ key }) => key));
  const used = state.volumes.filter(
    ({ key, poolKey }) =>
      poolKeys.has(poolKey) &&
      [...state.mappings.ofVolume(key).keys()].some((sdcKey) => seen.sdcConnected(sdcKey)),
  );
  const [first] = used;
  if (first === undefined) return;
  const others = used.length === 1 ? '' : ` and ${used.length - 1} more`;
  refuse(
    'DOMAIN_IN_USE',
    `${first.name}${others} are mapped to SDCs that are connected, whose I/O would wait until the domain is active again`,
  );
}

export const DOMAIN_COMMANDS: Handlers<
  | 'ADD_PROTECTION_DOMAIN'
  | 'REMOVE_PROTECTION_DOMAIN'
  | 'RENAME_PROTECTION_DOMAIN'
  | 'SET_PROTECTION_DOMAIN_ACTIVE'
  | 'ADD_FAULT_SET'
  | 'REMOVE_FAULT_SET'
  | 'CLEAR_FAULT_SET'
  | 'RENAME_FAULT_SET'
> = {
  ADD_PROTECTION_DOMAIN({ state }, params) {
    const name = freeDomainName(state, params.name);
    if (state.domains.size >= LIMIT.domainsMax)
      refuse('TOO_MANY', `at most ${LIMIT.domainsMax} protection domains`);
    const key = state.newKey();
    state.domains.put(key, { key, name, active: true });
    return { key };
  },

  REMOVE_PROTECTION_DOMAIN({ state }, { key }) {
    found(state.domains.get(key), 'DOMAIN_NOT_FOUND');
    if (state.sds.find((sds) => sds.domainKey === key) !== undefined) refuse('DOMAIN_HAS_SDS');
    if (state.pools.find((pool) => pool.domainKey === key) !== undefined)
      refuse('DOMAIN_HAS_POOLS');
    if (state.faultSets.find((set) => set.domainKey === key) !== undefined)
      refuse('DOMAIN_HAS_FAULT_SETS');
    requireNoMove(state, ({ domainKey }) => domainKey === key);
    state.domains.delete(key);
    return NOTHING;
  },

  RENAME_PROTECTION_DOMAIN({ state }, { key, name }) {
    const domain = found(state.domains.get(key), 'DOMAIN_NOT_FOUND');
    state.domains.put(key, { ...domain, name: freeDomainName(state, name, key) });
    return NOTHING;
  },

  SET_PROTECTION_DOMAIN_ACTIVE(context, { key, active, force }) {
    const { state, waitFor } = context;
    const domain = found(state.domains.get(key), 'DOMAIN_NOT_FOUND');
    const pools = state.pools.filter(({ domainKey }) => domainKey === key);
    if (!active && domain.active && !force) requireUnused(context, pools);
    if (domain.active !== active) state.domains.put(key, { ...domain, active });
    // Stopped means that nothing can be served any more; an earlier request may have been answered as pending.
    if (!active) for (const pool of pools) waitFor({ kind: 'changed', poolKey: pool.key });
    return NOTHING;
  },

  ADD_FAULT_SET({ state }, params) {
    const { domainKey } = params;
    found(state.domains.get(domainKey), 'DOMAIN_NOT_FOUND');
    const name = freeFaultSetName(state, domainKey, params.name);
    const others = state.faultSets.filter((set) => set.domainKey === domainKey);
    if (others.length >= LIMIT.faultSetsPerDomainMax)
      refuse(
        'TOO_MANY',
        `a protection domain has at most ${LIMIT.faultSetsPerDomainMax} fault sets`,
      );
    const key = state.newKey();
    state.faultSets.put(key, { key, domainKey, name });
    return { key };
  },

  REMOVE_FAULT_SET({ state }, { key }) {
    found(state.faultSets.get(key), 'FAULT_SET_NOT_FOUND');
    if (state.sds.find((sds) => sds.faultSetKey === key) !== undefined) refuse('FAULT_SET_HAS_SDS');
    requireNoMove(state, ({ faultSetKey }) => faultSetKey === key);
    state.faultSets.delete(key);
    return NOTHING;
  },

  CLEAR_FAULT_SET({ state }, { key }) {
    found(state.faultSets.get(key), 'FAULT_SET_NOT_FOUND');
    requireNoMove(state, ({ faultSetKey }) => faultSetKey === key);
    const members = state.sds.filter(({ faultSetKey }) => faultSetKey === key);
    // What fails together may be out together; apart, it may not.
    if (members.some(({ maintenance }) => maintenance !== 'none')) refuse('SDS_IN_MAINTENANCE');
    for (const sds of members) state.sds.put(sds.key, { ...sds, faultSetKey: 0 });
    return NOTHING;
  },

  RENAME_FAULT_SET({ state }, { key, name }) {
    const set = found(state.faultSets.get(key), 'FAULT_SET_NOT_FOUND');
    state.faultSets.put(key, { ...set, name: freeFaultSetName(state, set.domainKey, name, key) });
    return NOTHING;
  },
};

export const POOL_COMMANDS: Handlers<
  | 'ADD_STORAGE_POOL'
  | 'REMOVE_STORAGE_POOL'
  | 'RENAME_STORAGE_POOL'
  | 'SET_STORAGE_POOL'
  | 'SET_POOL_COPYING'
> = {
  ADD_STORAGE_POOL({ state, options }, params) {
    const { domainKey, durability, zeroPadding, checksums, rmcache, sparePercent } = params;
    const { cacheWrites } = params;
    found(state.domains.get(domainKey), 'DOMAIN_NOT_FOUND');
    const name = freePoolName(state, domainKey, params.name);
    if (state.pools.size >= LIMIT.poolsMax)
      refuse('TOO_MANY', `at most ${LIMIT.poolsMax} storage pools`);
    const mediaType = validMediaType(params.mediaType === '' ? 'HDD' : params.mediaType);
    const combCountLog2 = params.combCountLog2 === 0 ? options.combCountLog2 : params.combCountLog2;
    const key = state.newKey();
    const { capacityAlertHighPercent, capacityAlertCriticalPercent } = state.system;
    state.pools.put(key, {
      ...{ key, domainKey, name, durability, zeroPadding, checksums, rmcache, sparePercent },
      ...{ capacityAlertHighPercent, capacityAlertCriticalPercent, combCountLog2, mediaType },
      ...{ fullPolicy: 'wait', cacheWrites },
      loneReturn: false,
      ...{ ...COPYING_OF_NEW_POOL, movesPerDevice: options.movesPerDevice, scanner: null },
    });
    return { key };
  },

  REMOVE_STORAGE_POOL({ state }, { key }) {
    found(state.pools.get(key), 'POOL_NOT_FOUND');
    if (state.volumes.find((volume) => volume.poolKey === key) !== undefined)
      refuse('POOL_HAS_VOLUMES');
    if (state.devices.find((device) => device.poolKey === key) !== undefined)
      refuse('POOL_HAS_DEVICES');
    requireNoMove(state, ({ devices }) => devices.some(({ poolKey }) => poolKey === key));
    for (const { volumeKey } of state.tombstones.filter(({ poolKey }) => poolKey === key))
      state.tombstones.delete(volumeKey);
    state.combs.clear(key);
    state.poolUsages.delete(key);
    state.pools.delete(key);
    return NOTHING;
  },

  RENAME_STORAGE_POOL({ state }, { key, name }) {
    const pool = found(state.pools.get(key), 'POOL_NOT_FOUND');
    state.pools.put(key, { ...pool, name: freePoolName(state, pool.domainKey, name, key) });
    return NOTHING;
  },

  SET_STORAGE_POOL({ state, seen, options }, params) {
    const pool = found(state.pools.get(params.key), 'POOL_NOT_FOUND');
    const next: StoragePool = {
      ...pool,
      durability: params.durability ?? pool.durability,
      fullPolicy: params.fullPolicy ?? pool.fullPolicy,
      zeroPadding: params.zeroPadding ?? pool.zeroPadding,
      checksums: params.checksums ?? pool.checksums,
      rmcache: params.rmcache ?? pool.rmcache,
      cacheWrites: params.cacheWrites ?? pool.cacheWrites,
      sparePercent: params.sparePercent ?? pool.sparePercent,
      capacityAlertHighPercent: params.capacityAlertHighPercent ?? pool.capacityAlertHighPercent,
      capacityAlertCriticalPercent:
        params.capacityAlertCriticalPercent ?? pool.capacityAlertCriticalPercent,
      mediaType: params.mediaType === null ? pool.mediaType : validMediaType(params.mediaType),
      loneReturn: params.loneReturn ?? pool.loneReturn,
    };
    checkAlerts(next.capacityAlertHighPercent, next.capacityAlertCriticalPercent);
    if (params.sparePercent !== null && !params.force)
      checkSpare(state, next, seen.poolThinUsedBytes(pool.key), options.sectorBytes);
    state.pools.put(pool.key, next);
    return NOTHING;
  },

  SET_POOL_COPYING({ state }, params) {
    const pool = found(state.pools.get(params.key), 'POOL_NOT_FOUND');
    state.pools.put(pool.key, {
      ...pool,
      rebuildEnabled: params.rebuildEnabled ?? pool.rebuildEnabled,
      rebalanceEnabled: params.rebalanceEnabled ?? pool.rebalanceEnabled,
      rebuild: params.rebuild ?? pool.rebuild,
      rebalance: params.rebalance ?? pool.rebalance,
      movesPerDevice: params.movesPerDevice ?? pool.movesPerDevice,
    });
    return NOTHING;
  },
};

export const SYSTEM_COMMANDS: Handlers<'SET_SYSTEM' | 'SET_APPROVAL'> = {
  SET_SYSTEM({ state }, params) {
    const { system } = state;
    const high = params.capacityAlertHighPercent ?? system.capacityAlertHighPercent;
    const critical = params.capacityAlertCriticalPercent ?? system.capacityAlertCriticalPercent;
    checkAlerts(high, critical);
    state.systems.put(system.key, {
      ...system,
      name: params.name === null ? system.name : validName(params.name),
      capacityAlertHighPercent: high,
      capacityAlertCriticalPercent: critical,
    });
    return NOTHING;
  },

  SET_APPROVAL({ state }, { approval }) {
    state.systems.put(state.system.key, { ...state.system, approval });
    return NOTHING;
  },
};
