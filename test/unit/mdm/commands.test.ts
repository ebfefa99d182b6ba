import test from 'ava';

import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import type { CommandParams } from '../../../backend/protocol/generated/types.js';
import { Cluster, guid, poolParams, SECTORS_PER_GIB, standard } from './harness.js';

const KEEP: Omit<CommandParams['SET_STORAGE_POOL'], 'key'> = {
  ...{ durability: null, fullPolicy: null, zeroPadding: null, checksums: null, rmcache: null },
  ...{ sparePercent: null, capacityAlertHighPercent: null, capacityAlertCriticalPercent: null },
  ...{ mediaType: null, loneReturn: null },
};

function volume(poolKey: number, name: string, gib = 1): CommandParams['ADD_VOLUME'] {
  return { poolKey, name, sizeSectors: gib * SECTORS_PER_GIB, provisioning: 'thin' };
}

function mapping(volumeKey: number, sdcKey: number): CommandParams['MAP_VOLUME'] {
  return { volumeKey, sdcKey, allowMultiple: false, access: 'readWrite' };
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
  t.is(add({ provisioning: 'thick', sizeSectors: 25 * SECTORS_PER_GIB }), 'CAPACITY_EXCEEDED');
  t.is(add({ sizeSectors: 240 * SECTORS_PER_GIB }), 'CAPACITY_EXCEEDED');
  const { text } = cluster.refused('ADD_VOLUME', volume(poolKey, 'big', 500));
  t.regex(text, /500 GiB requested, .* can still be allocated/);
  cluster.command('ADD_VOLUME', { ...volume(poolKey, 'thick', 20), provisioning: 'thick' });
  t.is(add({ provisioning: 'thick', sizeSectors: 5 * SECTORS_PER_GIB }), 'CAPACITY_EXCEEDED');
  cluster.command('ADD_VOLUME', volume(poolKey, 'thin', 200));

  t.is(cluster.refused('RENAME_VOLUME', { key: 9999, name: 'x' }).error, 'VOLUME_NOT_FOUND');
  t.is(cluster.refused('RENAME_VOLUME', { key, name: 'thin' }).error, 'VOLUME_NAME_IN_USE');
  cluster.command('RENAME_VOLUME', { key, name: 'v1' });
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
  t.is(cluster.refused('REMOVE_VOLUME', { key }).error, 'VOLUME_MAPPED');
  apply(map);
  t.is(cluster.refused('REMOVE_VOLUME', { key: 9999 }).error, 'VOLUME_NOT_FOUND');
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
  t.is(cluster.refused('ADD_VOLUME', volume(poolKey, 'v')).error, 'POOL_TOO_SMALL');
  const { key: set } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'rack' });
  cluster.addSds(1, domainKey, poolKey, 2, set);
  cluster.addSds(2, domainKey, poolKey, 1, set);
  t.is(cluster.refused('ADD_VOLUME', volume(poolKey, 'v')).error, 'POOL_TOO_SMALL');
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
  const limits = { volumeKey: key, iopsLimit: 100, bandwidthLimitKbps: null };
  t.is(
    cluster.refused('SET_MAPPING_LIMITS', { ...limits, sdcKey: two.sdcKey }).error,
    'VOLUME_NOT_MAPPED',
  );
  cluster.command('SET_MAPPING_LIMITS', { ...limits, sdcKey: one.sdcKey });
  t.is(cluster.query('mapping').mappings[0]?.iopsLimit, 100);
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

