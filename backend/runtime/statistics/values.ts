// Values of statistics properties. It owns the arithmetic of capacity and bandwidth as the original's clients read it:
// capacities are kilobytes with both copies counted unless the name begins with `net`; a bandwidth is what happened in
// `numSeconds`. A property whose feature does not exist here has no value in these functions and shows as zero.

import { GIB } from '../../core/units.js';
import type { CopyLoad, Device, Volume } from '../../protocol/generated/types.js';

import { cacheValues } from './cache.js';
import { sumRates } from './facts.js';
import { jobValues } from './jobs.js';
import type { Facts, Rate, Scope } from './facts.js';
import { scanValues, scansOf } from './scans.js';
import { isSnapshot } from './trees.js';

const COPIES = 2;
const KB_PER_GRAIN = (8 * GIB) / 1024;

export interface Bandwidth {
  readonly numSeconds: number;
  readonly totalWeightInKb: number;
  readonly numOccured: number;
}

export type Value = number | string | readonly string[] | Bandwidth;
export type Values = Readonly<Record<string, Value>>;

export const NO_BANDWIDTH: Bandwidth = { numSeconds: 0, totalWeightInKb: 0, numOccured: 0 };

function bandwidth(ops: number, bytes: number): Bandwidth {
  if (ops === 0 && bytes === 0) return NO_BANDWIDTH;
  return { numSeconds: 1, totalWeightInKb: Math.round(bytes / 1024), numOccured: ops };
}

/** Latency in the same form: the weight is the sum of microseconds. */
function latency(ops: number, micros: number): Bandwidth {
  return ops === 0 ? NO_BANDWIDTH : { numSeconds: 1, totalWeightInKb: micros, numOccured: ops };
}

function kb(bytes: number): number {
  return Math.floor(bytes / 1024);
}

function volumeKb(volumes: readonly Volume[]): number {
  return volumes.reduce((sum, volume) => sum + Math.floor(volume.sizeSectors / 2), 0);
}

interface DeviceSums {
  readonly maxKb: number;
  readonly usedKb: number;
  readonly unreachableKb: number;
  /** Still to be copied: all of it, to devices that had nothing, to spread the data. */
  readonly resyncKb: number;
  readonly rebuildKb: number;
  readonly rebalanceKb: number;
  readonly degradedCombs: number;
}

function deviceSums(facts: Facts, devices: readonly Device[]): DeviceSums {
  let sums: DeviceSums = {
    ...{ maxKb: 0, usedKb: 0, unreachableKb: 0, degradedCombs: 0 },
    ...{ resyncKb: 0, rebuildKb: 0, rebalanceKb: 0 },
  };
  for (const device of devices) {
    const usage = facts.deviceStatus.get(device.key)?.usage ?? null;
    const capacityKb = kb(device.capacityBytes);
    const usedKb = kb(usage?.usedBytes ?? 0);
    sums = {
      maxKb: sums.maxKb + capacityKb,
      usedKb: sums.usedKb + usedKb,
      unreachableKb: sums.unreachableKb + (device.state === 'up' ? 0 : capacityKb - usedKb),
      resyncKb: sums.resyncKb + kb((usage?.resyncBytesTotal ?? 0) - (usage?.resyncBytesDone ?? 0)),
      rebuildKb: sums.rebuildKb + kb(usage?.rebuildBytesLeft ?? 0),
      rebalanceKb: sums.rebalanceKb + kb(usage?.rebalanceBytesLeft ?? 0),
      degradedCombs: sums.degradedCombs + (usage?.degradedCombs ?? 0),
    };
  }
  return sums;
}

function spareKb(facts: Facts, scope: Scope): number {
  return scope.pools.reduce((sum, pool) => {
    const devices = scope.devices.filter(({ poolKey }) => poolKey === pool.key);
    return sum + Math.floor((deviceSums(facts, devices).maxKb * pool.sparePercent) / 100);
  }, 0);
}

/** What volumes of a scope hold and have been promised, in raw kilobytes. */
interface VolumeSums {
  readonly thickKb: number;
  readonly thinAllocatedKb: number;
  readonly thinInUseKb: number;
  readonly snapshotKb: number;
  readonly addressKb: number;
}

