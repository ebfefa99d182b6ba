// Writes the configuration of the machine's OpenStack to the places where Debian's units read it. What the services need is
// that of test/openstack; here they run as their own users, with sudo and rootwrap. It must never know MeshSAN: that is what
// the deployment adds.

import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import {
  cinderSections,
  glanceSections,
  keystoneSections,
  openrc,
} from '../../openstack/config.js';
import {
  ML2,
  neutronSections,
  novaSections,
  placementSections,
} from '../../openstack/config-compute.js';
import { directory, ini, owner } from '../../openstack/config-parts.js';
import type { Sections } from '../../openstack/config-parts.js';
import { secret, writePrivate } from '../../openstack/state.js';
import type { CloudState } from '../../openstack/state.js';
import { OLD_BACKEND } from './node-state.js';

/** Two cores serve everything here; Debian's default is eight processes of each. */
const WORKERS = 1;
/** One request at a time in each, and volumes are attached while servers are asked for. */
const NOVA_WORKERS = 2;
const CLOSE = 'add-header = Connection: close';
const SHARE = '127.0.0.1:/srv/volumes';
const SHARES = '/etc/cinder/nfs_shares';
const MOUNTS = '/var/lib/cinder/mnt';
const SERVICES = ['keystone', 'glance', 'placement', 'neutron', 'nova', 'cinder'] as const;

/** Sections less those that only a cloud without rootwrap needs, with locks and state where Debian has them. */
function debian(service: string, sections: Sections): Sections {
  const kept = Object.entries(sections).filter(([, options]) => !('helper_command' in options));
  const { DEFAULT = {}, ...rest } = Object.fromEntries(kept);
  const state = 'state_path' in DEFAULT ? { state_path: `/var/lib/${service}` } : {};
  return {
    DEFAULT: { ...DEFAULT, ...state },
    ...rest,
    oslo_concurrency: { lock_path: `/run/lock/${service}` },
  };
}

function cinder(state: CloudState): Sections {
  const sections = debian('cinder', cinderSections(state));
  return {
    ...sections,
    DEFAULT: {
      ...sections['DEFAULT'],
      host: hostname(),
      enabled_backends: OLD_BACKEND,
      default_volume_type: OLD_BACKEND,
    },
    [OLD_BACKEND]: {
      volume_driver: 'cinder.volume.drivers.nfs.NfsDriver',
      volume_backend_name: OLD_BACKEND,
      nfs_shares_config: SHARES,
      nfs_mount_point_base: MOUNTS,
      nas_secure_file_operations: true,
      nas_secure_file_permissions: true,
    },
  };
}

/** nova-compute.conf, which Debian's unit reads behind nova.conf. */
const COMPUTE: Sections = {
  DEFAULT: {
    compute_driver: 'libvirt.LibvirtDriver',
    reserved_host_memory_mb: 512,
    initial_cpu_allocation_ratio: 32,
    initial_disk_allocation_ratio: 10,
  },
  libvirt: { virt_type: 'qemu', cpu_mode: 'none' },
};

/** Guests need neither a security driver nor control groups, which a container may not have. */
const QEMU_CONF = `user = "libvirt-qemu"
group = "kvm"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
`;

const RABBITMQ = (password: string, address: string): string =>
  [
    `listeners.tcp.local = ${address}:5672`,
    'default_user = openstack',
    `default_pass = ${password}`,
    'vm_memory_high_watermark.relative = 0.2',
    'disk_free_limit.absolute = 100MB',
    '',
  ].join('\n');

/** A cloud for a test: its database need not survive a power cut, and starts faster for it. */
const MARIADB = `[mariadbd]
skip-networking
max-connections = 400
innodb-flush-log-at-trx-commit = 0
innodb-doublewrite = 0
innodb-flush-method = nosync
character-set-server = utf8mb3
collation-server = utf8mb3_general_ci
`;

