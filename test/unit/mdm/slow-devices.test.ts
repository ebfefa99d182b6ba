// Devices that are slower than their peers: who is found slow and who is not, what is done about it and in which order, and
// that no good copy is ever lost by it.

import test from 'ava';

import { entryFault, isBlank, isInSync, isTarget } from '../../../backend/cluster-map/entry.js';
import { NO_COPY_LOAD } from '../../../backend/cluster-map/copy-policy.js';
import { NO_DISK_TIMES } from '../../../backend/core/disk-meter.js';
import { ALL_KEYS } from '../../../backend/core/key-range.js';
import type { MdmOptions } from '../../../backend/mdm/options.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import type { CombEntry, Device, DiskTimes } from '../../../backend/protocol/generated/types.js';
import { GIB, standard } from './harness.js';
import type { Cluster, TestDevice } from './harness.js';

const USAGE = {
  ...{ capacityBytes: 16 * GIB, usedBytes: GIB, degradedCombs: 0 },
  ...{ resyncBytesTotal: 0, resyncBytesDone: 0, rebuildBytesLeft: 0, rebalanceBytesLeft: 0 },
  ...{ resync: NO_COPY_LOAD, rebuild: NO_COPY_LOAD, rebalance: NO_COPY_LOAD },
  scan: null,
};

/** A device whose disk does so much, and takes so long for each. */
class Disk {
  readonly device: TestDevice;
  opsPerBeat = 20;
  micros = 500;
  kind: 'read' | 'write' | 'flush' = 'flush';
  /** It says nothing any more. */
  silent = false;
  private times: DiskTimes = NO_DISK_TIMES;

  constructor(device: TestDevice) {
    this.device = device;
  }

  beat(cluster: Cluster): void {
    if (this.silent) return;
    const { times, kind, opsPerBeat, micros } = this;
    this.times = {
      ...times,
      [`${kind}Ops`]: times[`${kind}Ops`] + opsPerBeat,
      [`${kind}Micros`]: times[`${kind}Micros`] + opsPerBeat * micros,
    };
    const { device } = this;
    cluster.send(device.link, MSG.HEARTBEAT, {
      ...{ progress: ++device.progress, appliedSequence: cluster.store.sequence },
      ...{ listedAfter: ALL_KEYS.after, listedThrough: ALL_KEYS.through },
      ...{ counters: [], volumes: [], usage: { ...USAGE, times: this.times, cache: null } },
    });
  }
}

interface Site {
  readonly cluster: Cluster;
  readonly poolKey: number;
  readonly disks: readonly Disk[];
  readonly slow: Disk;
}

function site(sdsCount: number, options: Partial<MdmOptions> = {}): Site {
  const { cluster, poolKey, devices } = standard(
    { rebalanceDelayMs: 1000, movesPerDevice: 64, ...options },
    sdsCount,
  );
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 2 ** 21, provisioning: 'thin', rmcache: true },
  });
  const disks = devices.map((device) => new Disk(device));
  const [slow] = disks;
  if (slow === undefined) throw new Error('a device');
  const made = { cluster, poolKey, disks, slow };
  pass(made, 3000);
  return made;
}

/** Lets time pass; after each step what must always hold is checked. */
function pass({ cluster, poolKey, disks }: Site, ms: number): void {
  cluster.pass(ms, () => {
    for (const disk of disks) disk.beat(cluster);
    for (const entry of cluster.combs(poolKey)) {
      if (entryFault(entry) !== null) throw new Error('unsound entry');
      if (inSync(entry).length === 0) throw new Error('a comb without a copy');
    }
  });
}

function inSync(entry: CombEntry): number[] {
  return entry.members.flatMap(({ deviceKey }, index) =>
    isInSync(entry, index) ? [deviceKey] : [],
  );
}

function deviceOf({ cluster }: Site, { device }: Disk): Device {
  const found = cluster.query('device').devices.find(({ key }) => key === device.key);
  if (found === undefined) throw new Error('the device');
  return found;
}

function stage(here: Site, disk: Disk): Device['slowStage'] {
  return deviceOf(here, disk).slowStage;
}

