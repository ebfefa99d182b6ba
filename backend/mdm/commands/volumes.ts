// Commands about volumes and mappings. Each that takes a right away, or changes what a volume is, is answered only when no
// device can act on the older state any more (C13).

import { LIMIT } from '../../protocol/generated/constants.js';
import type { StoragePool, Volume } from '../../protocol/generated/types.js';
import { allowanceOf, checkPromise, promisedOf } from '../capacity.js';
import { validName } from '../names.js';
import { found, refuse, RefusalWhenDrained } from '../refusal.js';
import { unplacedReason } from '../spare.js';
import type { State } from '../state.js';
import { NO_POLICY } from '../vtrees.js';
import { NOTHING } from './context.js';
import type { CommandContext, Handlers } from './context.js';
import {
  removeVolumes,
  requireInsecure,
  requireNoCut,
  requireNotReverted,
  volumesToRemove,
} from './snapshots.js';

/** Volumes are whole blocks: hosts see blocks as physical sectors. */
const SECTORS_PER_BLOCK = LIMIT.blockBytes / LIMIT.sectorBytes;

function freeVolumeName(state: State, name: string, self = 0): string {
  validName(name);
  const other = state.volumes.find((volume) => volume.name === name);
  if (other !== undefined && other.key !== self) refuse('VOLUME_NAME_IN_USE');
  for (const { items } of state.cuts.values())
    if (items.some((item) => item.name === name)) refuse('VOLUME_NAME_IN_USE');
  return name;
}

function checkSize(sizeSectors: number): void {
  if (sizeSectors % SECTORS_PER_BLOCK !== 0)
    refuse('VOLUME_SIZE_ILLEGAL', `${sizeSectors} sectors are not whole 4 KiB blocks`);
}

function checkCapacity(
  { state, options, seen }: CommandContext,
  pool: StoragePool,
  moreSectors: number,
  thick: boolean,
): void {
  if (state.combs.ofPool(pool.key).length === 0)
    refuse('POOL_TOO_SMALL', unplacedReason(state, pool.key));
  const { thinBytes, thickBytes } = allowanceOf(
    promisedOf(state, pool, options.sectorBytes),
    seen.poolThinUsedBytes(pool.key),
    options.overProvisioningFactor,
  );
  checkPromise(moreSectors * options.sectorBytes, thick ? thickBytes : thinBytes);
}

function poolOf(state: State, volume: Volume): StoragePool {
  return found(state.pools.get(volume.poolKey), 'POOL_NOT_FOUND');
}

export const VOLUME_COMMANDS: Handlers<
  | 'ADD_VOLUME'
  | 'REMOVE_VOLUME'
  | 'RENAME_VOLUME'
  | 'RESIZE_VOLUME'
  | 'SET_VOLUME_CACHE'
  | 'SET_VOLUME_FULL_POLICY'
> = {
  ADD_VOLUME(context, { poolKey, name, sizeSectors, provisioning, rmcache }) {
    const { state, wallMs } = context;
    const pool = found(state.pools.get(poolKey), 'POOL_NOT_FOUND');
    if (name !== '') freeVolumeName(state, name);
    checkSize(sizeSectors);
    if (state.volumes.size >= LIMIT.volumesMax)
      refuse('TOO_MANY', `at most ${LIMIT.volumesMax} volumes`);
    checkCapacity(context, pool, sizeSectors, provisioning === 'thick');
    const key = state.newKey();
    state.volumes.put(key, {
      ...{ key, poolKey, sizeSectors, provisioning },
      vtreeKey: key,
      ancestorKey: 0,
      groupKey: 0,
      // A name that somebody gave may look like one that is made here: then both exist, told apart by a suffix.
      name: name === '' ? madeName(state, `volume-${key.toString(16).padStart(8, '0')}`) : name,
      epoch: 1,
      createdAtMs: wallMs,
      lastMappingGeneration: 0,
      ...{ layerKey: 0, accessLimit: 'readWrite', doubtful: false, rmcache, fullPolicy: 'pool' },
      ...NO_POLICY,
    });
    return { key };
  },

  SET_VOLUME_CACHE({ state }, { key, rmcache }) {
    const volume = found(state.volumes.get(key), 'VOLUME_NOT_FOUND');
    state.volumes.put(key, { ...volume, rmcache });
    return NOTHING;
  },

  REMOVE_VOLUME(context, { key, mode }) {
    const volume = found(context.state.volumes.get(key), 'VOLUME_NOT_FOUND');
    return { removed: removeVolumes(context, volumesToRemove(context.state, volume, mode)) };
  },

  RENAME_VOLUME({ state }, { key, name }) {
    const volume = found(state.volumes.get(key), 'VOLUME_NOT_FOUND');
    state.volumes.put(key, { ...volume, name: freeVolumeName(state, name, key) });
    return NOTHING;
  },

  RESIZE_VOLUME(context, { key, sizeSectors }) {
    const { state } = context;
    const volume = found(state.volumes.get(key), 'VOLUME_NOT_FOUND');
    if (sizeSectors < volume.sizeSectors) refuse('VOLUME_SHRINK');
    requireNoCut(state, key);
    requireInsecure(context, volume);
    checkSize(sizeSectors);
    const { poolKey } = volume;
    if (sizeSectors === volume.sizeSectors) {
      // An earlier request may have been answered as pending.
      context.waitFor({ kind: 'changed', poolKey });
      return NOTHING;
    }
    context.waitFor({ kind: 'drain', poolKey, sdcKey: 0 });
    const thick = volume.provisioning === 'thick';
    checkCapacity(context, poolOf(state, volume), sizeSectors - volume.sizeSectors, thick);
    state.volumes.put(key, { ...volume, sizeSectors, epoch: volume.epoch + 1 });
    return NOTHING;
  },

  SET_VOLUME_FULL_POLICY({ state }, { key, fullPolicy }) {
    const volume = found(state.volumes.get(key), 'VOLUME_NOT_FOUND');
    state.volumes.put(key, { ...volume, fullPolicy });
    return NOTHING;
  },
};

