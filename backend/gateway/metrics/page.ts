// What `/metrics` answers. It owns how facts of the cluster become samples; names and labels are the table's. Nothing is
// kept from one scrape to the next, so that every gateway answers the same.

import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';

import type {
  Counter as Totals,
  ScanCounts,
  Usage,
  Volume,
  VolumeStatus,
} from '../../protocol/generated/types.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import { spareNeededPercent } from '../../cluster-map/fault-units.js';
import { currentAlerts } from '../../runtime/alerts.js';
import { thresholdsOf } from '../../runtime/pool-alerts.js';
import { unitsOfPool } from '../../runtime/pool-units.js';
import { treesHeld } from '../../runtime/statistics/trees.js';
import type { TreeHeld } from '../../runtime/statistics/trees.js';
import { readFacts, scopeOfPools } from '../../runtime/statistics/facts.js';
import type { Facts } from '../../runtime/statistics/facts.js';
import { capacityOf } from '../dashboard/overview.js';
import type { Reader } from '../reader.js';

import { METRICS } from './table.js';

type Labels = Readonly<Record<string, string>>;
type Sink = (name: string, labels: Labels, value: number) => void;

const MICROS_PER_SECOND = 1_000_000;

/** Metrics of one scrape, made from the table. */
class Samples {
  readonly registry = new Registry();
  private readonly gauges = new Map<string, Gauge>();
  private readonly counters = new Map<string, Counter>();

  constructor() {
    const registers = [this.registry];
    for (const [name, { kind, help, labels }] of Object.entries(METRICS)) {
      const settings = { name, help, labelNames: [...labels], registers };
      if (kind === 'gauge') this.gauges.set(name, new Gauge(settings));
      else this.counters.set(name, new Counter(settings));
    }
  }

  readonly add: Sink = (name, labels, value) => {
    const gauge = this.gauges.get(name);
    if (gauge !== undefined) gauge.set(labels, value);
    else this.counters.get(name)?.inc(labels, value);
  };
}

function addTotals(
  add: Sink,
  of: 'volume' | 'device' | 'sdc',
  labels: Labels,
  totals: Totals,
): void {
  add(`meshsan_${of}_read_operations_total`, labels, totals.readOps);
  add(`meshsan_${of}_read_bytes_total`, labels, totals.readBytes);
  add(`meshsan_${of}_read_seconds_total`, labels, totals.readMicros / MICROS_PER_SECOND);
  add(`meshsan_${of}_write_operations_total`, labels, totals.writeOps);
  add(`meshsan_${of}_write_bytes_total`, labels, totals.writeBytes);
  add(`meshsan_${of}_write_seconds_total`, labels, totals.writeMicros / MICROS_PER_SECOND);
  add(`meshsan_${of}_trim_operations_total`, labels, totals.trimOps);
  add(`meshsan_${of}_trim_bytes_total`, labels, totals.trimBytes);
  if (of === 'device') {
    add(`meshsan_${of}_cached_read_operations_total`, labels, totals.cachedReadOps);
    add(`meshsan_${of}_cached_read_bytes_total`, labels, totals.cachedReadBytes);
    return;
  }
  add(`meshsan_${of}_throttled_operations_total`, labels, totals.throttledOps);
  add(`meshsan_${of}_throttled_seconds_total`, labels, totals.throttledMicros / MICROS_PER_SECOND);
}

async function addSystem(add: Sink, reader: Reader): Promise<void> {
  const { system } = reader;
  const mdm = await reader.clusterState();
  const labels = { system_id: reader.id(system.key), system: system.name, version: mdm.version };
  add('meshsan_info', labels, 1);
  add('meshsan_mdm_mode', {}, mdm.mode);
  add('meshsan_mdm_up_since_seconds', {}, mdm.upSinceMs / 1000);
  const healthy = mdm.combs - mdm.degradedCombs;
  add('meshsan_combs', { state: 'healthy' }, healthy);
  add('meshsan_combs', { state: 'degraded' }, mdm.degradedCombs - mdm.unavailableCombs);
  add('meshsan_combs', { state: 'unavailable' }, mdm.unavailableCombs);
}

async function addAlerts(add: Sink, reader: Reader, nowMs: number): Promise<void> {
  for (const { type, severity, objectType, objectKey } of await currentAlerts(reader, nowMs)) {
    const labels = { object_type: objectType, object_id: reader.id(objectKey) };
    add('meshsan_alert', { alert: type, severity, ...labels }, 1);
  }
}

