// Owns the databases: the server's data directory, one database and one database user per service, and the schema that
// each service's own tool makes. Passwords go through standard input, never through arguments.
import { existsSync, mkdirSync, chownSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { SERVICE_PATH, tail } from './processes.js';
import { RunError } from './progress.js';
import { keystoneUrl, REGION } from './config-parts.js';
import { secret, type CloudState, type DatabaseName } from './state.js';

const CORE: readonly DatabaseName[] = ['keystone', 'cinder', 'glance'];
const COMPUTE: readonly DatabaseName[] = ['placement', 'nova', 'nova_api', 'nova_cell0', 'neutron'];
const ENVIRONMENT = { PATH: SERVICE_PATH, LC_ALL: 'C.UTF-8' };

/** Makes the server's data directory, once. Root logs in through the socket, nobody else without a password. */
export async function createServerData(state: CloudState): Promise<void> {
  const data = path.join(state.root, 'mariadb');
  if (existsSync(path.join(data, 'mysql', 'db.frm'))) return;
  const { uid, gid } = statSync(path.dirname(state.databaseSocket));
  mkdirSync(data, { recursive: true, mode: 0o700 });
  chownSync(data, uid, gid);
  await tool(state, 'mariadb-install-db', [
    'mariadb-install-db',
    '--no-defaults',
    '--user=mysql',
    `--datadir=${data}`,
    '--skip-test-db',
    '--auth-root-authentication-method=socket',
    '--auth-root-socket-user=root',
  ]);
}

/** Makes each service's database and user. */
export async function createDatabases(state: CloudState): Promise<void> {
  const names = state.scope === 'core' ? CORE : [...CORE, ...COMPUTE];
  const statements = names.flatMap((name) => {
    // Nova reaches its cell 0 as the owner of its main database.
    const user = name === 'nova_cell0' ? 'nova' : name;
    return [
      `create database if not exists ${name};`,
      `create user if not exists ${user}@localhost identified by '${secret(state, `database-${user}`)}';`,
      `grant all on ${name}.* to ${user}@localhost;`,
    ];
  });
  const run = await execa('mariadb', ['--no-defaults', '-uroot', '-S', state.databaseSocket], {
    input: statements.join('\n'),
    env: ENVIRONMENT,
    reject: false,
  });
  if (run.exitCode !== 0) throw new RunError(`the databases cannot be made: ${run.stderr}`);
}

/** Schemas, Keystone's keys and its administrator; each part once, remembered by a marker file. */
export async function setUpSchemas(state: CloudState): Promise<void> {
  const file = (...words: string[]): string[] => ['--config-file', path.join(state.etc, ...words)];
  const glance = ['setpriv', '--reuid=glance', '--regid=glance', '--init-groups', 'glance-manage'];
  const parts: Record<string, () => Promise<void>> = {
    keystone: () => setUpKeystone(state),
    cinder: () =>
      tool(state, 'cinder-schema', [
        ...['cinder-manage', ...file('cinder', 'cinder.conf'), 'db', 'sync'],
      ]),
    glance: () =>
      tool(state, 'glance-schema', [...glance, ...file('glance', 'glance-api.conf'), 'db_sync']),
  };
  if (state.scope === 'full')
    Object.assign(parts, {
      nova: () => setUpNova(state, ['nova-manage', ...file('nova', 'nova.conf')]),
      placement: () =>
        tool(state, 'placement-schema', [
          ...['placement-manage', ...file('placement', 'placement.conf'), 'db', 'sync'],
        ]),
      neutron: () =>
        tool(state, 'neutron-schema', [
          ...['neutron-db-manage', ...file('neutron', 'neutron.conf')],
          ...[...file('neutron', 'ml2.ini'), 'upgrade', 'heads'],
        ]),
    });
  await Promise.all(
    Object.entries(parts).map(([name, work]) => once(state, `${name}-schema`, work)),
  );
}

async function setUpNova(state: CloudState, manage: readonly string[]): Promise<void> {
  const step = (...words: string[]) => tool(state, 'nova-schema', [...manage, ...words]);
  await step('api_db', 'sync');
  // Without an address it is nova_cell0 beside the main database; so no password is an argument.
  await step('cell_v2', 'map_cell0');
  await step('db', 'sync');
  await once(state, 'nova-cell1', () => step('cell_v2', 'create_cell', '--name', 'cell1'));
}

/** Compute services that reported in for the first time become hosts of their cell. */
export async function discoverHosts(state: CloudState): Promise<void> {
  const config = path.join(state.etc, 'nova', 'nova.conf');
  const words = ['--config-file', config, 'cell_v2', 'discover_hosts'];
  await tool(state, 'nova-discover', ['nova-manage', ...words]);
}

async function setUpKeystone(state: CloudState): Promise<void> {
  const manage = [
    ...['setpriv', '--reuid=keystone', '--regid=keystone', '--init-groups'],
    ...['keystone-manage', '--config-file', path.join(state.etc, 'keystone', 'keystone.conf')],
  ];
  const mine = ['--keystone-user', 'keystone', '--keystone-group', 'keystone'];
  const url = keystoneUrl(state);
  await tool(state, 'keystone-schema', [...manage, 'db_sync']);
  await tool(state, 'keystone-schema', [...manage, 'fernet_setup', ...mine]);
  await tool(state, 'keystone-schema', [...manage, 'credential_setup', ...mine]);
  await tool(
    state,
    'keystone-schema',
    [
      ...[...manage, 'bootstrap', '--bootstrap-region-id', REGION],
      ...[
        '--bootstrap-public-url',
        url,
        '--bootstrap-internal-url',
        url,
        '--bootstrap-admin-url',
        url,
      ],
    ],
    { OS_BOOTSTRAP_PASSWORD: secret(state, 'admin') },
  );
}

/** Runs `work` unless an earlier run finished it. */
export async function once(
  state: CloudState,
  name: string,
  work: () => Promise<void>,
): Promise<void> {
  const marker = path.join(state.run, `${name}.done`);
  if (existsSync(marker)) return;
  await work();
  writeFileSync(marker, '');
}

async function tool(
  state: CloudState,
  name: string,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const log = path.join(state.log, `${name}.log`);
  const run = await execa(command[0] ?? '', command.slice(1), {
    extendEnv: false,
    env: { ...ENVIRONMENT, ...env },
    cwd: '/',
    stdin: 'ignore',
    stdout: { file: log, append: true },
    stderr: { file: log, append: true },
    reject: false,
  });
  if (run.exitCode !== 0)
    throw new RunError(`${command.join(' ')} failed (log: ${log}):\n${tail(log, 15)}`);
}
