// Jobs as the MDM counts them: what devices get and give, what waits for its turn, and why.

import test from 'ava';

import { MSG } from '../../../backend/protocol/generated/constants.js';
import { isTarget } from '../../../backend/cluster-map/entry.js';
import type { CopyJob, CopyJobs } from '../../../backend/protocol/generated/types.js';
import type { MdmOptions } from '../../../backend/mdm/options.js';
import { standard } from './harness.js';
import type { Cluster, TestDevice } from './harness.js';

interface Site {
  readonly cluster: Cluster;
  readonly poolKey: number;
  readonly devices: TestDevice[];
  readonly first: TestDevice;
  readonly others: TestDevice[];
}

/** SDSs of one device each, a volume, and a master that has listened. */
function site(sdsCount: number, options: Partial<MdmOptions> = {}): Site {
  const { cluster, poolKey, devices } = standard(
    { rebuildDelayMs: 3000, rebalanceDelayMs: 1000, movesPerDevice: 64, ...options },
    sdsCount,
  );
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 2 ** 21, provisioning: 'thin', rmcache: true },
  });
  const [first, ...others] = devices;
  if (first === undefined) throw new Error('a device');
  const made = { cluster, poolKey, devices, first, others };
  pass(made, 2000, devices);
  return made;
}

function pass({ cluster }: Site, ms: number, devices: readonly TestDevice[]): void {
  cluster.pass(ms, () => {
    for (const device of devices) cluster.beat(device);
  });
}

function jobsOf({ cluster }: Site, { key }: TestDevice): readonly CopyJobs[] {
  return cluster.status('device').statuses.find((status) => status.key === key)?.jobs ?? [];
}

type Counts = Omit<CopyJobs, 'job'>;

/** Of one kind, all devices together. */
function sum(here: Site, job: CopyJob): Counts {
  const total = { activeIn: 0, activeOut: 0, pendingIn: 0, pendingOut: 0 };
  for (const device of here.devices)
    for (const jobs of jobsOf(here, device))
      if (jobs.job === job) {
        total.activeIn += jobs.activeIn;
        total.activeOut += jobs.activeOut;
        total.pendingIn += jobs.pendingIn;
        total.pendingOut += jobs.pendingOut;
      }
  return total;
}

function kinds(here: Site): CopyJob[] {
  return [
    ...new Set(here.devices.flatMap((device) => jobsOf(here, device).map(({ job }) => job))),
  ].sort();
}

/** Of which something is under way. Data that is to be spread waits until nothing is lost. */
function activeKinds(here: Site): CopyJob[] {
  return kinds(here).filter((job) => sum(here, job).activeIn > 0);
}

test('nothing to do, no jobs', (t) => {
  t.deepEqual(kinds(site(4)), []);
});

test('lost copies: as many begin as the limit lets, the rest waits', (t) => {
  const here = site(4, { movesPerDevice: 1 });
  const { cluster, poolKey, first, others } = here;
  const lost = cluster
    .combs(poolKey)
    .filter(({ members }) => members.some(({ deviceKey }) => deviceKey === first.key)).length;
  pass(here, 2500, others);
  t.deepEqual(kinds(here), [], 'not before the delay');
  pass(here, 3000, others);
  t.deepEqual(activeKinds(here), ['forwardRebuild']);
  const { activeIn, activeOut, pendingIn, pendingOut } = sum(here, 'forwardRebuild');
  const begun = cluster.combs(poolKey).filter(({ targetMask }) => targetMask !== 0).length;
  t.true(begun > 0);
  t.is(activeIn, begun);
  t.is(activeOut, begun);
  t.is(pendingIn, lost - begun);
  t.is(pendingOut, lost - begun);
  t.true(pendingIn > 0);
  t.deepEqual(jobsOf(here, first), [], 'a lost device neither gets nor gives');
});

test('a returned device gets what changed from those that lead its combs', (t) => {
  const here = site(3, { rebuildDelayMs: 60_000 });
  const { cluster, poolKey, first, others } = here;
  pass(here, 4000, others);
  cluster.register(first);
  pass(here, 500, here.devices);
  const targets = cluster
    .combs(poolKey)
    .filter((entry) => entry.members.some((_, index) => isTarget(entry, index)));
  t.true(targets.length > 0);
  t.deepEqual(jobsOf(here, first), [
    {
      ...{ job: 'backwardRebuild', activeIn: targets.length, activeOut: 0 },
      ...{ pendingIn: 0, pendingOut: 0 },
    },
  ]);
  t.is(sum(here, 'backwardRebuild').activeOut, targets.length);
});

test('protected maintenance: data is copied elsewhere, and afterwards back', (t) => {
  const here = site(4);
  const { cluster, poolKey, first, devices } = here;
  const key = first.sdsKey;
  cluster.command('ENTER_MAINTENANCE', { key, maintenance: 'protected' });
  pass(here, 2000, devices);
  t.deepEqual(activeKinds(here), ['enterMaintenance']);
  t.is(sum(here, 'enterMaintenance').activeIn, 8);
  for (let round = 0; round < 3; round++) {
    for (const { key: leader, link } of devices) {
      const changes = cluster.combs(poolKey).flatMap((entry) => {
        const member = entry.members.find((_, index) => isTarget(entry, index));
        if (member === undefined || entry.members[entry.primary]?.deviceKey !== leader) return [];
        const { index: comb, generation } = entry;
        return [{ comb, generation, change: 'admit' as const, member }];
      });
      if (changes.length > 0) cluster.send(link, MSG.COMB_CHANGE, { poolKey, changes });
    }
    pass(here, 2000, devices);
  }
  t.is(sum(here, 'enterMaintenance').activeIn, 0, 'all of it is elsewhere');
  cluster.command('EXIT_MAINTENANCE', { key, abort: false, force: false });
  pass(here, 500, devices);
  t.deepEqual(activeKinds(here), ['exitMaintenance']);
  t.is(jobsOf(here, first)[0]?.activeIn, 8);
});

test('an emptied device gives what it leads, as data that is moved', (t) => {
  const here = site(4);
  const { cluster, first, devices } = here;
  cluster.begin('REMOVE_SDS', { key: first.sdsKey, force: false });
  pass(here, 2000, devices);
  t.deepEqual(kinds(here), ['rebalance']);
  const begun = cluster.combs(here.poolKey).filter(({ targetMask }) => targetMask !== 0).length;
  t.true(begun >= 8);
  t.is(sum(here, 'rebalance').activeIn, begun);
  t.true((jobsOf(here, first)[0]?.activeOut ?? 0) > 0);
});
