// The table of what block storage needs: database, message broker, cache, Keystone, Glance, Cinder. Start order is table
// order; stop order is the reverse.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { pythonPathOf } from './python.js';
import { connects, uwsgi, type Service } from './service.js';
import type { CloudState } from './state.js';

export const CORE_SERVICES: readonly Service[] = [
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
    command: (state) => uwsgi(state.address, state.ports.keystone, '/usr/bin/keystone-wsgi-public'),
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
    ...(name === 'cinder-volume'
      ? { env: (state: CloudState) => ({ PYTHONPATH: pythonPathOf(state) }) }
      : {}),
    ...(name === 'cinder-api'
      ? {
          ports: (state: CloudState) => [state.ports.cinder],
          answers: (state: CloudState) => connects(state.address, state.ports.cinder),
        }
      : {}),
  })),
];
