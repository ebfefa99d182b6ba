import test from 'ava';

import { ALL_KEYS } from '../../../backend/core/key-range.js';
import { NO_COPY_LOAD } from '../../../backend/cluster-map/copy-policy.js';
import { NO_DISK_TIMES } from '../../../backend/core/disk-meter.js';
import { entryFault, isBlank, isInSync, isTarget } from '../../../backend/cluster-map/entry.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import type { MdmOptions } from '../../../backend/mdm/options.js';
import type { CombEntry } from '../../../backend/protocol/generated/types.js';
import { GIB, standard } from './harness.js';
import type { Cluster, TestDevice } from './harness.js';

interface Site {
  readonly cluster: Cluster;
  readonly poolKey: number;
  readonly domainKey: number;
  readonly devices: TestDevice[];
}

/** SDSs of one device each, and a volume, so that data counts. */
function site(sdsCount: number, options: Partial<MdmOptions> = {}): Site {
  const { cluster, poolKey, domainKey, devices } = standard(
    { rebuildDelayMs: 5000, rebalanceDelayMs: 1000, movesPerDevice: 64, ...options },
    sdsCount,
  );
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 2 ** 21, provisioning: 'thin', rmcache: true },
  });
  const made = { cluster, poolKey, domainKey, devices };
  // A new master listens first.
  pass(made, 2000, devices);
  return made;
}

function members(entry: CombEntry): number[] {
  return entry.members.map(({ deviceKey }) => deviceKey);
}

function inSync(entry: CombEntry): number[] {
  return members(entry).filter((_, index) => isInSync(entry, index));
}

/** Devices that are being filled from nothing. */
function filling(entry: CombEntry): number[] {
  return members(entry).filter((_, index) => isBlank(entry, index) && isTarget(entry, index));
}

/** Every primary says that its targets have everything. Returns how many were admitted. */
function admitAll({ cluster, poolKey }: Site, devices: readonly TestDevice[]): number {
  let admitted = 0;
  for (const primary of devices) {
    const changes = cluster.combs(poolKey).flatMap((entry) => {
      if (entry.members[entry.primary]?.deviceKey !== primary.key) return [];
      const member = entry.members.find((_, index) => isTarget(entry, index));
      const { index: comb, generation } = entry;
      return member === undefined ? [] : [{ comb, generation, change: 'admit' as const, member }];
    });
    if (changes.length === 0) continue;
    const tag = cluster.send(primary.link, MSG.COMB_CHANGE, { poolKey, changes });
    const { statuses } = cluster.reply(tag, MSG.COMB_CHANGE_REPLY);
    admitted += statuses.filter((status) => status === 0).length;
  }
  return admitted;
}

/** Lets time pass while these devices live. */
function pass({ cluster }: Site, ms: number, devices: readonly TestDevice[]): void {
  cluster.pass(ms, () => {
    for (const device of devices) cluster.beat(device);
  });
}

/** Passes time and admits whatever is filled, until nothing moves any more. */
function finish(of: Site, devices: readonly TestDevice[]): void {
  for (let round = 0; round < 100; round++) {
    pass(of, 1200, devices);
    if (admitAll(of, devices) === 0 && round > 2) return;
  }
  throw new Error('the moves do not end');
}

function counts({ cluster, poolKey }: Site): Map<number, number> {
  const held = new Map<number, number>();
  for (const entry of cluster.combs(poolKey)) {
    if (entryFault(entry) !== null) throw new Error('unsound entry');
    for (const key of members(entry)) held.set(key, (held.get(key) ?? 0) + 1);
  }
  return held;
}

