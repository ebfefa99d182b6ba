// THE table of metrics: names, kinds, labels and meaning. Names are kept once released; Prometheus' rules for names and
// units hold (seconds, bytes, `_total` for what only grows).

interface MetricRow {
  readonly kind: 'gauge' | 'counter';
  readonly help: string;
  readonly labels: readonly string[];
}

const VOLUME = ['volume_id', 'volume', 'pool'] as const;
const MEMBER = [...VOLUME, 'vtree_id'] as const;
const VTREE = ['vtree_id', 'vtree', 'pool'] as const;
const POOL = ['pool_id', 'pool', 'protection_domain'] as const;
const DEVICE = ['device_id', 'device', 'sds', 'pool'] as const;
const SDS = ['sds_id', 'sds'] as const;
const SDC = ['sdc_id', 'sdc'] as const;

const counted = (of: string, labels: readonly string[], who: string) =>
  ({
    [`meshsan_${of}_read_operations_total`]: row('counter', `Reads completed, ${who}`, labels),
    [`meshsan_${of}_read_bytes_total`]: row('counter', `Bytes read, ${who}`, labels),
    [`meshsan_${of}_read_seconds_total`]: row('counter', `Summed latency of reads, ${who}`, labels),
    [`meshsan_${of}_write_operations_total`]: row('counter', `Writes completed, ${who}`, labels),
    [`meshsan_${of}_write_bytes_total`]: row('counter', `Bytes written, ${who}`, labels),
    [`meshsan_${of}_write_seconds_total`]: row(
      'counter',
      `Summed latency of writes, ${who}`,
      labels,
    ),
    [`meshsan_${of}_trim_operations_total`]: row('counter', `Discards completed, ${who}`, labels),
    [`meshsan_${of}_trim_bytes_total`]: row('counter', `Bytes discarded, ${who}`, labels),
  }) as const;

const throttled = (of: string, labels: readonly string[], who: string) =>
  ({
    [`meshsan_${of}_throttled_operations_total`]: row(
      'counter',
      `Requests that waited for the limit of a mapping, ${who}`,
      labels,
    ),
    [`meshsan_${of}_throttled_seconds_total`]: row(
      'counter',
      `Summed time that requests waited for the limit of a mapping, ${who}; no part of their latency`,
      labels,
    ),
  }) as const;

const cached = (of: string, labels: readonly string[], who: string) =>
  ({
    [`meshsan_${of}_cached_read_operations_total`]: row(
      'counter',
      `Of the reads, those answered wholly from the RAM read cache, ${who}`,
      labels,
    ),
    [`meshsan_${of}_cached_read_bytes_total`]: row('counter', `Bytes of these, ${who}`, labels),
  }) as const;

function row(kind: MetricRow['kind'], help: string, labels: readonly string[]): MetricRow {
  return { kind, help, labels };
}

