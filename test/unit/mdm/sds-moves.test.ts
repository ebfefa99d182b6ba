// An SDS that goes to another protection domain: what is refused, that its data is elsewhere first, that any MDM goes on, and
// that the operator may call it off at every stage.

import test from 'ava';

import { isInSync, isTarget } from '../../../backend/cluster-map/entry.js';
import { GIB } from '../../../backend/core/units.js';
import { ERR, LIMIT, MSG } from '../../../backend/protocol/generated/constants.js';
import type {
  CommandParams,
  Device,
  DeviceWant,
  Sds,
} from '../../../backend/protocol/generated/types.js';
import { poolParams, standard } from './harness.js';
import type { Cluster, Refused, TestDevice } from './harness.js';

interface Site {
  readonly cluster: Cluster;
  readonly domainKey: number;
  readonly poolKey: number;
  readonly otherDomain: number;
  readonly otherPool: number;
  readonly devices: TestDevice[];
  readonly moved: TestDevice;
  readonly others: TestDevice[];
}

function site(sdsCount = 4, volumeSectors = 2 ** 21): Site {
  const { cluster, domainKey, poolKey, devices } = standard(
    { rebuildDelayMs: 3000, rebalanceDelayMs: 1000, movesPerDevice: 64 },
    sdsCount,
  );
  const { key: otherDomain } = cluster.command('ADD_PROTECTION_DOMAIN', { name: 'other' });
  const { key: otherPool } = cluster.command(
    'ADD_STORAGE_POOL',
    poolParams(otherDomain, 'otherPool'),
  );
  if (volumeSectors > 0)
    cluster.command('ADD_VOLUME', {
      ...{ poolKey, name: 'v', sizeSectors: volumeSectors, provisioning: 'thick', rmcache: true },
    });
  const [moved, ...others] = devices;
  if (moved === undefined) throw new Error('a device');
  const made = { cluster, domainKey, poolKey, otherDomain, otherPool, devices, moved, others };
  pass(made, 2000, devices);
  return made;
}

function pass({ cluster }: Site, ms: number, devices: readonly TestDevice[]): void {
  cluster.pass(ms, () => {
    for (const device of devices) cluster.beat(device, cluster.store.sequence);
  });
}

function params(
  here: Site,
  more: Partial<CommandParams['MOVE_SDS']> = {},
): CommandParams['MOVE_SDS'] {
  return {
    ...{ key: here.moved.sdsKey, domainKey: here.otherDomain, faultSetKey: 0 },
    ...{ poolKey: here.otherPool, devices: [], force: false, ...more },
  };
}

function refusal(here: Site, more: Partial<CommandParams['MOVE_SDS']> = {}): Refused {
  const before = here.cluster.store.sequence;
  const refused = here.cluster.refused('MOVE_SDS', params(here, more));
  if (here.cluster.store.sequence !== before) throw new Error('a refused move changed something');
  return refused;
}

function sdsOf({ cluster, moved }: Site): Sds {
  const [sds] = cluster.query('sds', [moved.sdsKey]).sds;
  if (sds === undefined) throw new Error('an SDS');
  return sds;
}

function ownDevices({ cluster, moved }: Site): readonly Device[] {
  return cluster.query('device').devices.filter(({ sdsKey }) => sdsKey === moved.sdsKey);
}

function onlyDevice(here: Site): Device {
  const [device] = ownDevices(here);
  if (device === undefined) throw new Error('a device');
  return device;
}

function fewestCopies({ cluster, poolKey }: Site): number {
  const copies = cluster
    .combs(poolKey)
    .map((entry) => entry.members.filter((_, index) => isInSync(entry, index)).length);
  return Math.min(...copies);
}

/** Every primary says that its targets have everything. */
function admitAll({ cluster, poolKey }: Site, devices: readonly TestDevice[]): number {
  let asked = 0;
  for (const primary of devices) {
    const changes = cluster.combs(poolKey).flatMap((entry) => {
      if (entry.members[entry.primary]?.deviceKey !== primary.key) return [];
      const member = entry.members.find((_, index) => isTarget(entry, index));
      const { index: comb, generation } = entry;
      return member === undefined ? [] : [{ comb, generation, change: 'admit' as const, member }];
    });
    asked += changes.length;
    if (changes.length > 0) cluster.send(primary.link, MSG.COMB_CHANGE, { poolKey, changes });
  }
  return asked;
}

