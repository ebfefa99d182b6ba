// How many combs a pool has: more with every device while nothing lies in it, and never another number once something does.

import test from 'ava';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import { GIB, SECTORS_PER_GIB, standard } from './harness.js';
import type { Cluster } from './harness.js';

const GROWING = { combCountLog2: 2, combsPerPair: 8 };

function addVolume(cluster: Cluster, poolKey: number): number {
  const params = {
    poolKey,
    name: 'v',
    sizeSectors: SECTORS_PER_GIB,
    provisioning: 'thin',
    rmcache: true,
  } as const;
  return cluster.command('ADD_VOLUME', params).key;
}

test('a pool without volumes gets combs for each two of its devices, and all devices are told', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard(GROWING, 2);
  t.is(cluster.combs(poolKey).length, 8);
  const before = cluster.combs(poolKey).map(({ generation }) => generation.number);
  const added = cluster.addSds(3, domainKey, poolKey);
  const combs = cluster.combs(poolKey);
  t.is(combs.length, 32);
  const pool = cluster.query('storagePool').pools.find(({ key }) => key === poolKey);
  t.is(pool?.combCountLog2, 5);
  for (const { index, members, inSyncMask, generation } of combs) {
    t.is(new Set(members.map(({ deviceKey }) => deviceKey)).size, 2);
    t.is(inSyncMask, 3);
    // Whoever knows the comb of before takes the one of now for newer.
    t.true(generation.number > (before[index] ?? 0));
  }
  for (const { key, link } of [...devices, ...added]) {
    const told = new Map<number, number>();
    for (const update of cluster.messages(link, MSG.MAP_UPDATE))
      for (const list of update.combs)
        for (const { index, generation } of list.combs) told.set(index, generation.number);
    for (const { index, members, generation } of combs)
      if (members.some(({ deviceKey }) => deviceKey === key))
        t.is(told.get(index), generation.number);
  }
});

test('a pool with a volume keeps its combs, also while a removed one is being freed', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard(GROWING, 2);
  const key = addVolume(cluster, poolKey);
  const third = cluster.addSds(3, domainKey, poolKey);
  t.is(cluster.combs(poolKey).length, 8);
  const removal = cluster.begin('REMOVE_VOLUME', { key, mode: 'onlyMe' });
  cluster.applyAll([...devices, ...third]);
  t.deepEqual(cluster.outcome('REMOVE_VOLUME', removal), { removed: 1 });
  cluster.addSds(4, domainKey, poolKey);
  t.is(cluster.combs(poolKey).length, 8);
});

test('no pool has more combs than its smallest device keeps entries of', (t) => {
  const many = (gibs: readonly number[]): number => {
    const { cluster, domainKey, poolKey } = standard({ combCountLog2: 2, combsPerPair: 8192 }, 0);
    gibs.forEach((gib, index) => cluster.addSds(index + 1, domainKey, poolKey, 1, 0, gib * GIB));
    return 2 ** (cluster.query('storagePool').pools[0]?.combCountLog2 ?? 0);
  };
  // Three times 8,192 would make 32,768; a device keeps one for each MiB, and 8,192 at least.
  t.is(many([64, 64, 64]), 32768);
  t.is(many([64, 20, 64]), 16384);
  t.is(many([4, 4, 4]), 8192);
});