function volumeSums(facts: Facts, scope: Scope, usedKb: number): VolumeSums {
  const bases = scope.volumes.filter(({ ancestorKey }) => ancestorKey === 0);
  const thin = bases.filter(({ provisioning }) => provisioning === 'thin');
  const thick = bases.filter(({ provisioning }) => provisioning === 'thick');
  const thickKeys = new Set(thick.map(({ key }) => key));
  let thinInUseKb = 0;
  let snapshotKb = 0;
  for (const key of new Set(scope.volumes.map(({ vtreeKey }) => vtreeKey))) {
    const held = facts.heldByTree.get(key);
    if (!thickKeys.has(key)) thinInUseKb += kb(held?.baseBytes ?? 0);
    snapshotKb += kb(held?.snapshotBytes ?? 0);
  }
  return {
    thickKb: volumeKb(thick) * COPIES,
    thinAllocatedKb: volumeKb(thin) * COPIES,
    thinInUseKb: scope.whole ? thinInUseKb : usedKb,
    snapshotKb,
    addressKb: volumeKb(scope.volumes),
  };
}

/** Shares of the combs, 0 to 1. */
interface Shares {
  /** Have one copy only. */
  readonly lacking: number;
  /** Have no copy that can be reached. */
  readonly lost: number;
}

function shares(facts: Facts, scope: Scope, disks: DeviceSums): Shares {
  if (!scope.whole) {
    const combs = scope.pools.reduce((sum, pool) => sum + 2 ** pool.combCountLog2, 0);
    return { lacking: combs === 0 ? 0 : Math.min(1, disks.degradedCombs / combs), lost: 0 };
  }
  const sums = { combs: 0, degraded: 0, unavailable: 0 };
  for (const { key } of scope.pools) {
    const status = facts.poolStatus.get(key);
    sums.combs += status?.combs ?? 0;
    sums.degraded += status?.degradedCombs ?? 0;
    sums.unavailable += status?.unavailableCombs ?? 0;
  }
  if (sums.combs === 0) return { lacking: 0, lost: 0 };
  return {
    lacking: Math.max(0, sums.degraded - sums.unavailable) / sums.combs,
    lost: sums.unavailable / sums.combs,
  };
}

/** Whole 8 GiB: what volumes are allocated in. */
function grains(sizeKb: number): number {
  return sizeKb - (sizeKb % KB_PER_GRAIN);
}

/** Up to which size thin volumes can still be added to the pools of a scope; the MDM refuses what is larger. */
function allocationLimitKb(facts: Facts, { pools }: Scope): number {
  return pools.reduce(
    (sum, { key }) => sum + grains(kb(facts.poolStatus.get(key)?.thinLeftBytes ?? 0)),
    0,
  );
}

/** What SDSs hold that are in maintenance, entering and leaving included. */
function restingKb(facts: Facts, { devices }: Scope): number {
  const resting = new Set(
    facts.sds.filter(({ maintenance }) => maintenance !== 'none').map(({ key }) => key),
  );
  return deviceSums(
    facts,
    devices.filter(({ sdsKey }) => resting.has(sdsKey)),
  ).usedKb;
}

/** What is still to be copied. What waits for its turn is known of whole pools only. */
function movingValues(facts: Facts, scope: Scope, disks: DeviceSums): Values {
  const { resyncKb, rebuildKb, rebalanceKb } = disks;
  const returningKb = Math.max(0, resyncKb - rebuildKb - rebalanceKb);
  const waiting = { rebuildKb: 0, rebalanceKb: 0 };
  for (const { key } of scope.whole ? scope.pools : []) {
    const pool = facts.poolStatus.get(key);
    waiting.rebuildKb += kb(pool?.pendingRebuildBytes ?? 0);
    waiting.rebalanceKb += kb(pool?.pendingRebalanceBytes ?? 0);
  }
  const waitingKb = waiting.rebuildKb + waiting.rebalanceKb;
  return {
    movingCapacityInKb: resyncKb + waitingKb,
    activeMovingCapacityInKb: resyncKb,
    pendingMovingCapacityInKb: waitingKb,
    bckRebuildCapacityInKb: returningKb,
    activeBckRebuildCapacityInKb: returningKb,
    fwdRebuildCapacityInKb: rebuildKb + waiting.rebuildKb,
    activeFwdRebuildCapacityInKb: rebuildKb,
    pendingFwdRebuildCapacityInKb: waiting.rebuildKb,
    rebalanceCapacityInKb: rebalanceKb + waiting.rebalanceKb,
    activeRebalanceCapacityInKb: rebalanceKb,
    pendingRebalanceCapacityInKb: waiting.rebalanceKb,
    ...copyTraffic(facts, scope.devices),
  };
}

