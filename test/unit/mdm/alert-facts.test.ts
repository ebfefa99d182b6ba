// What alerts are made of: how often a server was lost, copies that cannot catch up, and servers that leave their fault set.

import test from 'ava';

import { isInSync } from '../../../backend/cluster-map/entry.js';
import { GIB } from '../../../backend/core/units.js';
import type { Cluster, TestDevice } from './harness.js';
import { standard } from './harness.js';

function losses(cluster: Cluster, sdsKey: number): number | undefined {
  return cluster.status('sds').statuses.find(({ key }) => key === sdsKey)?.losses;
}

test('losses of a server are counted for ten minutes', (t) => {
  const { cluster, devices } = standard();
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  t.is(losses(cluster, first.sdsKey), 0);
  for (let times = 1; times <= 4; times++) {
    cluster.close(cluster.sds(1));
    cluster.pass(1000);
  }
  t.is(losses(cluster, first.sdsKey), 4);
  cluster.pass(598_500);
  t.is(losses(cluster, first.sdsKey), 1, 'the last of them is not forgotten yet');
  cluster.pass(2000);
  t.is(losses(cluster, first.sdsKey), 0);
});

function stuck(cluster: Cluster): number | undefined {
  return cluster.status('storagePool').pools[0]?.stuckResyncCombs;
}

test('a returned copy whose device is full is stuck, until there is room', (t) => {
  const { cluster, poolKey, devices } = standard({ flapDelayMs: 0 }, 3);
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 2 ** 21, provisioning: 'thin', rmcache: true },
  });
  const beat = (alive: readonly TestDevice[]): void => {
    cluster.pass(2000, () => {
      for (const device of alive) cluster.beat(device, cluster.store.sequence);
    });
  };
  beat(devices);
  const [back, ...others] = devices;
  if (back === undefined) throw new Error('a device');
  cluster.close(back.link);
  beat(others);
  cluster.register(back, { usedBytes: 16 * GIB });
  beat(devices);
  const targets = cluster
    .combs(poolKey)
    .filter(({ members }) => members.some(({ deviceKey }) => deviceKey === back.key));
  t.true(
    targets.every(
      (entry) =>
        !isInSync(
          entry,
          entry.members.findIndex(({ deviceKey }) => deviceKey === back.key),
        ),
    ),
  );
  t.is(stuck(cluster), targets.length);
  cluster.register(back, { usedBytes: 8 * GIB });
  beat(devices);
  t.is(stuck(cluster), 0);
});

test('the servers of a fault set that is cleared are units of their own; not while one is out or goes there', (t) => {
  const { cluster, domainKey, poolKey } = standard({}, 0);
  const { key: set } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'set' });
  const { key: rest } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'rest' });
  const all = [
    ...cluster.addSds(1, domainKey, poolKey, 1, set),
    ...cluster.addSds(2, domainKey, poolKey, 1, set),
    ...cluster.addSds(3, domainKey, poolKey, 1, rest),
  ];
  const [first, , third] = all;
  cluster.pass(2000, () => {
    for (const device of all) cluster.beat(device, cluster.store.sequence);
  });
  const sdsKey = first?.sdsKey ?? 0;
  t.is(cluster.refused('CLEAR_FAULT_SET', { key: 9999 }).error, 'FAULT_SET_NOT_FOUND');
  cluster.command('ENTER_MAINTENANCE', { key: sdsKey, maintenance: 'instant' });
  t.is(cluster.refused('CLEAR_FAULT_SET', { key: set }).error, 'SDS_IN_MAINTENANCE');
  cluster.command('EXIT_MAINTENANCE', { key: sdsKey, abort: false, force: true });
  cluster.pass(3000, () => {
    for (const device of all) cluster.beat(device, cluster.store.sequence);
  });
  cluster.command('MOVE_SDS', {
    ...{ key: third?.sdsKey ?? 0, domainKey, faultSetKey: set, poolKey, devices: [], force: true },
  });
  t.is(cluster.refused('CLEAR_FAULT_SET', { key: set }).error, 'SDS_MOVING');
  cluster.command('ABORT_MOVE_SDS', { key: third?.sdsKey ?? 0 });
  cluster.command('CLEAR_FAULT_SET', { key: set });
  t.deepEqual(
    cluster.query('sds').sds.map(({ faultSetKey }) => faultSetKey),
    [0, 0, rest],
  );
  cluster.command('REMOVE_FAULT_SET', { key: set });
});
