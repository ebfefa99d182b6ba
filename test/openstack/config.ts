// Writes the configuration files of every service into the state directory; nothing under /etc is touched (packaged
// defaults such as api-paste.ini are read from there). Files that hold a password are 0600 and belong to the user of
// their service. A later service adds one function here and one row to the table in services.ts.
import { chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { secret, writePrivate, type CloudState, type SecretName } from './state.js';
import type { MeshsanCluster } from './meshsan.js';

export const REGION = 'RegionOne';
/** Services with a database and a database user of their own. */
export const DATABASES = ['keystone', 'cinder', 'glance'] as const;
type DatabaseName = (typeof DATABASES)[number];
/** Services that prove to Keystone who they are. */
export const SERVICE_USERS = ['cinder', 'glance'] as const;
type ServiceUser = (typeof SERVICE_USERS)[number];
/** The Cinder backend, its volume type and its `volume_backend_name`. */
export const BACKEND = 'meshsan';
/** cinder-volume's host name in its database and in `host@backend#pool`. */
export const CINDER_HOST = 'controller';
const POWERFLEX_DRIVER = 'cinder.volume.drivers.dell_emc.powerflex.driver.PowerFlexDriver';

export function keystoneUrl(state: CloudState): string {
  return `http://${state.address}:${state.ports.keystone}/v3`;
}

function databaseUrl(state: CloudState, name: DatabaseName): string {
  const password = secret(state, `database-${name}` satisfies SecretName);
  return `mysql+pymysql://${name}:${password}@localhost/${name}?unix_socket=${state.databaseSocket}&charset=utf8`;
}

type Sections = Record<string, Record<string, string | number | boolean>>;

function ini(sections: Sections): string {
  return Object.entries(sections)
    .map(([name, options]) => {
      // A dollar sign refers to another option, unless it is doubled.
      const lines = Object.entries(options).map(
        ([key, value]) => `${key} = ${String(value).replaceAll('$', '$$$$')}`,
      );
      return [`[${name}]`, ...lines, ''].join('\n');
    })
    .join('\n');
}

/** How a service proves to Keystone who it is. */
function credentials(state: CloudState, user: ServiceUser): Record<string, string> {
  return {
    auth_url: keystoneUrl(state),
    auth_type: 'password',
    username: user,
    password: secret(state, user),
    project_name: 'service',
    user_domain_name: 'Default',
    project_domain_name: 'Default',
    region_name: REGION,
  };
}

/** How a service checks the tokens that it is given. */
function tokenCheck(state: CloudState, user: ServiceUser): Record<string, string | boolean> {
  return {
    ...credentials(state, user),
    www_authenticate_uri: keystoneUrl(state),
    service_token_roles: 'service',
    service_token_roles_required: true,
  };
}

function common(state: CloudState): Sections {
  return {
    oslo_concurrency: { lock_path: path.join(state.root, 'lock') },
    oslo_messaging_notifications: { driver: 'noop' },
    oslo_messaging_rabbit: { heartbeat_in_pthread: false },
    oslo_policy: { enforce_scope: false },
  };
}

function keystoneSections(state: CloudState): Sections {
  return {
    database: { connection: databaseUrl(state, 'keystone') },
    fernet_tokens: { key_repository: path.join(state.root, 'keystone', 'fernet-keys') },
    credential: { key_repository: path.join(state.root, 'keystone', 'credential-keys') },
    token: { provider: 'fernet', expiration: 86400 },
    cache: {
      enabled: true,
      backend: 'dogpile.cache.memcached',
      memcache_servers: `unix:${state.memcacheSocket}`,
    },
    ...common(state),
  };
}

function glanceSections(state: CloudState): Sections {
  const images = path.join(state.root, 'glance');
  return {
    DEFAULT: {
      bind_host: state.address,
      bind_port: state.ports.glance,
      workers: 1,
      enabled_backends: 'file:file',
    },
    glance_store: { default_backend: 'file' },
    file: { filesystem_store_datadir: path.join(images, 'images') },
    os_glance_tasks_store: { filesystem_store_datadir: path.join(images, 'tasks') },
    os_glance_staging_store: { filesystem_store_datadir: path.join(images, 'staging') },
    database: { connection: databaseUrl(state, 'glance') },
    paste_deploy: { flavor: 'keystone', config_file: '/etc/glance/glance-api-paste.ini' },
    keystone_authtoken: tokenCheck(state, 'glance'),
    ...common(state),
    oslo_concurrency: { lock_path: path.join(images, 'lock') },
  };
}

function cinderSections(state: CloudState): Sections {
  const config = path.join(state.etc, 'cinder', 'cinder.conf');
  const helper = { helper_command: `privsep-helper --config-file ${config}` };
  const rabbitmq = `openstack:${secret(state, 'rabbitmq')}@${state.address}:${state.ports.rabbitmq}`;
  return {
    DEFAULT: {
      my_ip: state.address,
      host: CINDER_HOST,
      osapi_volume_listen: state.address,
      osapi_volume_listen_port: state.ports.cinder,
      osapi_volume_workers: 1,
      auth_strategy: 'keystone',
      glance_api_servers: `http://${state.address}:${state.ports.glance}`,
      transport_url: `rabbit://${rabbitmq}/`,
      api_paste_config: '/etc/cinder/api-paste.ini',
      rootwrap_config: '/etc/cinder/rootwrap.conf',
      state_path: path.join(state.root, 'cinder'),
      enabled_backends: BACKEND,
      default_volume_type: BACKEND,
      report_interval: 2,
      quota_volumes: 1000,
      quota_gigabytes: 100000,
    },
    database: { connection: databaseUrl(state, 'cinder') },
    // Debian's rootwrap filters admit configuration files under /etc only; these services are root already.
    privsep: helper,
    privsep_osbrick: helper,
    cinder_sys_admin: helper,
    service_user: { ...credentials(state, 'cinder'), send_service_user_token: true },
    keystone_authtoken: tokenCheck(state, 'cinder'),
    ...common(state),
  };
}

/** Cinder's own PowerFlex driver, pointed at MeshSAN's gateway with its certificate verified. */
function backendSections(cluster: MeshsanCluster): Sections {
  return {
    [BACKEND]: {
      volume_driver: POWERFLEX_DRIVER,
      volume_backend_name: BACKEND,
      san_ip: cluster.gatewayHost,
      san_login: cluster.username,
      san_password: cluster.password,
      powerflex_rest_server_port: cluster.gatewayPort,
      powerflex_storage_pools: `${cluster.protectionDomain}:${cluster.storagePool}`,
      driver_ssl_cert_verify: true,
      driver_ssl_cert_path: cluster.caFile,
      san_thin_provision: true,
    },
  };
}

function rabbitmqConf(state: CloudState): string {
  return [
    `listeners.tcp.local = ${state.address}:${state.ports.rabbitmq}`,
    'default_user = openstack',
    `default_pass = ${secret(state, 'rabbitmq')}`,
    'vm_memory_high_watermark.relative = 0.2',
    'disk_free_limit.absolute = 100MB',
    'log.console.level = warning',
    '',
  ].join('\n');
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

async function owner(user: string): Promise<Owner> {
  const id = async (flag: string): Promise<number> =>
    Number((await execa('id', [flag, user])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

/** A directory that only its service (and root) can enter. */
function directory(at: string, who?: Owner): string {
  mkdirSync(at, { recursive: true, mode: 0o700 });
  chown(at, who);
  return at;
}

function privateFile(at: string, content: string, who?: Owner): void {
  writePrivate(at, content);
  chown(at, who);
}

function chown(at: string, who?: Owner): void {
  if (who !== undefined) chownSync(at, who.uid, who.gid);
}

/** Writes the configuration files and directories of all services; what is there already is written again the same. */
export async function writeConfiguration(state: CloudState): Promise<void> {
  const [mysql, rabbitmq, keystone, glance] = await Promise.all(
    ['mysql', 'rabbitmq', 'keystone', 'glance'].map(owner),
  );
  // The database asks for a password; the cache does not, so only Keystone and root reach its socket.
  mkdirSync(path.dirname(state.databaseSocket), { recursive: true, mode: 0o755 });
  chown(path.dirname(state.databaseSocket), mysql);
  directory(path.dirname(state.memcacheSocket), keystone);
  const broker = directory(path.join(state.root, 'rabbitmq'), rabbitmq);
  directory(path.join(broker, 'mnesia'), rabbitmq);
  directory(path.join(broker, 'log'), rabbitmq);
  privateFile(path.join(broker, 'rabbitmq.conf'), rabbitmqConf(state), rabbitmq);
  privateFile(path.join(broker, 'plugins'), '[].\n', rabbitmq);
  privateFile(path.join(broker, '.erlang.cookie'), secret(state, 'erlang-cookie'), rabbitmq);
  directory(path.join(state.root, 'keystone'), keystone);
  const keystoneEtc = directory(path.join(state.etc, 'keystone'), keystone);
  privateFile(path.join(keystoneEtc, 'keystone.conf'), ini(keystoneSections(state)), keystone);
  const images = directory(path.join(state.root, 'glance'), glance);
  for (const name of ['images', 'tasks', 'staging', 'lock'])
    directory(path.join(images, name), glance);
  const glanceEtc = directory(path.join(state.etc, 'glance'), glance);
  privateFile(path.join(glanceEtc, 'glance-api.conf'), ini(glanceSections(state)), glance);
  directory(path.join(state.root, 'lock'));
  directory(path.join(state.root, 'cinder'));
  const cinderEtc = directory(path.join(state.etc, 'cinder'));
  directory(path.join(cinderEtc, 'conf.d'));
  privateFile(path.join(cinderEtc, 'cinder.conf'), ini(cinderSections(state)));
  writePrivate(state.openrc, openrc(state));
}

/** Writes the backend section of cinder-volume: which MeshSAN cluster it puts volumes on. */
export function writeBackend(state: CloudState, cluster: MeshsanCluster): void {
  privateFile(
    path.join(state.etc, 'cinder', 'conf.d', `${BACKEND}.conf`),
    ini(backendSections(cluster)),
  );
}

/** The file to source: who the administrator is, and nothing left over from another cloud. */
function openrc(state: CloudState): string {
  const values = Object.entries(clientEnvironment(state)).map(
    ([name, value]) => `export ${name}=${value}`,
  );
  return [
    '# OpenStack on this machine with its volumes on MeshSAN: `source` this file, then use `openstack`.',
    'unset OS_CLOUD OS_TOKEN OS_AUTH_TYPE OS_CACERT OS_SYSTEM_SCOPE OS_DOMAIN_ID OS_DOMAIN_NAME OS_PROJECT_ID OS_USER_ID',
    ...values,
    `export no_proxy="\${no_proxy:+$no_proxy,}${state.address}"`,
    '',
  ].join('\n');
}

/** What the `openstack` command needs in its environment. */
export function clientEnvironment(state: CloudState): Record<string, string> {
  return {
    OS_AUTH_URL: keystoneUrl(state),
    OS_USERNAME: 'admin',
    OS_PASSWORD: secret(state, 'admin'),
    OS_PROJECT_NAME: 'admin',
    OS_USER_DOMAIN_NAME: 'Default',
    OS_PROJECT_DOMAIN_NAME: 'Default',
    OS_IDENTITY_API_VERSION: '3',
    OS_REGION_NAME: REGION,
    // Debian's client fails at later microversions (it sends `force` with a snapshot).
    OS_VOLUME_API_VERSION: '3.65',
  };
}