/** Lets the copies be made until the SDS is of the other domain, or nothing moves any more. */
function empty(here: Site, watch = (): void => undefined): void {
  for (let round = 0; round < 60; round++) {
    const isGone = sdsOf(here).move?.stage !== 'leaving';
    pass(here, 1200, isGone ? here.others : here.devices);
    watch();
    if (admitAll(here, isGone ? here.others : here.devices) === 0 && round > 2 && isGone) return;
  }
  throw new Error('it does not come to an end');
}

/** What its SDS is told to do with the device that it has. */
function want({ cluster }: Site): DeviceWant {
  const link = cluster.sds(1);
  const [only] = cluster.messages(link, MSG.DEVICE_WANTS).at(-1)?.wants ?? [];
  if (only === undefined) throw new Error('a wish');
  return only;
}

/** The SDS formats its device and opens it. */
function join(here: Site): TestDevice {
  const { cluster, moved } = here;
  const link = cluster.sds(1);
  const wants = cluster.messages(link, MSG.DEVICE_WANTS).at(-1);
  const [only] = wants?.wants ?? [];
  if (only === undefined) throw new Error('a wish');
  const { deviceKey, path } = only;
  const capacityBytes = 16 * GIB;
  const result = { deviceKey, task: 'format', status: 0, reason: '', path, capacityBytes } as const;
  cluster.send(link, MSG.DEVICE_RESULT, { ...result, mediaFound: '' });
  const device = { ...moved, key: deviceKey, link: -1, incarnation: 0, progress: 0 };
  cluster.register(device, { incarnation: 1, dataIncarnation: 0 });
  return device;
}

test('an SDS goes with its device when two copies of everything are elsewhere', (t) => {
  const here = site();
  const { cluster, moved, poolKey, otherDomain, otherPool } = here;
  cluster.command('MOVE_SDS', params(here));
  t.is(sdsOf(here).move?.stage, 'leaving');
  t.is(sdsOf(here).domainKey, here.domainKey);
  empty(here, () => {
    t.true(fewestCopies(here) >= 2, 'never fewer copies');
  });
  t.like(sdsOf(here), { domainKey: otherDomain, move: { stage: 'joining' } });
  const device = onlyDevice(here);
  t.not(device.key, moved.key, 'a device is of one pool for life');
  t.like(device, { poolKey: otherPool, state: 'adding', replaces: [moved.key], force: false });
  t.true(
    cluster
      .combs(poolKey)
      .every(({ members }) => !members.some(({ deviceKey }) => deviceKey === moved.key)),
  );
  t.like(want(here), { task: 'format', deviceKey: device.key, replaces: [moved.key] });
  join(here);
  t.is(sdsOf(here).move, null);
  t.like(onlyDevice(here), { state: 'up', replaces: [], poolKey: otherPool });
  t.deepEqual(want(here).replaces, [], 'nothing is ever formatted over it again');
});

test('another MDM goes on with it at every stage', (t) => {
  const here = site();
  const { cluster, devices, others, otherDomain } = here;
  cluster.command('MOVE_SDS', params(here));
  pass(here, 1200, devices);
  const again = (alive: readonly TestDevice[]): void => {
    cluster.restart();
    cluster.sds(1);
    for (const device of alive) cluster.register(device);
    pass(here, 2000, alive);
  };
  again(devices);
  t.is(sdsOf(here).move?.stage, 'leaving');
  empty(here);
  t.is(sdsOf(here).domainKey, otherDomain);
  again(others);
  t.is(sdsOf(here).move?.stage, 'joining');
  join(here);
  t.is(sdsOf(here).move, null);
});

test('called off while it leaves, everything stays', (t) => {
  const here = site();
  const { cluster, devices, moved, domainKey } = here;
  cluster.command('MOVE_SDS', params(here));
  pass(here, 1200, devices);
  cluster.command('ABORT_MOVE_SDS', { key: moved.sdsKey });
  t.like(sdsOf(here), { domainKey, move: null });
  t.like(onlyDevice(here), { key: moved.key, removing: false, state: 'up' });
  for (let round = 0; round < 20; round++) {
    pass(here, 1200, devices);
    admitAll(here, devices);
  }
  const held = cluster
    .combs(here.poolKey)
    .filter(({ members }) => members.some(({ deviceKey }) => deviceKey === moved.key));
  t.true(held.length > 0, 'it has data again');
  t.is(
    cluster.refused('ABORT_MOVE_SDS', { key: moved.sdsKey }).error,
    'INVALID_PARAMETER',
    'nothing is left to call off',
  );
});