test('SDSs: every refusal', (t) => {
  const { cluster, domainKey, poolKey } = standard();
  const address = { host: '10.0.0.9', role: 'all' as const };
  const params = {
    domainKey,
    faultSetKey: 0,
    name: 'sds9',
    addresses: [address],
    port: 0,
    devices: [],
  };
  const add = (changes: Partial<CommandParams['ADD_SDS']>): string =>
    cluster.refused('ADD_SDS', { ...params, ...changes }).error;
  t.is(add({}), 'SDS_NOT_CONNECTED');
  cluster.sds(9);
  t.is(add({ port: 7099 }), 'SDS_NOT_CONNECTED');
  t.is(add({ domainKey: 9999 }), 'DOMAIN_NOT_FOUND');
  t.is(add({ faultSetKey: 9999 }), 'FAULT_SET_NOT_FOUND');
  t.is(add({ name: 'sds1' }), 'SDS_NAME_IN_USE');
  t.is(add({ addresses: [{ host: '10.0.0.1', role: 'all' }] }), 'SDS_ADDRESS_IN_USE');
  t.is(add({ addresses: [address, { host: '10.0.0.1', role: 'all' }] }), 'SDS_ADDRESS_IN_USE');
  t.is(add({ addresses: [{ host: 'name', role: 'all' }] }), 'INVALID_PARAMETER');
  t.is(add({ addresses: [address, address] }), 'INVALID_PARAMETER');
  t.is(add({ addresses: [{ ...address, role: 'sdcOnly' }] }), 'INVALID_PARAMETER');
  t.is(add({ addresses: [{ ...address, role: 'sdsOnly' }] }), 'INVALID_PARAMETER');
  const device = { poolKey, path: '/dev/sdb', name: '', force: false };
  t.is(add({ devices: [{ ...device, poolKey: 9999 }] }), 'POOL_NOT_FOUND');
  t.is(add({ devices: [{ ...device, path: 'sdb' }] }), 'INVALID_PARAMETER');
  t.is(add({ devices: [device, device] }), 'DEVICE_IN_USE');
  t.is(
    add({
      devices: [
        { ...device, name: 'x' },
        { ...device, path: '/dev/sdc', name: 'x' },
      ],
    }),
    'INVALID_PARAMETER',
  );
  const { key: other } = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'other' });
  t.is(add({ domainKey: other, devices: [device] }), 'INVALID_PARAMETER');
  t.is(cluster.query('sds').sds.length, 3);
  const { key } = cluster.command('ADD_SDS', params);

  t.is(cluster.refused('RENAME_SDS', { key, name: 'sds1' }).error, 'SDS_NAME_IN_USE');
  t.is(cluster.refused('RENAME_SDS', { key: 9999, name: 'x' }).error, 'SDS_NOT_FOUND');
  t.is(
    cluster.refused('ADD_SDS_ADDRESS', { key, address: { host: '10.0.0.1', role: 'all' } }).error,
    'SDS_ADDRESS_IN_USE',
  );
  t.is(cluster.refused('REMOVE_SDS_ADDRESS', { key, host: '10.0.0.8' }).error, 'NOT_FOUND');
  t.is(cluster.refused('REMOVE_SDS_ADDRESS', { key, host: '10.0.0.9' }).error, 'INVALID_PARAMETER');
  t.is(
    cluster.refused('SET_SDS_ADDRESS_ROLE', { key, address: { ...address, role: 'sdcOnly' } })
      .error,
    'INVALID_PARAMETER',
  );
  t.is(
    cluster.refused('SET_SDS_ADDRESS_ROLE', { key, address: { ...address, host: '10.0.0.8' } })
      .error,
    'NOT_FOUND',
  );
  cluster.command('ADD_SDS_ADDRESS', { key, address: { host: '10.0.1.9', role: 'sdsOnly' } });
  cluster.command('SET_SDS_ADDRESS_ROLE', { key, address: { ...address, role: 'sdcOnly' } });
  for (let number = 2; number < 8; number++)
    cluster.command('ADD_SDS_ADDRESS', { key, address: { host: `10.0.${number}.9`, role: 'all' } });
  t.is(
    cluster.refused('ADD_SDS_ADDRESS', { key, address: { host: '10.0.8.9', role: 'all' } }).error,
    'TOO_MANY',
  );
});

