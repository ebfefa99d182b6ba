// Commands on volumes and mappings: names, sizes, capacity, every refusal, and generations that never come back.

import test from 'ava';

import type { CommandParams } from '../../../backend/protocol/generated/types.js';
import { Cluster, poolParams, SECTORS_PER_GIB, standard } from './harness.js';

function volume(poolKey: number, name: string, gib = 1): CommandParams['ADD_VOLUME'] {
  return { poolKey, name, sizeSectors: gib * SECTORS_PER_GIB, provisioning: 'thin', rmcache: true };
}

function mapping(volumeKey: number, sdcKey: number): CommandParams['MAP_VOLUME'] {
  return { volumeKey, sdcKey, allowMultiple: false, access: 'readWrite' };
}

test('volumes: names, sizes, capacity, removal and growth', (t) => {
  const { cluster, poolKey, devices } = standard();
  const apply = (tag: number): void => {
    cluster.applyAll(devices);
    t.truthy(tag);
  };
  const add = (changes: Partial<CommandParams['ADD_VOLUME']>): string =>
    cluster.refused('ADD_VOLUME', { ...volume(poolKey, 'new'), ...changes }).error;
  const { key } = cluster.command('ADD_VOLUME', volume(poolKey, 'v1'));
  t.is(add({ name: 'v1' }), 'VOLUME_NAME_IN_USE');
  t.is(add({ poolKey: 9999 }), 'POOL_NOT_FOUND');
  t.is(add({ sizeSectors: 7 }), 'VOLUME_SIZE_ILLEGAL');
  t.is(add({ name: 'a b' }), 'NAME_INVALID');
  // 3 x 16 GiB, mirrored: about 24 GiB net, ten times that for thin volumes.
  t.is(
    add({ provisioning: 'thick', rmcache: true, sizeSectors: 25 * SECTORS_PER_GIB }),
    'CAPACITY_EXCEEDED',
  );
  t.is(add({ sizeSectors: 240 * SECTORS_PER_GIB }), 'CAPACITY_EXCEEDED');
  const { text } = cluster.refused('ADD_VOLUME', volume(poolKey, 'big', 500));
  t.regex(text, /500 GiB requested, .* can still be allocated/);
  cluster.command('ADD_VOLUME', {
    ...volume(poolKey, 'thick', 20),
    provisioning: 'thick',
    rmcache: true,
  });
  t.is(
    add({ provisioning: 'thick', rmcache: true, sizeSectors: 5 * SECTORS_PER_GIB }),
    'CAPACITY_EXCEEDED',
  );
  cluster.command('ADD_VOLUME', volume(poolKey, 'thin', 200));

  t.is(cluster.refused('RENAME_VOLUME', { key: 9999, name: 'x' }).error, 'VOLUME_NOT_FOUND');
  t.is(cluster.refused('RENAME_VOLUME', { key, name: 'thin' }).error, 'VOLUME_NAME_IN_USE');
  cluster.command('RENAME_VOLUME', { key, name: 'v1' });
  const choice = { key: 9999, fullPolicy: 'error' } as const;
  t.is(cluster.refused('SET_VOLUME_FULL_POLICY', choice).error, 'VOLUME_NOT_FOUND');
  t.is(cluster.query('volume', [key]).volumes[0]?.fullPolicy, 'pool');
  cluster.command('SET_VOLUME_FULL_POLICY', { ...choice, key });
  t.is(cluster.query('volume', [key]).volumes[0]?.fullPolicy, 'error');
  const resize = (sizeSectors: number, of = key): string =>
    cluster.refused('RESIZE_VOLUME', { key: of, sizeSectors }).error;
  t.is(resize(8, 9999), 'VOLUME_NOT_FOUND');
  t.is(resize(SECTORS_PER_GIB - 8), 'VOLUME_SHRINK');
  t.is(resize(SECTORS_PER_GIB + 4), 'VOLUME_SIZE_ILLEGAL');
  t.is(resize(100 * SECTORS_PER_GIB), 'CAPACITY_EXCEEDED');
  const tag = cluster.begin('RESIZE_VOLUME', { key, sizeSectors: 2 * SECTORS_PER_GIB });
  t.is(cluster.outcome('RESIZE_VOLUME', tag), null);
  apply(tag);
  t.deepEqual(cluster.outcome('RESIZE_VOLUME', tag), {});
  t.is(cluster.query('volume', [key]).volumes[0]?.epoch, 2);

  const { sdcKey } = cluster.sdc(1);
  const map = cluster.begin('MAP_VOLUME', mapping(key, sdcKey));
  t.is(cluster.refused('REMOVE_VOLUME', { key, mode: 'onlyMe' }).error, 'VOLUME_MAPPED');
  apply(map);
  t.is(cluster.refused('REMOVE_VOLUME', { key: 9999, mode: 'onlyMe' }).error, 'VOLUME_NOT_FOUND');
});

