// Writes the configuration files of every service into the state directory; nothing under /etc is touched (packaged
// defaults such as api-paste.ini are read from there). Files that hold a password are 0600 and belong to the user of
// their service. A later service adds one function here and one row to the table in services.ts.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import {
  brokerUrl,
  chown,
  common,
  credentials,
  databaseUrl,
  directory,
  ini,
  keystoneUrl,
  owner,
  privateFile,
  REGION,
  tokenCheck,
  type Sections,
} from './config-parts.js';
import { backendsOf, MESHSAN, POWERFLEX } from './backends.js';
import { writeComputeConfiguration } from './config-compute.js';
import type { MeshsanCluster } from './meshsan.js';
import { EXIT, RunError } from './progress.js';
import { secret, writePrivate, type CloudState } from './state.js';

/** cinder-volume's host name in its database and in `host@backend#pool`. */
export const CINDER_HOST = 'controller';

export function keystoneSections(state: CloudState): Sections {
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

export function glanceSections(state: CloudState): Sections {
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

export function cinderSections(state: CloudState): Sections {
  const backends = backendsOf(state.scope);
  const config = path.join(state.etc, 'cinder', 'cinder.conf');
  const helper = { helper_command: `privsep-helper --config-file ${config}` };
  return {
    DEFAULT: {
      my_ip: state.address,
      host: CINDER_HOST,
      osapi_volume_listen: state.address,
      osapi_volume_listen_port: state.ports.cinder,
      osapi_volume_workers: 1,
      auth_strategy: 'keystone',
      glance_api_servers: `http://${state.address}:${state.ports.glance}`,
      transport_url: brokerUrl(state),
      api_paste_config: '/etc/cinder/api-paste.ini',
      rootwrap_config: '/etc/cinder/rootwrap.conf',
      state_path: path.join(state.root, 'cinder'),
      enabled_backends: backends.map(({ name }) => name).join(','),
      default_volume_type: backends[0].name,
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
    // Nova is told when a volume that it uses has grown.
    ...(state.scope === 'full'
      ? {
          nova: {
            ...credentials(state, 'cinder'),
            interface: 'public',
            token_auth_url: keystoneUrl(state),
          },
        }
      : {}),
    keystone_authtoken: tokenCheck(state, 'cinder'),
    ...common(state),
  };
}

/** Cinder's own PowerFlex driver, pointed at MeshSAN's gateway with its certificate verified. */
function backendSections(cluster: MeshsanCluster): Sections {
  return {
    [POWERFLEX.name]: {
      volume_driver: POWERFLEX.driver,
      volume_backend_name: POWERFLEX.name,
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

/** MeshSAN's own driver: it knows the way to the bridge, and no password. */
function bridgeSections({ bridge, protectionDomain, storagePool, dir }: MeshsanCluster): Sections {
  if (bridge === null)
    throw new RunError(
      `the cluster in ${dir} runs no bridge for Cinder; start it with --cinder-bridge`,
      EXIT.usage,
    );
  return {
    [MESHSAN.name]: {
      volume_driver: MESHSAN.driver,
      volume_backend_name: MESHSAN.name,
      meshsan_bridge: bridge.socket,
      meshsan_bridge_token_file: bridge.tokenFile,
      meshsan_storage_pools: `${protectionDomain}:${storagePool}`,
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
  if (state.scope === 'full') writeComputeConfiguration(state);
  writePrivate(state.openrc, openrc(state));
}

/** Writes the backend sections of cinder-volume: which MeshSAN cluster it puts volumes on. */
export function writeBackends(state: CloudState, cluster: MeshsanCluster): void {
  const write = (name: string, sections: Sections): void => {
    privateFile(path.join(state.etc, 'cinder', 'conf.d', `${name}.conf`), ini(sections));
  };
  write(POWERFLEX.name, backendSections(cluster));
  if (state.scope === 'full') write(MESHSAN.name, bridgeSections(cluster));
}

/** The file to source: who the administrator is, and nothing left over from another cloud. */
export function openrc(state: CloudState): string {
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
    OS_COMPUTE_API_VERSION: '2.90',
  };
}
