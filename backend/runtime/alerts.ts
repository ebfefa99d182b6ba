// What is wrong with the cluster now, in the original's words. It owns the conditions and their weight; it keeps nothing:
// every gateway finds the same alerts under the same ids, and an alert is over when its cause is.

import { createHash } from 'node:crypto';

import { FAULT_UNITS_MIN, spareNeededPercent, totalBytesOf } from '../cluster-map/fault-units.js';
import type { FaultUnit } from '../cluster-map/fault-units.js';
import { LIMIT } from '../protocol/generated/constants.js';
import { formatSize } from '../core/units.js';
import type {
  ClusterQueryReplyBody,
  MdmMember,
  StoragePool,
  System,
} from '../protocol/generated/types.js';
import type { ClusterReader } from './cluster-reader.js';
import { unitsOfPool } from './pool-units.js';
import { sentinelFindings } from './sentinel-volume.js';
import { cacheOf } from './statistics/cache.js';
import { readFacts, scopeOfPools } from './statistics/facts.js';
import type { Facts } from './statistics/facts.js';
import { scansOf } from './statistics/scans.js';
import { capacityValues } from './statistics/values.js';

type AlertSeverity = 'low' | 'medium' | 'high';

export interface Alert {
  /** The same as long as the cause lasts, at every gateway. */
  readonly uuid: string;
  /** Such as `SDS_DISCONNECTED`. */
  readonly type: string;
  readonly severity: AlertSeverity;
  /** Type and key of the object that it is about. */
  readonly objectType: string;
  readonly objectKey: number;
  readonly values: Readonly<Record<string, string | number>>;
  /** Wall clock of the cause as far as it is known, otherwise of the question. */
  readonly sinceMs: number;
}

type Finding = Omit<Alert, 'uuid' | 'sinceMs'> & { readonly sinceMs: number | null };

