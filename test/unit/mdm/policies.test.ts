// Snapshot policies, locks and secure snapshots: what an operator is told, what goes when, and what a new master goes on with.

import test from 'ava';

import type { MdmOptions } from '../../../backend/mdm/options.js';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import type { CommandParams, SnapshotPolicy } from '../../../backend/protocol/generated/types.js';
import type { Volume } from '../../../backend/protocol/generated/types.js';
import { SECTORS_PER_GIB, standard } from './harness.js';
import type { Cluster, TestDevice } from './harness.js';

const MINUTE_MS = 1000;

class Rig {
  readonly cluster: Cluster;
  readonly volumes: readonly number[];
  private readonly devices: readonly TestDevice[];
  private readonly done = new Set<string>();
  /** Whether devices hold when they are asked to. */
  holds = true;

  constructor(count = 2, options: Partial<MdmOptions> = {}) {
    const { cluster, poolKey, devices } = standard({ minuteMs: MINUTE_MS, ...options });
    this.cluster = cluster;
    this.devices = devices;
    this.volumes = Array.from({ length: count }, (_, index) => {
      const params = { poolKey, name: `v${index}`, sizeSectors: SECTORS_PER_GIB, rmcache: true };
      return cluster.command('ADD_VOLUME', { ...params, provisioning: 'thin' }).key;
    });
  }

  /** Time passes, and devices do what they are asked to. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 100)
      this.cluster.pass(Math.min(100, left), () => {
        this.serve();
      });
    this.serve();
  }

  /** Another MDM goes on; the devices come back to it. */
  restart(): void {
    const { cluster } = this;
    for (const device of this.devices) cluster.close(device.link);
    cluster.restart();
    for (const device of this.devices)
      cluster.register(device, { incarnation: device.incarnation, dataIncarnation: 0 });
  }

  serve(): void {
    const { cluster } = this;
    for (let round = 0; round < 4; round++)
      for (const device of this.devices) {
        cluster.beat(device, cluster.store.sequence);
        const cut = cluster.messages(device.link, MSG.CUT_HOLD).at(-1)?.cut ?? 0;
        if (cut === 0) continue;
        const { key: deviceKey, incarnation } = device;
        const about = { cut, deviceKey, incarnation };
        const name = `${cut} ${deviceKey} ${round < 2 ? 'held' : 'switched'}`;
        if (this.done.has(name)) continue;
        this.done.add(name);
        if (round < 2)
          cluster.send(device.link, MSG.CUT_HELD, { ...about, ok: this.holds, reason: 'no' });
        else if (this.holds)
          cluster.send(device.link, MSG.CUT_SWITCHED, { ...about, certified: true });
      }
  }

  add(facts: Partial<CommandParams['ADD_SNAPSHOT_POLICY']> = {}, sources = this.volumes): number {
    const { key } = this.cluster.command('ADD_SNAPSHOT_POLICY', {
      ...{ name: 'p', cadenceMin: 5, retained: [2], paused: false, secure: false },
      ...{ accessLimit: 'readOnly' as const, ...facts },
    });
    for (const volumeKey of sources) this.cluster.command('ADD_POLICY_VOLUME', { key, volumeKey });
    return key;
  }

  policy(key: number): SnapshotPolicy {
    const [policy] = this.cluster.query('snapshotPolicy', [key]).policies;
    if (policy === undefined) throw new Error('the policy is there');
    return policy;
  }

  /** Auto snapshots of a volume, the oldest first. */
  made(source = this.volumes[0]): readonly Volume[] {
    return this.cluster
      .query('volume')
      .volumes.filter((one) => one.autoPolicyKey !== 0 && one.vtreeKey === source);
  }

  runs(): readonly number[] {
    return this.made().map(({ autoRun }) => autoRun);
  }
}

