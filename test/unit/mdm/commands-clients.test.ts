// Client hosts, users, and who may command at all.

import test from 'ava';

import { MSG } from '../../../backend/protocol/generated/constants.js';
import type { CommandParams } from '../../../backend/protocol/generated/types.js';
import { Cluster, guid, SECTORS_PER_GIB, standard } from './harness.js';

const KEEP: Omit<CommandParams['SET_STORAGE_POOL'], 'key'> = {
  ...{
    durability: null,
    fullPolicy: null,
    zeroPadding: null,
    checksums: null,
    rmcache: null,
    cacheWrites: null,
  },
  ...{ sparePercent: null, capacityAlertHighPercent: null, capacityAlertCriticalPercent: null },
  ...{ mediaType: null, loneReturn: null, force: false },
};

function volume(poolKey: number, name: string, gib = 1): CommandParams['ADD_VOLUME'] {
  return { poolKey, name, sizeSectors: gib * SECTORS_PER_GIB, provisioning: 'thin', rmcache: true };
}

function mapping(volumeKey: number, sdcKey: number): CommandParams['MAP_VOLUME'] {
  return { volumeKey, sdcKey, allowMultiple: false, access: 'readWrite' };
}

test('client hosts: approval, names, removal', (t) => {
  const { cluster, poolKey } = standard();
  const { key } = cluster.command('ADD_VOLUME', volume(poolKey, 'v'));
  cluster.command('SET_APPROVAL', { approval: 'guid' });
  const one = cluster.sdc(1);
  t.false(one.approved);
  t.is(cluster.refused('MAP_VOLUME', mapping(key, one.sdcKey)).error, 'SDC_NOT_APPROVED');
  t.is(cluster.refused('APPROVE_SDC', { key: 0, guid: '', host: '' }).error, 'INVALID_PARAMETER');
  t.is(cluster.refused('APPROVE_SDC', { key: 0, guid: 'x', host: '' }).error, 'INVALID_PARAMETER');
  t.is(
    cluster.refused('APPROVE_SDC', { key: 0, guid: '', host: 'name' }).error,
    'INVALID_PARAMETER',
  );
  t.is(cluster.refused('APPROVE_SDC', { key: 9999, guid: '', host: '' }).error, 'SDC_NOT_FOUND');
  cluster.command('APPROVE_SDC', { key: 0, guid: guid(101).toLowerCase(), host: '' });
  t.true(cluster.query('sdc', [one.sdcKey]).sdcs[0]?.approved);
  cluster.command('APPROVE_SDC', { key: 0, guid: guid(102), host: '' });
  t.true(cluster.sdc(2).approved);
  t.false(cluster.sdc(3).approved);
  cluster.command('SET_APPROVAL', { approval: 'ip' });
  cluster.command('APPROVE_SDC', { key: 0, guid: '', host: '10.1.0.4' });
  t.true(cluster.sdc(4).approved);
  t.false(cluster.sdc(5).approved);

  t.is(cluster.refused('RENAME_SDC', { key: one.sdcKey, name: 'host2' }).error, 'SDC_NAME_IN_USE');
  t.is(cluster.refused('RENAME_SDC', { key: 9999, name: 'x' }).error, 'SDC_NOT_FOUND');
  cluster.command('RENAME_SDC', { key: one.sdcKey, name: 'first' });
  t.is(cluster.refused('REMOVE_SDC', { key: one.sdcKey }).error, 'SDC_CONNECTED');
  cluster.close(one.link);
  cluster.command('REMOVE_SDC', { key: one.sdcKey });
  t.is(cluster.refused('REMOVE_SDC', { key: one.sdcKey }).error, 'SDC_NOT_FOUND');
});

test('a client keeps its run while it lives, and no run is ever given twice', (t) => {
  const cluster = new Cluster();
  const first = cluster.sdc(1);
  const again = cluster.sdc(1, first.run);
  t.is(again.sdcKey, first.sdcKey);
  t.is(again.run, first.run);
  t.true(cluster.links.closed.has(first.link));
  const restarted = cluster.sdc(1);
  const runs = [first.run, restarted.run, cluster.sdc(2).run];
  cluster.restart();
  runs.push(cluster.sdc(1).run, cluster.sdc(3).run, cluster.sdc(4, 4_000_000).run);
  t.is(new Set(runs).size, 6);
});