/** What copying reads and writes. */
function copyTraffic(facts: Facts, devices: readonly Device[]): Values {
  const usages = devices.flatMap(({ key }) => facts.deviceStatus.get(key)?.usage ?? []);
  const sum = (kind: 'resync' | 'rebuild' | 'rebalance', field: keyof CopyLoad): number =>
    usages.reduce((total, usage) => total + usage[kind][field], 0);
  const reads = (kind: 'resync' | 'rebuild' | 'rebalance'): Value =>
    bandwidth(sum(kind, 'readOps'), sum(kind, 'readBytes'));
  const writes = (kind: 'resync' | 'rebuild' | 'rebalance'): Value =>
    bandwidth(sum(kind, 'writeOps'), sum(kind, 'writeBytes'));
  return {
    bckRebuildReadBwc: reads('resync'),
    bckRebuildWriteBwc: writes('resync'),
    fwdRebuildReadBwc: reads('rebuild'),
    fwdRebuildWriteBwc: writes('rebuild'),
    rebalanceReadBwc: reads('rebalance'),
    rebalanceWriteBwc: writes('rebalance'),
  };
}

/** Capacity properties of a scope. */
export function capacityValues(facts: Facts, scope: Scope): Values {
  const disks = deviceSums(facts, scope.devices);
  const held = volumeSums(facts, scope, disks.usedKb);
  const spare = spareKb(facts, scope);
  const inUse = scope.whole
    ? Math.max(disks.usedKb, held.thickKb + held.thinInUseKb + held.snapshotKb)
    : disks.usedKb;
  const unused = Math.max(0, disks.maxKb - inUse - disks.unreachableKb);
  const free = Math.max(0, unused - spare);
  const { lacking, lost } = shares(facts, scope, disks);
  const degraded = Math.floor((inUse / COPIES) * lacking);
  const failed = Math.floor(inUse * lost);
  const intact = Math.max(0, inUse - degraded * COPIES - failed);
  const net = (rawKb: number): number => Math.floor(rawKb / COPIES);
  const addresses = held.thickKb + held.thinAllocatedKb;
  return {
    maxCapacityInKb: disks.maxKb,
    capacityLimitInKb: disks.maxKb,
    maxUserDataCapacityInKb: disks.maxKb - spare,
    netMaxUserDataCapacityInKb: net(disks.maxKb - spare),
    capacityInUseInKb: inUse,
    capacityInUseNoOverheadInKb: inUse,
    netCapacityInUseInKb: net(inUse),
    netCapacityInUseNoOverheadInKb: net(inUse),
    userDataCapacityInKb: inUse,
    userDataCapacityNoTrimInKb: inUse,
    netUserDataCapacityInKb: net(inUse),
    netUserDataCapacityNoTrimInKb: net(inUse),
    mgUserDdataCcapacityInKb: inUse,
    netMgUserDataCapacityInKb: net(inUse),
    unusedCapacityInKb: unused,
    netUnusedCapacityInKb: net(free),
    unreachableUnusedCapacityInKb: disks.unreachableKb,
    spareCapacityInKb: spare,
    capacityAvailableForVolumeAllocationInKb: grains(net(free)),
    volumeAllocationLimitInKb: allocationLimitKb(facts, scope),
    thickCapacityInUseInKb: held.thickKb,
    thinCapacityAllocatedInKb: held.thinAllocatedKb,
    thinCapacityAllocatedInKm: held.thinAllocatedKb,
    thinCapacityInUseInKb: held.thinInUseKb,
    netThinUserDataCapacityInKb: net(held.thinInUseKb),
    snapCapacityInUseInKb: held.snapshotKb,
    snapCapacityInUseOccupiedInKb: held.snapshotKb,
    snapshotCapacityInKb: held.snapshotKb,
    netSnapshotCapacityInKb: net(held.snapshotKb),
    provisionedAddressesInKb: addresses,
    netProvisionedAddressesInKb: net(addresses),
    volumeAddressSpaceInKb: held.addressKb,
    vtreeAddresSpaceInKb: held.addressKb,
    protectedCapacityInKb: intact,
    degradedHealthyCapacityInKb: degraded,
    degradedFailedCapacityInKb: degraded,
    inMaintenanceCapacityInKb: restingKb(facts, scope),
    failedCapacityInKb: failed,
    ...movingValues(facts, scope, disks),
    ...jobValues(facts, scope.devices),
    persistentChecksumCapacityInKb: 0,
    inUseVacInKb: addresses,
    primaryVacInKb: net(addresses),
    secondaryVacInKb: net(addresses),
    protectedVacInKb: Math.floor(addresses * Math.max(0, 1 - lacking - lost)),
    failedVacInKb: Math.floor(addresses * lost),
    degradedHealthyVacInKb: Math.floor(net(addresses) * lacking),
    degradedFailedVacInKb: Math.floor(net(addresses) * lacking),
  };
}