test('a run is one group over all source volumes, and what is no longer retained goes', (t) => {
  const rig = new Rig();
  const key = rig.add();
  rig.pass(4900);
  t.deepEqual(rig.runs(), []);
  rig.pass(300);
  t.deepEqual(rig.runs(), [0]);
  const groups = rig.volumes.map((volume) => rig.made(volume)[0]?.groupKey);
  t.is(groups[0], groups[1]);
  t.is(rig.made()[0]?.accessLimit, 'readOnly');
  rig.pass(5000);
  t.deepEqual(rig.runs(), [0, 1]);
  rig.pass(5000);
  t.deepEqual(rig.runs(), [1, 2]);
  t.is(rig.policy(key).nextRun, 3);
  const refused = rig.cluster.refused('REMOVE_GROUP_SNAPSHOTS', { groupKey: groups[0] ?? 0 });
  t.is(refused.error, 'GROUP_NOT_FOUND');
  const groupKey = rig.made()[0]?.groupKey ?? 0;
  t.is(
    rig.cluster.refused('REMOVE_GROUP_SNAPSHOTS', { groupKey }).error,
    'GROUP_HAS_AUTO_SNAPSHOTS',
  );
});

test('a run that fails is told, the older snapshots stay, and the next one is made as planned', (t) => {
  const rig = new Rig(1);
  const key = rig.add({ retained: [1] });
  rig.pass(5200);
  rig.holds = false;
  rig.pass(9000);
  t.deepEqual(rig.runs(), [0]);
  const failed = rig.policy(key);
  t.is(failed.failures, 1);
  t.is(failed.lastFailedRun, 1);
  t.regex(failed.lastFailure, /could not be held/);
  rig.holds = true;
  rig.pass(3000);
  t.deepEqual(rig.runs(), [2]);
});

test('a new master does a run that was due once, however many were missed', (t) => {
  const rig = new Rig(1);
  rig.add({ retained: [3] });
  rig.pass(5200);
  t.deepEqual(rig.runs(), [0]);
  rig.cluster.nowUs += 21_000_000;
  rig.restart();
  rig.pass(2500);
  t.deepEqual(rig.runs(), [0, 4]);
  rig.pass(4000);
  t.deepEqual(rig.runs(), [0, 4, 5]);
});

test('locked snapshots stay and are marked; unlocking one that is marked removes it, if that may be', (t) => {
  const rig = new Rig(1);
  rig.add({ retained: [1] });
  rig.pass(5200);
  const [first] = rig.made();
  const key = first?.key ?? 0;
  rig.cluster.command('LOCK_AUTO_SNAPSHOT', { key });
  t.is(rig.cluster.refused('LOCK_AUTO_SNAPSHOT', { key }).error, 'AUTO_SNAPSHOT_LOCKED');
  rig.pass(10_000);
  t.deepEqual(rig.runs(), [0, 2]);
  t.true(rig.made()[0]?.lockedExpired);
  const { cluster } = rig;
  t.is(cluster.refused('REMOVE_VOLUME', { key, mode: 'onlyMe' }).error, 'LOCKED_SNAPSHOTS');
  t.is(cluster.refused('UNLOCK_AUTO_SNAPSHOT', { key, mayGo: false }).error, 'UNLOCK_REMOVES');
  const tag = cluster.begin('UNLOCK_AUTO_SNAPSHOT', { key, mayGo: true });
  rig.serve();
  t.deepEqual(cluster.outcome('UNLOCK_AUTO_SNAPSHOT', tag), { removed: true });
  t.deepEqual(rig.runs(), [2]);
  const other = rig.made()[0]?.key ?? 0;
  cluster.command('LOCK_AUTO_SNAPSHOT', { key: other });
  t.deepEqual(cluster.command('UNLOCK_AUTO_SNAPSHOT', { key: other, mayGo: false }), {
    removed: false,
  });
});

