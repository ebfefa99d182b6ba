// Configuration of what a cloud with instances has beyond block storage: placement, nova, neutron, and libvirt of each
// compute host. The same rules as in config.ts: everything below the state directory, passwords in files of mode 0600.
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import {
  brokerUrl,
  common,
  credentials,
  databaseUrl,
  directory,
  ini,
  privateFile,
  tokenCheck,
  type Sections,
} from './config-parts.js';
import { computeHosts, writeHost, type ComputeHost } from './hosts.js';
import type { MeshsanCluster } from './meshsan.js';
import type { CloudState } from './state.js';

export function placementSections(state: CloudState): Sections {
  return {
    placement_database: { connection: databaseUrl(state, 'placement') },
    api: { auth_strategy: 'keystone' },
    keystone_authtoken: tokenCheck(state, 'placement'),
    ...common(state),
  };
}

/** What every service of Nova has in common. */
export function novaSections(state: CloudState): Sections {
  return {
    DEFAULT: {
      my_ip: state.address,
      transport_url: brokerUrl(state),
      state_path: path.join(state.root, 'nova'),
      rootwrap_config: '/etc/nova/rootwrap.conf',
      enabled_apis: 'osapi_compute',
      osapi_compute_listen: state.address,
      osapi_compute_listen_port: state.ports.nova,
      osapi_compute_workers: 1,
      report_interval: 5,
      service_down_time: 60,
      allow_resize_to_same_host: true,
      block_device_allocate_retries_interval: 1,
      // Guests have no network.
      vif_plugging_is_fatal: false,
      vif_plugging_timeout: 0,
    },
    api: { auth_strategy: 'keystone' },
    wsgi: { api_paste_config: '/etc/nova/api-paste.ini' },
    api_database: { connection: databaseUrl(state, 'nova_api') },
    database: { connection: databaseUrl(state, 'nova'), max_pool_size: 10 },
    conductor: { workers: 1 },
    scheduler: { workers: 1 },
    vnc: { enabled: false },
    spice: { enabled: false },
    glance: { api_servers: `http://${state.address}:${state.ports.glance}` },
    placement: credentials(state, 'nova'),
    cinder: {
      ...credentials(state, 'nova'),
      os_region_name: 'RegionOne',
      catalog_info: 'volumev3::publicURL',
    },
    neutron: credentials(state, 'nova'),
    service_user: { ...credentials(state, 'nova'), send_service_user_token: true },
    keystone_authtoken: tokenCheck(state, 'nova'),
    ...common(state),
  };
}

/** What only the compute service of one host reads. */
function computeSections(state: CloudState, host: ComputeHost): Sections {
  const files = `--config-file ${path.join(state.etc, 'nova', 'nova.conf')} --config-file ${host.novaConfig}`;
  const helper = { helper_command: `privsep-helper ${files}` };
  return {
    DEFAULT: {
      host: host.name,
      my_ip: host.address,
      compute_driver: 'libvirt.LibvirtDriver',
      instances_path: host.instances,
      state_path: path.join(host.dir, 'nova'),
      reserved_host_memory_mb: 512,
      initial_cpu_allocation_ratio: 32,
      initial_disk_allocation_ratio: 10,
    },
    libvirt: {
      virt_type: 'qemu',
      cpu_mode: 'none',
      num_volume_scan_tries: 5,
      connection_uri: `qemu+unix:///system?socket=${host.libvirtSocket}`,
      // Every libvirtd of this machine is reached by its own socket; the memory of a guest goes over loopback.
      live_migration_uri: `qemu+unix:///system?socket=${path.join(path.dirname(host.dir), '%s', 'run', 'libvirt-sock')}`,
      live_migration_inbound_addr: host.address,
    },
    privsep: helper,
    privsep_osbrick: helper,
    nova_sys_admin: helper,
    vif_plug_ovs_privileged: helper,
    vif_plug_linux_bridge_privileged: helper,
    oslo_concurrency: { lock_path: path.join(host.dir, 'lock') },
  };
}

/** Nova asks for ports and security groups whenever it shows or ends a server, so there must be a neutron; no agent is. */
export function neutronSections(state: CloudState): Sections {
  return {
    DEFAULT: {
      bind_host: state.address,
      bind_port: state.ports.neutron,
      core_plugin: 'ml2',
      service_plugins: 'router,port_forwarding',
      auth_strategy: 'keystone',
      transport_url: brokerUrl(state),
      api_workers: 1,
      rpc_workers: 0,
      rpc_state_report_workers: 0,
      notify_nova_on_port_status_changes: false,
      notify_nova_on_port_data_changes: false,
      state_path: path.join(state.root, 'neutron'),
      api_paste_config: '/etc/neutron/api-paste.ini',
    },
    database: { connection: databaseUrl(state, 'neutron') },
    keystone_authtoken: tokenCheck(state, 'neutron'),
    ...common(state),
  };
}

export const ML2: Sections = {
  ml2: {
    type_drivers: 'local',
    tenant_network_types: 'local',
    mechanism_drivers: '',
    extension_drivers: '',
  },
  securitygroup: { enable_security_group: false },
};

/** The configuration of a host's own SDC: that of the cluster's SDC under another name, in other places. */
function sdcOf(host: ComputeHost, cluster: MeshsanCluster): string {
  const file = path.join(cluster.dir, 'config', 'sdc.json');
  const { mdm, secretFile } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const digest = createHash('sha256').update(`sdc ${host.dir}`).digest('hex');
  const [, ...parts] = /^(.{8})(.{4})(.{4})(.{4})(.{12})/.exec(digest) ?? [];
  const config = {
    ...{ name: host.name, addresses: [{ host: host.address, role: 'all' }], mdm, secretFile },
    ...{ stateDir: path.join(host.dir, 'sdc'), nbdDir: path.join(host.dir, 'nbd') },
    ...{ guid: parts.join('-'), controlSocket: host.own?.sdcSocket, attach: 'all' },
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** How MeshSAN's package on each host finds the SDC. */
export function writeHooks(state: CloudState, cluster: MeshsanCluster): void {
  for (const host of computeHosts(state)) {
    if (host.own !== null) privateFile(host.own.sdcConfig, sdcOf(host, cluster));
    const helper = `privsep-helper --config-file ${host.hooksConfig}`;
    const sections: Sections = {
      meshsan: { sdc_control_socket: host.own?.sdcSocket ?? cluster.sdcSocket },
      privsep_meshsan: { helper_command: helper },
    };
    privateFile(host.hooksConfig, ini(sections));
  }
}

/** Writes the files and directories of all of it. */
export function writeComputeConfiguration(state: CloudState): void {
  const etc = (name: string): string => directory(path.join(state.etc, name));
  privateFile(path.join(etc('placement'), 'placement.conf'), ini(placementSections(state)));
  privateFile(path.join(etc('nova'), 'nova.conf'), ini(novaSections(state)));
  const neutron = etc('neutron');
  privateFile(path.join(neutron, 'neutron.conf'), ini(neutronSections(state)));
  privateFile(path.join(neutron, 'ml2.ini'), ini(ML2));
  for (const name of ['nova', 'neutron']) directory(path.join(state.root, name));
  for (const host of computeHosts(state)) {
    writeHost(host);
    for (const name of ['nova', 'lock']) directory(path.join(host.dir, name));
    // QEMU runs as a user of its own and finds its files below.
    mkdirSync(host.instances, { recursive: true });
    chmodSync(host.instances, 0o755);
    privateFile(host.novaConfig, ini(computeSections(state, host)));
  }
}