test('what a device held is made anew on all others once it is away for longer than the delay', (t) => {
  const here = site(4);
  const { cluster, poolKey, devices } = here;
  const [lost, ...left] = devices;
  if (lost === undefined) throw new Error('a device');
  const before = cluster.combs(poolKey);
  pass(here, 5500, left);
  t.true(
    cluster.combs(poolKey).every((entry) => entry.blankMask === 0),
    'not before the delay',
  );
  pass(here, 3000, left);
  const concerned = cluster.combs(poolKey).filter((entry) => members(entry).includes(lost.key));
  t.true(concerned.length > 3);
  for (const entry of concerned) {
    t.is(filling(entry).length, 1);
    t.false(inSync(entry).includes(filling(entry)[0] ?? 0));
    t.is(inSync(entry).length, 1);
  }
  t.is(new Set(concerned.flatMap(filling)).size, left.length, 'all survivors take part');
  t.is(admitAll(here, left), concerned.length);
  pass(here, 100, left);
  for (const entry of cluster.combs(poolKey)) {
    t.is(entry.inSyncMask, 3);
    t.false(members(entry).includes(lost.key));
    const was = before[entry.index];
    if (was === undefined) throw new Error('a comb');
    // Lost, begun, admitted: the lost member leaves with the admission. One more to give a primary back.
    const changes = entry.generation.number - was.generation.number;
    t.true(changes <= (members(was).includes(lost.key) ? 4 : 0), `${changes} changes`);
  }
});

test('a device that returns in time gets what changed, and nothing is made anew', (t) => {
  const here = site(3);
  const { cluster, poolKey, devices } = here;
  const [lost, ...left] = devices;
  if (lost === undefined) throw new Error('a device');
  pass(here, 4000, left);
  cluster.register(lost);
  pass(here, 8000, devices);
  t.true(cluster.combs(poolKey).every((entry) => entry.blankMask === 0));
  admitAll(here, devices);
  pass(here, 2000, devices);
  t.true(cluster.combs(poolKey).every((entry) => entry.inSyncMask === 3));
});

test('a device that returns while its data is made anew: whoever is in sync first stays', (t) => {
  const here = site(4);
  const { cluster, poolKey, devices } = here;
  const [lost, ...left] = devices;
  if (lost === undefined) throw new Error('a device');
  pass(here, 8000, left);
  cluster.register(lost);
  pass(here, 200, devices);
  const both = cluster.combs(poolKey).filter((entry) => filling(entry).length > 0);
  t.true(both.length > 0);
  for (const entry of both)
    t.is(entry.targetMask & ~entry.blankMask, 1 << members(entry).indexOf(lost.key));
  // The returned copy is first: the other was for nothing.
  for (const primary of left) {
    const changes = both
      .filter((entry) => entry.members[entry.primary]?.deviceKey === primary.key)
      .map((entry) => ({
        ...{ comb: entry.index, generation: entry.generation, change: 'admit' as const },
        member: { deviceKey: lost.key, incarnation: lost.incarnation },
      }));
    cluster.send(primary.link, MSG.COMB_CHANGE, { poolKey, changes });
  }
  pass(here, 200, devices);
  for (const entry of cluster.combs(poolKey)) {
    t.is(entry.members.length, 2);
    t.is(entry.inSyncMask, 3);
  }
  t.is(counts(here).get(lost.key), 8);
});

test('an admission ends the history of whoever is not in sync', (t) => {
  const here = site(4);
  const { cluster, poolKey, devices } = here;
  const [lost, ...left] = devices;
  if (lost === undefined) throw new Error('a device');
  pass(here, 8000, left);
  admitAll(here, left);
  cluster.register(lost);
  pass(here, 300, devices);
  for (const entry of cluster.combs(poolKey)) t.false(members(entry).includes(lost.key));
  // It gets its share again, and begins from nothing.
  pass(here, 3000, devices);
  const again = cluster.combs(poolKey).filter((entry) => members(entry).includes(lost.key));
  t.is(again.length, 8);
  for (const entry of again) t.deepEqual(filling(entry), [lost.key]);
});