function madeName(state: State, wanted: string): string {
  let name = wanted;
  for (let suffix = 2; state.volumes.find((volume) => volume.name === name) !== undefined; suffix++)
    name = `${wanted}-${suffix}`;
  return name;
}

export const MAPPING_COMMANDS: Handlers<'MAP_VOLUME' | 'UNMAP_VOLUME' | 'SET_MAPPING_LIMITS'> = {
  MAP_VOLUME({ state, waitFor }, { volumeKey, sdcKey, allowMultiple, access }) {
    const volume = found(state.volumes.get(volumeKey), 'VOLUME_NOT_FOUND');
    const sdc = found(state.sdcs.get(sdcKey), 'SDC_NOT_FOUND');
    if (!sdc.approved) refuse('SDC_NOT_APPROVED');
    requireNotReverted(state, volumeKey);
    const mappings = state.mappings.ofVolume(volumeKey);
    if (access === 'readWrite' && volume.accessLimit === 'readOnly')
      refuse('INVALID_PARAMETER', 'the volume may be mapped read-only only');
    if (mappings.has(sdcKey)) refuse('VOLUME_ALREADY_MAPPED');
    if (mappings.size > 0 && !allowMultiple) refuse('ONLY_ONE_MAPPING');
    if (mappings.size >= LIMIT.mappingsPerVolumeMax)
      refuse('TOO_MANY', `a volume has at most ${LIMIT.mappingsPerVolumeMax} mappings`);
    const generation = volume.lastMappingGeneration + 1;
    state.volumes.put(volumeKey, { ...volume, lastMappingGeneration: generation });
    state.mappings.put({
      ...{ volumeKey, sdcKey, generation, access },
      ...{ iopsLimit: 0, bandwidthLimitKbps: 0, iopsPerGib: 0, kbpsPerGib: 0 },
    });
    waitFor({ kind: 'drain', poolKey: volume.poolKey, sdcKey });
    return { generation };
  },

  UNMAP_VOLUME({ state, waitFor }, { volumeKey, sdcKeys, generation }) {
    const volume = found(state.volumes.get(volumeKey), 'VOLUME_NOT_FOUND');
    const mappings = state.mappings.ofVolume(volumeKey);
    const wanted = sdcKeys.length === 0 ? [...mappings.keys()] : [...new Set(sdcKeys)];
    for (const sdcKey of wanted) {
      found(state.sdcs.get(sdcKey), 'SDC_NOT_FOUND');
      const mapping = mappings.get(sdcKey);
      // An earlier unmapping may have answered PENDING: "not mapped" is said only once it is true on every device.
      if (mapping === undefined || (generation !== 0 && mapping.generation !== generation))
        throw new RefusalWhenDrained('VOLUME_NOT_MAPPED', volume.poolKey);
    }
    if (wanted.length === 0) throw new RefusalWhenDrained('VOLUME_NOT_MAPPED', volume.poolKey);
    for (const sdcKey of wanted) state.mappings.delete(volumeKey, sdcKey);
    const left = new Set(wanted);
    // Whoever was noted as its holder has lost it.
    for (const noted of state.attachments.filter((one) => one.volumeKey === volumeKey))
      if (left.has(noted.sdcKey)) state.attachments.delete(noted.key);
    waitFor({ kind: 'drain', poolKey: volume.poolKey, sdcKey: 0 });
    return NOTHING;
  },

  SET_MAPPING_LIMITS({ state }, { volumeKey, sdcKey, ...limits }) {
    found(state.volumes.get(volumeKey), 'VOLUME_NOT_FOUND');
    found(state.sdcs.get(sdcKey), 'SDC_NOT_FOUND');
    const mapping = found(state.mappings.get(volumeKey, sdcKey), 'VOLUME_NOT_MAPPED');
    state.mappings.put({
      ...mapping,
      iopsLimit: limits.iopsLimit ?? mapping.iopsLimit,
      bandwidthLimitKbps: limits.bandwidthLimitKbps ?? mapping.bandwidthLimitKbps,
      iopsPerGib: limits.iopsPerGib ?? mapping.iopsPerGib,
      kbpsPerGib: limits.kbpsPerGib ?? mapping.kbpsPerGib,
    });
    return NOTHING;
  },
};
