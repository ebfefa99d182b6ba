import test from 'ava';

import { entryFault, isInSync, isTarget } from '../../../backend/cluster-map/entry.js';
import { encodeControl } from '../../support/newest.js';
import { setBodyBytes } from '../../../backend/protocol/generated/frame-head.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import type { CombEntry } from '../../../backend/protocol/generated/types.js';
import { standard } from './harness.js';
import type { Cluster, TestDevice } from './harness.js';

/** Two devices, so that every comb has both. */
function pair(): { cluster: Cluster; poolKey: number; a: TestDevice; b: TestDevice } {
  const { cluster, poolKey, devices } = standard({}, 2);
  const [a, b] = devices;
  if (a === undefined || b === undefined) throw new Error('two devices');
  cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 2 ** 21, provisioning: 'thin', rmcache: true },
  });
  return { cluster, poolKey, a, b };
}

function roleOf(entry: CombEntry, { key }: TestDevice): string {
  const index = entry.members.findIndex(({ deviceKey }) => deviceKey === key);
  if (entry.primary === index) return 'primary';
  if (isInSync(entry, index)) return 'in sync';
  return isTarget(entry, index) ? 'target' : 'out';
}

/** What a device is in all combs of the pool; one word when it is the same everywhere. */
function roles(cluster: Cluster, poolKey: number, device: TestDevice): string {
  const combs = cluster.combs(poolKey);
  for (const entry of combs) if (entryFault(entry) !== null) throw new Error('unsound entry');
  return [...new Set(combs.map((entry) => roleOf(entry, device)))].sort().join(', ');
}

function admit(cluster: Cluster, poolKey: number, primary: TestDevice, target: TestDevice): void {
  const changes = cluster
    .combs(poolKey)
    .filter((entry) => roleOf(entry, target) === 'target' && roleOf(entry, primary) === 'primary')
    .map(({ index, generation }) => ({
      ...{ comb: index, generation, change: 'admit' as const },
      member: { deviceKey: target.key, incarnation: target.incarnation },
    }));
  const tag = cluster.send(primary.link, MSG.COMB_CHANGE, { poolKey, changes });
  const { statuses } = cluster.reply(tag, MSG.COMB_CHANGE_REPLY);
  if (statuses.some((status) => status !== 0)) throw new Error(`admit: ${statuses.join()}`);
}

test('a silent device is replaced by its other copy after the detection time, not before', (t) => {
  const { cluster, poolKey, a, b } = pair();
  const before = cluster.combs(poolKey);
  t.is(roles(cluster, poolKey, a), 'in sync, primary');
  cluster.beat(a);
  cluster.pass(1400, () => {
    cluster.beat(b);
  });
  t.is(roles(cluster, poolKey, b), 'in sync, primary');
  cluster.pass(300, () => {
    cluster.beat(b);
  });
  t.is(roles(cluster, poolKey, b), 'primary');
  t.is(roles(cluster, poolKey, a), 'out');
  for (const [index, entry] of cluster.combs(poolKey).entries())
    t.is(entry.generation.number, (before[index]?.generation.number ?? 0) + 1);
  t.is(cluster.query('device').devices.find(({ key }) => key === a.key)?.state, 'down');
});

test('heartbeats without progress do not keep a device alive (C14)', (t) => {
  const { cluster, poolKey, a, b } = pair();
  cluster.pass(2000, () => {
    cluster.beat(b);
    cluster.beat(a);
    a.progress = 1;
  });
  t.is(roles(cluster, poolKey, a), 'out');
});

test('the in-sync set never shrinks to zero, and the survivor is not whoever was found dead last (C8)', (t) => {
  const { cluster, poolKey, a, b } = pair();
  // Both fall silent; a was heard a little earlier than b.
  cluster.beat(a);
  cluster.pass(200);
  cluster.beat(b);
  cluster.pass(5000);
  for (const entry of cluster.combs(poolKey)) t.is(entry.inSyncMask, 3);
  // a comes back first with all its data: it serves alone.
  cluster.register(a);
  t.is(roles(cluster, poolKey, a), 'primary');
  t.is(roles(cluster, poolKey, b), 'out');
  // b comes back as a target, in its new life.
  cluster.register(b);
  t.is(roles(cluster, poolKey, b), 'target');
  const [entry] = cluster.combs(poolKey);
  t.true(entry?.members.every(({ incarnation }) => incarnation === 2));
});

test('the last in-sync member waits for itself: the other copy never serves in its place', (t) => {
  const { cluster, poolKey, a, b } = pair();
  cluster.pass(2000, () => {
    cluster.beat(b);
  });
  t.is(roles(cluster, poolKey, b), 'primary');
  cluster.pass(3000);
  cluster.register(a);
  t.is(roles(cluster, poolKey, a), 'out');
  t.is(roles(cluster, poolKey, b), 'primary');
  cluster.register(b);
  t.is(roles(cluster, poolKey, b), 'primary');
  t.is(roles(cluster, poolKey, a), 'target');
});