test('a device that comes and goes gets its primaries back later each time', (t) => {
  const here = site(3, { rebuildDelayMs: 600_000, flapDelayMs: 4000 });
  const { cluster, poolKey, devices } = here;
  const [weak, ...others] = devices;
  if (weak === undefined) throw new Error('a device');
  const leads = (): number =>
    cluster.combs(poolKey).filter((entry) => entry.members[entry.primary]?.deviceKey === weak.key)
      .length;
  const before = leads();
  t.true(before > 0);
  const waits = [0, 4000, 8000, 16_000].map((most) => {
    pass(here, 3000, others);
    t.is(leads(), 0);
    cluster.register(weak);
    pass(here, 300, devices);
    admitAll(here, others);
    let waitedMs = 0;
    for (; leads() < before && waitedMs < 60_000; waitedMs += 500) pass(here, 500, devices);
    t.true(waitedMs >= most - 500 && waitedMs <= most + 3000, `${waitedMs} ms after ${most} ms`);
    return waitedMs;
  });
  t.true((waits[3] ?? 0) > (waits[1] ?? 0));
});

test('a device that failed for good is not waited for', (t) => {
  const here = site(4, { rebuildDelayMs: 3_600_000 });
  const { cluster, devices } = here;
  const [broken, ...left] = devices;
  if (broken === undefined) throw new Error('a device');
  const sds = cluster.sds(1);
  cluster.send(sds, MSG.DEVICE_RESULT, {
    mediaFound: '',
    ...{ deviceKey: broken.key, task: 'open', reason: 'EIO', path: '/dev/d0' },
    status: ERR.DEVICE_FAILED,
    capacityBytes: 0,
  });
  pass(here, 500, left);
  t.true(cluster.combs(here.poolKey).some((entry) => filling(entry).length > 0));
  finish(here, left);
  for (const entry of cluster.combs(here.poolKey)) t.is(entry.inSyncMask, 3);
});

test('no more moves at once than the bounds say, per device and in all', (t) => {
  const here = site(4, { movesPerDevice: 1 });
  const [, ...left] = here.devices;
  pass(here, 9000, left);
  const moving = (): CombEntry[] =>
    here.cluster.combs(here.poolKey).filter((entry) => filling(entry).length > 0);
  t.true(moving().length >= 1);
  const busy = moving().flatMap((entry) => [...filling(entry), ...inSync(entry)]);
  t.is(new Set(busy).size, busy.length, 'a device takes part in one at a time');
  const few = site(4, { movesMax: 2 });
  pass(few, 9000, few.devices.slice(1));
  t.is(few.cluster.combs(few.poolKey).filter((entry) => filling(entry).length > 0).length, 2);
  finish(few, few.devices.slice(1));
  for (const entry of few.cluster.combs(few.poolKey)) t.is(entry.inSyncMask, 3);
});

test('copies stay in different fault sets, and where there is no room nothing begins', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard({ rebuildDelayMs: 1000 }, 0);
  const { key: one } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'one' });
  const { key: two } = cluster.command('ADD_FAULT_SET', { domainKey, name: 'two' });
  for (let number = 1; number <= 4; number++)
    devices.push(...cluster.addSds(number, domainKey, poolKey, 1, number <= 2 ? one : two));
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 2 ** 21, provisioning: 'thin', rmcache: true },
  });
  const here = { cluster, poolKey, domainKey, devices };
  const [lost, twin, ...others] = devices;
  if (lost === undefined || twin === undefined) throw new Error('devices');
  pass(here, 4000, [twin, ...others]);
  for (const entry of cluster.combs(poolKey))
    for (const key of filling(entry)) t.is(key, twin.key, 'only the twin is in the lost fault set');
  finish(here, [twin, ...others]);
  t.is(counts(here).get(twin.key), 16);
  // Both of a fault set gone: there is no second place.
  pass(here, 6000, others);
  for (const entry of cluster.combs(poolKey)) t.is(filling(entry).length, 0);
});