test('devices: every refusal; an SDS goes only when nothing loses its second copy', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard();
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  const spec = { poolKey, path: '/dev/d9', name: '', force: false };
  const { sdsKey } = first;
  t.is(cluster.refused('ADD_DEVICE', { sdsKey: 9999, device: spec }).error, 'SDS_NOT_FOUND');
  t.is(
    cluster.refused('ADD_DEVICE', { sdsKey, device: { ...spec, path: '/dev/d0' } }).error,
    'DEVICE_IN_USE',
  );
  t.is(cluster.refused('REMOVE_DEVICE', { key: 9999, force: false }).error, 'DEVICE_NOT_FOUND');
  t.is(cluster.refused('CLEAR_DEVICE_ERROR', { key: 9999 }).error, 'DEVICE_NOT_FOUND');
  t.is(cluster.refused('REMOVE_SDS', { key: 9999, force: false }).error, 'SDS_NOT_FOUND');
  const { key } = cluster.command('ADD_VOLUME', volume(poolKey, 'v'));
  for (const force of [false, true]) {
    t.is(cluster.refused('REMOVE_DEVICE', { key: first.key, force }).error, 'SDS_HAS_DATA');
    const { error, text } = cluster.refused('REMOVE_SDS', { key: sdsKey, force });
    t.is(error, 'SDS_HAS_DATA');
    t.regex(text, /\/dev\/d0/);
  }
  t.is(cluster.query('device').devices.length, 3);
  const removal = cluster.begin('REMOVE_VOLUME', { key });
  cluster.applyAll(devices);
  t.deepEqual(cluster.outcome('REMOVE_VOLUME', removal), {});
  cluster.command('REMOVE_SDS', { key: sdsKey, force: false });
  t.is(cluster.query('device').devices.length, 2);
  for (const { members } of cluster.combs(poolKey))
    t.false(members.some(({ deviceKey }) => deviceKey === first.key));
  // Its process is told to stop what it runs, and may be added again.
  const link = 2;
  t.deepEqual(cluster.messages(link, MSG.DEVICE_WANTS).at(-1)?.wants, []);
  const params = { domainKey, faultSetKey: 0, name: 'sds1', port: 0, devices: [] };
  cluster.command('ADD_SDS', { ...params, addresses: [{ host: '10.0.0.1', role: 'all' }] });
});

test('an SDS that is not connected is removed only by force', (t) => {
  const { cluster, devices } = standard();
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  cluster.close(2);
  t.is(
    cluster.refused('REMOVE_SDS', { key: first.sdsKey, force: false }).error,
    'SDS_NOT_CONNECTED',
  );
  t.is(
    cluster.refused('ADD_DEVICE', {
      sdsKey: first.sdsKey,
      device: { poolKey: 1, path: '/x', name: '', force: false },
    }).error,
    'SDS_NOT_CONNECTED',
  );
  cluster.command('REMOVE_SDS', { key: first.sdsKey, force: true });
});

test('adding an SDS fails as a whole, with the reason of the device', (t) => {
  const { cluster, domainKey, poolKey } = standard();
  const { combPages: before } = cluster.query('combPage', [poolKey]);
  for (const [status, expected, text] of [
    [ERR.DEVICE_FOREIGN, 'DEVICE_FOREIGN', /The device carries foreign data: ext4 file system/],
    [ERR.DEVICE_TOO_SMALL, 'DEVICE_TOO_SMALL', /too small/],
    [ERR.DEVICE_OPEN_FAILED, 'DEVICE_OPEN_FAILED', /could not be opened/],
    [ERR.DEVICE_IO_FAILED, 'DEVICE_IO_FAILED', /failed its test/],
  ] as const) {
    const link = cluster.sds(9);
    const device = (path: string): CommandParams['ADD_SDS']['devices'][number] => {
      return { poolKey, path, name: '', force: false };
    };
    const tag = cluster.begin('ADD_SDS', {
      ...{ domainKey, faultSetKey: 0, name: 'sds9', port: 0 },
      addresses: [{ host: '10.0.0.9', role: 'all' }],
      devices: [device('/dev/d0'), device('/dev/d1')],
    });
    t.is(cluster.outcome('ADD_SDS', tag), null);
    const wants = cluster.messages(link, MSG.DEVICE_WANTS).at(-1);
    const [one, two] = wants?.wants ?? [];
    if (one === undefined || two === undefined || wants === undefined) throw new Error('two wants');
    // The first device comes up, the second is refused.
    const result = { deviceKey: one.deviceKey, task: 'format' as const, path: one.path };
    cluster.send(link, MSG.DEVICE_RESULT, {
      ...result,
      status: 0,
      reason: '',
      capacityBytes: 2 ** 34,
    });
    cluster.register({
      key: one.deviceKey,
      sdsKey: wants.sdsKey,
      link: -1,
      incarnation: 0,
      progress: 0,
    });
    cluster.send(link, MSG.DEVICE_RESULT, {
      ...{
        ...result,
        deviceKey: two.deviceKey,
        status,
        reason: 'ext4 file system',
        capacityBytes: 0,
      },
    });
    const outcome = cluster.outcome('ADD_SDS', tag);
    t.true(outcome !== null && 'error' in outcome && outcome.error === expected);
    t.regex(outcome !== null && 'text' in outcome ? outcome.text : '', text);
    t.is(cluster.query('sds').sds.length, 3);
    t.is(cluster.query('device').devices.length, 3);
    t.deepEqual(cluster.messages(link, MSG.DEVICE_WANTS).at(-1)?.wants, []);
    cluster.close(link);
  }
  const members = (pages: typeof before): number[] => {
    const entries = pages.flatMap(({ combs }) => combs);
    const keys = entries.flatMap((entry) => entry.members.map(({ deviceKey }) => deviceKey));
    return [...new Set(keys)].sort((one, other) => one - other);
  };
  t.deepEqual(members(cluster.query('combPage', [poolKey]).combPages), members(before));
});

