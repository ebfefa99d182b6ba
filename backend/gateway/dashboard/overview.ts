// The read model of the dashboard: one answer with everything that the first screen shows. It owns which rows come
// first and how many; capacities come from the same arithmetic as the statistics of the REST interface.

import type { Device, RuntimeStatus } from '../../protocol/generated/types.js';
import { cacheOf } from '../../runtime/statistics/cache.js';
import {
  readFacts,
  scopeOfDevices,
  scopeOfPools,
  sumRates,
} from '../../runtime/statistics/facts.js';
import type { Facts, Rate, Scope } from '../../runtime/statistics/facts.js';
import { scansOf } from '../../runtime/statistics/scans.js';
import { capacityValues } from '../../runtime/statistics/values.js';
import type { Reader } from '../reader.js';

import type {
  Capacity,
  DeviceRow,
  Load,
  Overview,
  PoolRow,
  Resync,
  Rows,
  SdcRow,
  SdsRow,
} from './shapes.js';

/** A browser shows no more at once; what lacks something comes first, so nothing that matters is cut off. */
const ROWS_MAX = 1000;

/** What one read of the cluster gives to all rows. */
interface Source {
  readonly reader: Reader;
  readonly facts: Facts;
  readonly sdsStatus: ReadonlyMap<number, RuntimeStatus>;
  readonly sdcStatus: ReadonlyMap<number, RuntimeStatus>;
  readonly devicesBySds: ReadonlyMap<number, readonly Device[]>;
}

/** Load of rates per second. */
export function loadOf(rates: readonly Rate[]): Load {
  const { readOps, writeOps, readBytes, writeBytes, readMicros, writeMicros, ...sum } =
    sumRates(rates);
  const { throttledOps, throttledMicros, cachedReadOps } = sum;
  return {
    readOps,
    writeOps,
    readBytes,
    writeBytes,
    readMicros: readOps === 0 ? 0 : Math.round(readMicros / readOps),
    writeMicros: writeOps === 0 ? 0 : Math.round(writeMicros / writeOps),
    throttledOps,
    throttledMicros: throttledOps === 0 ? 0 : Math.round(throttledMicros / throttledOps),
    cachedReadOps,
  };
}

/** Capacity of a scope in states that add up. */
export function capacityOf(facts: Facts, scope: Scope): Capacity {
  const values = capacityValues(facts, scope);
  const bytes = (name: string): number => Number(values[name] ?? 0) * 1024;
  const totalBytes = bytes('maxCapacityInKb');
  const unreachableBytes = bytes('unreachableUnusedCapacityInKb');
  // Thick volumes may promise more than a pool has left after a device is gone: a ring has no room for that.
  const usedBytes = Math.min(bytes('capacityInUseInKb'), totalBytes - unreachableBytes);
  const left = totalBytes - unreachableBytes - usedBytes;
  const spareBytes = Math.min(bytes('spareCapacityInKb'), left);
  return { totalBytes, usedBytes, spareBytes, unusedBytes: left - spareBytes, unreachableBytes };
}

function resyncOf(facts: Facts, devices: readonly Device[]): Resync {
  let [totalBytes, doneBytes] = [0, 0];
  for (const { key } of devices) {
    const usage = facts.deviceStatus.get(key)?.usage;
    totalBytes += usage?.resyncBytesTotal ?? 0;
    doneBytes += usage?.resyncBytesDone ?? 0;
  }
  return totalBytes > doneBytes ? { totalBytes, doneBytes } : { totalBytes: 0, doneBytes: 0 };
}

function deviceLoad(facts: Facts, devices: readonly Device[]): Load {
  return loadOf(
    devices.flatMap(({ key }) =>
      (facts.deviceStatus.get(key)?.rates ?? []).filter((rate) => rate.key === key),
    ),
  );
}

function rowsOf<T>(rows: readonly T[], lacks: (row: T) => boolean): Rows<T> {
  const first = rows.filter(lacks);
  const others = rows.filter((row) => !lacks(row));
  return { total: rows.length, rows: [...first, ...others].slice(0, ROWS_MAX) };
}

function nameIn(
  objects: readonly { readonly key: number; readonly name: string }[],
  key: number,
): string {
  return objects.find((object) => object.key === key)?.name ?? '';
}

function hostsOf(addresses: readonly { readonly host: string }[]): readonly string[] {
  return addresses.map(({ host }) => host);
}

function poolRows({ reader, facts }: Source): readonly PoolRow[] {
  return facts.pools.map((pool) => {
    const scope = scopeOfPools(facts, [pool]);
    const status = facts.poolStatus.get(pool.key);
    return {
      id: reader.id(pool.key),
      name: pool.name,
      fullInS: status?.isFillingUp === true ? status.fullInS : null,
      domain: nameIn(facts.domains, pool.domainKey),
      mediaType: pool.mediaType,
      durability: pool.durability,
      fullPolicy: pool.fullPolicy,
      sparePercent: pool.sparePercent,
      devices: scope.devices.length,
      volumes: scope.volumes.length,
      capacity: capacityOf(facts, scope),
      load: loadOf(scope.volumes.flatMap(({ key }) => facts.ratesByVolume.get(key) ?? [])),
    };
  });
}