test('a volume without a name gets one that nobody has', (t) => {
  const { cluster, poolKey } = standard();
  const { key } = cluster.command('ADD_VOLUME', volume(poolKey, ''));
  const name = `volume-${(key + 2).toString(16).padStart(8, '0')}`;
  cluster.command('ADD_VOLUME', volume(poolKey, name));
  const { key: third } = cluster.command('ADD_VOLUME', volume(poolKey, ''));
  t.is(cluster.query('volume', [third]).volumes[0]?.name, `${name}-2`);
});

test('a pool without two places for data takes no volume', (t) => {
  const cluster = new Cluster();
  const { key: domainKey } = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'd' });
  const { key: poolKey } = cluster.command('ADD_STORAGE_POOL', poolParams(domainKey));
  const refused = (): string => {
    const { error, text } = cluster.refused('ADD_VOLUME', volume(poolKey, 'v'));
    t.is(error, 'POOL_TOO_SMALL');
    return text;
  };
  t.regex(refused(), /it has no device that works/);
  const { key: set } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'rack' });
  cluster.addSds(1, domainKey, poolKey, 2, set);
  cluster.addSds(2, domainKey, poolKey, 1, set);
  t.regex(refused(), /all of its devices lie in Fault Set rack/);
  cluster.addSds(3, domainKey, poolKey);
  cluster.command('ADD_VOLUME', volume(poolKey, 'v'));
  // Never both copies in one fault set: the third SDS has a copy of everything.
  const [third] = cluster.query('device').devices.slice(-1);
  for (const { members } of cluster.combs(poolKey))
    t.true(members.some(({ deviceKey }) => deviceKey === third?.key));
});

test('mappings: every refusal, generations never come back', (t) => {
  const { cluster, poolKey, devices } = standard();
  const { key } = cluster.command('ADD_VOLUME', volume(poolKey, 'v'));
  const one = cluster.sdc(1);
  const two = cluster.sdc(2);
  const map = (sdcKey: number): number => {
    const tag = cluster.begin('MAP_VOLUME', mapping(key, sdcKey));
    cluster.applyAll(devices);
    cluster.pass(5100, () => {
      cluster.applyAll(devices);
    });
    const outcome = cluster.outcome('MAP_VOLUME', tag);
    if (outcome === null || 'error' in outcome) throw new Error('mapped');
    return outcome.generation;
  };
  t.is(cluster.refused('MAP_VOLUME', mapping(9999, one.sdcKey)).error, 'VOLUME_NOT_FOUND');
  t.is(cluster.refused('MAP_VOLUME', mapping(key, 9999)).error, 'SDC_NOT_FOUND');
  t.is(map(one.sdcKey), 1);
  t.is(cluster.refused('MAP_VOLUME', mapping(key, one.sdcKey)).error, 'VOLUME_ALREADY_MAPPED');
  t.is(cluster.refused('MAP_VOLUME', mapping(key, two.sdcKey)).error, 'ONLY_ONE_MAPPING');
  const kept = { bandwidthLimitKbps: null, iopsPerGib: null };
  const limits = { volumeKey: key, iopsLimit: 100, kbpsPerGib: 256, ...kept };
  t.is(
    cluster.refused('SET_MAPPING_LIMITS', { ...limits, sdcKey: two.sdcKey }).error,
    'VOLUME_NOT_MAPPED',
  );
  cluster.command('SET_MAPPING_LIMITS', { ...limits, sdcKey: one.sdcKey });
  t.like(cluster.query('mapping').mappings[0], { iopsLimit: 100, kbpsPerGib: 256, iopsPerGib: 0 });
  const unmap = cluster.begin('UNMAP_VOLUME', {
    volumeKey: key,
    sdcKeys: [one.sdcKey],
    generation: 0,
  });
  cluster.applyAll(devices);
  t.deepEqual(cluster.outcome('UNMAP_VOLUME', unmap), {});
  t.is(map(one.sdcKey), 2);
  const stale = { volumeKey: key, sdcKeys: [one.sdcKey], generation: 1 };
  t.is(cluster.refused('UNMAP_VOLUME', stale).error, 'VOLUME_NOT_MAPPED');
  t.is(cluster.refused('UNMAP_VOLUME', { ...stale, volumeKey: 9999 }).error, 'VOLUME_NOT_FOUND');
  t.is(cluster.refused('UNMAP_VOLUME', { ...stale, sdcKeys: [9999] }).error, 'SDC_NOT_FOUND');
  t.is(cluster.refused('REMOVE_SDC', { key: one.sdcKey }).error, 'SDC_HAS_MAPPINGS');
});
