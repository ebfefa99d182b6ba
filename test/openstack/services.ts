// The table of the cloud's services: what each runs, as whom, and how one knows that it answers. Start order is table
// order; stop order is the reverse. A cloud with more of OpenStack is this table with more rows.
import { connect } from 'node:net';
import path from 'node:path';
import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { Daemons, type Daemon } from './processes.js';
import { EXIT, RunError } from './progress.js';
import type { CloudState } from './state.js';

interface Service {
  readonly name: string;
  /** Services of one stage start together; a stage starts when the one before it answers. */
  readonly stage: 'ground' | 'identity' | 'cloud';
  readonly user: string;
  readonly graceSeconds: number;
  readonly command: (state: CloudState) => readonly [string, ...string[]];
  readonly env?: (state: CloudState) => Record<string, string>;
  /** TCP ports it binds on the cloud's address (epmd: on 127.0.0.1 as well). */
  readonly ports?: (state: CloudState) => readonly number[];
  /** True as soon as the service does its work. Without it, running is enough. */
  readonly answers?: (state: CloudState) => Promise<boolean>;
}

const SERVICES: readonly Service[] = [
  {
    name: 'mariadb',
    stage: 'ground',
    user: 'mysql',
    graceSeconds: 30,
    command: (state) => [
      'mariadbd',
      '--no-defaults',
      `--datadir=${path.join(state.root, 'mariadb')}`,
      `--socket=${state.databaseSocket}`,
      `--pid-file=${path.join(path.dirname(state.databaseSocket), 'mariadb.pid')}`,
      '--skip-networking',
      '--max-connections=400',
      // A cloud for trying things out: its database need not survive a power cut, and starts faster for it.
      '--innodb-flush-log-at-trx-commit=0',
      '--innodb-doublewrite=0',
      '--innodb-flush-method=nosync',
      '--innodb-buffer-pool-size=128M',
      '--character-set-server=utf8mb3',
      '--collation-server=utf8mb3_general_ci',
    ],
    answers: async (state) =>
      existsSync(state.databaseSocket) &&
      (
        await execa(
          'mariadb-admin',
          ['--no-defaults', '-uroot', '-S', state.databaseSocket, 'ping'],
          { reject: false },
        )
      ).exitCode === 0,
  },
  {
    name: 'epmd',
    stage: 'ground',
    user: 'rabbitmq',
    graceSeconds: 5,
    command: (state) => ['epmd', '-address', '127.0.0.1', '-port', String(state.ports.epmd)],
    ports: (state) => [state.ports.epmd],
    answers: (state) => connects('127.0.0.1', state.ports.epmd),
  },
  {
    name: 'memcached',
    stage: 'ground',
    user: 'keystone',
    graceSeconds: 5,
    command: (state) => ['memcached', '-s', state.memcacheSocket, '-a', '0600', '-m', '64'],
    answers: (state) => Promise.resolve(existsSync(state.memcacheSocket)),
  },
  {
    name: 'rabbitmq',
    stage: 'ground',
    user: 'rabbitmq',
    graceSeconds: 30,
    command: () => ['/usr/lib/rabbitmq/bin/rabbitmq-server'],
    env: (state) => {
      const home = path.join(state.root, 'rabbitmq');
      return {
        HOME: home,
        ERL_EPMD_ADDRESS: '127.0.0.1',
        ERL_EPMD_PORT: String(state.ports.epmd),
        ERL_CRASH_DUMP: path.join(home, 'log', 'erl_crash.dump'),
        RABBITMQ_NODENAME: 'meshsan@localhost',
        RABBITMQ_DIST_PORT: String(state.ports.rabbitmqPeers),
        RABBITMQ_MNESIA_BASE: path.join(home, 'mnesia'),
        RABBITMQ_LOG_BASE: path.join(home, 'log'),
        RABBITMQ_LOGS: '-',
        RABBITMQ_PID_FILE: path.join(home, 'pid'),
        RABBITMQ_CONF_ENV_FILE: '/dev/null',
        RABBITMQ_CONFIG_FILE: path.join(home, 'rabbitmq'),
        RABBITMQ_ENABLED_PLUGINS_FILE: path.join(home, 'plugins'),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `-kernel inet_dist_use_interface {${state.address.replaceAll('.', ',')}}`,
      };
    },
    ports: (state) => [state.ports.rabbitmq, state.ports.rabbitmqPeers],
    answers: (state) => connects(state.address, state.ports.rabbitmq),
  },
  {
    name: 'keystone',
    stage: 'identity',
    user: 'keystone',
    graceSeconds: 10,
    command: (state) => [
      'uwsgi-core',
      ...['--plugin', 'python3', '--http-socket', `${state.address}:${state.ports.keystone}`],
      ...[
        '--wsgi-file',
        '/usr/bin/keystone-wsgi-public',
        '--master',
        '--processes',
        '2',
        '--threads',
        '2',
      ],
      ...[
        '--enable-threads',
        '--lazy-apps',
        '--die-on-term',
        '--no-orphans',
        '--buffer-size',
        '65535',
      ],
      ...['--disable-logging', '--add-header', 'Connection: close'],
    ],
    env: (state) => ({
      OS_KEYSTONE_CONFIG_FILES: path.join(state.etc, 'keystone', 'keystone.conf'),
    }),
    ports: (state) => [state.ports.keystone],
    answers: (state) => connects(state.address, state.ports.keystone),
  },
  {
    name: 'glance-api',
    stage: 'cloud',
    user: 'glance',
    graceSeconds: 10,
    command: (state) => [
      'glance-api',
      '--config-file',
      path.join(state.etc, 'glance', 'glance-api.conf'),
    ],
    ports: (state) => [state.ports.glance],
    answers: (state) => connects(state.address, state.ports.glance),
  },
  ...['cinder-api', 'cinder-scheduler', 'cinder-volume'].map((name): Service => ({
    name,
    stage: 'cloud',
    user: 'root',
    graceSeconds: 10,
    command: (state) => {
      const etc = path.join(state.etc, 'cinder');
      return [
        name,
        '--config-file',
        path.join(etc, 'cinder.conf'),
        '--config-dir',
        path.join(etc, 'conf.d'),
      ];
    },
    ...(name === 'cinder-api'
      ? {
          ports: (state: CloudState) => [state.ports.cinder],
          answers: (state: CloudState) => connects(state.address, state.ports.cinder),
        }
      : {}),
  })),
];