test('a device that lost its data does not return as a good copy', (t) => {
  const { cluster, poolKey, a, b } = pair();
  cluster.pass(5000);
  cluster.register(a, { dataIncarnation: 0 });
  for (const entry of cluster.combs(poolKey)) t.is(entry.inSyncMask, 3);
  cluster.register(b);
  t.is(roles(cluster, poolKey, b), 'primary');
  t.is(roles(cluster, poolKey, a), 'target');
});

test('a process restart within the detection time makes a target, once the other gave a sign of life', (t) => {
  const { cluster, poolKey, a, b } = pair();
  cluster.register(a);
  // Nothing was heard of b since: both may have been lost together.
  t.is(roles(cluster, poolKey, a), 'in sync, primary');
  cluster.pass(100);
  cluster.beat(b);
  t.is(roles(cluster, poolKey, b), 'primary');
  t.is(roles(cluster, poolKey, a), 'target');
});

test('both processes restart at once: one copy serves, in its new life, and nothing is lost', (t) => {
  const { cluster, poolKey, a, b } = pair();
  cluster.register(a);
  cluster.pass(100);
  cluster.register(b);
  const combs = cluster.combs(poolKey);
  t.is(combs.filter((entry) => entryFault(entry) === null).length, combs.length);
  for (const entry of combs) {
    const primary = entry.members[entry.primary];
    t.is(primary?.incarnation, 2);
    t.is(entry.inSyncMask | entry.targetMask, 3);
    t.not(entry.inSyncMask, 3);
  }
});

test('a rolled back copy waits for the other one; two rolled back copies may serve; policy lets one alone', (t) => {
  const lonely = pair();
  lonely.cluster.pass(5000);
  lonely.cluster.register(lonely.a, { rolledBack: true });
  for (const entry of lonely.cluster.combs(lonely.poolKey)) t.is(entry.inSyncMask, 3);
  t.is(lonely.cluster.status('device').statuses.length, 2);
  lonely.cluster.register(lonely.b, { rolledBack: true });
  for (const entry of lonely.cluster.combs(lonely.poolKey)) {
    t.true(entry.inSyncMask === 1 || entry.inSyncMask === 2);
    t.is(entry.members[entry.primary]?.incarnation, 2);
  }
  t.true(lonely.cluster.events.some(({ name }) => name === 'mdm.rolled-back-copy-serves'));

  const whole = pair();
  whole.cluster.pass(5000);
  whole.cluster.register(whole.a, { rolledBack: true });
  whole.cluster.register(whole.b);
  t.is(roles(whole.cluster, whole.poolKey, whole.b), 'primary');

  const allowed = pair();
  allowed.cluster.pass(5000);
  allowed.cluster.register(allowed.a, { rolledBack: true });
  allowed.cluster.command('SET_STORAGE_POOL', {
    ...{ key: allowed.poolKey, durability: null, fullPolicy: null, zeroPadding: null },
    ...{ checksums: null, rmcache: null, cacheWrites: null, sparePercent: null, mediaType: null },
    ...{ capacityAlertHighPercent: null, capacityAlertCriticalPercent: null, loneReturn: true },
    force: false,
  });
  t.is(roles(allowed.cluster, allowed.poolKey, allowed.a), 'primary');
});

test('a rolled back copy does not become whole by another restart, nor a formatted one', (t) => {
  const rolled = pair();
  rolled.cluster.pass(5000);
  rolled.cluster.register(rolled.a, { rolledBack: true });
  rolled.cluster.register(rolled.a);
  for (const entry of rolled.cluster.combs(rolled.poolKey)) t.is(entry.inSyncMask, 3);
  rolled.cluster.restart();
  rolled.cluster.pass(3000);
  rolled.cluster.register(rolled.a);
  for (const entry of rolled.cluster.combs(rolled.poolKey)) t.is(entry.inSyncMask, 3);
  rolled.cluster.register(rolled.b);
  t.is(roles(rolled.cluster, rolled.poolKey, rolled.b), 'primary');
  t.is(roles(rolled.cluster, rolled.poolKey, rolled.a), 'target');

  const formatted = pair();
  formatted.cluster.pass(5000);
  formatted.cluster.register(formatted.a, { dataIncarnation: 0 });
  formatted.cluster.register(formatted.a);
  for (const entry of formatted.cluster.combs(formatted.poolKey)) t.is(entry.inSyncMask, 3);
});

