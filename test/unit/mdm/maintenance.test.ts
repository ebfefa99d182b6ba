// Maintenance of an SDS: what happens to its copies on the way in and out, and what is refused.

import test from 'ava';

import { isBlank, isInSync, isTarget } from '../../../backend/cluster-map/entry.js';
import { GIB } from '../../../backend/core/units.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import type { MdmOptions } from '../../../backend/mdm/options.js';
import type { CombEntry, Maintenance, Sds } from '../../../backend/protocol/generated/types.js';
import { standard } from './harness.js';
import type { Cluster, Refused, TestDevice } from './harness.js';

interface Site {
  readonly cluster: Cluster;
  readonly poolKey: number;
  readonly devices: TestDevice[];
  readonly resting: TestDevice;
  readonly others: TestDevice[];
}

/** SDSs of one device each with a volume; the first is the one that rests. */
function site(sdsCount: number, options: Partial<MdmOptions> = {}): Site {
  const { cluster, poolKey, devices } = standard(
    { rebuildDelayMs: 3000, rebalanceDelayMs: 1000, movesPerDevice: 64, ...options },
    sdsCount,
  );
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 2 ** 21, provisioning: 'thin', rmcache: true },
  });
  const [resting, ...others] = devices;
  if (resting === undefined) throw new Error('a device');
  const made = { cluster, poolKey, devices, resting, others };
  // A new master listens first.
  pass(made, 2000, devices);
  return made;
}

function pass({ cluster }: Site, ms: number, devices: readonly TestDevice[]): void {
  cluster.pass(ms, () => {
    for (const device of devices) cluster.beat(device);
  });
}

function enter({ cluster, resting }: Site, maintenance: Maintenance): void {
  cluster.command('ENTER_MAINTENANCE', { key: resting.sdsKey, maintenance });
}

function refusal({ cluster, resting }: Site, maintenance: Maintenance): Refused {
  return cluster.refused('ENTER_MAINTENANCE', { key: resting.sdsKey, maintenance });
}

function exit({ cluster, resting }: Site, how: { abort?: boolean; force?: boolean } = {}): void {
  const params = { key: resting.sdsKey, abort: false, force: false, ...how };
  cluster.command('EXIT_MAINTENANCE', params);
}

function sdsOf({ cluster, resting }: Site): Sds {
  const [sds] = cluster.query('sds', [resting.sdsKey]).sds;
  if (sds === undefined) throw new Error('an SDS');
  return sds;
}

function inSyncKeys(entry: CombEntry): number[] {
  return entry.members.filter((_, index) => isInSync(entry, index)).map((one) => one.deviceKey);
}

/** What the resting device is in the combs that name it. */
function roles({ cluster, poolKey, resting }: Site): Set<string> {
  const found = new Set<string>();
  for (const entry of cluster.combs(poolKey)) {
    const index = entry.members.findIndex(({ deviceKey }) => deviceKey === resting.key);
    if (index < 0) continue;
    if (isInSync(entry, index)) found.add('in sync');
    else if (isTarget(entry, index)) found.add(isBlank(entry, index) ? 'filling' : 'target');
    else found.add('away');
  }
  return found;
}

/** Every primary says that its targets have everything. @param except - a comb whose primary says nothing */
function admitAll(
  { cluster, poolKey }: Site,
  devices: readonly TestDevice[],
  except: number | null = null,
): number {
  let asked = 0;
  for (const primary of devices) {
    const changes = cluster.combs(poolKey).flatMap((entry) => {
      if (entry.members[entry.primary]?.deviceKey !== primary.key) return [];
      const member = entry.members.find((_, index) => isTarget(entry, index));
      const { index: comb, generation } = entry;
      return member === undefined || comb === except
        ? []
        : [{ comb, generation, change: 'admit' as const, member }];
    });
    asked += changes.length;
    if (changes.length > 0) cluster.send(primary.link, MSG.COMB_CHANGE, { poolKey, changes });
  }
  return asked;
}

function finish(
  here: Site,
  devices: readonly TestDevice[],
  watch = (): void => undefined,
  except: number | null = null,
): void {
  for (let round = 0; round < 60; round++) {
    pass(here, 1200, devices);
    watch();
    if (admitAll(here, devices, except) === 0 && round > 2) return;
    watch();
  }
  throw new Error('it does not come to rest');
}