function addPools(add: Sink, reader: Reader, facts: Facts): void {
  for (const pool of facts.pools) {
    const domain = facts.domains.find(({ key }) => key === pool.domainKey)?.name ?? '';
    const capacity = capacityOf(facts, scopeOfPools(facts, [pool]));
    const labels = { pool_id: reader.id(pool.key), pool: pool.name, protection_domain: domain };
    const states = {
      used: capacity.usedBytes,
      spare: capacity.spareBytes,
      unused: capacity.unusedBytes,
      unreachable: capacity.unreachableBytes,
    };
    for (const [state, bytes] of Object.entries(states))
      add('meshsan_pool_capacity_bytes', { ...labels, state }, bytes);
    const needed = spareNeededPercent(unitsOfPool(facts, pool));
    add('meshsan_pool_spare_percent', labels, pool.sparePercent);
    add('meshsan_pool_spare_needed_percent', labels, needed);
    const {
      growthBytesPerDay = 0,
      isFillingUp = false,
      fullInS = 0,
    } = facts.poolStatus.get(pool.key) ?? {};
    add('meshsan_pool_growth_bytes_per_day', labels, growthBytesPerDay);
    if (isFillingUp) add('meshsan_pool_full_in_seconds', labels, fullInS);
    const { high, critical } = thresholdsOf(reader.system, pool);
    add('meshsan_pool_alert_threshold_percent', { ...labels, level: 'high' }, high);
    add('meshsan_pool_alert_threshold_percent', { ...labels, level: 'critical' }, critical);
  }
}

function addDomains(add: Sink, reader: Reader, facts: Facts): void {
  for (const { key, name, active } of facts.domains) {
    const labels = { protection_domain_id: reader.id(key), protection_domain: name };
    add('meshsan_protection_domain_active', labels, active ? 1 : 0);
  }
}

async function addServers(add: Sink, reader: Reader, facts: Facts): Promise<void> {
  const statuses = await reader.statusByKey('sds');
  for (const { key, name, maintenance, maintenanceStage } of facts.sds) {
    const isConnected = statuses.get(key)?.liveness === 'connected' ? 1 : 0;
    const labels = { sds_id: reader.id(key), sds: name };
    add('meshsan_sds_connected', labels, isConnected);
    const out = { ...labels, mode: maintenance, stage: maintenanceStage };
    add('meshsan_sds_in_maintenance', out, maintenance === 'none' ? 0 : 1);
  }
}

function addDevices(add: Sink, reader: Reader, facts: Facts): void {
  const pools = new Map(facts.pools.map(({ key, name }) => [key, name]));
  const servers = new Map(facts.sds.map(({ key, name }) => [key, name]));
  for (const device of facts.devices) {
    const labels = {
      device_id: reader.id(device.key),
      device: device.name === '' ? device.path : device.name,
      sds: servers.get(device.sdsKey) ?? '',
      pool: pools.get(device.poolKey) ?? '',
    };
    const status = facts.deviceStatus.get(device.key);
    add('meshsan_device_connected', labels, status?.liveness === 'connected' ? 1 : 0);
    add('meshsan_device_capacity_bytes', labels, device.capacityBytes);
    // Before its data process has reported nothing is known of its use: no sample rather than a zero.
    if (status?.usage != null) addUsage(add, labels, status.usage);
    for (const totals of status?.counters ?? [])
      if (totals.key === device.key) addTotals(add, 'device', labels, totals);
  }
}

function addUsage(add: Sink, labels: Labels, usage: Usage): void {
  add('meshsan_device_used_bytes', labels, usage.usedBytes);
  add('meshsan_device_degraded_combs', labels, usage.degradedCombs);
  add('meshsan_device_resync_bytes', labels, usage.resyncBytesTotal);
  add('meshsan_device_resync_done_bytes', labels, usage.resyncBytesDone);
  if (usage.scan !== null) addScan(add, labels, usage.scan);
  if (usage.cache === null) return;
  add('meshsan_device_cache_size_bytes', labels, usage.cache.sizeBytes);
  add('meshsan_device_cache_used_bytes', labels, usage.cache.usedEntries * LIMIT.blockBytes);
  add('meshsan_device_cache_hits_total', labels, usage.cache.hits);
  add('meshsan_device_cache_misses_total', labels, usage.cache.misses);
  add('meshsan_device_cache_evictions_total', labels, usage.cache.evictions);
}

function addScan(add: Sink, labels: Labels, scan: ScanCounts): void {
  add('meshsan_device_scanned_bytes_total', labels, scan.scannedBytes);
  add('meshsan_device_scan_passes_total', labels, scan.passes);
  add('meshsan_device_scan_read_errors_total', labels, scan.readErrors);
  add('meshsan_device_scan_read_errors_fixed_total', labels, scan.fixedReadErrors);
  add('meshsan_device_scan_compared_bytes_total', labels, scan.comparedBytes);
  add('meshsan_device_scan_compare_errors_total', labels, scan.compareErrors);
  add('meshsan_device_scan_compare_errors_fixed_total', labels, scan.fixedCompareErrors);
}