test('an SDS that reports the end of a process makes its other copy take over at once', (t) => {
  const { cluster, poolKey, a, b } = pair();
  const [sds] = cluster.query('sds').sds;
  t.is(sds?.key, a.sdsKey);
  const sdsLink = 2;
  cluster.close(a.link);
  cluster.send(sdsLink, MSG.DEVICE_RESULT, {
    mediaFound: '',
    ...{ deviceKey: a.key, task: 'open', status: ERR.NOT_READY, reason: 'killed' },
    ...{ path: '', capacityBytes: 0 },
  });
  cluster.pass(100);
  cluster.beat(b);
  t.is(roles(cluster, poolKey, b), 'primary');
});

test('a failed device is not opened again before an operator says so', (t) => {
  const { cluster, poolKey, a, b } = pair();
  const sdsLink = 2;
  cluster.send(sdsLink, MSG.DEVICE_RESULT, {
    mediaFound: '',
    ...{ deviceKey: a.key, task: 'open', status: ERR.DEVICE_FAILED, reason: 'EIO' },
    ...{ path: '', capacityBytes: 0 },
  });
  cluster.pass(100);
  cluster.beat(b);
  t.is(roles(cluster, poolKey, b), 'primary');
  const device = cluster.query('device').devices.find(({ key }) => key === a.key);
  t.is(device?.state, 'failed');
  t.is(device?.failure, 'EIO');
  t.is(cluster.messages(sdsLink, MSG.DEVICE_WANTS).at(-1)?.wants[0]?.task, 'close');
  t.is(cluster.refusal(cluster.register(a))?.error, 'DEVICE_FAILED');
  cluster.command('CLEAR_DEVICE_ERROR', { key: a.key });
  t.is(cluster.messages(sdsLink, MSG.DEVICE_WANTS).at(-1)?.wants[0]?.task, 'open');
  cluster.register(a);
  t.is(roles(cluster, poolKey, a), 'target');
});

test('changes are compare-and-set on generation, primary and life of the member (C2)', (t) => {
  const { cluster, poolKey, a, b } = pair();
  const entry = cluster.combs(poolKey).find((comb) => roleOf(comb, a) === 'primary');
  if (entry === undefined) throw new Error('a is primary of something');
  const ask = (asker: TestDevice, changes: Partial<Parameters<typeof change>[0]>): number => {
    const request = change(changes);
    const tag = cluster.send(asker.link, MSG.COMB_CHANGE, { poolKey, changes: [request] });
    return cluster.reply(tag, MSG.COMB_CHANGE_REPLY).statuses[0] ?? -1;
  };
  const change = (
    changes: object,
  ): Parameters<typeof cluster.send<typeof MSG.COMB_CHANGE>>[2]['changes'][number] => ({
    ...{ comb: entry.index, generation: entry.generation, change: 'shrink' as const },
    member: { deviceKey: b.key, incarnation: b.incarnation },
    ...changes,
  });
  const { epoch, number } = entry.generation;
  t.is(ask(a, { generation: { epoch, number: number - 1 } }), ERR.STALE_GENERATION);
  t.is(ask(b, {}), ERR.NOT_PRIMARY);
  t.is(ask(a, { member: { deviceKey: b.key, incarnation: 9 } }), ERR.CONFLICT);
  t.is(ask(a, { member: { deviceKey: a.key, incarnation: a.incarnation } }), ERR.CONFLICT);
  t.is(ask(a, { change: 'admit' }), ERR.CONFLICT);
  t.is(ask(a, { comb: 4000 }), ERR.WRONG_COMB);
  t.is(ask(a, {}), 0);
  t.is(ask(a, {}), ERR.STALE_GENERATION);
  t.is(roleOf(cluster.combs(poolKey)[entry.index] ?? entry, b), 'out');
  // The asker hears of the entry before the answer to its request.
  const sent = cluster.links.sent.filter(({ link }) => link === a.link).map(({ code }) => code);
  t.true(sent.lastIndexOf(MSG.MAP_UPDATE) < sent.lastIndexOf(MSG.COMB_CHANGE_REPLY));
});

test('a member that its primary took out is offered again as a target after a while', (t) => {
  const { cluster, poolKey, a, b } = pair();
  const entry = cluster.combs(poolKey).find((comb) => roleOf(comb, a) === 'primary');
  if (entry === undefined) throw new Error('a is primary of something');
  const member = { deviceKey: b.key, incarnation: b.incarnation };
  const request = {
    comb: entry.index,
    generation: entry.generation,
    change: 'shrink' as const,
    member,
  };
  cluster.send(a.link, MSG.COMB_CHANGE, { poolKey, changes: [request] });
  const now = (): string => roleOf(cluster.combs(poolKey)[entry.index] ?? entry, b);
  t.is(now(), 'out');
  const both = (): void => {
    cluster.beat(a);
    cluster.beat(b);
  };
  cluster.pass(500, both);
  t.is(now(), 'out');
  cluster.pass(1000, both);
  t.is(now(), 'target');
});