test('copies for which no device has room do not begin, and are counted', (t) => {
  const here = site(4);
  const { cluster, poolKey, devices } = here;
  const [lost, ...left] = devices;
  if (lost === undefined) throw new Error('a device');
  for (const device of left)
    cluster.send(device.link, MSG.HEARTBEAT, {
      ...{ progress: ++device.progress, appliedSequence: 0, volumes: [], counters: [] },
      ...{ listedAfter: ALL_KEYS.after, listedThrough: ALL_KEYS.through },
      usage: {
        ...{ capacityBytes: 16 * GIB, usedBytes: 15.625 * GIB, degradedCombs: 0 },
        ...{ resyncBytesTotal: 0, resyncBytesDone: 0, rebuildBytesLeft: 0, rebalanceBytesLeft: 0 },
        ...{ resync: NO_COPY_LOAD, rebuild: NO_COPY_LOAD, rebalance: NO_COPY_LOAD },
        times: NO_DISK_TIMES,
        cache: null,
        scan: null,
      },
    });
  t.is(cluster.status('storagePool').pools[0]?.stuckRebuildCombs, 0);
  pass(here, 9000, left);
  const lacking = cluster.combs(poolKey).filter((entry) => inSync(entry).length < 2);
  t.true(lacking.length > 0);
  t.true(lacking.every((entry) => filling(entry).length === 0));
  t.is(cluster.status('storagePool').pools[0]?.stuckRebuildCombs, lacking.length);
});

test('a new SDS gets its share, with as few moves as that takes', (t) => {
  const here = site(3);
  const { cluster, domainKey, poolKey, devices } = here;
  const before = cluster.combs(poolKey);
  const [added] = cluster.addSds(4, domainKey, poolKey);
  if (added === undefined) throw new Error('a device');
  devices.push(added);
  pass(here, 500, devices);
  t.true(
    cluster.combs(poolKey).every((entry) => entry.blankMask === 0),
    'not at once',
  );
  finish(here, devices);
  t.is(counts(here).get(added.key), 8);
  let moved = 0;
  for (const entry of cluster.combs(poolKey)) {
    t.is(entry.inSyncMask, 3);
    const was = before[entry.index];
    moved += members(entry).filter(
      (key) => was !== undefined && !members(was).includes(key),
    ).length;
  }
  t.is(moved, 8, 'only what the new one gets');
  const primaries = cluster
    .combs(poolKey)
    .filter((entry) => members(entry)[entry.primary] === added.key);
  t.true(primaries.length >= 3, 'it leads about half of them');
});

test('while data moves a comb never has fewer copies, and another MDM goes on', (t) => {
  const here = site(3);
  const { cluster, domainKey, poolKey, devices } = here;
  devices.push(...cluster.addSds(4, domainKey, poolKey));
  pass(here, 2500, devices);
  const begun = cluster.combs(poolKey).filter((entry) => filling(entry).length > 0);
  t.is(begun.length, 8);
  for (const entry of cluster.combs(poolKey)) t.is(inSync(entry).length, 2);
  cluster.restart();
  for (const device of devices) cluster.register(device, { incarnation: device.incarnation });
  pass(here, 3000, devices);
  const after = cluster.combs(poolKey);
  for (const entry of begun) t.deepEqual(filling(after[entry.index] ?? entry), filling(entry));
  t.is(admitAll(here, devices), 8);
  for (const entry of cluster.combs(poolKey)) t.true(inSync(entry).length >= 2);
  finish(here, devices);
  for (const entry of cluster.combs(poolKey)) t.is(entry.inSyncMask, 3);
});

test('an SDS is removed when its data is elsewhere, and not before', (t) => {
  const here = site(4);
  const { cluster, poolKey, devices } = here;
  const [leaving, ...left] = devices;
  if (leaving === undefined) throw new Error('a device');
  const { sdsKey } = leaving;
  cluster.command('REMOVE_SDS', { key: sdsKey, force: false });
  t.true(cluster.query('sds').sds.find(({ key }) => key === sdsKey)?.removing);
  pass(here, 1500, devices);
  t.is(cluster.query('device').devices.length, 4);
  for (const entry of cluster.combs(poolKey)) t.true(inSync(entry).length >= 2);
  finish(here, devices);
  t.false(counts(here).has(leaving.key));
  // It goes when every device knows that it carries nothing (C13).
  t.is(cluster.query('device').devices.find(({ key }) => key === leaving.key)?.state, 'removing');
  cluster.applyAll(devices);
  pass(here, 200, left);
  t.is(cluster.query('device').devices.length, 3);
  t.is(cluster.query('sds').sds.length, 3);
  for (const entry of cluster.combs(poolKey)) t.is(entry.inSyncMask, 3);
});

