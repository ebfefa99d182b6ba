import test from 'ava';

import type { MdmOptions } from '../../../backend/mdm/options.js';
import { LAST_KEY } from '../../../backend/core/key-range.js';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import { SECTORS_PER_GIB, standard } from './harness.js';
import type { Cluster, TestDevice } from './harness.js';

interface Setup {
  readonly cluster: Cluster;
  readonly volumeKey: number;
  readonly sdcKey: number;
  readonly sdcLink: number;
  readonly a: TestDevice;
  readonly b: TestDevice;
}

/** Two devices and a volume that is mapped, everything applied. */
function mapped(options: Partial<MdmOptions> = {}): Setup {
  const { cluster, poolKey, devices } = standard(options, 2);
  const [a, b] = devices;
  if (a === undefined || b === undefined) throw new Error('two devices');
  const { key: volumeKey } = cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: SECTORS_PER_GIB, provisioning: 'thin', rmcache: true },
  });
  const { sdcKey, link } = cluster.sdc(1);
  const tag = cluster.begin('MAP_VOLUME', {
    ...{ volumeKey, sdcKey, allowMultiple: true, access: 'readWrite' },
  });
  cluster.applyAll([a, b]);
  cluster.send(link, MSG.HEARTBEAT, {
    ...{
      progress: 1,
      appliedSequence: cluster.store.sequence,
      usage: null,
      listedAfter: 0,
      listedThrough: LAST_KEY,
      counters: [],
      volumes: [],
    },
  });
  if (cluster.outcome('MAP_VOLUME', tag) === null) throw new Error('mapped');
  return { cluster, volumeKey, sdcKey, sdcLink: link, a, b };
}

function unmap({ cluster, volumeKey, sdcKey }: Setup): number {
  return cluster.begin('UNMAP_VOLUME', { volumeKey, sdcKeys: [sdcKey], generation: 0 });
}

function ended(cluster: Cluster, tag: number): string {
  const outcome = cluster.outcome('UNMAP_VOLUME', tag);
  if (outcome === null) return 'waits';
  return 'error' in outcome ? outcome.error : 'done';
}

test('unmapping is answered when every device has applied it, not one before (C13)', (t) => {
  const setup = mapped();
  const { cluster, a, b } = setup;
  const tag = unmap(setup);
  t.is(ended(cluster, tag), 'waits');
  const { sequence } = cluster.store;
  cluster.beat(a, sequence);
  t.is(ended(cluster, tag), 'waits');
  cluster.beat(b, sequence - 1);
  t.is(ended(cluster, tag), 'waits');
  cluster.beat(b, sequence);
  t.is(ended(cluster, tag), 'done');
});

test('a lost device counts once it is out of all sets, the others applied that, and its grants ran out', (t) => {
  const setup = mapped();
  const { cluster, a, b } = setup;
  const tag = unmap(setup);
  let lastAppliedUs = 0;
  // a is silent; b goes on and applies everything that is committed, one step late.
  for (let ms = 0; ms < 4000 && ended(cluster, tag) === 'waits'; ms += 100) {
    const before = b.progress;
    cluster.pass(100, () => {
      cluster.beat(b, cluster.store.sequence);
    });
    t.true(b.progress > before);
    const outOfAll = cluster.query('combPage', [cluster.query('storagePool').pools[0]?.key ?? 0]);
    const inSync = outOfAll.combPages
      .flatMap(({ combs }) => combs)
      .some(({ members, inSyncMask }) =>
        members.some(
          ({ deviceKey }, index) => deviceKey === a.key && ((inSyncMask >> index) & 1) === 1,
        ),
      );
    if (inSync) lastAppliedUs = cluster.nowUs;
  }
  t.is(ended(cluster, tag), 'done');
  // Lease 1 s and drift 10 %, counted from when b had applied that a is out.
  t.true(cluster.nowUs - lastAppliedUs >= 1_100_000);
});