async function addVolumes(add: Sink, reader: Reader, facts: Facts): Promise<void> {
  const [{ statuses, volumes }, vtrees] = await Promise.all([
    reader.status('volume'),
    reader.vtrees(),
  ]);
  const held = new Map(volumes.map((use) => [use.volumeKey, use]));
  const totals = new Map(statuses.map(({ key, counters }) => [key, counters]));
  const pools = new Map(facts.pools.map(({ key, name }) => [key, name]));
  for (const { key, name, poolKey, vtreeKey, sizeSectors } of facts.volumes) {
    const labels = { volume_id: reader.id(key), volume: name, pool: pools.get(poolKey) ?? '' };
    const member = { ...labels, vtree_id: reader.id(vtreeKey) };
    add('meshsan_volume_size_bytes', labels, sizeSectors * 512);
    add('meshsan_volume_used_bytes', member, ownBytes(held.get(key)));
    add('meshsan_volume_shared_bytes', member, held.get(key)?.sharedNetBytes ?? 0);
    add('meshsan_volume_mappings', labels, facts.mappingsByVolume.get(key)?.length ?? 0);
    for (const counter of totals.get(key) ?? []) addTotals(add, 'volume', labels, counter);
  }
  addVtrees(add, reader, facts, held, treesHeld(facts.volumes, volumes, vtrees));
}

/** What no other volume of the V-tree reads. */
function ownBytes(status: VolumeStatus | undefined): number {
  return status === undefined ? 0 : Math.max(0, status.netBytes - status.sharedNetBytes);
}

/** Every layer once: what members have alone and what they share is all of a V-tree. */
function addVtrees(
  add: Sink,
  reader: Reader,
  facts: Facts,
  held: ReadonlyMap<number, VolumeStatus>,
  trees: ReadonlyMap<number, TreeHeld>,
): void {
  const pools = new Map(facts.pools.map(({ key, name }) => [key, name]));
  const members = new Map<number, Volume[]>();
  for (const volume of facts.volumes) {
    const list = members.get(volume.vtreeKey);
    if (list === undefined) members.set(volume.vtreeKey, [volume]);
    else list.push(volume);
  }
  for (const [vtreeKey, list] of members) {
    const [first] = list;
    // Where the base volume is gone, the eldest of the others stands for the V-tree.
    const labels = {
      vtree_id: reader.id(vtreeKey),
      vtree: first?.name ?? '',
      pool: pools.get(first?.poolKey ?? 0) ?? '',
    };
    const tree = trees.get(vtreeKey);
    const used = (tree?.baseNetBytes ?? 0) + (tree?.snapshotNetBytes ?? 0);
    const own = list.reduce((sum, { key }) => sum + ownBytes(held.get(key)), 0);
    add('meshsan_vtree_used_bytes', labels, used);
    add('meshsan_vtree_shared_bytes', labels, Math.max(0, used - own));
  }
}

async function addClients(add: Sink, reader: Reader, facts: Facts): Promise<void> {
  const statuses = await reader.statusByKey('sdc');
  for (const sdc of facts.sdcs) {
    const status = statuses.get(sdc.key);
    const labels = { sdc_id: reader.id(sdc.key), sdc: sdc.name === '' ? sdc.guid : sdc.name };
    add('meshsan_sdc_connected', labels, status?.liveness === 'connected' ? 1 : 0);
    for (const counter of status?.counters ?? []) addTotals(add, 'sdc', labels, counter);
  }
}

/** Renders the page; also holds the metrics of this process, which do live from scrape to scrape. */
export class MetricsPage {
  private readonly own = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.own, prefix: 'meshsan_gateway_' });
  }

  async render(
    reader: Reader,
    nowMs: number,
  ): Promise<{ readonly contentType: string; readonly text: string }> {
    const facts = await readFacts(reader);
    const samples = new Samples();
    await addSystem(samples.add, reader);
    await addAlerts(samples.add, reader, nowMs);
    addDomains(samples.add, reader, facts);
    addPools(samples.add, reader, facts);
    await addServers(samples.add, reader, facts);
    addDevices(samples.add, reader, facts);
    await addVolumes(samples.add, reader, facts);
    await addClients(samples.add, reader, facts);
    const [cluster, own] = await Promise.all([samples.registry.metrics(), this.own.metrics()]);
    return { contentType: samples.registry.contentType, text: `${cluster}\n${own}` };
  }
}

/** The reference page of the metrics. */
export function metricsDoc(): string {
  const rows = Object.entries(METRICS).map(
    ([name, { kind, help, labels }]) =>
      `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`,
  );
  return [
    '# Metrics',
    '',
    'Made from the table (`backend/gateway/metrics/table.ts`); a test compares. `GET /metrics` of any gateway, with name',
    'and password of a user by HTTP Basic (a user of role Monitor is enough), or a token. Beside these stand the metrics of',
    'the gateway process itself under `meshsan_gateway_`. Totals begin at zero when the process that counts them starts.',
    '',
    '| name | kind | labels | what |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