function uuidOf(systemId: string, { type, objectType, objectKey }: Finding): string {
  const digest = createHash('sha256').update(`${systemId} ${type} ${objectType} ${objectKey}`);
  const hex = digest.digest('hex');
  // Version 8: made of what the maker chose.
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Members that do not answer, or whose etcd does not run. */
function ofMembers(members: readonly MdmMember[]): readonly Finding[] {
  return members
    .filter(({ member, up, reason }) => member && (!up || reason !== ''))
    .map(({ key, name, host, reason }) => ({
      ...{ type: 'MDM_CONNECTION_LOST', severity: 'high', values: { name, host, reason } },
      ...{ objectType: 'Mdm', objectKey: key, sinceMs: null },
    }));
}

function ofSystem(reader: ClusterReader, state: ClusterQueryReplyBody): readonly Finding[] {
  if (state.mode > 1) return ofMembers(state.members);
  const about = { objectType: 'System', objectKey: reader.system.key, sinceMs: state.upSinceMs };
  return [{ type: 'MDM_NOT_CLUSTERED', severity: 'low', values: { mdm: state.name }, ...about }];
}

/** So many losses within ten minutes are too many. */
const FREQUENT_LOSSES = 3;

/** Servers that come and go, whether they are there now or not; over ten minutes after that. */
async function ofRestless(reader: ClusterReader, facts: Facts): Promise<readonly Finding[]> {
  const statuses = await reader.statusByKey('sds');
  return facts.sds.flatMap(({ key, name, maintenance }): Finding[] => {
    const losses = statuses.get(key)?.losses ?? 0;
    if (losses < FREQUENT_LOSSES || maintenance !== 'none') return [];
    const about = { objectType: 'Sds', objectKey: key, sinceMs: null };
    const values = { name, losses, withinMinutes: 10 };
    return [{ type: 'SDS_DISCONNECTS_FREQUENTLY', severity: 'medium', values, ...about }];
  });
}

async function ofServers(reader: ClusterReader, facts: Facts): Promise<readonly Finding[]> {
  const statuses = await reader.statusByKey('sds');
  return facts.sds.flatMap(({ key, name, maintenance, maintenanceStage }): Finding[] => {
    const status = statuses.get(key);
    if (maintenance !== 'none') {
      const about = { objectType: 'Sds', objectKey: key, sinceMs: null };
      const severity = maintenance === 'instant' ? 'medium' : 'low';
      const values = { name, maintenance, stage: maintenanceStage };
      return [{ type: 'SDS_IN_MAINTENANCE', severity, values, ...about }];
    }
    if (status?.liveness === 'connected') return [];
    const about = { objectType: 'Sds', objectKey: key, sinceMs: status?.sinceMs ?? null };
    return [{ type: 'SDS_DISCONNECTED', severity: 'high', values: { name }, ...about }];
  });
}

/** A device that is gone with its SDS is not an alert of its own. */
async function ofDevices(reader: ClusterReader, facts: Facts): Promise<readonly Finding[]> {
  const servers = await reader.statusByKey('sds');
  const resting = new Set(
    facts.sds.filter(({ maintenance }) => maintenance !== 'none').map(({ key }) => key),
  );
  return facts.devices.flatMap((device): Finding[] => {
    const { key, sdsKey, path, state, failure, slowStage } = device;
    const status = facts.deviceStatus.get(key);
    const about = { objectType: 'Device', objectKey: key, sinceMs: status?.sinceMs ?? null };
    if (state === 'failed')
      return [
        { type: 'DEVICE_FAILED', severity: 'high', values: { path, reason: failure }, ...about },
      ];
    if (state === 'adding') {
      const values = { path, ...(failure === '' ? {} : { reason: failure }) };
      const severity = failure === '' ? 'low' : 'medium';
      return [{ type: 'DEVICE_PENDING_ACTIVATION', severity, values, ...about }];
    }
    const expected = state === 'up' || state === 'down';
    const values = { path, reason: failure };
    const isConnected = status?.liveness === 'connected';
    if (expected && isConnected && slowStage !== 'none')
      return [{ type: 'DEVICE_SLOW', severity: 'medium', values, ...about, sinceMs: null }];
    if (!expected || isConnected) return [];
    if (servers.get(sdsKey)?.liveness !== 'connected' || resting.has(sdsKey)) return [];
    return [{ type: 'DEVICE_DISCONNECTED', severity: 'high', values: { path }, ...about }];
  });
}

/** Devices of another kind than their pool is for: it is as slow as its slowest, and nothing is moved by kind. */
function ofMedia(facts: Facts): readonly Finding[] {
  const pools = new Map(facts.pools.map((pool) => [pool.key, pool]));
  return facts.devices.flatMap(({ key, path, poolKey, mediaFound, mediaType }): Finding[] => {
    const pool = pools.get(poolKey);
    const media = mediaType === '' ? mediaFound : mediaType;
    if (pool === undefined || media === '' || pool.mediaType === 'Transitional') return [];
    if (media === pool.mediaType) return [];
    const values = { path, mediaType: media, pool: pool.name, poolMediaType: pool.mediaType };
    const about = { objectType: 'Device', objectKey: key, sinceMs: null };
    return [{ type: 'DEVICE_MEDIA_TYPE_MISMATCH', severity: 'low', values, ...about }];
  });
}

/** Servers without the memory that their read cache may have: they go on without it. */
function ofCaches(facts: Facts): readonly Finding[] {
  return facts.sds.flatMap(({ key, name, cacheEnabled, cacheMiB }): Finding[] => {
    const devices = facts.devices.filter(({ sdsKey }) => sdsKey === key);
    if (!cacheEnabled || cacheOf(facts, devices).failed === 0) return [];
    const about = { objectType: 'Sds', objectKey: key, sinceMs: null };
    const type = 'SDS_RMCACHE_MEMORY_ALLOCATION_FAILED';
    return [{ type, severity: 'medium', values: { name, cacheMiB }, ...about }];
  });
}

/** Blocks that were wrong on a device, or differed from another copy. */
function ofScans(facts: Facts): readonly Finding[] {
  return facts.devices.flatMap((device): Finding[] => {
    const { key: objectKey, path } = device;
    const scan = scansOf(facts, [device]);
    const about = { objectType: 'Device', objectKey, sinceMs: null };
    const found: Finding[] = [];
    const { readErrors, fixedReadErrors, compareErrors, fixedCompareErrors } = scan;
    if (readErrors > 0) {
      const severity = readErrors > fixedReadErrors ? 'high' : 'medium';
      const values = { path, found: readErrors, fixed: fixedReadErrors };
      found.push({
        ...{ type: 'FIXED_READ_ERROR_COUNT_ABOVE_THRESHOLD', severity, values },
        ...about,
      });
    }
    if (compareErrors > 0) {
      const values = { path, found: compareErrors, fixed: fixedCompareErrors };
      found.push({ type: 'SCANNER_COMPARE_ERROR', severity: 'high', values, ...about });
    }
    return found;
  });
}

/** No further client host can register. */
function ofClientCount(reader: ClusterReader, facts: Facts): readonly Finding[] {
  if (facts.sdcs.length < LIMIT.sdcMax) return [];
  const about = { objectType: 'System', objectKey: reader.system.key, sinceMs: null };
  return [{ type: 'SDC_MAX_COUNT', severity: 'medium', values: { sdcs: LIMIT.sdcMax }, ...about }];
}

async function ofClients(reader: ClusterReader, facts: Facts): Promise<readonly Finding[]> {
  const statuses = await reader.statusByKey('sdc');
  return facts.sdcs.flatMap(({ key, name, guid }): Finding[] => {
    const status = statuses.get(key);
    if (status?.liveness === 'connected') return [];
    const volumes = facts.mappingsBySdc.get(key)?.length ?? 0;
    const about = { objectType: 'Sdc', objectKey: key, sinceMs: status?.sinceMs ?? null };
    const severity = volumes > 0 ? 'medium' : 'low';
    return [{ type: 'SDC_DISCONNECTED', severity, values: { name, guid, volumes }, ...about }];
  });
}

function ofDomains(facts: Facts): readonly Finding[] {
  return facts.domains
    .filter(({ active }) => !active)
    .map(({ key, name }) => ({
      type: 'PD_INACTIVE',
      severity: 'medium',
      objectType: 'ProtectionDomain',
      objectKey: key,
      values: { name },
      sinceMs: null,
    }));
}

function numberIn(values: ReturnType<typeof capacityValues>, name: string): number {
  const value = values[name];
  return typeof value === 'number' ? value : 0;
}

/** Percentages in use above which there are alerts; where a pool has none of its own, those of the system. */
export function thresholdsOf(
  system: System,
  pool: StoragePool,
): { readonly high: number; readonly critical: number } {
  return {
    high: pool.capacityAlertHighPercent || system.capacityAlertHighPercent,
    critical: pool.capacityAlertCriticalPercent || system.capacityAlertCriticalPercent,
  };
}

/** How full a pool is, against its own thresholds. */
function fullness(reader: ClusterReader, facts: Facts, pool: StoragePool): readonly Named[] {
  const capacity = capacityValues(facts, scopeOfPools(facts, [pool]));
  const usableKb = numberIn(capacity, 'maxUserDataCapacityInKb');
  if (usableKb <= 0) return [];
  const percent = Math.floor((numberIn(capacity, 'capacityInUseInKb') / usableKb) * 100);
  const { high, critical } = thresholdsOf(reader.system, pool);
  const values = { percent, highPercent: high, criticalPercent: critical };
  if (critical > 0 && percent >= critical)
    return [['CAPACITY_UTILIZATION_ABOVE_CRITICAL_THRESHOLD', 'high', values]];
  if (high > 0 && percent >= high)
    return [['CAPACITY_UTILIZATION_ABOVE_HIGH_THRESHOLD', 'medium', values]];
  return [];
}

/** A pool that is full within a week wants disks ordered, within a day somebody now. */
const FULL_SOON_S = { medium: 7 * 86_400, high: 86_400 } as const;

/** Whether a pool will be full soon if it goes on as it did. */
function filling(facts: Facts, pool: StoragePool): readonly Named[] {
  const status = facts.poolStatus.get(pool.key);
  if (status?.isFillingUp !== true || status.fullInS > FULL_SOON_S.medium) return [];
  const severity = status.fullInS <= FULL_SOON_S.high ? 'high' : 'medium';
  const hours = Math.floor(status.fullInS / 3600);
  const values = { fullInHours: hours, growthPerDay: formatSize(status.growthBytesPerDay) };
  return [['STORAGE_POOL_FILLING_UP', severity, values]];
}

type Named = readonly [type: string, severity: AlertSeverity, values: Alert['values']];

/** How the data of a pool is kept. */
function protection(facts: Facts, pool: StoragePool): readonly Named[] {
  const found: Named[] = [];
  const status = facts.poolStatus.get(pool.key);
  const { combs = 0, degradedCombs = 0, unavailableCombs = 0 } = status ?? {};
  if (unavailableCombs > 0)
    found.push(['STORAGE_POOL_HAS_FAILED_CAPACITY', 'high', { combs, unavailableCombs }]);
  if (degradedCombs > 0)
    found.push(['STORAGE_POOL_HAS_DEGRADED_CAPACITY', 'medium', { combs, degradedCombs }]);
  const { stuckRebuildCombs = 0, stuckMoveCombs = 0, stuckResyncCombs = 0 } = status ?? {};
  if (stuckResyncCombs > 0)
    found.push(['BKWD_REBUILD_STUCK', 'high', { combsWithoutRoom: stuckResyncCombs }]);
  if (stuckRebuildCombs > 0)
    found.push(['FWD_REBUILD_STUCK', 'high', { combsWithoutRoom: stuckRebuildCombs }]);
  if (stuckMoveCombs > 0)
    found.push(['REBALANCE_STUCK', 'low', { combsWithoutRoom: stuckMoveCombs }]);
  const capacity = capacityValues(facts, scopeOfPools(facts, [pool]));
  const unreachableKb = numberIn(capacity, 'unreachableUnusedCapacityInKb');
  if (unreachableKb > 0)
    found.push(['STORAGE_POOL_HAS_UNREACHABLE_CAPACITY', 'medium', { unreachableKb }]);
  return [...found, ...largestUnit(facts, pool, combs)];
}

function unitName(facts: Facts, { kind, key }: FaultUnit): string {
  const list = kind === 'sds' ? facts.sds : facts.faultSets;
  return list.find((object) => object.key === key)?.name ?? '';
}

/** Whether the loss of any one unit can be made good. */
function largestUnit(facts: Facts, pool: StoragePool, combs: number): readonly Named[] {
  const units = unitsOfPool(facts, pool);
  const [largest] = units;
  if (largest === undefined || units.length < FAULT_UNITS_MIN)
    return combs > 0 || units.length > 0
      ? [['NOT_ENOUGH_FAULT_UNITS_IN_SP', 'high', { faultUnits: units.length }]]
      : [];
  const found: Named[] = [];
  const totalBytes = totalBytesOf(units);
  const usedBytes = units.reduce((sum, unit) => sum + unit.usedBytes, 0);
  const neededPercent = spareNeededPercent(units);
  const unit = {
    faultUnit: unitName(facts, largest),
    faultUnitType: largest.kind === 'sds' ? 'SDS' : 'Fault Set',
    faultUnitCapacity: formatSize(largest.capacityBytes),
  };
  const percents = { sparePercent: pool.sparePercent, neededPercent };
  if (pool.sparePercent < neededPercent)
    found.push([
      'CONFIGURED_SPARE_CAPACITY_SMALLER_THAN_LARGEST_FAULT_UNIT',
      'medium',
      { ...unit, ...percents },
    ]);
  if (totalBytes - usedBytes < largest.capacityBytes)
    found.push([
      'SPARE_CAPACITY_AND_FREE_CAPACITY_SMALLER_THAN_LARGEST_FAULT_UNIT',
      'high',
      { ...unit, free: formatSize(Math.max(0, totalBytes - usedBytes)) },
    ]);
  const restBytes = totalBytes - largest.capacityBytes;
  const unusable = formatSize(Math.max(0, largest.capacityBytes - restBytes));
  // One copy of everything is in other units: what the largest has beyond all of them is never used.
  if (largest.capacityBytes > 2 * restBytes)
    found.push(['STORAGE_POOL_EXTREMELY_UNBALANCED', 'medium', { ...unit, unusable }]);
  else if (largest.capacityBytes > restBytes)
    found.push(['STORAGE_POOL_UNBALANCED', 'low', { ...unit, unusable }]);
  return found;
}

function ofPools(reader: ClusterReader, facts: Facts): readonly Finding[] {
  return facts.pools.flatMap((pool) => {
    const gone = facts.devices
      .filter(({ poolKey }) => poolKey === pool.key)
      .map(({ key }) => facts.deviceStatus.get(key))
      .filter((status) => status !== undefined && status.liveness !== 'connected')
      .map((status) => status?.sinceMs ?? 0);
    const sinceMs = gone.length === 0 ? null : Math.min(...gone);
    const found = [
      ...protection(facts, pool),
      ...fullness(reader, facts, pool),
      ...filling(facts, pool),
    ];
    return found.map(([type, severity, values]): Finding => ({
      ...{ type, severity, objectType: 'StoragePool', objectKey: pool.key, sinceMs },
      values: { name: pool.name, ...values },
    }));
  });
}

const SENTINEL_WEIGHTS = {
  SENTINEL_STARVED: 'high',
  SENTINEL_MISMATCH: 'high',
  SENTINEL_SILENT: 'low',
} as const;

/** Policies whose last run failed. */
function ofPolicies(facts: Facts): readonly Finding[] {
  return facts.policies
    .filter(({ lastFailedAtMs, lastRunAtMs }) => lastFailedAtMs > lastRunAtMs)
    .map(({ key, name, lastFailedAtMs, lastFailure, failures }) => ({
      ...{ type: 'AUTO_SNAPSHOT_CREATION_FAILED', severity: 'medium' },
      ...{ objectType: 'SnapshotPolicy', objectKey: key, sinceMs: lastFailedAtMs },
      values: { name, reason: lastFailure, failures },
    }));
}

/** What small steady users of the pools have to say. */
async function ofSentinels(reader: ClusterReader, facts: Facts): Promise<readonly Finding[]> {
  const clients = await reader.statusByKey('sdc');
  const isConnected = (key: number): boolean => clients.get(key)?.liveness === 'connected';
  return sentinelFindings(facts, isConnected).map(({ type, poolKey, hosts }): Finding => {
    const name = facts.pools.find(({ key }) => key === poolKey)?.name ?? '';
    const about = { objectType: 'StoragePool', objectKey: poolKey, sinceMs: null };
    const values = { name, sentinels: hosts.join(', ') };
    return { type, severity: SENTINEL_WEIGHTS[type], values, ...about };
  });
}

/**
 * All alerts of this moment, the heaviest first.
 *
 * @param nowMs - wall clock
 * @throws ClusterError when the MDM cannot be asked
 */
export async function currentAlerts(
  reader: ClusterReader,
  nowMs: number,
): Promise<readonly Alert[]> {
  const facts = await readFacts(reader);
  const findings = [
    ...ofSystem(reader, await reader.clusterState()),
    ...ofDomains(facts),
    ...ofClientCount(reader, facts),
    ...ofScans(facts),
    ...(await ofServers(reader, facts)),
    ...(await ofRestless(reader, facts)),
    ...(await ofDevices(reader, facts)),
    ...ofCaches(facts),
    ...ofMedia(facts),
    ...ofPools(reader, facts),
    ...ofPolicies(facts),
    ...(await ofClients(reader, facts)),
    ...(await ofSentinels(reader, facts)),
  ];
  const weight = { high: 0, medium: 1, low: 2 };
  return findings
    .map((finding) => ({
      ...finding,
      uuid: uuidOf(reader.systemId, finding),
      sinceMs: finding.sinceMs ?? nowMs,
    }))
    .sort((one, other) => weight[one.severity] - weight[other.severity]);
}
