// What statistics are computed from, read once per request. It owns the joins of devices, volumes, what they hold and
// what happens on them now; it must never invent a number that was not reported.

import type {
  Counter,
  Device,
  FaultSet,
  Mapping,
  PoolStatus,
  ProtectionDomain,
  RuntimeStatus,
  Sdc,
  Sds,
  SnapshotPolicy,
  StoragePool,
  Volume,
} from '../../protocol/generated/types.js';
import type { ClusterReader } from '../cluster-reader.js';
import { treesHeld } from './trees.js';
import type { TreeHeld } from './trees.js';

/** Lists by key; no entry for an empty list. */
export type Grouped<T> = ReadonlyMap<number, readonly T[]>;

export type Rate = Omit<Counter, 'key'>;

/** Lists by key, in the order of the items. */
export function grouped<T>(items: readonly T[], keyOf: (item: T) => number): Grouped<T> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

export interface Facts {
  readonly domains: readonly ProtectionDomain[];
  readonly faultSets: readonly FaultSet[];
  readonly pools: readonly StoragePool[];
  readonly devices: readonly Device[];
  readonly deviceStatus: ReadonlyMap<number, RuntimeStatus>;
  readonly sds: readonly Sds[];
  readonly sdcs: readonly Sdc[];
  readonly volumes: readonly Volume[];
  readonly mappings: readonly Mapping[];
  readonly policies: readonly SnapshotPolicy[];
  readonly heldByTree: ReadonlyMap<number, TreeHeld>;
  readonly poolStatus: ReadonlyMap<number, PoolStatus>;
  /** What clients do per second. */
  readonly ratesBySdc: Grouped<Rate>;
  readonly ratesByVolume: Grouped<Rate>;
  readonly mappingsBySdc: Grouped<Mapping>;
  readonly mappingsByVolume: Grouped<Mapping>;
  readonly volumesByTree: Grouped<Volume>;
  readonly volumesByAncestor: Grouped<Volume>;
}

/** What belongs to one object: all numbers of its statistics come from these. */
export interface Scope {
  readonly devices: readonly Device[];
  readonly volumes: readonly Volume[];
  readonly pools: readonly StoragePool[];
  /** Whether the volumes are all that the devices hold, so that reserved space can be counted. */
  readonly whole: boolean;
}

export async function readFacts(reader: ClusterReader): Promise<Facts> {
  const [domains, faultSets, pools, devices, sds, sdcs, volumes, mappings, policies] =
    await Promise.all([
      reader.all('protectionDomain'),
      reader.all('faultSet'),
      reader.all('storagePool'),
      reader.all('device'),
      reader.all('sds'),
      reader.all('sdc'),
      reader.all('volume'),
      reader.all('mapping'),
      reader.all('snapshotPolicy'),
    ]);
  const [deviceStatus, sdcStatus, volumeReport, poolReport, trees] = await Promise.all([
    reader.statusByKey('device'),
    reader.statusByKey('sdc'),
    reader.status('volume'),
    reader.status('storagePool'),
    reader.vtrees(),
  ]);
  return {
    domains,
    faultSets,
    pools,
    devices,
    sds,
    sdcs,
    volumes,
    mappings,
    policies,
    deviceStatus,
    heldByTree: treesHeld(volumes, volumeReport.volumes, trees),
    ratesBySdc: new Map([...sdcStatus.values()].map(({ key, rates }) => [key, rates])),
    ratesByVolume: new Map(volumeReport.statuses.map(({ key, rates }) => [key, rates])),
    poolStatus: new Map(poolReport.pools.map((pool) => [pool.poolKey, pool])),
    mappingsBySdc: grouped(mappings, ({ sdcKey }) => sdcKey),
    mappingsByVolume: grouped(mappings, ({ volumeKey }) => volumeKey),
    volumesByTree: grouped(volumes, ({ vtreeKey }) => vtreeKey),
    volumesByAncestor: grouped(volumes, ({ ancestorKey }) => ancestorKey),
  };
}

export function scopeOfPools(facts: Facts, pools: readonly StoragePool[]): Scope {
  const keys = new Set(pools.map(({ key }) => key));
  return {
    pools,
    devices: facts.devices.filter(({ poolKey }) => keys.has(poolKey)),
    volumes: facts.volumes.filter(({ poolKey }) => keys.has(poolKey)),
    whole: true,
  };
}

export function scopeOfDevices(facts: Facts, devices: readonly Device[]): Scope {
  const keys = new Set(devices.map(({ poolKey }) => poolKey));
  return {
    pools: facts.pools.filter(({ key }) => keys.has(key)),
    devices,
    volumes: [],
    whole: false,
  };
}

const ZERO: Rate = {
  readOps: 0,
  readBytes: 0,
  writeOps: 0,
  writeBytes: 0,
  trimOps: 0,
  trimBytes: 0,
  readMicros: 0,
  writeMicros: 0,
  throttledOps: 0,
  throttledMicros: 0,
  cachedReadOps: 0,
  cachedReadBytes: 0,
};

export function sumRates(rates: readonly Rate[]): Rate {
  return rates.reduce<Rate>(
    (sum, rate) => ({
      readOps: sum.readOps + rate.readOps,
      readBytes: sum.readBytes + rate.readBytes,
      writeOps: sum.writeOps + rate.writeOps,
      writeBytes: sum.writeBytes + rate.writeBytes,
      trimOps: sum.trimOps + rate.trimOps,
      trimBytes: sum.trimBytes + rate.trimBytes,
      readMicros: sum.readMicros + rate.readMicros,
      writeMicros: sum.writeMicros + rate.writeMicros,
      throttledOps: sum.throttledOps + rate.throttledOps,
      throttledMicros: sum.throttledMicros + rate.throttledMicros,
      cachedReadOps: sum.cachedReadOps + rate.cachedReadOps,
      cachedReadBytes: sum.cachedReadBytes + rate.cachedReadBytes,
    }),
    ZERO,
  );
}