/** What clients do: by the SDCs' own reports. */
export function clientValues(rates: readonly Rate[]): Values {
  const sum = sumRates(rates);
  return {
    userDataReadBwc: bandwidth(sum.readOps, sum.readBytes),
    userDataWriteBwc: bandwidth(sum.writeOps, sum.writeBytes),
    userDataTrimBwc: bandwidth(sum.trimOps, sum.trimBytes),
    userDataSdcReadLatency: latency(sum.readOps, sum.readMicros),
    userDataSdcWriteLatency: latency(sum.writeOps, sum.writeMicros),
    userDataSdcThrottledLatency: latency(sum.throttledOps, sum.throttledMicros),
    primaryReadBwc: bandwidth(sum.readOps, sum.readBytes),
    primaryWriteBwc: bandwidth(sum.writeOps, sum.writeBytes),
  };
}

/** What devices do: by their own reports. */
export function deviceValues(facts: Facts, devices: readonly Device[]): Values {
  const rates = devices.flatMap(({ key }) =>
    (facts.deviceStatus.get(key)?.rates ?? []).filter((rate) => rate.key === key),
  );
  const sum = sumRates(rates);
  return {
    totalReadBwc: bandwidth(sum.readOps, sum.readBytes),
    totalWriteBwc: bandwidth(sum.writeOps, sum.writeBytes),
    primaryReadBwc: bandwidth(sum.readOps, sum.readBytes),
    primaryWriteBwc: bandwidth(sum.writeOps, sum.writeBytes),
    primaryReadFromDevBwc: bandwidth(
      sum.readOps - sum.cachedReadOps,
      sum.readBytes - sum.cachedReadBytes,
    ),
    primaryReadFromRmcacheBwc: bandwidth(sum.cachedReadOps, sum.cachedReadBytes),
    ...cacheValues(facts, devices),
    avgReadSizeInBytes: sum.readOps === 0 ? 0 : Math.round(sum.readBytes / sum.readOps),
    avgWriteSizeInBytes: sum.writeOps === 0 ? 0 : Math.round(sum.writeBytes / sum.writeOps),
    avgReadLatencyInMicrosec: sum.readOps === 0 ? 0 : Math.round(sum.readMicros / sum.readOps),
    avgWriteLatencyInMicrosec: sum.writeOps === 0 ? 0 : Math.round(sum.writeMicros / sum.writeOps),
    targetReadLatency: latency(sum.readOps, sum.readMicros),
    targetWriteLatency: latency(sum.writeOps, sum.writeMicros),
    ...scanValues(scansOf(facts, devices)),
  };
}

/** Numbers of volumes of a scope. */
export function volumeCounts(facts: Facts, volumes: readonly Volume[]): Values {
  const bases = volumes.filter((volume) => !isSnapshot(volume));
  return {
    numOfVolumes: volumes.length,
    numOfVtrees: new Set(volumes.map(({ vtreeKey }) => vtreeKey)).size,
    numOfSnapshots: volumes.length - bases.length,
    numOfThickBaseVolumes: bases.filter(({ provisioning }) => provisioning === 'thick').length,
    numOfThinBaseVolumes: bases.filter(({ provisioning }) => provisioning === 'thin').length,
    numOfUnmappedVolumes: volumes.filter(({ key }) => !facts.mappingsByVolume.has(key)).length,
  };
}
