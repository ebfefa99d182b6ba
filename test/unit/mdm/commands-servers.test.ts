// Commands on SDSs and devices: every refusal, and additions that fail half way.

import test from 'ava';

import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import type { CommandParams } from '../../../backend/protocol/generated/types.js';
import { SECTORS_PER_GIB, standard } from './harness.js';

function volume(poolKey: number, name: string, gib = 1): CommandParams['ADD_VOLUME'] {
  return { poolKey, name, sizeSectors: gib * SECTORS_PER_GIB, provisioning: 'thin', rmcache: true };
}

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
    forceClean: false,
    cacheEnabled: true,
    cacheMiB: 0,
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
  const { cluster, domainKey, poolKey, devices } = standard({ movesMax: 0 });
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
  const removal = cluster.begin('REMOVE_VOLUME', { key, mode: 'onlyMe' });
  cluster.applyAll(devices);
  t.deepEqual(cluster.outcome('REMOVE_VOLUME', removal), { removed: 1 });
  cluster.command('REMOVE_SDS', { key: sdsKey, force: false });
  t.is(cluster.query('device').devices.length, 2);
  for (const { members } of cluster.combs(poolKey))
    t.false(members.some(({ deviceKey }) => deviceKey === first.key));
  // Its process is told to stop what it runs, and may be added again.
  const link = 2;
  t.deepEqual(cluster.messages(link, MSG.DEVICE_WANTS).at(-1)?.wants, []);
  const params = {
    domainKey,
    faultSetKey: 0,
    name: 'sds1',
    port: 0,
    devices: [],
    forceClean: false,
    cacheEnabled: true,
    cacheMiB: 0,
  };
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
      ...{
        domainKey,
        faultSetKey: 0,
        name: 'sds9',
        port: 0,
        forceClean: false,
        cacheEnabled: true,
        cacheMiB: 0,
      },
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
      mediaFound: '',
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
      mediaFound: '',
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

test('adding a device whose data process ends again and again says so at last', (t) => {
  const { cluster, devices } = standard();
  const [first] = devices;
  const poolKey = cluster.query('storagePool').pools[0]?.key ?? 0;
  const device = { poolKey, path: '/dev/d9', name: 'killed', force: false };
  const tag = cluster.begin('ADD_DEVICE', { sdsKey: first?.sdsKey ?? 0, device });
  const wants = cluster.messages(cluster.sds(1), MSG.DEVICE_WANTS).at(-1)?.wants ?? [];
  const deviceKey = wants.at(-1)?.deviceKey ?? 0;
  cluster.pass(61_000, () => {
    cluster.applyAll(devices);
    cluster.send(cluster.sds(1), MSG.DEVICE_RESULT, {
      mediaFound: '',
      ...{ deviceKey, task: 'open', status: ERR.NOT_READY, path: '', capacityBytes: 0 },
      reason: 'the data process ended (137)',
    });
  });
  const outcome = cluster.outcome('ADD_DEVICE', tag);
  t.true(outcome !== null && 'error' in outcome && outcome.error === 'DEVICE_OPEN_FAILED');
  t.regex(outcome !== null && 'text' in outcome ? outcome.text : '', /data process ended \(137\)/);
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
    mediaFound: '',
    ...result,
    deviceKey: bad.deviceKey,
    status: ERR.DEVICE_FOREIGN,
    reason: 'xfs',
  });
  cluster.send(link, MSG.DEVICE_RESULT, {
    mediaFound: '',
    ...result,
    deviceKey: good.deviceKey,
    status: 0,
    reason: '',
    capacityBytes: 2 ** 34,
  });
  t.is(cluster.messages(link, MSG.DEVICE_WANTS).at(-1)?.wants[1]?.task, 'open');
  // Its data process is killed, and started again by its SDS.
  const killed = { status: ERR.NOT_READY, reason: 'the data process ended (137)' };
  cluster.send(link, MSG.DEVICE_RESULT, {
    mediaFound: '',
    ...{ ...result, ...killed, task: 'open', deviceKey: good.deviceKey },
  });
  const [left] = cluster.query('device', [good.deviceKey]).devices;
  t.is(left?.state, 'adding');
  t.is(left?.failure, killed.reason);
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

test('a device that cannot keep an entry of every comb of its pool is refused', (t) => {
  const { cluster, domainKey } = standard();
  const { key } = cluster.command('ADD_STORAGE_POOL', {
    ...{ domainKey, name: 'many', durability: 'media', zeroPadding: true, checksums: true },
    ...{
      rmcache: false,
      cacheWrites: 'cached' as const,
      sparePercent: 10,
      mediaType: 'HDD',
      combCountLog2: 14,
    },
  });
  const GIB = 2 ** 30;
  const error = t.throws(() => cluster.addSds(8, domainKey, key, 1, 0, 15 * GIB));
  t.regex(error.message, /DEVICE_TOO_SMALL/);
  t.is(cluster.query('sds').sds.length, 3);
  t.is(cluster.addSds(9, domainKey, key, 1, 0, 16 * GIB).length, 1);
});

test('an SDS of another system is taken in only when that is forced', (t) => {
  const { cluster, domainKey } = standard();
  const before = cluster.query('sds').sds.length;
  const link = cluster.sds(13, 7072, '');
  const own = cluster.messages(link, MSG.REGISTER_SDS_REPLY)[0]?.systemId ?? '';
  cluster.sds(11, 7072, '9a9a9a9a00000001');
  cluster.sds(12, 7072, own);
  const add = (number: number, forceClean: boolean): CommandParams['ADD_SDS'] => ({
    ...{ domainKey, faultSetKey: 0, name: `sds${number}`, port: 0, devices: [], forceClean },
    ...{ cacheEnabled: true, cacheMiB: 0 },
    addresses: [{ host: `10.0.0.${number}`, role: 'all' }],
  });
  const refused = cluster.refused('ADD_SDS', add(11, false));
  t.is(refused.error, 'SDS_OF_OTHER_SYSTEM');
  t.regex(refused.text, /it was taken in by system 9a9a9a9a00000001; remove it there first, or/);
  t.is(cluster.query('sds').sds.length, before, 'nothing is left of it');
  cluster.command('ADD_SDS', add(11, true));
  cluster.command('ADD_SDS', add(12, false));
  cluster.command('ADD_SDS', add(13, false));
  t.is(cluster.query('sds').sds.length, before + 3);
});
