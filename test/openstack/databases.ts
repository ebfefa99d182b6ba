// Owns the databases: the server's data directory, one database and one database user per service, and the schema that
// each service's own tool makes. Passwords go through standard input, never through arguments.
import { existsSync, mkdirSync, chownSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { SERVICE_PATH, tail } from './processes.js';
import { RunError } from './progress.js';
import { DATABASES, keystoneUrl, REGION } from './config.js';
import { secret, type CloudState } from './state.js';

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
  const statements = DATABASES.flatMap((name) => [
    `create database if not exists ${name};`,
    `create or replace user ${name}@localhost identified by '${secret(state, `database-${name}`)}';`,
    `grant all on ${name}.* to ${name}@localhost;`,
  ]);
  const run = await execa('mariadb', ['--no-defaults', '-uroot', '-S', state.databaseSocket], {
    input: statements.join('\n'),
    env: ENVIRONMENT,
    reject: false,
  });
  if (run.exitCode !== 0) throw new RunError(`the databases cannot be made: ${run.stderr}`);
}

/** Schemas, Keystone's keys and its administrator; each part once, remembered by a marker file. */
export async function setUpSchemas(state: CloudState): Promise<void> {
  await Promise.all([
    once(state, 'keystone-schema', () => setUpKeystone(state)),
    once(state, 'cinder-schema', () =>
      tool(state, 'cinder-schema', [
        'cinder-manage',
        '--config-file',
        path.join(state.etc, 'cinder', 'cinder.conf'),
        'db',
        'sync',
      ]),
    ),
    once(state, 'glance-schema', () =>
      tool(state, 'glance-schema', [
        ...['setpriv', '--reuid=glance', '--regid=glance', '--init-groups'],
        ...[
          'glance-manage',
          '--config-file',
          path.join(state.etc, 'glance', 'glance-api.conf'),
          'db_sync',
        ],
      ]),
    ),
  ]);
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