function serviceFile(path: string, text: string, gid: number): void {
  writeFileSync(path, text);
  chownSync(path, 0, gid);
  chmodSync(path, 0o640);
}

/** Each worker of neutron answers 500 if ports are what it is asked for first: ComputeApi asks one for something else. */
function fewWorkers(service: string): void {
  const name = service === 'keystone' ? service : `${service}-api`;
  const path = join('/etc', service, `${name}-uwsgi.ini`);
  const workers = service === 'nova' ? NOVA_WORKERS : WORKERS;
  const text = readFileSync(path, 'utf8')
    .replaceAll(/^processes = .*$/gm, `processes = ${workers}`)
    // This kernel has no AppArmor.
    .replace('plugins = python3,apparmor', 'plugins = python3')
    .replace(/^apparmor-profile = .*\n/m, '');
  // Without it uwsgi resets connections that are kept alive.
  writeFileSync(path, text.includes(CLOSE) ? text : `${text}${CLOSE}\n`);
}

/** The folder under which the NFS driver finds its share mounted already. */
async function oldBackend(): Promise<void> {
  const { uid, gid } = await owner('cinder');
  const digest = execFileSync('md5sum', { input: SHARE, encoding: 'utf8' }).slice(0, 32);
  const folder = SHARE.split(':')[1] ?? '';
  const mount = join(MOUNTS, digest);
  for (const path of [folder, MOUNTS, mount]) {
    mkdirSync(path, { recursive: true });
    chownSync(path, uid, gid);
  }
  execFileSync('mount', ['--bind', folder, mount]);
  serviceFile(SHARES, `${SHARE}\n`, gid);
}

/** Logs of Debian's units beside those of the set-up tools, where the helpers of test/openstack look for them. */
function linkLogs(state: CloudState): void {
  for (const [service, unit] of [
    ['cinder', 'cinder-volume'],
    ['nova', 'nova-compute'],
  ] as const)
    symlinkSync(`/var/log/${service}/${unit}.log`, join(state.log, `${unit}.log`));
}

/** Writes everything. */
export async function writeNode(state: CloudState): Promise<void> {
  for (const path of [state.root, state.run, state.log]) mkdirSync(path, { recursive: true });
  linkLogs(state);
  const files: Readonly<Record<(typeof SERVICES)[number], Readonly<Record<string, Sections>>>> = {
    keystone: {
      'keystone.conf': {
        ...debian('keystone', keystoneSections(state)),
        cache: { enabled: false },
      },
    },
    glance: { 'glance-api.conf': debian('glance', glanceSections(state)) },
    placement: { 'placement.conf': debian('placement', placementSections(state)) },
    neutron: {
      'neutron.conf': debian('neutron', neutronSections(state)),
      'ml2.ini': ML2,
      'plugins/ml2/ml2_conf.ini': ML2,
    },
    nova: { 'nova.conf': debian('nova', novaSections(state)), 'nova-compute.conf': COMPUTE },
    cinder: { 'cinder.conf': cinder(state) },
  };
  for (const service of SERVICES) {
    const who = await owner(service);
    directory(join(state.root, service), who);
    for (const [name, sections] of Object.entries(files[service]))
      serviceFile(join('/etc', service, name), ini(sections), who.gid);
    fewWorkers(service);
  }
  const glance = await owner('glance');
  for (const name of ['images', 'tasks', 'staging'])
    directory(join(state.root, 'glance', name), glance);
  writeFileSync('/etc/libvirt/qemu.conf', QEMU_CONF);
  const rabbitmq = await owner('rabbitmq');
  mkdirSync('/etc/rabbitmq', { recursive: true });
  serviceFile(
    '/etc/rabbitmq/rabbitmq.conf',
    RABBITMQ(secret(state, 'rabbitmq'), state.address),
    rabbitmq.gid,
  );
  writeFileSync('/etc/mysql/mariadb.conf.d/99-test.cnf', MARIADB);
  await oldBackend();
  writePrivate(state.openrc, openrc(state));
}
