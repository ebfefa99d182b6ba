// MAP_UPDATE as frames: objects as subscribers see them, and the cutting of large updates into parts. It must never know
// who subscribes to what.

import type { MapUpdate } from '../cluster-map/cluster-map.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type {
  CombEntry,
  Device,
  MapDevice,
  MapPool,
  MapVolume,
  Mapping,
  Merge,
  StoragePool,
  Volume,
} from '../protocol/generated/types.js';
import type { State } from './state.js';
import { writingOf } from './vtrees.js';

/** What is told, before it is cut. */
export interface News {
  readonly pools: MapPool[];
  /** By pool. */
  readonly combs: Map<number, CombEntry[]>;
  readonly devices: MapDevice[];
  readonly volumes: MapVolume[];
  readonly mappings: Mapping[];
  readonly removedDevices: number[];
  readonly removedVolumes: number[];
  readonly removedMappings: Mapping[];
  readonly merges: Merge[];
  readonly removedMerges: number[];
  readonly goneVolumes: number[];
  readonly removedLayers: number[];
}

export function noNews(): News {
  return {
    pools: [],
    combs: new Map(),
    devices: [],
    volumes: [],
    mappings: [],
    removedDevices: [],
    removedVolumes: [],
    removedMappings: [],
    merges: [],
    removedMerges: [],
    goneVolumes: [],
    removedLayers: [],
  };
}

export function isEmpty(news: News): boolean {
  for (const name of Object.keys(news) as (keyof News)[]) {
    const part = news[name];
    if ((part instanceof Map ? part.size : part.length) > 0) return false;
  }
  return true;
}

export function mapPool(state: State, pool: StoragePool): MapPool {
  const { key, combCountLog2, durability, fullPolicy, rebuildEnabled, rebuild, rebalance } = pool;
  const { scanner } = pool;
  const active = state.domains.get(pool.domainKey)?.active === true;
  return {
    key,
    combCountLog2,
    durability,
    fullPolicy,
    active,
    rebuildEnabled,
    rebuild,
    rebalance,
    rmcache: pool.rmcache,
    cacheWrites: pool.cacheWrites,
    scanner,
  };
}

export function mapDevice(state: State, device: Device): MapDevice {
  const { key, sdsKey, poolKey, incarnation, port } = device;
  const addresses = state.sds.get(sdsKey)?.addresses ?? [];
  return { key, sdsKey, poolKey, incarnation, up: device.state === 'up', addresses, port };
}

/** A volume as data processes see it. */
export function mapVolume(state: State, volume: Volume): MapVolume {
  const { key, poolKey, vtreeKey, sizeSectors, provisioning, name, doubtful, fullPolicy } = volume;
  const { epoch, layers, cut } = writingOf(state, volume);
  return {
    ...{ key, poolKey, vtreeKey, epoch, sizeSectors, thin: provisioning === 'thin', name },
    ...{ layers, cut, active: !doubtful, rmcache: volume.rmcache, fullPolicy },
  };
}

/** As clients see it: layers are none of their business. */
export function clientVolume(state: State, volume: Volume): MapVolume {
  return { ...mapVolume(state, volume), layers: [], cut: 0 };
}

/** Items of a list in one part: keeps a part far below the largest frame. */
const ITEMS_PER_PART = 400;
const COMB_GROUPS_PER_PART = 16;
/** Layers of volumes in one part. */
const LAYERS_PER_PART = 100_000;

/** Cuts news into parts; at least one, the last marked. */
export function parts(
  news: News,
  term: number,
  sequence: number,
  full: boolean,
  clusterVersion: number,
): MapUpdate[] {
  const groups: MapUpdate['combs'][number][] = [];
  for (const [poolKey, combs] of news.combs)
    for (const slice of slices(combs, LIMIT.combsPerPage)) groups.push({ poolKey, combs: slice });
  const cut = {
    pools: slices(news.pools, ITEMS_PER_PART),
    combs: slices(groups, COMB_GROUPS_PER_PART),
    devices: slices(news.devices, ITEMS_PER_PART),
    volumes: volumeSlices(news.volumes),
    mappings: slices(news.mappings, ITEMS_PER_PART),
    removedDevices: slices(news.removedDevices, ITEMS_PER_PART),
    removedVolumes: slices(news.removedVolumes, ITEMS_PER_PART),
    removedMappings: slices(news.removedMappings, ITEMS_PER_PART),
    merges: slices(news.merges, ITEMS_PER_PART),
    removedMerges: slices(news.removedMerges, ITEMS_PER_PART),
    goneVolumes: slices(news.goneVolumes, ITEMS_PER_PART),
    removedLayers: slices(news.removedLayers, ITEMS_PER_PART),
  };
  const count = longest(Object.values(cut));
  const made: MapUpdate[] = [];
  for (let index = 0; index < count; index++)
    made.push({
      term,
      sequence,
      full: full && index === 0,
      last: index === count - 1,
      pools: cut.pools[index] ?? [],
      combs: cut.combs[index] ?? [],
      devices: cut.devices[index] ?? [],
      volumes: cut.volumes[index] ?? [],
      mappings: cut.mappings[index] ?? [],
      removedDevices: cut.removedDevices[index] ?? [],
      removedVolumes: cut.removedVolumes[index] ?? [],
      removedMappings: cut.removedMappings[index] ?? [],
      clusterVersion,
      merges: cut.merges[index] ?? [],
      removedMerges: cut.removedMerges[index] ?? [],
      goneVolumes: cut.goneVolumes[index] ?? [],
      removedLayers: cut.removedLayers[index] ?? [],
    });
  return made;
}

/** Of the longest list, at least 1. */
function longest(lists: readonly (readonly unknown[])[]): number {
  let length = 1;
  for (const list of lists) length = Math.max(length, list.length);
  return length;
}

function slices<T>(list: readonly T[], size: number): T[][] {
  const cut: T[][] = [];
  for (let at = 0; at < list.length; at += size) cut.push(list.slice(at, at + size));
  return cut;
}

/** Volumes of a part; those of many layers are long. */
function volumeSlices(volumes: readonly MapVolume[]): MapVolume[][] {
  const cut: MapVolume[][] = [];
  let part: MapVolume[] = [];
  let layers = 0;
  for (const volume of volumes) {
    const isFull = part.length >= ITEMS_PER_PART || layers + volume.layers.length > LAYERS_PER_PART;
    if (part.length > 0 && isFull) {
      cut.push(part);
      part = [];
      layers = 0;
    }
    part.push(volume);
    layers += volume.layers.length;
  }
  if (part.length > 0) cut.push(part);
  return cut;
}