function sdsRows({ reader, facts, sdsStatus, devicesBySds }: Source): readonly SdsRow[] {
  return facts.sds.map((sds) => {
    const status = sdsStatus.get(sds.key);
    const devices = devicesBySds.get(sds.key) ?? [];
    const capacity = capacityOf(facts, scopeOfDevices(facts, devices));
    return {
      id: reader.id(sds.key),
      name: sds.name,
      domain: nameIn(facts.domains, sds.domainKey),
      addresses: hostsOf(sds.addresses),
      isConnected: status?.liveness === 'connected',
      maintenance: sds.maintenance,
      maintenanceStage: sds.maintenanceStage,
      sinceMs: status?.sinceMs ?? 0,
      version: status?.version ?? '',
      devices: devices.length,
      capacityBytes: capacity.totalBytes,
      usedBytes: capacity.usedBytes,
      cacheBytes: cacheOf(facts, devices).sizeBytes,
      load: deviceLoad(facts, devices),
    };
  });
}

function deviceRows({ reader, facts }: Source): readonly DeviceRow[] {
  const sds = new Map(facts.sds.map(({ key, name }) => [key, name]));
  return facts.devices.map((device) => {
    const status = facts.deviceStatus.get(device.key);
    return {
      id: reader.id(device.key),
      name: device.name,
      path: device.path,
      sds: sds.get(device.sdsKey) ?? '',
      pool: nameIn(facts.pools, device.poolKey),
      state: device.state,
      failure: device.failure,
      isConnected: status?.liveness === 'connected',
      capacityBytes: device.capacityBytes,
      usedBytes: status?.usage?.usedBytes ?? 0,
      degradedCombs: status?.usage?.degradedCombs ?? 0,
      ...scanOf(facts, device),
      resync: resyncOf(facts, [device]),
      load: deviceLoad(facts, [device]),
    };
  });
}

function scanOf(
  facts: Facts,
  device: Device,
): Pick<DeviceRow, 'scannedBytes' | 'scanErrors' | 'scanErrorsLeft'> {
  const { scannedBytes, readErrors, compareErrors, ...scan } = scansOf(facts, [device]);
  const scanErrors = readErrors + compareErrors;
  const scanErrorsLeft = scanErrors - scan.fixedReadErrors - scan.fixedCompareErrors;
  return { scannedBytes, scanErrors, scanErrorsLeft };
}

function sdcRows({ reader, facts, sdcStatus }: Source): readonly SdcRow[] {
  return facts.sdcs.map((sdc) => {
    const status = sdcStatus.get(sdc.key);
    return {
      id: reader.id(sdc.key),
      name: sdc.name,
      guid: sdc.guid,
      addresses: hostsOf(sdc.addresses),
      isApproved: sdc.approved,
      isConnected: status?.liveness === 'connected',
      sinceMs: status?.sinceMs ?? 0,
      version: status?.version ?? '',
      mappedVolumes: facts.mappingsBySdc.get(sdc.key)?.length ?? 0,
      load: loadOf(facts.ratesBySdc.get(sdc.key) ?? []),
    };
  });
}

async function sourceOf(reader: Reader): Promise<Source> {
  const [facts, sdsStatus, sdcStatus] = await Promise.all([
    readFacts(reader),
    reader.statusByKey('sds'),
    reader.statusByKey('sdc'),
  ]);
  const devicesBySds = new Map<number, Device[]>();
  for (const device of facts.devices)
    devicesBySds.set(device.sdsKey, [...(devicesBySds.get(device.sdsKey) ?? []), device]);
  return { reader, facts, sdsStatus, sdcStatus, devicesBySds };
}

/**
 * Everything that the first screen shows.
 * @param userName - who is logged in
 * @param nowMs - wall clock
 */
export async function overviewOf(
  reader: Reader,
  userName: string,
  nowMs: number,
): Promise<Overview> {
  const [source, cluster, users] = await Promise.all([
    sourceOf(reader),
    reader.clusterState(),
    reader.all('user'),
  ]);
  const { facts } = source;
  return {
    atMs: nowMs,
    system: { id: reader.id(reader.system.key), name: reader.system.name },
    user: { name: userName, role: users.find(({ name }) => name === userName)?.role ?? '' },
    mdm: {
      name: cluster.name,
      version: cluster.version,
      mode: cluster.mode,
      upSinceMs: cluster.upSinceMs,
    },
    combs: {
      total: cluster.combs,
      degraded: cluster.degradedCombs,
      unavailable: cluster.unavailableCombs,
    },
    capacity: capacityOf(facts, scopeOfPools(facts, facts.pools)),
    load: loadOf([...facts.ratesByVolume.values()].flat()),
    resync: resyncOf(facts, facts.devices),
    volumes: {
      total: facts.volumes.length,
      mapped: facts.volumes.filter(({ key }) => facts.mappingsByVolume.has(key)).length,
    },
    pools: rowsOf(poolRows(source), ({ capacity }) => capacity.unreachableBytes > 0),
    sds: rowsOf(
      sdsRows(source),
      ({ isConnected, maintenance }) => !isConnected || maintenance !== 'none',
    ),
    devices: rowsOf(
      deviceRows(source),
      ({ isConnected, state, degradedCombs }) =>
        !isConnected || state !== 'up' || degradedCombs > 0,
    ),
    sdcs: rowsOf(sdcRows(source), ({ isConnected }) => !isConnected),
  };
}