test('a source volume is not removed; leaving its policy its snapshots go or stay', (t) => {
  const rig = new Rig(2);
  const { cluster, volumes } = rig;
  const [v0 = 0, v1 = 0] = volumes;
  const key = rig.add();
  rig.pass(5200);
  for (const mode of ['onlyMe', 'wholeVtree'] as const)
    t.is(cluster.refused('REMOVE_VOLUME', { key: v0, mode }).error, 'VOLUME_HAS_POLICY');
  t.is(cluster.refused('REMOVE_SNAPSHOT_POLICY', { key }).error, 'POLICY_HAS_VOLUMES');
  const locked = rig.made(v0)[0]?.key ?? 0;
  cluster.command('LOCK_AUTO_SNAPSHOT', { key: locked });
  const leave = { key, volumeKey: v0, detach: false, detachLocked: false };
  t.is(cluster.refused('REMOVE_POLICY_VOLUME', leave).error, 'LOCKED_SNAPSHOTS');
  const detached = cluster.command('REMOVE_POLICY_VOLUME', { ...leave, detachLocked: true });
  t.deepEqual(detached, { removed: 0, detached: 1 });
  t.false(cluster.query('volume', [locked]).volumes[0]?.locked);
  const tag = cluster.begin('REMOVE_POLICY_VOLUME', { ...leave, volumeKey: v1 });
  rig.serve();
  t.deepEqual(cluster.outcome('REMOVE_POLICY_VOLUME', tag), { removed: 1, detached: 0 });
  cluster.command('REMOVE_SNAPSHOT_POLICY', { key });
  t.deepEqual(cluster.query('snapshotPolicy').policies, []);
});

test('what is secure can be neither removed nor changed before its time, by nobody', (t) => {
  const rig = new Rig(1);
  const { cluster, volumes } = rig;
  const [v0 = 0] = volumes;
  const items = [{ volumeKey: v0, name: 's' }];
  const tag = cluster.begin('SNAPSHOT_VOLUMES', { items, accessLimit: 'readWrite', secureMin: 20 });
  rig.pass(500);
  const result = cluster.outcome('SNAPSHOT_VOLUMES', tag);
  if (result === null || 'error' in result) throw new Error('the snapshot is made');
  const [key = 0] = result.keys;
  t.is(cluster.query('volume', [key]).volumes[0]?.accessLimit, 'readOnly');
  const refusals = [
    cluster.refused('REMOVE_VOLUME', { key, mode: 'onlyMe' }),
    cluster.refused('REMOVE_VOLUME', { key: v0, mode: 'wholeVtree' }),
    cluster.refused('REMOVE_GROUP_SNAPSHOTS', { groupKey: result.groupKey }),
    cluster.refused('OVERWRITE_VOLUME', { key, sourceKey: v0 }),
    cluster.refused('RESIZE_VOLUME', { key, sizeSectors: 2 * SECTORS_PER_GIB }),
    cluster.refused('SECURE_SNAPSHOT', { key, minutes: 1 }),
  ];
  t.true(refusals.every(({ error }) => error === 'SNAPSHOT_SECURE'));
  t.is(cluster.refused('SECURE_SNAPSHOT', { key: v0, minutes: 1 }).error, 'INVALID_PARAMETER');
  // A master whose clock is far ahead: that ends nothing.
  rig.restart();
  rig.pass(18_000);
  t.is(cluster.refused('REMOVE_VOLUME', { key, mode: 'onlyMe' }).error, 'SNAPSHOT_SECURE');
  rig.pass(2500);
  const removal = cluster.begin('REMOVE_VOLUME', { key, mode: 'onlyMe' });
  rig.serve();
  t.deepEqual(cluster.outcome('REMOVE_VOLUME', removal), { removed: 1 });
});

test('a clock that jumps ahead ends nothing early: what is secure stays so for as long as time really passes', (t) => {
  const rig = new Rig(1);
  const { cluster, volumes } = rig;
  const items = volumes.map((volumeKey) => ({ volumeKey, name: 's' }));
  const tag = cluster.begin('SNAPSHOT_VOLUMES', { items, accessLimit: 'readOnly', secureMin: 60 });
  rig.pass(500);
  const result = cluster.outcome('SNAPSHOT_VOLUMES', tag);
  if (result === null || 'error' in result) throw new Error('the snapshot is made');
  const [key = 0] = result.keys;
  // To the next master a day has passed, by its clock.
  cluster.nowUs += 86_400_000_000;
  rig.restart();
  rig.pass(50_000);
  t.is(cluster.refused('REMOVE_VOLUME', { key, mode: 'onlyMe' }).error, 'SNAPSHOT_SECURE');
  rig.pass(11_000);
  const removal = cluster.begin('REMOVE_VOLUME', { key, mode: 'onlyMe' });
  rig.serve();
  t.deepEqual(cluster.outcome('REMOVE_VOLUME', removal), { removed: 1 });
});