export const METRICS: Readonly<Record<string, MetricRow>> = {
  meshsan_info: row('gauge', 'Always 1; the labels say what the system is', [
    'system_id',
    'system',
    'version',
  ]),
  meshsan_mdm_mode: row('gauge', 'MDMs that the cluster is meant to have', []),
  meshsan_mdm_up_since_seconds: row('gauge', 'Wall clock at the start of the master MDM', []),
  meshsan_combs: row('gauge', 'Combs (units of placement), by state', ['state']),
  meshsan_alert: row('gauge', '1 for every alert that is on now', [
    'alert',
    'severity',
    'object_type',
    'object_id',
  ]),
  meshsan_protection_domain_active: row('gauge', '0 while I/O is stopped on purpose', [
    'protection_domain_id',
    'protection_domain',
  ]),
  meshsan_pool_spare_percent: row('gauge', 'Of the capacity, kept free for lost copies', POOL),
  meshsan_pool_spare_needed_percent: row(
    'gauge',
    'Of the capacity, what the largest SDS or fault set has; above the spare its loss may not be made good',
    POOL,
  ),
  meshsan_pool_growth_bytes_per_day: row(
    'gauge',
    'By which what the pool holds grew over the last week, or as much of it as was seen',
    POOL,
  ),
  meshsan_pool_full_in_seconds: row(
    'gauge',
    'Until the pool is full at the pace of the last hours, day or week; absent while that is not in sight',
    POOL,
  ),
  meshsan_pool_alert_threshold_percent: row(
    'gauge',
    'Part of the capacity in use above which there is an alert',
    [...POOL, 'level'],
  ),
  meshsan_sds_in_maintenance: row('gauge', '1 while the SDS is out of service on purpose', [
    ...SDS,
    'mode',
    'stage',
  ]),
  meshsan_pool_capacity_bytes: row(
    'gauge',
    'Raw capacity, both copies counted; the states add up to all of it',
    ['pool_id', 'pool', 'protection_domain', 'state'],
  ),
  meshsan_sds_connected: row('gauge', '1 while the SDS is connected to the MDM', SDS),
  meshsan_device_connected: row('gauge', '1 while the data process of the device serves', DEVICE),
  meshsan_device_capacity_bytes: row('gauge', 'Capacity for data', DEVICE),
  meshsan_device_used_bytes: row('gauge', 'Allocated to volumes', DEVICE),
  meshsan_device_degraded_combs: row(
    'gauge',
    'Combs whose primary is here and that lack a copy',
    DEVICE,
  ),
  meshsan_device_resync_bytes: row('gauge', 'To be copied by the present resync', DEVICE),
  meshsan_device_resync_done_bytes: row('gauge', 'Copied by the present resync', DEVICE),
  meshsan_device_scanned_bytes_total: row(
    'counter',
    'Read and verified by the background scanner',
    DEVICE,
  ),
  meshsan_device_scan_passes_total: row('counter', 'Times that all of it was scanned', DEVICE),
  meshsan_device_scan_read_errors_total: row(
    'counter',
    'Blocks that the background scanner could not read or verify',
    DEVICE,
  ),
  meshsan_device_scan_read_errors_fixed_total: row(
    'counter',
    'Of these: verified again after a repair',
    DEVICE,
  ),
  meshsan_device_scan_compared_bytes_total: row(
    'counter',
    'Compared with other copies by the background scanner, where it is the primary',
    DEVICE,
  ),
  meshsan_device_scan_compare_errors_total: row(
    'counter',
    'Blocks in which another copy differed',
    DEVICE,
  ),
  meshsan_device_scan_compare_errors_fixed_total: row(
    'counter',
    'Of these: equal again after a repair',
    DEVICE,
  ),
  ...counted('device', DEVICE, 'as the device served them since its process started'),
  ...cached('device', DEVICE, 'at the device since its process started'),
  meshsan_device_cache_size_bytes: row('gauge', 'Memory of the RAM read cache', DEVICE),
  meshsan_device_cache_used_bytes: row('gauge', 'Blocks in the RAM read cache', DEVICE),
  meshsan_device_cache_hits_total: row(
    'counter',
    'Blocks of reads found in the RAM read cache since the process of the device started',
    DEVICE,
  ),
  meshsan_device_cache_misses_total: row(
    'counter',
    'Blocks of reads that were looked for in the RAM read cache and read from the device',
    DEVICE,
  ),
  meshsan_device_cache_evictions_total: row(
    'counter',
    'Blocks that made room for others in the RAM read cache',
    DEVICE,
  ),
  meshsan_sdc_connected: row('gauge', '1 while the SDC is connected to the MDM', SDC),
  meshsan_volume_size_bytes: row('gauge', 'Size of the volume', VOLUME),
  meshsan_volume_used_bytes: row(
    'gauge',
    'Allocated for this volume or snapshot alone, one copy counted: what no other one of its V-tree reads',
    MEMBER,
  ),
  meshsan_volume_shared_bytes: row(
    'gauge',
    'Allocated for what it reads and others of its V-tree read, too, one copy counted; the same bytes are in the samples of all of them, so these do not add up',
    MEMBER,
  ),
  meshsan_vtree_used_bytes: row(
    'gauge',
    'Allocated for a volume with all its snapshots and clones, one copy counted, everything once: the used bytes of its members and its shared ones',
    VTREE,
  ),
  meshsan_vtree_shared_bytes: row(
    'gauge',
    'Of the used bytes of a V-tree, what no member has alone',
    VTREE,
  ),
  meshsan_volume_mappings: row('gauge', 'SDCs that the volume is mapped to', VOLUME),
  ...counted('volume', VOLUME, 'as all SDCs together saw them since their processes started'),
  ...throttled('volume', VOLUME, 'at all SDCs together since their processes started'),
  ...counted('sdc', SDC, 'of all volumes, as the SDC saw them since its process started'),
  ...throttled('sdc', SDC, 'of all volumes, at the SDC since its process started'),
};