test('who is not concerned by what takes a lost device out of its sets is told how far it knows everything', (t) => {
  const { cluster, poolKey, devices } = standard({ rebuildDelayMs: 0, movesMax: 1 }, 5);
  const { key: volumeKey } = cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: SECTORS_PER_GIB, provisioning: 'thin', rmcache: true },
  });
  const { sdcKey } = cluster.sdc(1);
  const [lost, ...left] = devices;
  if (lost === undefined) throw new Error('a device');
  const told = new Map(left.map((device) => [device.key, 0]));
  // What a device reports is what it was told, not what was committed.
  const beatAll = (): void => {
    for (const device of left) {
      const updates = cluster.messages(device.link, MSG.MAP_UPDATE);
      const sequence = Math.max(
        told.get(device.key) ?? 0,
        ...updates.map((update) => update.sequence),
      );
      told.set(device.key, sequence);
      cluster.beat(device, sequence);
    }
  };
  cluster.applyAll(devices);
  const map = { volumeKey, sdcKey, allowMultiple: true, access: 'readWrite' } as const;
  const mapping = cluster.begin('MAP_VOLUME', map);
  cluster.applyAll(devices);
  cluster.pass(6000, () => {
    cluster.applyAll(devices);
  });
  t.not(cluster.outcome('MAP_VOLUME', mapping), null);
  const tag = cluster.begin('UNMAP_VOLUME', { volumeKey, sdcKeys: [sdcKey], generation: 0 });
  cluster.pass(12_000, beatAll);
  t.is(ended(cluster, tag), 'done');
});

test('whoever asks again and again, each time for less than a lease, hears the end of it', (t) => {
  const setup = mapped({ drainTimeoutMs: 300 });
  const { cluster, b } = setup;
  const answers: string[] = [];
  for (let round = 0; round < 20 && answers.at(-1) !== 'VOLUME_NOT_MAPPED'; round++) {
    const tag = unmap(setup);
    cluster.pass(400, () => {
      cluster.beat(b, cluster.store.sequence);
    });
    answers.push(ended(cluster, tag));
  }
  t.is(answers[0], 'PENDING');
  t.is(answers.at(-1), 'VOLUME_NOT_MAPPED');
});

test('while a lost device is the only good copy of anything, the answer is pending, never success', (t) => {
  const setup = mapped();
  const { cluster, a, b } = setup;
  const tag = unmap(setup);
  cluster.pass(29_000);
  t.is(ended(cluster, tag), 'waits');
  cluster.pass(1500);
  t.is(ended(cluster, tag), 'PENDING');
  // Asked again it is still not true, not even for a new master.
  const again = unmap(setup);
  t.is(ended(cluster, again), 'waits');
  cluster.restart();
  const afterRestart = unmap(setup);
  t.is(ended(cluster, afterRestart), 'waits');
  cluster.register(a);
  cluster.register(b);
  t.is(ended(cluster, afterRestart), 'waits');
  cluster.applyAll([a, b]);
  t.is(ended(cluster, afterRestart), 'VOLUME_NOT_MAPPED');
});

test('a process that ended cannot act: its device counts, also as the only good copy', (t) => {
  const setup = mapped();
  const { cluster, a, b } = setup;
  const sdsLinks = [2, 4];
  for (const [index, device] of [a, b].entries()) {
    cluster.close(device.link);
    cluster.send(sdsLinks[index] ?? 0, MSG.DEVICE_RESULT, {
      mediaFound: '',
      ...{
        deviceKey: device.key,
        task: 'open',
        status: 16,
        reason: '',
        path: '',
        capacityBytes: 0,
      },
    });
  }
  const tag = unmap(setup);
  t.is(ended(cluster, tag), 'done');
});