test('users: roles, passwords, the last administrator', (t) => {
  const cluster = new Cluster();
  const secret = { salt: new Uint8Array(16), hash: new Uint8Array(64) };
  const [admin] = cluster.query('user').users;
  const add = (name: string, role: CommandParams['ADD_USER']['role']): number =>
    cluster.command('ADD_USER', { name, role, ...secret }).key;
  const monitor = add('mon', 'monitor');
  add('front', 'frontendConfigure');
  add('back', 'backendConfigure');
  add('conf', 'configure');
  add('sec', 'security');
  const pool = { ...KEEP, key: 9999 };
  const may = (actor: string): string =>
    [
      cluster.refused('REMOVE_VOLUME', { key: 9999, mode: 'onlyMe' }, actor).error ===
      'VOLUME_NOT_FOUND'
        ? 'f'
        : '-',
      cluster.refused('SET_STORAGE_POOL', pool, actor).error === 'POOL_NOT_FOUND' ? 'b' : '-',
      cluster.refused(
        'SET_SYSTEM',
        { name: 'a b', capacityAlertHighPercent: null, capacityAlertCriticalPercent: null },
        actor,
      ).error === 'NAME_INVALID'
        ? 'a'
        : '-',
      cluster.refused('REMOVE_USER', { key: 9999 }, actor).error === 'USER_NOT_FOUND' ? 's' : '-',
    ].join('');
  t.deepEqual(['admin', 'mon', 'front', 'back', 'conf', 'sec', 'nobody', ''].map(may), [
    'fbas',
    '----',
    'f---',
    '-b--',
    'fb--',
    '---s',
    '----',
    '----',
  ]);
  t.is(
    cluster.refused('ADD_USER', { name: 'mon', role: 'monitor', ...secret }).error,
    'USER_EXISTS',
  );
  t.is(
    cluster.refused('ADD_USER', { name: 'x', role: 'monitor', ...secret, salt: new Uint8Array(4) })
      .error,
    'PASSWORD_REJECTED',
  );
  t.is(
    cluster.refused('SET_PASSWORD', { key: monitor, ...secret, hash: new Uint8Array(8) }).error,
    'PASSWORD_REJECTED',
  );
  t.is(
    cluster.refused('SET_PASSWORD', { key: admin?.key ?? 0, ...secret }, 'mon').error,
    'PERMISSION_DENIED',
  );
  cluster.command('SET_PASSWORD', { key: monitor, ...secret }, 'mon');
  cluster.command('SET_PASSWORD', { key: monitor, ...secret }, 'sec');
  t.is(cluster.refused('REMOVE_USER', { key: admin?.key ?? 0 }).error, 'INVALID_PARAMETER');
  t.is(
    cluster.refused('SET_USER_ROLE', { key: admin?.key ?? 0, role: 'monitor' }).error,
    'INVALID_PARAMETER',
  );
  t.is(cluster.refused('SET_USER_ROLE', { key: 9999, role: 'monitor' }).error, 'USER_NOT_FOUND');
  cluster.command('SET_USER_ROLE', { key: monitor, role: 'administrator' });
  cluster.command('SET_USER_ROLE', { key: admin?.key ?? 0, role: 'monitor' });
  cluster.command('REMOVE_USER', { key: admin?.key ?? 0 }, 'mon');
});

test('only programs that manage may command or ask', (t) => {
  const cluster = new Cluster();
  for (const role of ['sds', 'sdsData', 'sdc'] as const) {
    const link = cluster.open(role);
    const tag = cluster.send(link, MSG.QUERY, { type: 'user', keys: [], after: 0 });
    t.is(cluster.refusal(tag)?.error, 'PERMISSION_DENIED');
  }
  const link = cluster.open('sdc');
  const tag = cluster.send(link, MSG.COMB_CHANGE, { poolKey: 1, changes: [] });
  t.is(cluster.refusal(tag)?.error, 'PERMISSION_DENIED');
});