test('a removal that is called off when the device was closed already leaves it as it is: its process runs', (t) => {
  const here = site(4);
  const { cluster, devices } = here;
  const [leaving] = devices;
  if (leaving === undefined) throw new Error('a device');
  const stateOf = (): string | undefined =>
    cluster.query('device').devices.find(({ key }) => key === leaving.key)?.state;
  cluster.command('REMOVE_SDS', { key: leaving.sdsKey, force: false });
  pass(here, 1500, devices);
  finish(here, devices);
  t.is(stateOf(), 'removing');
  // Nobody has told its data process yet, which registered before and goes on.
  cluster.command('ABORT_REMOVE_SDS', { key: leaving.sdsKey });
  pass(here, 1500, devices);
  t.is(stateOf(), 'up');
});

test('a removal can be called off, and one that cannot be satisfied changes nothing', (t) => {
  const here = site(3);
  const { cluster, poolKey, devices } = here;
  const [leaving, second] = devices;
  if (leaving === undefined || second === undefined) throw new Error('devices');
  cluster.command('REMOVE_DEVICE', { key: leaving.key, force: false });
  pass(here, 1500, devices);
  t.true(cluster.combs(poolKey).some((entry) => filling(entry).length > 0));
  // Two SDSs are needed: the next one has to stay.
  const { error, text } = cluster.refused('REMOVE_SDS', { key: second.sdsKey, force: false });
  t.is(error, 'SDS_HAS_DATA');
  t.regex(text, /fewer than two SDSs/);
  t.false(cluster.query('sds').sds.find(({ key }) => key === second.sdsKey)?.removing);
  t.is(cluster.refused('ABORT_REMOVE_SDS', { key: second.sdsKey }).error, 'INVALID_PARAMETER');
  cluster.command('ABORT_REMOVE_DEVICE', { key: leaving.key });
  finish(here, devices);
  t.is(cluster.query('device').devices.length, 3);
  for (const entry of cluster.combs(poolKey)) t.is(entry.inSyncMask, 3);
  t.is(counts(here).get(leaving.key), Math.floor(32 / 3) + (leaving === devices[0] ? 1 : 0));
});

test('the last SDS of its unit goes only when that is forced, although it holds nothing good', (t) => {
  const here = site(2);
  const { cluster, poolKey, devices } = here;
  const [stays, away] = devices;
  if (stays === undefined || away === undefined) throw new Error('devices');
  pass(here, 4000, [stays]);
  for (const entry of cluster.combs(poolKey)) t.deepEqual(inSync(entry), [stays.key]);
  const before = cluster.query('device').devices;
  for (const command of ['REMOVE_SDS', 'REMOVE_DEVICE'] as const) {
    const key = command === 'REMOVE_SDS' ? away.sdsKey : away.key;
    const { error, text } = cluster.refused(command, { key, force: false });
    t.is(error, 'SDS_HAS_DATA');
    t.regex(text, /left with devices of fewer than two SDSs or fault sets/);
    t.deepEqual(cluster.query('device').devices, before);
  }
  cluster.command('REMOVE_SDS', { key: away.sdsKey, force: true });
  t.deepEqual(
    cluster.query('device').devices.map(({ key }) => key),
    [stays.key],
  );
});

test('data that does not fit on what is left keeps a device from being removed', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard({}, 0);
  devices.push(...cluster.addSds(1, domainKey, poolKey, 1, 0, 16 * GIB));
  devices.push(...cluster.addSds(2, domainKey, poolKey, 1, 0, 16 * GIB));
  devices.push(...cluster.addSds(3, domainKey, poolKey, 1, 0, 4 * GIB));
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 8 * 2 ** 21, provisioning: 'thick', rmcache: true },
  });
  const [first] = devices;
  const { error, text } = cluster.refused('REMOVE_DEVICE', { key: first?.key ?? 0, force: false });
  t.is(error, 'SDS_HAS_DATA');
  t.regex(text, /do not fit/);
});
