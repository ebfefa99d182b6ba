// Owns the configuration of the Ceph peer. Pure text: Ceph's own defaults, except for what keeps it
// on loopback in one directory, what a pool with two copies on one host needs, and what keeps log
// writing and background scans out of the measurement.

export interface CephPaths {
  readonly dir: string;
  readonly configFile: string;
  readonly keyringFile: string;
  readonly monmapFile: string;
}

export const CEPH_POOL = 'bench';
export const CEPH_IMAGE = 'img';
export const CEPH_OSDS = 3;

/** Every subsystem logs into memory by default; at 0/0 it does not log at all. */
const LOG_SUBSYSTEMS = [
  ...['lockdep', 'context', 'crush', 'buffer', 'timer', 'striper', 'objecter', 'rados', 'rbd'],
  ...['objectcacher', 'client', 'osd', 'optracker', 'objclass', 'journal', 'ms', 'mon', 'monc'],
  ...['paxos', 'tp', 'auth', 'finisher', 'heartbeatmap', 'perfcounter', 'asok', 'throttle', 'mgr'],
  ...['mgrc', 'bluestore', 'bluefs', 'bdev', 'rocksdb', 'prioritycache', 'eventtrace'],
];

export function cephPaths(dir: string): CephPaths {
  return {
    dir,
    configFile: `${dir}/ceph.conf`,
    keyringFile: `${dir}/keyring`,
    monmapFile: `${dir}/monmap`,
  };
}

/** The monitor's addresses in the form of monmaptool and of mon_host. */
export function monitorAddresses(port: number): string {
  return `[v2:127.0.0.1:${port},v1:127.0.0.1:${port + 1}]`;
}

/** The text of ceph.conf. `osdBytes` is the size of each OSD's file. */
export function cephConfig(
  paths: CephPaths,
  settings: { readonly fsid: string; readonly port: number; readonly osdBytes: number },
): string {
  const { dir, keyringFile } = paths;
  return `[global]
fsid = ${settings.fsid}
mon_initial_members = a
mon_host = ${monitorAddresses(settings.port)}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = ${keyringFile}
run_dir = ${dir}/run
admin_socket = ${dir}/run/$name.asok
crash_dir = ${dir}/crash
log_file = ${dir}/log/$name.log
log_to_stderr = false
err_to_stderr = true
osd_pool_default_size = 2
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_warn_on_pool_no_redundancy = false
rbd_cache = false
rbd_default_features = 1
${LOG_SUBSYSTEMS.map((name) => `debug_${name} = 0/0`).join('\n')}
[mon]
mon_data = ${dir}/mon.$id
mon_data_avail_warn = 1
mon_data_avail_crit = 0
mon_cluster_log_file = ${dir}/log/cluster.log
[mgr]
mgr_data = ${dir}/mgr.$id
mgr_initial_modules =
[osd]
osd_data = ${dir}/osd.$id
osd_objectstore = bluestore
osd_memory_target = 1073741824
bluestore_block_create = true
bluestore_block_size = ${settings.osdBytes}
`;
}
