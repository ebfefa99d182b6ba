// Commands on protection domains, fault sets and storage pools: names, limits, every refusal.

import test from 'ava';

import type { CommandParams } from '../../../backend/protocol/generated/types.js';
import { Cluster, poolParams, SECTORS_PER_GIB, standard } from './harness.js';

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

test('names: bounds, forbidden characters, and what clients of the original encode', (t) => {
  const cluster = new Cluster();
  const add = (name: string): string => cluster.refused('ADD_PROTECTION_DOMAIN', { name }).error;
  t.is(add(''), 'NAME_INVALID');
  t.is(add('x'.repeat(32)), 'NAME_TOO_LONG');
  t.is(add('ä'.repeat(16)), 'NAME_TOO_LONG');
  for (const name of ['a b', 'a\tb', 'a\u0000b', 'a\u00a0b', 'a\u200bb', '\u202ea'])
    t.is(add(name), 'NAME_INVALID', JSON.stringify(name));
  for (const name of ['x'.repeat(31), 'ab/+=', 'ä'.repeat(15), 'S0-_.:@'])
    t.notThrows(() => cluster.command('ADD_PROTECTION_DOMAIN', { name }));
});

test('protection domains and fault sets: every refusal, and no change of state by it', (t) => {
  const { cluster, domainKey } = standard();
  const { sequence } = cluster.store;
  t.is(cluster.refused('ADD_PROTECTION_DOMAIN', { name: 'domain' }).error, 'DOMAIN_NAME_IN_USE');
  t.is(cluster.refused('REMOVE_PROTECTION_DOMAIN', { key: 9999 }).error, 'DOMAIN_NOT_FOUND');
  t.is(cluster.refused('REMOVE_PROTECTION_DOMAIN', { key: domainKey }).error, 'DOMAIN_HAS_SDS');
  t.is(
    cluster.refused('RENAME_PROTECTION_DOMAIN', { key: 9999, name: 'x' }).error,
    'DOMAIN_NOT_FOUND',
  );
  t.is(
    cluster.refused('SET_PROTECTION_DOMAIN_ACTIVE', { key: 9999, active: true, force: false })
      .error,
    'DOMAIN_NOT_FOUND',
  );
  t.is(cluster.refused('ADD_FAULT_SET', { domainKey: 9999, name: 'f' }).error, 'DOMAIN_NOT_FOUND');
  t.is(cluster.refused('REMOVE_FAULT_SET', { key: 9999 }).error, 'FAULT_SET_NOT_FOUND');
  t.is(cluster.refused('RENAME_FAULT_SET', { key: 9999, name: 'f' }).error, 'FAULT_SET_NOT_FOUND');
  t.is(cluster.store.sequence, sequence);

  const { key: other } = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'other' });
  t.is(
    cluster.refused('RENAME_PROTECTION_DOMAIN', { key: other, name: 'domain' }).error,
    'DOMAIN_NAME_IN_USE',
  );
  cluster.command('RENAME_PROTECTION_DOMAIN', { key: other, name: 'other' });
  cluster.command('ADD_STORAGE_POOL', poolParams(other));
  t.is(cluster.refused('REMOVE_PROTECTION_DOMAIN', { key: other }).error, 'DOMAIN_HAS_POOLS');
  const { key: bare } = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'bare' });
  const { key: rack } = cluster.command('ADD_FAULT_SET', { domainKey: bare, name: 'rack' });
  t.is(cluster.refused('REMOVE_PROTECTION_DOMAIN', { key: bare }).error, 'DOMAIN_HAS_FAULT_SETS');
  cluster.command('REMOVE_FAULT_SET', { key: rack });
  cluster.command('REMOVE_PROTECTION_DOMAIN', { key: bare });

  const { key: set } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'rack1' });
  t.is(
    cluster.refused('ADD_FAULT_SET', { domainKey, name: 'rack1' }).error,
    'FAULT_SET_NAME_IN_USE',
  );
  const { key: pool } = cluster.command('ADD_STORAGE_POOL', poolParams(domainKey, 'p2'));
  cluster.addSds(9, domainKey, pool, 1, set);
  t.is(cluster.refused('REMOVE_FAULT_SET', { key: set }).error, 'FAULT_SET_HAS_SDS');
  cluster.begin('SET_PROTECTION_DOMAIN_ACTIVE', { key: domainKey, active: false, force: false });
  t.is(cluster.query('protectionDomain', [domainKey]).domains[0]?.active, false);
});