test('what a device has applied counts although its link breaks, but not for its next life', (t) => {
  const setup = mapped();
  const { cluster, a, b } = setup;
  const tag = unmap(setup);
  cluster.beat(a, cluster.store.sequence);
  cluster.close(a.link);
  cluster.beat(b, cluster.store.sequence);
  t.is(ended(cluster, tag), 'done');
  const repeated = unmap(setup);
  t.is(ended(cluster, repeated), 'VOLUME_NOT_MAPPED');
  cluster.register(a);
  const third = unmap(setup);
  t.is(ended(cluster, third), 'waits');
  cluster.beat(a, cluster.store.sequence);
  t.is(ended(cluster, third), 'VOLUME_NOT_MAPPED');
  const next = cluster.begin('RESIZE_VOLUME', {
    key: setup.volumeKey,
    sizeSectors: 2 * SECTORS_PER_GIB,
  });
  cluster.register(a);
  cluster.beat(b, cluster.store.sequence);
  t.is(cluster.outcome('RESIZE_VOLUME', next), null);
  cluster.beat(a, cluster.store.sequence);
  t.deepEqual(cluster.outcome('RESIZE_VOLUME', next), {});
});

test('a resize to the size that a volume has waits for nothing but its last change', (t) => {
  const setup = mapped();
  const { cluster, volumeKey: key, a, b } = setup;
  const sizeSectors = 2 * SECTORS_PER_GIB;
  const first = cluster.begin('RESIZE_VOLUME', { key, sizeSectors });
  const { sequence } = cluster.store;
  cluster.beat(a, sequence);
  const again = cluster.begin('RESIZE_VOLUME', { key, sizeSectors });
  t.is(cluster.outcome('RESIZE_VOLUME', again), null, 'the first is not through yet');
  cluster.beat(b, sequence);
  t.deepEqual(cluster.outcome('RESIZE_VOLUME', first), {});
  t.deepEqual(cluster.outcome('RESIZE_VOLUME', again), {});
  // A commit of which the devices of the pool hear nothing.
  cluster.command('ADD_PROTECTION_DOMAIN', { name: 'other' });
  t.true(cluster.store.sequence > sequence);
  const third = cluster.begin('RESIZE_VOLUME', { key, sizeSectors });
  t.deepEqual(cluster.outcome('RESIZE_VOLUME', third), {});
});

test('mapping waits for a connected client for a while only', (t) => {
  const setup = mapped();
  const { cluster, a, b, sdcLink } = setup;
  const done = unmap(setup);
  cluster.applyAll([a, b]);
  t.is(ended(cluster, done), 'done');
  const map = (): number =>
    cluster.begin('MAP_VOLUME', {
      ...{
        volumeKey: setup.volumeKey,
        sdcKey: setup.sdcKey,
        allowMultiple: true,
        access: 'readOnly',
      },
    });
  const tag = map();
  const beats = (): void => {
    cluster.applyAll([a, b]);
  };
  cluster.pass(4500, beats);
  t.is(cluster.outcome('MAP_VOLUME', tag), null);
  cluster.pass(1000, beats);
  t.deepEqual(cluster.outcome('MAP_VOLUME', tag), { generation: 2 });
  cluster.close(sdcLink);
});

test('a tombstone is named to devices until all have freed the volume, also to one that was away', (t) => {
  const setup = mapped();
  const { cluster, volumeKey, a, b } = setup;
  unmap(setup);
  cluster.applyAll([a, b]);
  const usage = [{ volumeKey, usedBytes: 2 ** 20 }];
  cluster.beat(a, cluster.store.sequence, usage);
  cluster.begin('REMOVE_VOLUME', { key: volumeKey, mode: 'onlyMe' });
  t.deepEqual(cluster.messages(a.link, MSG.MAP_UPDATE).at(-1)?.removedVolumes, [volumeKey]);
  const keep = (): void => {
    cluster.beat(a, cluster.store.sequence, usage);
    cluster.beat(b, cluster.store.sequence);
  };
  cluster.pass(3000, keep);
  cluster.register(b);
  t.deepEqual(cluster.messages(b.link, MSG.MAP_UPDATE)[0]?.removedVolumes, [volumeKey]);
  cluster.pass(9000, () => {
    cluster.applyAll([a, b]);
  });
  cluster.register(b);
  t.deepEqual(cluster.messages(b.link, MSG.MAP_UPDATE)[0]?.removedVolumes, [volumeKey]);
  cluster.pass(12_000, () => {
    cluster.applyAll([a, b]);
  });
  cluster.register(a);
  t.deepEqual(cluster.messages(a.link, MSG.MAP_UPDATE)[0]?.removedVolumes, []);
});
