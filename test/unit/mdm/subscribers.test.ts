import test from 'ava';

import { ClusterMap } from '../../../backend/cluster-map/cluster-map.js';
import type { MapUpdate } from '../../../backend/cluster-map/cluster-map.js';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import type { CombEntry } from '../../../backend/protocol/generated/types.js';
import { poolParams, SECTORS_PER_GIB, standard } from './harness.js';
import type { Cluster } from './harness.js';

/** The map as a subscriber on this link has it, and how many complete updates it got. */
function mapOf(
  cluster: Cluster,
  link: number,
): { readonly map: ClusterMap; readonly updates: number } {
  let map = ClusterMap.EMPTY;
  let updates = 0;
  let waiting: MapUpdate[] = [];
  for (const part of cluster.messages(link, MSG.MAP_UPDATE)) {
    waiting.push(part);
    if (!part.last) continue;
    map = map.apply(waiting);
    waiting = [];
    updates++;
  }
  return { map, updates };
}

function addVolume(cluster: Cluster, poolKey: number, name: string): number {
  const sizeSectors = SECTORS_PER_GIB;
  return cluster.command('ADD_VOLUME', {
    poolKey,
    name,
    sizeSectors,
    provisioning: 'thin',
    rmcache: true,
  }).key;
}

test('what changes gives the same map as a new registration gets', (t) => {
  const { cluster, poolKey, devices } = standard();
  const [first, second] = devices;
  if (first === undefined || second === undefined) throw new Error('devices');
  const v1 = addVolume(cluster, poolKey, 'v1');
  const v2 = addVolume(cluster, poolKey, 'v2');
  const { sdcKey, link } = cluster.sdc(1);
  for (const volumeKey of [v1, v2])
    cluster.begin('MAP_VOLUME', { volumeKey, sdcKey, allowMultiple: true, access: 'readWrite' });
  cluster.begin('RESIZE_VOLUME', { key: v1, sizeSectors: 2 * SECTORS_PER_GIB });
  cluster.begin('UNMAP_VOLUME', { volumeKey: v2, sdcKeys: [], generation: 0 });
  cluster.begin('REMOVE_VOLUME', { key: v2, mode: 'onlyMe' });
  cluster.pass(2000, () => {
    for (const device of devices.slice(1)) cluster.beat(device);
  });
  cluster.begin('SET_PROTECTION_DOMAIN_ACTIVE', {
    key: cluster.query('protectionDomain').domains[0]?.key ?? 0,
    active: false,
    force: true,
  });

  const isOurs = ({ members }: CombEntry): boolean =>
    members.some(({ deviceKey }) => deviceKey === second.key);
  const content = (of: ClusterMap): unknown => ({
    // Of combs that moved away a device keeps the last entry, which a new registration does not get.
    pools: [...of.pools.values()].map((pool) => [pool.pool, [...pool.known()].filter(isOurs)]),
    devices: [...of.devices.values()],
    volumes: [...of.volumes.values()],
    mappings: [...of.mappings.values()].map((mappings) => [...mappings.values()]),
  });
  const grown = mapOf(cluster, second.link);
  cluster.register(second, { incarnation: 1, dataIncarnation: 0 });
  const fresh = mapOf(cluster, second.link);
  t.deepEqual(content(grown.map), content(fresh.map));
  t.is(fresh.updates, 1);
  t.is(fresh.map.volumes.get(v1)?.epoch, 2);
  t.is(fresh.map.volumes.get(v2), undefined);
  t.is(fresh.map.devices.get(first.key)?.up, false);
  t.is(fresh.map.pools.get(poolKey)?.pool.active, false);
  for (const entry of fresh.map.pools.get(poolKey)?.known() ?? [])
    t.true(entry.members.some(({ deviceKey }) => deviceKey === second.key));

  const client = mapOf(cluster, link).map;
  t.deepEqual([...client.volumes.keys()], [v1]);
  t.is([...(client.pools.get(poolKey)?.known() ?? [])].length, 16);
  t.deepEqual(content(client), content(mapOf(cluster, cluster.sdc(1).link).map));
});