/** How many combs a device leads, and in how many it is in sync. */
function parts({ cluster, poolKey }: Site, { device }: Disk): readonly [number, number] {
  const combs = cluster.combs(poolKey);
  const leads = combs.filter((entry) => entry.members[entry.primary]?.deviceKey === device.key);
  return [leads.length, combs.filter((entry) => inSync(entry).includes(device.key)).length];
}

/** Passes time until the device has this stage. */
function reach(here: Site, disk: Disk, wanted: Device['slowStage'], msMax = 60_000): void {
  for (let left = msMax; left > 0; left -= 100) {
    if (stage(here, disk) === wanted) return;
    pass(here, 100);
  }
  throw new Error(`the device is ${stage(here, disk)}, not ${wanted}`);
}

test('a device ten times as slow as its peers gives up its roles, then its copies, within half a minute', (t) => {
  const here = site(4);
  const { cluster, poolKey, disks, slow } = here;
  const [leads, copies] = parts(here, slow);
  t.true(leads > 2 && copies > leads);
  const before = cluster.combs(poolKey);
  slow.micros = 5000;
  pass(here, 3000);
  t.is(stage(here, slow), 'none', 'not at once');
  reach(here, slow, 'relieved', 10_000);
  t.deepEqual(parts(here, slow), [0, copies], 'every copy is still in sync');
  const relieved = cluster.combs(poolKey);
  for (const [index, entry] of relieved.entries()) {
    const was = before[index];
    const hadToMove = was?.members[was.primary]?.deviceKey === slow.device.key;
    t.is(entry.generation.number - (was?.generation.number ?? 0), hadToMove ? 1 : 0);
    t.deepEqual(entry.members, was?.members);
  }
  const { failure, state } = deviceOf(here, slow);
  t.is(state, 'up');
  t.regex(failure, /slower than its peers: 5\.00 ms for a flush, they take 0\.50 ms/);
  reach(here, slow, 'ejected', 15_000);
  t.is(deviceOf(here, slow).state, 'failed');
  t.deepEqual(parts(here, slow), [0, 0]);
  for (const entry of cluster.combs(poolKey)) {
    const was = relieved[entry.index];
    if (was === undefined || !inSync(was).includes(slow.device.key)) continue;
    t.is(inSync(entry).length, 1);
  }
  // Its process is told to end, and its data is made anew on the others at once.
  t.is(cluster.messages(2, MSG.DEVICE_WANTS).at(-1)?.wants[0]?.task, 'close');
  pass(here, 2000);
  const filled = cluster
    .combs(poolKey)
    .filter((entry) => inSync(entry).length === 1)
    .flatMap((entry) =>
      entry.members.flatMap(({ deviceKey }, index) =>
        isBlank(entry, index) && isTarget(entry, index) ? [deviceKey] : [],
      ),
    );
  t.is(filled.length, copies);
  t.is(new Set(filled).size, disks.length - 1);
});

test('who is not slow: below the floor, without peers, with more to do, slow once only, or all alike', (t) => {
  const floor = site(4);
  for (const disk of floor.disks) disk.micros = 30;
  floor.slow.micros = 1500;
  pass(floor, 30_000);
  t.is(stage(floor, floor.slow), 'none', 'fifty times its peers, but below the floor');

  const lonely = site(2);
  lonely.slow.micros = 500_000;
  pass(lonely, 30_000);
  t.is(stage(lonely, lonely.slow), 'none', 'one peer is no measure');

  const busy = site(4);
  busy.slow.micros = 8000;
  busy.slow.opsPerBeat = 120;
  pass(busy, 30_000);
  t.is(stage(busy, busy.slow), 'none', 'it has six times as much to do');

  const idle = site(4);
  for (const disk of idle.disks) disk.opsPerBeat = 0;
  pass(idle, 20_000);
  idle.slow.opsPerBeat = 1;
  idle.slow.micros = 50_000;
  pass(idle, 30_000);
  t.is(stage(idle, idle.slow), 'none', 'nobody else does anything');

  const once = site(4);
  for (let turn = 0; turn < 10; turn++) {
    once.slow.micros = 50_000;
    pass(once, 2000);
    once.slow.micros = 500;
    pass(once, 4000);
  }
  t.is(stage(once, once.slow), 'none', 'a third of the time is not slow');

  const alike = site(4);
  for (const disk of alike.disks.slice(0, 3)) disk.micros = 20_000;
  pass(alike, 30_000);
  t.true(alike.disks.every((disk) => stage(alike, disk) === 'none'));
});