test('after resync the preferred primary gets its combs back, in one commit', (t) => {
  const { cluster, poolKey, a, b } = pair();
  const preferred = cluster.combs(poolKey).map(({ members }) => members[0]?.deviceKey);
  cluster.pass(2000, () => {
    cluster.beat(b);
  });
  cluster.register(a);
  cluster.beat(b);
  t.is(roles(cluster, poolKey, a), 'target');
  admit(cluster, poolKey, b, a);
  t.is(roles(cluster, poolKey, a), 'in sync');
  const before = cluster.store.sequence;
  cluster.pass(1500, () => {
    cluster.beat(a);
    cluster.beat(b);
  });
  t.is(cluster.store.sequence, before + 1);
  const combs = cluster.combs(poolKey);
  t.deepEqual(
    combs.map((entry) => entry.members[entry.primary]?.deviceKey),
    preferred,
  );
});

test('a new master decides no failure before it listened for one detection time', (t) => {
  const { cluster, poolKey, a, b } = pair();
  cluster.pass(60_000, () => {
    cluster.beat(a);
    cluster.beat(b);
  });
  cluster.restart();
  const combs = cluster.combs(poolKey);
  cluster.pass(1400);
  t.deepEqual(cluster.combs(poolKey), combs);
  cluster.register(b, { incarnation: 1, dataIncarnation: 0 });
  t.deepEqual(cluster.combs(poolKey), combs);
  cluster.pass(300, () => {
    cluster.beat(b);
  });
  t.is(roles(cluster, poolKey, b), 'primary');
});

test('a device that restarts while the MDM restarts does not lose its place to one that is gone', (t) => {
  const { cluster, poolKey, a, b } = pair();
  cluster.restart();
  // a comes back in a new life before anything is known of b, which is dead.
  cluster.register(a);
  t.is(roles(cluster, poolKey, a), 'in sync, primary');
  cluster.pass(2000, () => {
    cluster.beat(a);
  });
  t.is(roles(cluster, poolKey, a), 'primary');
  t.is(roles(cluster, poolKey, b), 'out');
});

test('a pause of the MDM itself is not taken for a failure of everybody', (t) => {
  const { cluster, poolKey, a, b } = pair();
  const combs = cluster.combs(poolKey);
  cluster.nowUs += 30_000_000;
  cluster.mdm.tick(cluster.nowUs);
  cluster.settle();
  t.deepEqual(cluster.combs(poolKey), combs);
  cluster.beat(a);
  cluster.beat(b);
  cluster.pass(1000, () => {
    cluster.beat(a);
    cluster.beat(b);
  });
  t.deepEqual(cluster.combs(poolKey), combs);
});

test('an older life of a device is refused, and an unknown device as well', (t) => {
  const { cluster, a } = pair();
  cluster.register(a);
  t.is(cluster.refusal(cluster.register(a, { incarnation: 1 }))?.error, 'CONFLICT');
  const stranger = { ...a, key: 4711 };
  t.is(cluster.refusal(cluster.register(stranger))?.error, 'DEVICE_NOT_FOUND');
  t.is(cluster.refusal(cluster.register({ ...a, sdsKey: 99 }))?.error, 'DEVICE_NOT_FOUND');
});

test('combs that are placed while a device is away are decided like all others', (t) => {
  const { cluster, domainKey, poolKey, devices } = standard();
  const [a, ...others] = devices;
  if (a === undefined) throw new Error('a device');
  const beats = (): void => {
    for (const device of others) cluster.beat(device);
  };
  cluster.pass(2500, beats);
  others.push(...cluster.addSds(4, domainKey, poolKey));
  cluster.pass(500, beats);
  const combs = cluster.combs(poolKey);
  t.true(combs.some(({ members }) => members.some(({ deviceKey }) => deviceKey === a.key)));
  t.is(roles(cluster, poolKey, a), 'out');
  t.true(
    combs.some(({ members }) => members.some(({ deviceKey }) => deviceKey === others[2]?.key)),
  );
});

test('frames that break the protocol are answered, and change nothing', (t) => {
  const { cluster, a } = pair();
  const { sequence } = cluster.store;
  const frame = encodeControl(MSG.COMB_CHANGE, 77, 0, { poolKey: 1, changes: [] }).slice(0, 66);
  const view = new DataView(frame.buffer);
  setBodyBytes(view, 0, 2);
  cluster.frame(a.link, frame);
  t.is(cluster.refusal(77)?.error, 'BAD_FRAME');
  t.regex(cluster.refusal(77)?.text ?? '', /COMB_CHANGE\.poolKey/);
  t.is(cluster.store.sequence, sequence);
});