test('called off when it has gone, it comes back with the disk that it has', (t) => {
  const here = site();
  const { cluster, moved, domainKey, poolKey } = here;
  cluster.command('MOVE_SDS', params(here));
  empty(here);
  const between = onlyDevice(here);
  cluster.command('ABORT_MOVE_SDS', { key: moved.sdsKey });
  pass(here, 1200, here.others);
  t.like(sdsOf(here), { domainKey, move: { stage: 'joining' } });
  const device = onlyDevice(here);
  // The disk may have been formatted for the other pool, without anybody having heard of it.
  t.like(device, { poolKey, state: 'adding', replaces: [moved.key, between.key] });
  const back = join(here);
  t.is(sdsOf(here).move, null);
  t.is(onlyDevice(here).state, 'up');
  for (let round = 0; round < 20; round++) {
    pass(here, 1200, [...here.others, back]);
    admitAll(here, [...here.others, back]);
  }
  t.true(
    cluster
      .combs(poolKey)
      .some(({ members }) => members.some(({ deviceKey }) => deviceKey === back.key)),
  );
});

test('who changes his mind twice lets it go on', (t) => {
  const here = site();
  const { cluster, moved, others, otherDomain, otherPool } = here;
  const slow = cluster.addSds(9, otherDomain, otherPool);
  cluster.command('MOVE_SDS', params(here));
  empty(here);
  // Nobody heard of a device of the other pool that has not said what it applied: the way back has to wait for it.
  cluster.command('ABORT_MOVE_SDS', { key: moved.sdsKey });
  t.like(sdsOf(here), { domainKey: otherDomain, move: { stage: 'leaving' } });
  t.is(onlyDevice(here).state, 'removing');
  cluster.command('ABORT_MOVE_SDS', { key: moved.sdsKey });
  t.like(sdsOf(here), { domainKey: otherDomain, move: { stage: 'joining' } });
  t.like(onlyDevice(here), { state: 'adding', removing: false, replaces: [moved.key] });
  pass(here, 1200, [...others, ...slow]);
  join(here);
  t.like(sdsOf(here), { domainKey: otherDomain, move: null });
  t.is(onlyDevice(here).state, 'up');
});

test('a disk that is not formatted at once is asked for again, with its reason, and may be left behind', (t) => {
  const here = site();
  const { cluster, moved } = here;
  cluster.command('MOVE_SDS', params(here));
  empty(here);
  const link = cluster.sds(1);
  const { deviceKey, path } = want(here);
  const status = ERR.DEVICE_OPEN_FAILED;
  const body = {
    deviceKey,
    task: 'format',
    status,
    reason: 'busy',
    path,
    capacityBytes: 0,
  } as const;
  const asked = (): number => cluster.messages(cluster.sds(1), MSG.DEVICE_WANTS).length;
  t.is(asked(), 1);
  const newest = cluster.sds(1);
  cluster.send(newest, MSG.DEVICE_RESULT, { ...body, mediaFound: '' });
  t.like(onlyDevice(here), { state: 'adding', failure: 'busy' });
  pass(here, 3000, here.others);
  t.true(cluster.messages(newest, MSG.DEVICE_WANTS).length > 1, 'it is told again');
  t.not(link, newest);
  cluster.command('REMOVE_DEVICE', { key: deviceKey, force: false });
  pass(here, 1200, here.others);
  t.is(sdsOf(here).move, null);
  t.deepEqual(ownDevices(here), []);
  t.is(sdsOf(here).key, moved.sdsKey);
});

test('what is left must have room, two units and the spare that it had', (t) => {
  const small = site(2);
  t.like(refusal(small), { error: 'SDS_HAS_DATA' });
  t.regex(refusal(small).text, /fewer than two SDSs/);

  // 48 GiB raw hold 20 GiB twice; without one of three they do not.
  const full = site(3, 20 * 2 ** 21);
  t.regex(
    refusal(full).text,
    /20\.?0* GiB of data do not fit .* 16\.?0* GiB beside the spare of 0 %/,
  );

  const spared = site(4);
  const { cluster, poolKey } = spared;
  const keep = {
    ...{
      durability: null,
      fullPolicy: null,
      zeroPadding: null,
      checksums: null,
      rmcache: null,
      cacheWrites: null,
    },
    ...{ capacityAlertHighPercent: null, capacityAlertCriticalPercent: null },
    ...{ mediaType: null, loneReturn: null, force: false },
  };
  cluster.command('SET_STORAGE_POOL', { ...keep, key: poolKey, sparePercent: 25 });
  const refused = refusal(spared);
  t.is(refused.error, 'SPARE_ILLEGAL');
  t.regex(refused.text, /25 %.* does not cover SDS sds2: at least 34 % are needed/);
  cluster.command('MOVE_SDS', params(spared, { force: true }));
});