/** Generous: the machine may be busy with other things. */
const ANSWER_SECONDS = 240;

function daemonsOf(state: CloudState): Daemons {
  return new Daemons(state.run, state.log);
}

/** Starts all services of a stage and waits until they answer. What runs already is left alone. */
export async function startStage(state: CloudState, stage: Service['stage']): Promise<void> {
  const daemons = daemonsOf(state);
  const services = SERVICES.filter((service) => service.stage === stage);
  for (const service of services) {
    if (daemons.find(service.name) !== undefined) continue;
    const daemon: Daemon = {
      name: service.name,
      user: service.user,
      command: service.command(state),
      ...(service.env === undefined ? {} : { env: service.env(state) }),
    };
    daemons.start(daemon);
  }
  await Promise.all(
    services.map((service) =>
      daemons.ready(
        service.name,
        ANSWER_SECONDS,
        () => service.answers?.(state) ?? Promise.resolve(true),
      ),
    ),
  );
}

/** Refuses to start a cloud whose ports other programs have, before anything is done. */
export async function refuseTakenPorts(state: CloudState): Promise<void> {
  const daemons = daemonsOf(state);
  for (const service of SERVICES.filter(({ name }) => daemons.find(name) === undefined))
    for (const port of service.ports?.(state) ?? [])
      if (await connects(state.address, port))
        throw new RunError(
          `${service.name}: another program listens on ${state.address}:${port}; end it, or give --state another directory`,
          EXIT.unfit,
        );
}

/** Stops every service, last started first; services of one stage together. */
export async function stopServices(state: CloudState): Promise<void> {
  const daemons = daemonsOf(state);
  for (const stage of ['cloud', 'identity'] as const)
    await Promise.all(
      SERVICES.filter((service) => service.stage === stage).map((one) =>
        daemons.stop(one.name, one.graceSeconds),
      ),
    );
  const ground = SERVICES.filter((service) => service.stage === 'ground').reverse();
  // epmd stays until the broker that is registered with it is gone.
  await Promise.all(
    ground
      .filter((one) => one.name !== 'epmd')
      .map((one) => daemons.stop(one.name, one.graceSeconds)),
  );
  await daemons.stop('epmd', 5);
}

/** Each service with its pid, if it runs. */
export function serviceProcesses(state: CloudState): { name: string; pid: number | null }[] {
  const daemons = daemonsOf(state);
  return SERVICES.map(({ name }) => ({ name, pid: daemons.find(name)?.pid ?? null }));
}

export function serviceLog(state: CloudState, name: string): string {
  return daemonsOf(state).logFile(name);
}

/** True if something accepts a TCP connection there. */
function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (yes: boolean) => () => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(2000, end(false));
    socket.once('connect', end(true));
    socket.once('error', end(false));
  });
}
