// What would leave data without its copies, its fault sets or its spare, and disks that are not what they should be: each is
// refused by REST and by scli with a message that names the cause, and nothing of the configuration changes.

import { closeSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';

import test from 'ava';
import type { ExecutionContext } from 'ava';
import { execa } from 'execa';

import { LocalCluster } from '../support/local-cluster.js';
import { listServers, make } from '../support/server-story.js';
import { until } from '../support/until.js';

const TYPES = ['ProtectionDomain', 'FaultSet', 'StoragePool', 'Sds', 'Device', 'Volume'] as const;
const GIB = 2 ** 30;

let cluster: LocalCluster;
let poolId = '';
let farDomain = '';
let farPool = '';
let farSet = '';
const ids = new Map<string, string>();
test.before(async () => {
  cluster = await LocalCluster.start('--sds', '2', '--device-size', '2G');
  const rest = await cluster.rest();
  poolId = (await rest.get<{ id: string }[]>('/types/StoragePool/instances')).data[0]?.id ?? '';
  for (const { id, name } of await listServers(cluster)) ids.set(name, id);
  await cluster.addVolume('kept');
  farDomain = await make(cluster, 'ProtectionDomain', { name: 'far' });
  const far = { protectionDomainId: farDomain };
  farPool = await make(cluster, 'StoragePool', { ...far, name: 'farPool', mediaType: 'HDD' });
  farSet = await make(cluster, 'FaultSet', { ...far, name: 'farSet' });
  const { username, passwordFile } = cluster.file;
  const login = ['--login', '--username', username];
  await execa(join(cluster.dir, 'bin', 'scli'), login, { input: readFileSync(passwordFile) });
});
test.after.always(async () => {
  await cluster.remove();
});

async function configuration(): Promise<unknown> {
  const rest = await cluster.rest();
  return Promise.all(
    TYPES.map(async (type) => (await rest.get<unknown>(`/types/${type}/instances`)).data),
  );
}

/** The same by REST and by scli. */
interface Case {
  readonly rest: readonly [path: string, body: object];
  readonly scli: readonly string[];
  readonly message: RegExp;
}

async function refuse(t: ExecutionContext, cases: readonly Case[]): Promise<void> {
  const before = await configuration();
  const rest = await cluster.rest();
  for (const {
    rest: [path, body],
    scli,
    message,
  } of cases) {
    const answer = await rest.post<{ message?: string }>(path, body, {
      validateStatus: () => true,
    });
    t.true(answer.status >= 400, path);
    t.regex(answer.data.message ?? '', message, path);
    const done = await execa(join(cluster.dir, 'bin', 'scli'), [...scli, '--i_am_sure'], {
      ...{ reject: false, stdin: 'ignore' },
    });
    t.is(done.exitCode, 7, `${scli.join(' ')}: ${done.stdout} ${done.stderr}`);
    t.regex(done.stderr, message, scli.join(' '));
  }
  t.deepEqual(await configuration(), before);
}

const sds = (name: string, action: string): string =>
  `/instances/Sds::${ids.get(name) ?? ''}/action/${action}`;
const POOL = ['--protection_domain_name', 'domain1', '--storage_pool_name', 'pool1'];

test.serial(
  'copies that would lie in one unit, fault sets elsewhere, and too little spare',
  async (t) => {
    const toFar = { protectionDomainId: farDomain, storagePoolId: farPool };
    const move = ['--move_sds', '--sds_name', 'sds1', '--protection_domain_name'];
    const rest = await cluster.rest();
    const devices =
      await rest.get<{ id: string; sdsId: string; deviceCurrentPathName: string }[]>(
        '/types/Device/instances',
      );
    const device = devices.data.find(({ sdsId }) => sdsId === ids.get('sds1'));
    const path = device?.deviceCurrentPathName ?? '';
    await refuse(t, [
      {
        rest: [sds('sds1', 'removeSds'), {}],
        scli: ['--remove_sds', '--sds_name', 'sds1'],
        message:
          /holds a good copy, and its pool would be left with devices of fewer than two SDSs/,
      },
      {
        rest: [`/instances/Device::${device?.id ?? ''}/action/removeDevice`, {}],
        scli: ['--remove_sds_device', '--sds_name', 'sds1', '--device_path', path],
        message:
          /holds a good copy, and its pool would be left with devices of fewer than two SDSs/,
      },
      {
        rest: [sds('sds1', 'moveSds'), toFar],
        scli: [...move, 'far', '--storage_pool_name', 'farPool'],
        message:
          /holds a good copy, and its pool would be left with devices of fewer than two SDSs/,
      },
      {
        rest: [sds('sds1', 'moveSds'), { ...toFar, storagePoolId: poolId, faultSetId: farSet }],
        scli: [...move, 'far', '--storage_pool_id', poolId, '--fault_set_id', farSet],
        message: /storage pool pool1 is not of the protection domain that the SDS goes to/,
      },
      {
        rest: [
          `/instances/StoragePool::${poolId}/action/setSparePercentage`,
          { sparePercentage: '20' },
        ],
        scli: ['--modify_spare_policy', ...POOL, '--spare_percentage', '20'],
        message:
          /20 % are .*, less than SDS sds[12], the largest fault unit, has .*: at least 50 % are needed/,
      },
      {
        rest: [sds('sds1', 'enterProtectedMaintenanceMode'), {}],
        scli: ['--enter_protected_maintenance_mode', '--sds_name', 'sds1'],
        message: /has devices in fewer than two SDSs or fault sets/,
      },
      {
        rest: [sds('sds1', 'abortMoveSds'), {}],
        scli: ['--abort_move_sds', '--sds_name', 'sds1'],
        message: /SDS sds1 is not being moved/,
      },
    ]);
  },
);

test.serial('a fault set of another domain for a new server', async (t) => {
  const { protectionDomainId } = (await listServers(cluster))[0] ?? {};
  await refuse(t, [
    {
      rest: [
        '/types/Sds/instances',
        { protectionDomainId, faultSetId: farSet, sdsIpList: [{ ip: '127.9.9.9' }], name: 'new' },
      ],
      scli: [
        ...['--add_sds', '--sds_ip', '127.9.9.9', '--protection_domain_name', 'domain1'],
        ...['--fault_set_id', farSet, '--sds_name', 'new'],
      ],
      message: /The Fault Set belongs to another Protection Domain/,
    },
  ]);
});

test.serial(
  'disks that carry a file system, or a device of this or of another system',
  async (t) => {
    const at = (name: string): string => join(cluster.dir, 'sds1', name);
    closeSync(openSync(at('ext4'), 'w', 0o600));
    truncateSync(at('ext4'), 2 * GIB);
    await execa('/usr/sbin/mkfs.ext4', ['-q', '-F', at('ext4')]);
    await execa('cp', ['--sparse=always', at('device0'), at('copy')]);
    const add = (path: string, message: RegExp): Case => ({
      rest: [
        '/types/Device/instances',
        { sdsId: ids.get('sds1'), storagePoolId: poolId, deviceCurrentPathname: path },
      ],
      scli: ['--add_sds_device', '--sds_name', 'sds1', '--device_path', path, ...POOL],
      message,
    });
    await refuse(t, [
      add(at('ext4'), /carries an ext4 file system/),
      add(at('copy'), /copy is device \d+ of MeshSAN system [0-9a-f]{16}/),
      add(at('device0'), /already part of this system/),
    ]);
  },
);

test.serial('the last good copy is not given up, whatever is forced', async (t) => {
  const rows = cluster.processes('sds').concat(cluster.processes('sds-data'));
  const stop = (name: string): void => {
    for (const { pid } of rows.filter((row) => row.name.startsWith(name)))
      process.kill(pid, 'SIGSTOP');
  };
  t.teardown(() => {
    for (const { pid } of rows) process.kill(pid, 'SIGCONT');
  });
  const alerts = async (): Promise<string> => {
    const rest = await cluster.rest();
    return JSON.stringify((await rest.get<unknown>('/types/Alert/instances')).data);
  };
  stop('sds1');
  await until('the copies of sds1 are out', async () =>
    (await alerts()).includes('STORAGE_POOL_HAS_DEGRADED_CAPACITY') ? true : null,
  );
  stop('sds2');
  await until('nothing is there any more', async () => {
    const now = await alerts();
    const away = now.split('"SDS_DISCONNECTED"').length - 1;
    return away === 2 && now.includes('STORAGE_POOL_HAS_FAILED_CAPACITY') ? true : null;
  });
  const rest = await cluster.rest();
  await until('its device is down', async () => {
    const { data } =
      await rest.get<{ sdsId: string; errorState: string }[]>('/types/Device/instances');
    return data.some((row) => row.sdsId === ids.get('sds2') && row.errorState === 'Error');
  });
  await refuse(t, [
    {
      rest: [sds('sds2', 'removeSds'), { force: 'TRUE' }],
      scli: ['--remove_sds', '--sds_name', 'sds2', '--force'],
      message: /is not there and holds the only good copy of \d+ combs/,
    },
    {
      rest: [
        sds('sds2', 'moveSds'),
        { protectionDomainId: farDomain, storagePoolId: farPool, force: 'TRUE' },
      ],
      scli: [
        ...['--move_sds', '--sds_name', 'sds2', '--protection_domain_name', 'far'],
        ...['--storage_pool_name', 'farPool', '--force'],
      ],
      message: /Could not connect to the SDS: sds2 is disconnected/,
    },
  ]);
});