test('reads, writes and flushes are compared each with their kind', (t) => {
  const here = site(4);
  // A flush of everybody takes longer than the slow reads of one.
  for (const disk of here.disks) disk.micros = 20_000;
  pass(here, 3000);
  for (const disk of here.disks) {
    disk.kind = 'read';
    disk.micros = 300;
  }
  here.slow.micros = 4000;
  reach(here, here.slow, 'relieved', 10_000);
  t.regex(deviceOf(here, here.slow).failure, /4\.00 ms for a read, they take 0\.30 ms/);
});

test('one device of a pool at a time, and never as many as would empty it', (t) => {
  const here = site(6);
  const [first, second] = here.disks;
  if (first === undefined || second === undefined) throw new Error('two devices');
  first.micros = 20_000;
  second.micros = 60_000;
  pass(here, 8000);
  t.deepEqual([stage(here, first), stage(here, second)], ['none', 'relieved'], 'the slowest first');
  reach(here, second, 'ejected');
  reach(here, first, 'relieved');
  const copies = parts(here, first)[1];
  pass(here, 60_000);
  t.is(stage(here, first), 'relieved', 'of six one may be out until somebody looks after it');
  t.is(parts(here, first)[1], copies);
  for (const entry of here.cluster.combs(here.poolKey))
    if (entry.members[entry.primary]?.deviceKey === first.device.key)
      t.deepEqual(inSync(entry), [first.device.key], 'it leads what only it has');
});

test('a slow device keeps its copies where they could not be made anew elsewhere', (t) => {
  const twoUnits = site(3, { movesMax: 0 });
  twoUnits.slow.micros = 20_000;
  pass(twoUnits, 40_000);
  t.is(stage(twoUnits, twoUnits.slow), 'relieved');

  // Something lacks a copy: another SDS is away.
  const degraded = site(4);
  const { disks, slow } = degraded;
  slow.micros = 20_000;
  reach(degraded, slow, 'relieved');
  const away = disks[3];
  if (away === undefined) throw new Error('four devices');
  away.silent = true;
  pass(degraded, 40_000);
  t.is(stage(degraded, slow), 'relieved');
  t.true(degraded.cluster.combs(degraded.poolKey).some((entry) => inSync(entry).length === 1));
});

test('a copy that becomes the last one while its device is taken out stays and serves', (t) => {
  const here = site(4);
  const { cluster, poolKey, disks, slow } = here;
  slow.micros = 20_000;
  reach(here, slow, 'relieved');
  // Nobody gives a sign of life any more from the moment of the decision on.
  while (stage(here, slow) === 'relieved') pass(here, 100);
  t.is(stage(here, slow), 'leaving');
  const held = cluster.combs(poolKey).filter((entry) => inSync(entry).includes(slow.device.key));
  t.true(held.length > 0, 'the others have to prove first that they live');
  for (const disk of disks) disk.silent = disk !== slow;
  pass(here, 10_000);
  t.is(stage(here, slow), 'leaving');
  t.deepEqual(parts(here, slow), [held.length, held.length], 'it leads what only it has');
  for (const disk of disks) {
    disk.silent = false;
    if (disk !== slow) cluster.register(disk.device);
  }
  pass(here, 2000);
  t.is(stage(here, slow), 'leaving', 'the others are being filled');
  for (const entry of cluster.combs(poolKey)) t.true(inSync(entry).length > 0);
});

test('a device that is fast again gets its roles back when it has proved itself, later after a relapse', (t) => {
  const here = site(4, { movesMax: 0, slowProofMs: 10_000 });
  const { slow } = here;
  const [leads] = parts(here, slow);
  slow.micros = 20_000;
  reach(here, slow, 'relieved');
  // Half as slow is not enough.
  slow.micros = 3000;
  pass(here, 20_000);
  t.is(stage(here, slow), 'relieved');
  slow.micros = 500;
  pass(here, 8000);
  t.is(stage(here, slow), 'relieved');
  reach(here, slow, 'none', 5000);
  t.is(deviceOf(here, slow).failure, '');
  pass(here, 3000);
  t.is(parts(here, slow)[0], leads);
  slow.micros = 20_000;
  reach(here, slow, 'relieved', 15_000);
  slow.micros = 500;
  pass(here, 18_000);
  t.is(stage(here, slow), 'relieved');
  reach(here, slow, 'none', 6000);
});