test('instant: the copies leave the sets, nothing is made anew, and only what changed comes back', (t) => {
  const here = site(4);
  const { cluster, poolKey, resting, others, devices } = here;
  const before = cluster.combs(poolKey).map(inSyncKeys);
  enter(here, 'instant');
  t.is(sdsOf(here).maintenanceStage, 'entering');
  t.deepEqual(roles(here), new Set(['in sync']), 'nobody leaves before the other copy said a word');
  pass(here, 300, devices);
  t.deepEqual(roles(here), new Set(['away']));
  t.is(sdsOf(here).maintenanceStage, 'active');
  for (const entry of cluster.combs(poolKey))
    t.not(entry.members[entry.primary]?.deviceKey, resting.key);

  // Away for longer than what is lost would have to be, then back with its data: it rests on.
  pass(here, 8000, others);
  cluster.register(resting);
  pass(here, 3000, devices);
  t.deepEqual(roles(here), new Set(['away']));
  t.true(cluster.combs(poolKey).every(({ blankMask }) => blankMask === 0));

  exit(here);
  pass(here, 300, devices);
  t.deepEqual(roles(here), new Set(['target']));
  t.is(sdsOf(here).maintenanceStage, 'exiting');
  finish(here, devices);
  t.is(sdsOf(here).maintenance, 'none');
  t.deepEqual(
    cluster.combs(poolKey).map((entry) => new Set(inSyncKeys(entry))),
    before.map((keys) => new Set(keys)),
  );
});

test('instant: whoever is the last copy stays until the other one is back', (t) => {
  const here = site(3);
  const { cluster, poolKey, resting, others, devices } = here;
  const [lost, left] = others;
  if (lost === undefined || left === undefined) throw new Error('devices');
  enter(here, 'instant');
  // The other copy of some combs dies before it said anything after the decision.
  pass(here, 1800, [resting, left]);
  t.is(sdsOf(here).maintenanceStage, 'entering');
  t.true(roles(here).has('in sync'));
  for (const entry of cluster.combs(poolKey)) t.true(inSyncKeys(entry).length > 0);
  cluster.register(lost);
  pass(here, 1500, devices);
  for (let round = 0; round < 4; round++) {
    admitAll(here, devices);
    pass(here, 1200, devices);
  }
  t.is(sdsOf(here).maintenanceStage, 'active');
  t.false(roles(here).has('in sync'));
});

test('protected: copies are made elsewhere first; what changed comes back, and all is as before', (t) => {
  const here = site(4);
  const { cluster, poolKey, resting, others, devices } = here;
  const everyCombHas = (copies: number): void => {
    for (const entry of cluster.combs(poolKey)) t.true(inSyncKeys(entry).length >= copies);
  };
  enter(here, 'protected');
  pass(here, 1500, devices);
  t.deepEqual(roles(here), new Set(['in sync']));
  t.true(cluster.combs(poolKey).some(({ blankMask }) => blankMask !== 0));
  finish(here, devices, () => {
    everyCombHas(2);
  });
  t.is(sdsOf(here).maintenanceStage, 'active');
  t.deepEqual(roles(here), new Set(['away']));
  const named = cluster.combs(poolKey).filter(({ members }) => members.length === 3);
  t.true(named.length > 0);

  pass(here, 8000, others);
  everyCombHas(2);
  cluster.register(resting);
  pass(here, 2000, devices);
  t.deepEqual(roles(here), new Set(['away']));
  exit(here);
  pass(here, 300, devices);
  t.deepEqual(roles(here), new Set(['target']), 'it is not filled from nothing');
  finish(here, devices, () => {
    everyCombHas(2);
  });
  t.is(sdsOf(here).maintenance, 'none');
  const combs = cluster.combs(poolKey);
  t.true(combs.every(({ members, inSyncMask }) => members.length === 2 && inSyncMask === 3));
  const held = combs.filter((entry) => inSyncKeys(entry).includes(resting.key)).length;
  t.true(Math.abs(held - (2 * combs.length) / 4) <= 1, `${held} of ${combs.length}`);
});