test('a client hears only of volumes that are mapped to it, and a device only of its pool', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard();
  const { key: otherPool } = cluster.command('ADD_STORAGE_POOL', poolParams(domainKey, 'other'));
  cluster.addSds(7, domainKey, otherPool);
  const others = cluster.addSds(8, domainKey, otherPool);
  const mine = addVolume(cluster, poolKey, 'mine');
  addVolume(cluster, otherPool, 'foreign');
  const { sdcKey, link } = cluster.sdc(1);
  t.is(mapOf(cluster, link).map.pools.size, 0);
  const before = mapOf(cluster, others[0]?.link ?? 0).updates;
  cluster.begin('MAP_VOLUME', {
    volumeKey: mine,
    sdcKey,
    allowMultiple: true,
    access: 'readWrite',
  });
  const { map } = mapOf(cluster, link);
  t.deepEqual([...map.pools.keys()], [poolKey]);
  t.deepEqual([...map.volumes.keys()], [mine]);
  t.is(map.devices.size, 3);
  t.is(mapOf(cluster, others[0]?.link ?? 0).updates, before);
  t.is(mapOf(cluster, devices[0]?.link ?? 0).map.mapping(mine, sdcKey)?.generation, 1);
});

test('an SDC that is not approved gets nothing until it is', (t) => {
  const { cluster } = standard();
  cluster.command('SET_APPROVAL', { approval: 'guid' });
  const { sdcKey, link } = cluster.sdc(1);
  cluster.command('APPROVE_SDC', { key: sdcKey, guid: '', host: '' });
  t.is(cluster.messages(link, MSG.MAP_UPDATE).length, 2);
});

test('large maps come in parts that fit into frames, and are whole', (t) => {
  const { cluster, poolKey, devices } = standard({ combCountLog2: 13 });
  for (let number = 0; number < 900; number++)
    cluster.command('ADD_VOLUME', {
      ...{ poolKey, name: `v${number}`, sizeSectors: 8, provisioning: 'thin', rmcache: true },
    });
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  cluster.register(first, { incarnation: 1, dataIncarnation: 0 });
  const { map, updates } = mapOf(cluster, first.link);
  t.is(updates, 1);
  t.true(cluster.messages(first.link, MSG.MAP_UPDATE).length > 1);
  t.is(map.volumes.size, 900);
  const known = [...(map.pools.get(poolKey)?.known() ?? [])].length;
  t.true(Math.abs(known - (2 * 8192) / 3) <= 2, `${known} combs`);
});

test('answers and maps never run ahead of the store', (t) => {
  const { cluster, poolKey, devices } = standard();
  const sent = cluster.links.sent.length;
  const tag = cluster.begin(
    'ADD_VOLUME',
    { ...{ poolKey, name: 'v', sizeSectors: 8, provisioning: 'thin', rmcache: true } },
    'admin',
    false,
  );
  const second = cluster.begin(
    'ADD_VOLUME',
    { ...{ poolKey, name: 'v', sizeSectors: 8, provisioning: 'thin', rmcache: true } },
    'admin',
    false,
  );
  cluster.links.collect();
  t.is(cluster.links.sent.length, sent);
  cluster.settle();
  t.not(cluster.outcome('ADD_VOLUME', tag), null);
  const refused = cluster.outcome('ADD_VOLUME', second);
  t.true(refused !== null && 'error' in refused && refused.error === 'VOLUME_NAME_IN_USE');
  t.is(mapOf(cluster, devices[0]?.link ?? 0).map.sequence, cluster.store.sequence);
});

test('a commit whose outcome is not known ends the master; nothing is answered', (t) => {
  for (const outcome of ['unknown', 'conflict'] as const) {
    const { cluster, poolKey } = standard();
    cluster.store.outcome = outcome;
    const tag = cluster.begin('ADD_VOLUME', {
      ...{ poolKey, name: 'v', sizeSectors: 8, provisioning: 'thin', rmcache: true },
    });
    t.is(cluster.outcome('ADD_VOLUME', tag), null);
    t.regex(cluster.steppedDown, new RegExp(outcome));
    t.is(cluster.mdm.nextDeadlineUs(), Infinity);
  }
});