test('storage pools: every refusal', (t) => {
  const { cluster, domainKey, poolKey } = standard();
  const add = (changes: Partial<CommandParams['ADD_STORAGE_POOL']>): string =>
    cluster.refused('ADD_STORAGE_POOL', { ...poolParams(domainKey, 'new'), ...changes }).error;
  t.is(add({ domainKey: 9999 }), 'DOMAIN_NOT_FOUND');
  t.is(add({ name: 'pool' }), 'POOL_NAME_IN_USE');
  t.is(add({ mediaType: 'floppy' }), 'INVALID_PARAMETER');
  t.is(cluster.refused('RENAME_STORAGE_POOL', { key: 9999, name: 'x' }).error, 'POOL_NOT_FOUND');
  t.is(cluster.refused('REMOVE_STORAGE_POOL', { key: 9999 }).error, 'POOL_NOT_FOUND');
  t.is(cluster.refused('REMOVE_STORAGE_POOL', { key: poolKey }).error, 'POOL_HAS_DEVICES');
  const set = (changes: Partial<CommandParams['SET_STORAGE_POOL']>): string =>
    cluster.refused('SET_STORAGE_POOL', { ...KEEP, key: poolKey, ...changes }).error;
  t.is(set({ key: 9999 }), 'POOL_NOT_FOUND');
  t.is(set({ capacityAlertHighPercent: 95 }), 'LIMIT_ILLEGAL');
  t.is(set({ mediaType: 'tape' }), 'INVALID_PARAMETER');
  cluster.command('SET_STORAGE_POOL', {
    ...KEEP,
    key: poolKey,
    durability: 'memory',
    fullPolicy: 'error',
    zeroPadding: false,
  });
  const [pool] = cluster.query('storagePool', [poolKey]).pools;
  t.is(pool?.zeroPadding, false, 'also with devices');
  t.is(pool?.durability, 'memory');
  t.is(pool?.fullPolicy, 'error');
  cluster.command('ADD_VOLUME', volume(poolKey, 'v'));
  t.is(cluster.refused('REMOVE_STORAGE_POOL', { key: poolKey }).error, 'POOL_HAS_VOLUMES');
  // The same name in another domain is another pool.
  const { key: other } = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'other' });
  const { key: twin } = cluster.command('ADD_STORAGE_POOL', poolParams(other));
  cluster.command('REMOVE_STORAGE_POOL', { key: twin });
});

test('limits on numbers of objects are kept', (t) => {
  const cluster = new Cluster();
  for (let number = 0; number < 256; number++)
    cluster.command('ADD_PROTECTION_DOMAIN', { name: `d${number}` });
  const { error, text } = cluster.refused('ADD_PROTECTION_DOMAIN', { name: 'more' });
  t.is(error, 'TOO_MANY');
  t.regex(text, /at most 256 protection domains/);
});