test('protected: it is not entered while anything has one copy', (t) => {
  const here = site(4, { rebuildDelayMs: 600_000 });
  const { cluster, poolKey, resting, others, devices } = here;
  const [dying] = others;
  const copies = (): number[] => cluster.combs(poolKey).map((entry) => inSyncKeys(entry).length);
  enter(here, 'protected');
  pass(here, 1500, devices);
  const last = cluster
    .combs(poolKey)
    .find(
      (entry) =>
        inSyncKeys(entry).includes(resting.key) &&
        entry.members.every(({ deviceKey }) => deviceKey !== dying?.key),
    );
  finish(here, devices, undefined, last?.index);
  t.deepEqual(roles(here), new Set(['away', 'in sync']), 'the last comb is not through');
  const left = devices.filter((device) => device !== dying);
  pass(here, 1800, left);
  finish(here, left);
  t.deepEqual(roles(here), new Set(['away']));
  t.true(copies().includes(1));
  t.is(sdsOf(here).maintenanceStage, 'entering');
  if (dying !== undefined) cluster.register(dying);
  finish(here, devices);
  t.is(sdsOf(here).maintenanceStage, 'active');
  t.false(copies().includes(1));
});

test('protected: what is being entered can be called off, and another master goes on with either', (t) => {
  const here = site(4);
  const { cluster, poolKey, devices } = here;
  const before = cluster.combs(poolKey).map(inSyncKeys);
  enter(here, 'protected');
  pass(here, 1500, devices);
  exit(here, { abort: true });
  finish(here, devices);
  t.is(sdsOf(here).maintenance, 'none');
  t.deepEqual(
    cluster.combs(poolKey).map((entry) => new Set(inSyncKeys(entry))),
    before.map((keys) => new Set(keys)),
  );

  enter(here, 'protected');
  pass(here, 500, devices);
  cluster.restart();
  for (const device of devices) cluster.register(device, { incarnation: device.incarnation });
  finish(here, devices);
  t.is(sdsOf(here).maintenanceStage, 'active');
  t.is(
    cluster.refused('EXIT_MAINTENANCE', {
      ...{ key: here.resting.sdsKey, abort: true, force: false },
    }).error,
    'SDS_NOT_IN_MAINTENANCE',
  );
  // Its control process has not come back to the new master.
  const params = { key: here.resting.sdsKey, abort: false, force: false };
  t.is(cluster.refused('EXIT_MAINTENANCE', params).error, 'SDS_NOT_CONNECTED');
  exit(here, { force: true });
  finish(here, devices);
  t.is(sdsOf(here).maintenance, 'none');
});

test('what would leave data without a copy, or has no room, is refused with the cause', (t) => {
  const two = site(2);
  const alone = refusal(two, 'protected');
  t.is(alone.error, 'MAINTENANCE_NO_ROOM');
  t.regex(alone.text, /fewer than two SDSs or fault sets; instant maintenance mode is possible/);
  t.is(refusal(two, 'none').error, 'INVALID_PARAMETER');
  t.is(sdsOf(two).maintenance, 'none');

  const here = site(4);
  const { cluster, resting, others, devices, poolKey } = here;
  const [second] = others;
  if (second === undefined) throw new Error('a device');
  enter({ ...here, resting: second }, 'instant');
  const other = refusal(here, 'instant');
  t.is(other.error, 'MAINTENANCE_CONFLICT');
  t.regex(other.text, /SDS sds2 is in maintenance mode/);
  t.is(refusal({ ...here, resting: second }, 'instant').error, 'SDS_IN_MAINTENANCE');
  t.is(
    cluster.refused('REMOVE_SDS', { key: second.sdsKey, force: true }).error,
    'SDS_IN_MAINTENANCE',
  );
  exit({ ...here, resting: second });
  finish(here, devices);

  // A device that is down, and after its return copies that lack what it missed.
  pass(here, 1800, [resting, ...others.slice(1)]);
  t.regex(refusal(here, 'instant').text, /device \/dev\/d0 of SDS sds2 is down/);
  cluster.register(second);
  const unsafe = refusal(here, 'instant');
  t.is(unsafe.error, 'MAINTENANCE_UNSAFE');
  t.regex(unsafe.text, /combs of storage pool pool have no other copy now/);
  pass(here, 1500, devices);
  finish(here, devices);

  cluster.close(cluster.sds(2));
  t.regex(refusal(here, 'instant').text, /SDS sds2 is disconnected/);
  cluster.close(cluster.sds(1));
  t.is(refusal(here, 'instant').error, 'SDS_NOT_CONNECTED');
  t.is(sdsOf(here).maintenance, 'none');
  t.true(cluster.combs(poolKey).every(({ inSyncMask }) => inSyncMask === 3));
});