test('a move to where it cannot be, or of what does not work, is refused', (t) => {
  const here = site();
  const { cluster, moved, poolKey, domainKey, others } = here;
  t.is(refusal(here, { domainKey: 999 }).error, 'DOMAIN_NOT_FOUND');
  t.regex(refusal(here, { poolKey }).text, /pool is not of the protection domain/);
  t.regex(refusal(here, { poolKey: 0 }).text, /no storage pool is given for device \/dev\/d0/);
  t.is(
    refusal(here, { devices: [{ deviceKey: others[0]?.key ?? 0, poolKey }] }).error,
    'DEVICE_NOT_FOUND',
  );
  t.regex(refusal(here, { domainKey, poolKey }).text, /is there already/);
  const { key: set } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'set' });
  t.is(refusal(here, { faultSetKey: set }).error, 'FAULT_SET_MISMATCH');
  const many = { ...poolParams(here.otherDomain, 'many'), combCountLog2: 20 };
  const { key: manyCombs } = cluster.command('ADD_STORAGE_POOL', many);
  t.is(refusal(here, { poolKey: manyCombs }).error, 'DEVICE_TOO_SMALL');
  cluster.close(moved.link);
  pass(here, 2000, others);
  t.regex(refusal(here).text, /device \/dev\/d0 is not there \(down\)/);
});

test('while it is on its way, nothing else is done to it or to where it goes', (t) => {
  const here = site();
  const { cluster, moved, otherDomain, otherPool } = here;
  const { key: set } = cluster.command('ADD_FAULT_SET', { domainKey: otherDomain, name: 'set' });
  cluster.command('MOVE_SDS', params(here, { faultSetKey: set }));
  const { sdsKey: key } = moved;
  t.is(refusal(here).error, 'SDS_MOVING');
  t.is(cluster.refused('REMOVE_SDS', { key, force: false }).error, 'SDS_MOVING');
  t.is(cluster.refused('REMOVE_DEVICE', { key: moved.key, force: false }).error, 'SDS_MOVING');
  t.is(cluster.refused('ABORT_REMOVE_DEVICE', { key: moved.key }).error, 'SDS_MOVING');
  t.is(
    cluster.refused('ENTER_MAINTENANCE', { key, maintenance: 'instant' }).error,
    'MAINTENANCE_CONFLICT',
  );
  t.is(cluster.refused('REMOVE_FAULT_SET', { key: set }).error, 'SDS_MOVING');
  t.is(cluster.refused('REMOVE_STORAGE_POOL', { key: otherPool }).error, 'SDS_MOVING');
  cluster.command('ABORT_MOVE_SDS', { key });
  cluster.command('REMOVE_FAULT_SET', { key: set });
});

test('to another fault set of the same pool, and an SDS without data at once', (t) => {
  const here = site(4, 0);
  const { cluster, domainKey, poolKey, others } = here;
  const { key: set } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'set' });
  cluster.command('MOVE_SDS', params(here, { domainKey, poolKey, faultSetKey: set }));
  t.true(
    cluster
      .combs(poolKey)
      .every(({ members }) => !members.some(({ deviceKey }) => deviceKey === here.moved.key)),
    'a pool without volumes is placed anew at once',
  );
  pass(here, 1200, others);
  t.like(sdsOf(here), { domainKey, faultSetKey: set, move: { stage: 'joining' } });
  const back = join(here);
  t.true(
    cluster
      .combs(poolKey)
      .some(({ members }) => members.some(({ deviceKey }) => deviceKey === back.key)),
  );
});

test('who goes back and forth before a disk is formatted is stopped in time', (t) => {
  const here = site();
  const { cluster, moved, others } = here;
  cluster.command('MOVE_SDS', params(here));
  empty(here);
  for (let times = 1; times < LIMIT.replacedDevicesMax; times++) {
    cluster.command('ABORT_MOVE_SDS', { key: moved.sdsKey });
    pass(here, 1200, others);
    t.is(onlyDevice(here).replaces.length, times + 1);
  }
  t.is(cluster.refused('ABORT_MOVE_SDS', { key: moved.sdsKey }).error, 'SDS_MOVING');
  t.true(onlyDevice(here).replaces.includes(moved.key));
});