test('adding a device that never comes up ends with a reason, and leaves nothing', (t) => {
  const { cluster, devices } = standard();
  const [first] = devices;
  const poolKey = cluster.query('storagePool').pools[0]?.key ?? 0;
  const device = { poolKey, path: '/dev/d9', name: 'late', force: false };
  const tag = cluster.begin('ADD_DEVICE', { sdsKey: first?.sdsKey ?? 0, device });
  cluster.pass(59_000, () => {
    cluster.applyAll(devices);
  });
  t.is(cluster.outcome('ADD_DEVICE', tag), null);
  cluster.pass(2000, () => {
    cluster.applyAll(devices);
  });
  const outcome = cluster.outcome('ADD_DEVICE', tag);
  t.true(outcome !== null && 'error' in outcome && outcome.error === 'DEVICE_OPEN_FAILED');
  t.is(cluster.query('device').devices.length, 3);
});

test('a device that was being added when the MDM was killed comes up, or goes, after the restart', (t) => {
  const { cluster, devices } = standard();
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  const poolKey = cluster.query('storagePool').pools[0]?.key ?? 0;
  const add = (path: string): void => {
    cluster.begin('ADD_DEVICE', {
      sdsKey: first.sdsKey,
      device: { poolKey, path, name: '', force: false },
    });
  };
  add('/dev/good');
  add('/dev/bad');
  cluster.restart();
  const link = cluster.sds(1);
  const wants = cluster.messages(link, MSG.DEVICE_WANTS).at(-1)?.wants ?? [];
  t.deepEqual(
    wants.map(({ task }) => task),
    ['open', 'format', 'format'],
  );
  const [, good, bad] = wants;
  if (good === undefined || bad === undefined) throw new Error('three wants');
  const result = { task: 'format' as const, path: '', capacityBytes: 0 };
  cluster.send(link, MSG.DEVICE_RESULT, {
    ...result,
    deviceKey: bad.deviceKey,
    status: ERR.DEVICE_FOREIGN,
    reason: 'xfs',
  });
  cluster.send(link, MSG.DEVICE_RESULT, {
    ...result,
    deviceKey: good.deviceKey,
    status: 0,
    reason: '',
    capacityBytes: 2 ** 34,
  });
  t.is(cluster.messages(link, MSG.DEVICE_WANTS).at(-1)?.wants[1]?.task, 'open');
  cluster.register({
    key: good.deviceKey,
    sdsKey: first.sdsKey,
    link: -1,
    incarnation: 0,
    progress: 0,
  });
  const states = cluster.query('device').devices.map(({ key, state }) => `${key} ${state}`);
  t.true(states.includes(`${good.deviceKey} up`));
  t.false(states.some((state) => state.startsWith(`${bad.deviceKey} `)));
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
      cluster.refused('REMOVE_VOLUME', { key: 9999 }, actor).error === 'VOLUME_NOT_FOUND'
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

test('limits on numbers of objects are kept', (t) => {
  const cluster = new Cluster();
  for (let number = 0; number < 256; number++)
    cluster.command('ADD_PROTECTION_DOMAIN', { name: `d${number}` });
  const { error, text } = cluster.refused('ADD_PROTECTION_DOMAIN', { name: 'more' });
  t.is(error, 'TOO_MANY');
  t.regex(text, /at most 256 protection domains/);
});