test('a spare below the largest unit is refused with its name unless forced', (t) => {
  const { cluster, domainKey, poolKey } = standard();
  const set = (sparePercent: number, force = false): CommandParams['SET_STORAGE_POOL'] => ({
    ...{ ...KEEP, key: poolKey, sparePercent, force },
  });
  const { error, text } = cluster.refused('SET_STORAGE_POOL', set(33));
  t.is(error, 'SPARE_ILLEGAL');
  t.regex(text, /SDS sds1, the largest fault unit, has \(16 GiB\): at least 34 % are needed/);
  t.is(cluster.query('storagePool', [poolKey]).pools[0]?.sparePercent, 0);
  cluster.command('SET_STORAGE_POOL', set(34));
  cluster.command('SET_STORAGE_POOL', set(10, true));
  t.is(cluster.query('storagePool', [poolKey]).pools[0]?.sparePercent, 10);

  const { key: rack } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'rack1' });
  cluster.addSds(7, domainKey, poolKey, 1, rack);
  cluster.addSds(8, domainKey, poolKey, 1, rack);
  t.regex(cluster.refused('SET_STORAGE_POOL', set(34)).text, /Fault Set rack1.*at least 40 %/);
  cluster.command('SET_STORAGE_POOL', set(40));
});

test('a spare that leaves no room for what volumes hold is refused', (t) => {
  const { cluster, poolKey } = standard();
  const set = (sparePercent: number): CommandParams['SET_STORAGE_POOL'] => ({
    ...{ ...KEEP, key: poolKey, sparePercent },
  });
  cluster.begin('ADD_VOLUME', {
    ...volume(poolKey, 'thick', 14),
    provisioning: 'thick',
    rmcache: true,
  });
  cluster.command('SET_STORAGE_POOL', set(34));
  t.regex(
    cluster.refused('SET_STORAGE_POOL', set(50)).text,
    /50 % would leave 11\.6 GiB for volumes, which hold or reserve 14 GiB/,
  );
});

test('a domain counts as stopped when no device can serve any more, and stays so for who asks again', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard();
  const { key } = cluster.command('ADD_VOLUME', volume(poolKey, 'v'));
  const { sdcKey, link } = cluster.sdc(1);
  cluster.begin('MAP_VOLUME', {
    ...{ volumeKey: key, sdcKey, allowMultiple: false, access: 'readWrite' },
  });
  const stop = (force: boolean): number =>
    cluster.begin('SET_PROTECTION_DOMAIN_ACTIVE', { key: domainKey, active: false, force });
  const outcome = (tag: number): unknown => cluster.outcome('SET_PROTECTION_DOMAIN_ACTIVE', tag);
  const refused = cluster.refused('SET_PROTECTION_DOMAIN_ACTIVE', {
    ...{ key: domainKey, active: false, force: false },
  });
  t.is(refused.error, 'DOMAIN_IN_USE');
  t.regex(refused.text, /v are mapped to SDCs that are connected/);
  t.true(cluster.query('protectionDomain').domains[0]?.active);

  const forced = stop(true);
  t.is(outcome(forced), null);
  cluster.applyAll(devices.slice(1));
  const again = stop(true);
  t.deepEqual([outcome(forced), outcome(again)], [null, null]);
  cluster.applyAll(devices);
  t.deepEqual([outcome(forced), outcome(again)], [{}, {}]);
  cluster.command('SET_PROTECTION_DOMAIN_ACTIVE', { key: domainKey, active: true, force: false });

  // A client that is away is not in the way.
  cluster.close(link);
  const unused = stop(false);
  cluster.applyAll(devices);
  t.deepEqual(outcome(unused), {});
});

test('a domain of which a device cannot be reached is stopped, but that is not certain', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard();
  cluster.command('ADD_VOLUME', volume(poolKey, 'v'));
  const [, ...others] = devices;
  const tag = cluster.begin('SET_PROTECTION_DOMAIN_ACTIVE', {
    ...{ key: domainKey, active: false, force: false },
  });
  // The first device is not heard of for as long as an answer waits, and so are the others after the stop.
  cluster.pass(31_000, () => {
    for (const device of others) cluster.beat(device);
  });
  const outcome = cluster.outcome('SET_PROTECTION_DOMAIN_ACTIVE', tag);
  t.is(outcome !== null && 'error' in outcome ? outcome.error : '', 'PENDING');
});