test('protected: data that does not fit elsewhere, and data that may not move, stay where they are', (t) => {
  const full = site(3);
  full.cluster.command('ADD_VOLUME', {
    ...{
      poolKey: full.poolKey,
      name: 'large',
      sizeSectors: 36 * 2 ** 20,
      provisioning: 'thick',
      rmcache: true,
    },
  });
  const refused = refusal(full, 'protected');
  t.is(refused.error, 'MAINTENANCE_NO_ROOM');
  t.regex(refused.text, /18 GiB of data in storage pool pool do not fit .*, which take 16 GiB;/);
  t.is(sdsOf(full).maintenance, 'none');

  const still = site(4, { movesMax: 0 });
  t.regex(refusal(still, 'protected').text, /moving data is switched off/);
  enter(still, 'instant');
});

test('all servers of a fault set may rest at once, as no two copies lie in it', (t) => {
  const { cluster, domainKey, poolKey } = standard({}, 0);
  const devices = ['first', 'second'].flatMap((name, index) => {
    const { key } = cluster.command('ADD_FAULT_SET', { domainKey, name });
    return [1, 2].flatMap((at) => cluster.addSds(2 * index + at, domainKey, poolKey, 1, key));
  });
  const [resting, mate, other] = devices;
  if (resting === undefined || mate === undefined || other === undefined) throw new Error('four');
  const here = { cluster, poolKey, devices, resting, others: devices.slice(1) };
  pass(here, 2000, devices);
  enter(here, 'instant');
  enter({ ...here, resting: mate }, 'instant');
  t.is(refusal({ ...here, resting: other }, 'instant').error, 'MAINTENANCE_CONFLICT');
  pass(here, 1500, devices);
  t.is(sdsOf(here).maintenanceStage, 'active');
  t.is(sdsOf({ ...here, resting: mate }).maintenanceStage, 'active');
});

test('a device that does not come back with its SDS keeps the maintenance open for a minute, a broken one does not', (t) => {
  for (const isBroken of [false, true]) {
    const here = site(4);
    const { cluster, resting, others, devices } = here;
    enter(here, 'instant');
    pass(here, 1500, devices);
    cluster.close(resting.link);
    pass(here, 3000, others);
    exit(here);
    if (isBroken)
      cluster.send(cluster.sds(1), MSG.DEVICE_RESULT, {
        mediaFound: '',
        ...{ deviceKey: resting.key, task: 'open', status: ERR.DEVICE_FAILED, reason: 'EIO' },
        ...{ path: '/dev/d0', capacityBytes: 0 },
      });
    pass(here, 50_000, others);
    t.is(sdsOf(here).maintenance, isBroken ? 'none' : 'instant');
    pass(here, 15_000, others);
    t.is(sdsOf(here).maintenance, 'none');
  }
});

test('an SDS that does not come back is let go by force, and what it held is made anew', (t) => {
  const here = site(4);
  const { cluster, poolKey, resting, others, devices } = here;
  enter(here, 'instant');
  pass(here, 500, devices);
  cluster.close(cluster.sds(1));
  pass(here, 6000, others);
  const params = { key: resting.sdsKey, abort: false, force: false };
  t.is(cluster.refused('EXIT_MAINTENANCE', params).error, 'SDS_NOT_CONNECTED');
  exit(here, { force: true });
  finish(here, others);
  t.is(sdsOf(here).maintenance, 'none');
  for (const entry of cluster.combs(poolKey)) {
    t.is(entry.inSyncMask, 3);
    t.false(inSyncKeys(entry).includes(resting.key));
  }
});

test('protected: the last combs are not taken for all that the device holds', (t) => {
  const here = site(3, { movesPerDevice: 1 });
  const { cluster, devices, poolKey, resting } = here;
  // Of what one device holds the others can take a part at a time only, as each comb is a small part of it.
  for (const device of devices) cluster.register(device, { usedBytes: 12 * GIB });
  finish(here, devices);
  enter(here, 'protected');
  finish(here, devices);
  t.is(sdsOf(here).maintenanceStage, 'active');
  t.deepEqual(roles(here), new Set(['away']));
  t.true(cluster.combs(poolKey).every((entry) => inSyncKeys(entry).length === 2));
  t.true(
    cluster
      .combs(poolKey)
      .some(({ members }) => members.some((one) => one.deviceKey === resting.key)),
  );
});
