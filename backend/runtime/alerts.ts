// What is wrong with the cluster now, in the original's words. It owns the conditions and their weight; it keeps nothing:
// every gateway finds the same alerts under the same ids, and an alert is over when its cause is.

import { createHash } from 'node:crypto';

import { LIMIT } from '../protocol/generated/constants.js';
import type { ClusterQueryReplyBody, MdmMember } from '../protocol/generated/types.js';
import type { Alert, Finding } from './alert.js';
import type { ClusterReader } from './cluster-reader.js';
import { ofPools } from './pool-alerts.js';
import { sentinelFindings } from './sentinel-volume.js';
import { cacheOf } from './statistics/cache.js';
import { readFacts } from './statistics/facts.js';
import type { Facts } from './statistics/facts.js';
import { scansOf } from './statistics/scans.js';

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

const SENTINEL_WEIGHTS = {
  SENTINEL_STARVED: 'high',
  SENTINEL_MISMATCH: 'high',
  SENTINEL_SILENT: 'low',
} as const;

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
