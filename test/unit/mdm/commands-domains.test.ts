// Commands on protection domains, fault sets and storage pools: names, limits, every refusal.

import test from 'ava';

import type { CommandParams } from '../../../backend/protocol/generated/types.js';
import { Cluster, poolParams, SECTORS_PER_GIB, standard } from './harness.js';

const KEEP: Omit<CommandParams['SET_STORAGE_POOL'], 'key'> = {
  ...{ durability: null, fullPolicy: null, zeroPadding: null, checksums: null, rmcache: null },
  ...{ sparePercent: null, capacityAlertHighPercent: null, capacityAlertCriticalPercent: null },
  ...{ mediaType: null, loneReturn: null },
};

function volume(poolKey: number, name: string, gib = 1): CommandParams['ADD_VOLUME'] {
  return { poolKey, name, sizeSectors: gib * SECTORS_PER_GIB, provisioning: 'thin' };
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
    cluster.refused('SET_PROTECTION_DOMAIN_ACTIVE', { key: 9999, active: true }).error,
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

  const { key: set } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'rack1' });
  t.is(
    cluster.refused('ADD_FAULT_SET', { domainKey, name: 'rack1' }).error,
    'FAULT_SET_NAME_IN_USE',
  );
  const { key: pool } = cluster.command('ADD_STORAGE_POOL', poolParams(domainKey, 'p2'));
  cluster.addSds(9, domainKey, pool, 1, set);
  t.is(cluster.refused('REMOVE_FAULT_SET', { key: set }).error, 'FAULT_SET_HAS_SDS');
  cluster.command('SET_PROTECTION_DOMAIN_ACTIVE', { key: domainKey, active: false });
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
  t.is(set({ zeroPadding: false }), 'ZERO_PADDING_LOCKED');
  t.is(set({ capacityAlertHighPercent: 95 }), 'LIMIT_ILLEGAL');
  t.is(set({ mediaType: 'tape' }), 'INVALID_PARAMETER');
  cluster.command('SET_STORAGE_POOL', {
    ...KEEP,
    key: poolKey,
    durability: 'memory',
    fullPolicy: 'error',
  });
  const [pool] = cluster.query('storagePool', [poolKey]).pools;
  t.is(pool?.durability, 'memory');
  t.is(pool?.fullPolicy, 'error');
  t.is(pool?.zeroPadding, true);
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