test('snapshots of a secure policy are so until it removes them by itself, also when they left it', (t) => {
  const rig = new Rig(1);
  const { cluster, volumes } = rig;
  const [v0 = 0] = volumes;
  const key = rig.add({ retained: [2], secure: true });
  rig.pass(10_200);
  t.deepEqual(rig.runs(), [0, 1]);
  for (const one of rig.made())
    t.is(
      cluster.refused('REMOVE_VOLUME', { key: one.key, mode: 'onlyMe' }).error,
      'SNAPSHOT_SECURE',
    );
  rig.pass(5100);
  t.deepEqual(rig.runs(), [1, 2]);
  const leave = { key, volumeKey: v0, detach: false, detachLocked: false };
  t.deepEqual(cluster.command('REMOVE_POLICY_VOLUME', leave), { removed: 0, detached: 2 });
});

test('times, levels and volumes that no policy can have are refused by the errors of the original', (t) => {
  const rig = new Rig(2);
  const { cluster, volumes } = rig;
  const [v0 = 0] = volumes;
  const plain = { name: 'q', cadenceMin: 5, paused: false, secure: false } as const;
  const refused = (retained: number[], facts: object = {}): string =>
    cluster.refused('ADD_SNAPSHOT_POLICY', {
      ...{ ...plain, retained, accessLimit: 'readOnly' as const },
      ...facts,
    }).error;
  t.is(refused([1], { cadenceMin: 0 }), 'POLICY_CADENCE_ILLEGAL');
  t.is(refused([]), 'POLICY_LEVELS_ILLEGAL');
  t.is(refused([2, 0]), 'POLICY_LEVELS_ILLEGAL');
  t.is(refused([60, 1]), 'POLICY_LEVELS_ILLEGAL');
  t.is(refused([1, 2]), 'POLICY_LEVEL_MEANINGLESS');
  t.is(refused([2, 2, 2, 2, 2, 2, 2]), 'TOO_MANY_POLICY_LEVELS');
  const key = rig.add({}, [v0]);
  t.is(refused([1], { name: 'p' }), 'POLICY_NAME_IN_USE');
  const again = { key, volumeKey: v0 };
  t.is(cluster.refused('ADD_POLICY_VOLUME', again).error, 'POLICY_HAS_VOLUME');
  rig.pass(5200);
  const auto = rig.made()[0]?.key ?? 0;
  const made = cluster.refused('ADD_POLICY_VOLUME', { key, volumeKey: auto });
  t.is(made.error, 'POLICY_OF_AUTO_SNAPSHOT');
  t.is(cluster.refused('LOCK_AUTO_SNAPSHOT', { key: v0 }).error, 'NOT_AUTO_SNAPSHOT');
  t.is(
    cluster.refused('PAUSE_SNAPSHOT_POLICY', { key: 1, paused: true }).error,
    'POLICY_NOT_FOUND',
  );
});

test('a paused policy makes and removes none; resumed, it makes up for one run', (t) => {
  const rig = new Rig(1);
  const key = rig.add({ retained: [1] });
  rig.pass(5200);
  rig.cluster.command('PAUSE_SNAPSHOT_POLICY', { key, paused: true });
  rig.pass(20_000);
  t.deepEqual(rig.runs(), [0]);
  rig.cluster.command('PAUSE_SNAPSHOT_POLICY', { key, paused: false });
  rig.pass(1000);
  t.is(rig.made().length, 1);
  t.not(rig.runs()[0], 0);
});

test('a policy that retains fewer removes the others', (t) => {
  const rig = new Rig(1);
  const key = rig.add({ retained: [3] });
  rig.pass(15_200);
  t.deepEqual(rig.runs(), [0, 1, 2]);
  rig.cluster.command('MODIFY_SNAPSHOT_POLICY', { key, cadenceMin: 10, retained: [1] });
  rig.pass(500);
  t.deepEqual(rig.runs(), [2]);
  rig.pass(9000);
  t.deepEqual(rig.runs(), [2]);
  rig.pass(1000);
  t.deepEqual(rig.runs(), [3]);
});