test('roles go back only when both copies know that they had been moved, and are moved only likewise', (t) => {
  const here = site(3, { movesMax: 0, slowProofMs: 1000 });
  const { cluster, disks, slow } = here;
  slow.micros = 20_000;
  reach(here, slow, 'relieved');
  const known = cluster.store.sequence - 1;
  for (const disk of disks) disk.silent = true;
  cluster.command('CLEAR_DEVICE_ERROR', { key: slow.device.key });
  t.is(stage(here, slow), 'none');
  // Everybody lives, but nobody has applied the commit that moved the roles.
  cluster.pass(4000, () => {
    for (const { device } of disks) cluster.beat(device, known);
  });
  t.is(parts(here, slow)[0], 0);
  cluster.pass(2000, () => {
    for (const { device } of disks) cluster.beat(device, cluster.store.sequence);
  });
  t.true(parts(here, slow)[0] > 0);
});

test('an operator brings back a device that was taken out, and one that only lost its roles', (t) => {
  const here = site(4);
  const { cluster, slow } = here;
  slow.micros = 20_000;
  reach(here, slow, 'relieved');
  cluster.command('CLEAR_DEVICE_ERROR', { key: slow.device.key });
  t.is(stage(here, slow), 'none');
  t.is(deviceOf(here, slow).failure, '');
  reach(here, slow, 'ejected');
  t.is(cluster.refusal(cluster.register(slow.device))?.error, 'DEVICE_FAILED');
  cluster.command('CLEAR_DEVICE_ERROR', { key: slow.device.key });
  t.is(cluster.messages(2, MSG.DEVICE_WANTS).at(-1)?.wants[0]?.task, 'open');
  t.is(deviceOf(here, slow).state, 'down');
  cluster.register(slow.device);
  const { state, slowStage, failure } = deviceOf(here, slow);
  t.deepEqual([state, slowStage, failure], ['up', 'none', '']);
});

test('a device that is cleared while its copies leave their sets is filled again', (t) => {
  const here = site(4);
  const { cluster, poolKey, slow } = here;
  slow.micros = 20_000;
  reach(here, slow, 'relieved');
  while (stage(here, slow) === 'relieved') pass(here, 100);
  // All the others have given a sign of life; the last stage is still to be committed.
  pass(here, 100);
  t.is(stage(here, slow), 'leaving');
  t.deepEqual(parts(here, slow), [0, 0]);
  cluster.command('CLEAR_DEVICE_ERROR', { key: slow.device.key });
  const concerned = cluster
    .combs(poolKey)
    .flatMap((entry) =>
      entry.members.flatMap(({ deviceKey }, index) =>
        deviceKey === slow.device.key ? [isTarget(entry, index)] : [],
      ),
    );
  t.true(concerned.length > 3 && concerned.every((isFilled) => isFilled));
});

test('the next MDM goes on where the last one ended; one that fails meanwhile has failed', (t) => {
  const here = site(4);
  const { cluster, disks, slow } = here;
  slow.micros = 20_000;
  reach(here, slow, 'relieved');
  while (stage(here, slow) === 'relieved') pass(here, 100);
  t.is(stage(here, slow), 'leaving');
  cluster.restart();
  for (const { device } of disks) cluster.register(device, { incarnation: device.incarnation });
  reach(here, slow, 'ejected', 5000);

  const broken = site(4);
  broken.slow.micros = 20_000;
  reach(broken, broken.slow, 'relieved');
  broken.cluster.send(2, MSG.DEVICE_RESULT, {
    mediaFound: '',
    ...{ deviceKey: broken.slow.device.key, task: 'open', status: ERR.DEVICE_FAILED },
    ...{ reason: 'EIO', path: '', capacityBytes: 0 },
  });
  pass(broken, 500);
  const { state, slowStage, failure } = deviceOf(broken, broken.slow);
  t.deepEqual([state, slowStage, failure], ['failed', 'none', 'EIO']);
});

test('without a factor nobody is slow', (t) => {
  const here = site(4, { slowFactor: 0 });
  here.slow.micros = 1_000_000;
  pass(here, 30_000);
  t.is(stage(here, here.slow), 'none');
});
