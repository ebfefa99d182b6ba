// Group snapshots: what devices are asked, when the volumes are switched, and that nothing is visible before every device has
// certified the point.

import test from 'ava';

import type { MdmOptions } from '../../../backend/mdm/options.js';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import type { MapVolume, Volume } from '../../../backend/protocol/generated/types.js';
import { State } from '../../../backend/mdm/state.js';
import { SECTORS_PER_GIB, standard } from './harness.js';
import type { Cluster, TestDevice } from './harness.js';

interface Setup {
  readonly cluster: Cluster;
  readonly devices: TestDevice[];
  readonly volumes: readonly number[];
}

function setup(options: Partial<MdmOptions> = {}, count = 2): Setup {
  const { cluster, poolKey, devices } = standard(options);
  const volumes = Array.from({ length: count }, (_, index) => {
    const params = { poolKey, name: `v${index}`, sizeSectors: SECTORS_PER_GIB } as const;
    return cluster.command('ADD_VOLUME', { ...params, provisioning: 'thin', rmcache: true }).key;
  });
  return { cluster, devices, volumes };
}

function snapshot({ cluster, volumes }: Setup, prefix = 's'): number {
  const items = volumes.map((volumeKey, index) => ({ volumeKey, name: `${prefix}${index}` }));
  return cluster.begin('SNAPSHOT_VOLUMES', { items, accessLimit: 'readWrite', secureMin: 0 });
}

/** The cut that a device was asked to hold last. */
function asked(cluster: Cluster, device: TestDevice): number {
  return cluster.messages(device.link, MSG.CUT_HOLD).at(-1)?.cut ?? 0;
}

function hold(cluster: Cluster, device: TestDevice, ok = true): void {
  const { key: deviceKey, incarnation } = device;
  const body = { cut: asked(cluster, device), deviceKey, incarnation, ok, reason: '' };
  cluster.send(device.link, MSG.CUT_HELD, body);
}

function certify(cluster: Cluster, device: TestDevice, certified = true): void {
  const { key: deviceKey, incarnation } = device;
  const body = { cut: asked(cluster, device), deviceKey, incarnation, certified };
  cluster.send(device.link, MSG.CUT_SWITCHED, body);
}

/** What a device was told last of a volume. */
function told(cluster: Cluster, device: TestDevice, key: number): MapVolume | undefined {
  return cluster
    .messages(device.link, MSG.MAP_UPDATE)
    .flatMap((update) => update.volumes)
    .findLast((volume) => volume.key === key);
}

function volumesNow(cluster: Cluster): readonly Volume[] {
  return cluster.query('volume').volumes;
}

function outcome(cluster: Cluster, tag: number): string {
  const result = cluster.outcome('SNAPSHOT_VOLUMES', tag);
  if (result === null) return 'waits';
  return 'error' in result ? result.error : 'done';
}

/** Snapshots that exist, by a cut that goes well. */
function made(all: Setup, prefix = 's'): { groupKey: number; keys: readonly number[] } {
  const { cluster, devices } = all;
  const tag = snapshot(all, prefix);
  for (const device of devices) hold(cluster, device);
  for (const device of devices) certify(cluster, device);
  const result = cluster.outcome('SNAPSHOT_VOLUMES', tag);
  if (result === null || 'error' in result) throw new Error('the snapshot is made');
  return result;
}

test('volumes are switched when all devices hold, and snapshots are there when all have certified that', (t) => {
  const all = setup();
  const { cluster, devices, volumes } = all;
  const [first, ...others] = devices;
  const [v0 = 0, v1 = 0] = volumes;
  if (first === undefined) throw new Error('a device');
  const tag = snapshot(all);
  const holds = devices.map(({ link }) => cluster.messages(link, MSG.CUT_HOLD).at(-1));
  t.true(holds.every((one) => one?.volumes.join() === volumes.join() && one.holdMs === 500));
  for (const device of others) hold(cluster, device);
  t.is(told(cluster, first, v0)?.cut, 0);
  hold(cluster, first);
  const switched = told(cluster, first, v0);
  t.is(switched?.cut, asked(cluster, first));
  t.is(switched?.epoch, 2);
  t.is(switched?.layers.length, 2);
  t.is(switched?.layers[1], v0);
  for (const device of others) certify(cluster, device);
  t.is(outcome(cluster, tag), 'waits');
  t.is(volumesNow(cluster).length, 2, 'nothing is visible before all have certified');
  certify(cluster, first);
  t.is(outcome(cluster, tag), 'done');
  const [, , s0, s1] = volumesNow(cluster);
  t.deepEqual([s0?.name, s1?.name], ['s0', 's1']);
  t.deepEqual([s0?.ancestorKey, s0?.vtreeKey, s1?.vtreeKey], [v0, v0, v1]);
  t.is(s0?.groupKey, s1?.groupKey);
  t.deepEqual(told(cluster, first, s0?.key ?? 0)?.layers, [s0?.key ?? 0, v0]);
  t.deepEqual(told(cluster, first, v0)?.layers, switched?.layers);
  t.is(told(cluster, first, v0)?.cut, 0);
});

test('a point that one device does not certify never becomes visible: it is merged back, and tried again', (t) => {
  const all = setup({}, 1);
  const { cluster, devices, volumes } = all;
  const [first, ...others] = devices;
  const [v0 = 0] = volumes;
  if (first === undefined) throw new Error('a device');
  const tag = snapshot(all);
  const cut = asked(cluster, first);
  for (const device of devices) hold(cluster, device);
  const top = told(cluster, first, v0)?.layers[0];
  for (const device of others) certify(cluster, device);
  certify(cluster, first, false);
  t.is(volumesNow(cluster).length, 1);
  t.deepEqual(told(cluster, first, v0)?.layers, [top, v0]);
  const merges = cluster.messages(first.link, MSG.MAP_UPDATE).flatMap((update) => update.merges);
  t.deepEqual(
    merges.map(({ parentKey, childKey }) => [parentKey, childKey]),
    [[v0, top]],
  );
  cluster.pass(200, () => {
    for (const device of devices) cluster.beat(device);
  });
  t.not(asked(cluster, first), cut);
  for (const device of devices) hold(cluster, device);
  // They may take their time to certify, as at the first try.
  cluster.pass(100, () => {
    for (const device of devices) cluster.beat(device);
  });
  for (const device of devices) certify(cluster, device);
  t.is(outcome(cluster, tag), 'done');
  t.is(volumesNow(cluster).length, 2);
});

test('a device that does not hold in time calls the cut off; after some the answer is a clear error', (t) => {
  const all = setup({}, 1);
  const { cluster, devices } = all;
  const [first, ...others] = devices;
  if (first === undefined) throw new Error('a device');
  const tag = snapshot(all);
  for (let turn = 0; turn < 100 && outcome(cluster, tag) === 'waits'; turn++) {
    cluster.pass(100, () => {
      for (const device of devices) cluster.beat(device);
      for (const device of others) hold(cluster, device);
    });
    const dropped = others.every(({ link }) => cluster.messages(link, MSG.CUT_DROP).length > 0);
    if (outcome(cluster, tag) !== 'waits') t.true(dropped);
  }
  t.is(outcome(cluster, tag), 'SNAPSHOT_FAILED');
  t.is(volumesNow(cluster)[0]?.epoch, 1, 'nothing was switched');
  t.is(cluster.query('layer').layers.length, 0);
});

test('a new life of a device does not hold what the former one held', (t) => {
  const all = setup({}, 1);
  const { cluster, devices, volumes } = all;
  const [first, ...others] = devices;
  if (first === undefined) throw new Error('a device');
  snapshot(all);
  hold(cluster, first);
  cluster.register(first);
  for (const device of others) hold(cluster, device);
  t.is(told(cluster, others[0] ?? first, volumes[0] ?? 0)?.cut, 0);
});

for (const stage of ['holding', 'switched'] as const)
  test(`a new master discards a cut that is ${stage}`, (t) => {
    const all = setup({}, 1);
    const { cluster, devices, volumes } = all;
    const [first] = devices;
    const [v0 = 0] = volumes;
    if (first === undefined) throw new Error('a device');
    snapshot(all);
    if (stage === 'switched') for (const device of devices) hold(cluster, device);
    const layers = told(cluster, first, v0)?.layers ?? [];
    cluster.restart();
    for (const device of devices)
      cluster.register(device, { incarnation: device.incarnation, dataIncarnation: 0 });
    t.is(volumesNow(cluster).length, 1);
    t.deepEqual(told(cluster, first, v0)?.layers, layers, 'what was written since stays');
    t.is(told(cluster, first, v0)?.cut, 0);
    const { layers: stored } = cluster.query('layer');
    t.is(stored.filter(({ mergeKey }) => mergeKey !== 0).length, stage === 'switched' ? 1 : 0);
    t.is(volumesNow(cluster)[0]?.epoch, stage === 'switched' ? 2 : 1);
    cluster.begin('SNAPSHOT_VOLUMES', {
      items: [{ volumeKey: v0, name: 's0' }],
      accessLimit: 'readWrite',
      secureMin: 0,
    });
    t.true(asked(cluster, first) > 0, 'the name and the volume are free again');
  });

test('a volume is not changed while a snapshot of it is being made', (t) => {
  const all = setup({}, 1);
  const { cluster, volumes } = all;
  const [key = 0] = volumes;
  snapshot(all);
  const sizeSectors = SECTORS_PER_GIB * 2;
  t.is(cluster.refused('RESIZE_VOLUME', { key, sizeSectors }).error, 'VOLUME_BUSY');
  t.is(cluster.refused('REMOVE_VOLUME', { key, mode: 'onlyMe' }).error, 'VOLUME_BUSY');
  const again = {
    items: [{ volumeKey: key, name: 'other' }],
    accessLimit: 'readWrite',
    secureMin: 0,
  } as const;
  t.is(cluster.refused('SNAPSHOT_VOLUMES', again).error, 'VOLUME_BUSY');
  t.is(cluster.refused('RENAME_VOLUME', { key, name: 's0' }).error, 'VOLUME_NAME_IN_USE');
});

test('all or none: one volume that cannot be had leaves nothing', (t) => {
  const all = setup({ snapshotsPerVtree: 1 }, 2);
  const { cluster, volumes } = all;
  made({ ...all, volumes: volumes.slice(0, 1) });
  const items = volumes.map((volumeKey) => ({ volumeKey, name: '' }));
  const params = { items, accessLimit: 'readWrite', secureMin: 0 } as const;
  const refused = cluster.refused('SNAPSHOT_VOLUMES', params);
  t.is(refused.error, 'SNAPSHOT_LIMIT');
  t.is(refused.text, 'There are too many snapshots in the VTree');
  t.is(volumesNow(cluster).length, 3);
  const [first] = items;
  const twice = { ...params, items: [items[1] ?? params.items[0], items[1]] } as typeof params;
  t.is(cluster.refused('SNAPSHOT_VOLUMES', twice).error, 'INVALID_PARAMETER');
  const unknown = { ...params, items: [{ ...first, volumeKey: 99_999, name: '' }] };
  t.is(cluster.refused('SNAPSHOT_VOLUMES', unknown).error, 'VOLUME_NOT_FOUND');
});

test('what removal modes take with them, and what a group is', (t) => {
  const all = setup({}, 1);
  const { cluster, devices, volumes } = all;
  const [base = 0] = volumes;
  const { keys, groupKey } = made(all);
  const [child = 0] = keys;
  const names = (): string =>
    volumesNow(cluster)
      .map(({ key }) => key)
      .join();
  const items = [{ volumeKey: child, name: 'grandchild' }];
  const tag = cluster.begin('SNAPSHOT_VOLUMES', { items, accessLimit: 'readOnly', secureMin: 0 });
  for (const device of devices) hold(cluster, device);
  for (const device of devices) certify(cluster, device);
  t.is(outcome(cluster, tag), 'done');
  const grandchild = volumesNow(cluster).find(({ name }) => name === 'grandchild');
  t.is(grandchild?.ancestorKey, child);
  const { sdcKey } = cluster.sdc(1);
  const mapping = { volumeKey: grandchild?.key ?? 0, sdcKey, allowMultiple: true };
  const refused = cluster.refused('MAP_VOLUME', { ...mapping, access: 'readWrite' });
  t.is(refused.error, 'INVALID_PARAMETER', 'it is read-only');
  cluster.begin('REMOVE_GROUP_SNAPSHOTS', { groupKey });
  t.is(names(), `${base},${grandchild?.key ?? 0}`);
  t.is(volumesNow(cluster)[1]?.ancestorKey, base, 'it counts as one of what remains');
  t.is(cluster.refused('REMOVE_GROUP_SNAPSHOTS', { groupKey }).error, 'GROUP_NOT_FOUND');
  cluster.begin('REMOVE_VOLUME', { key: base, mode: 'descendantsOnly' });
  t.is(names(), `${base}`);
  made({ ...all, volumes: [base] });
  cluster.begin('REMOVE_VOLUME', { key: base, mode: 'includingDescendants' });
  t.is(names(), '');
});

test('a merge ends when every device has said for long enough that it holds nothing of the layer', (t) => {
  const all = setup({}, 1);
  const { cluster, devices, volumes } = all;
  const [base = 0] = volumes;
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  const { keys } = made(all);
  const top = told(cluster, first, base)?.layers[0] ?? 0;
  cluster.begin('REMOVE_VOLUME', { key: keys[0] ?? 0, mode: 'onlyMe' });
  const beat = (holding: readonly TestDevice[]): void => {
    for (const device of devices) {
      const held = holding.includes(device) ? [{ volumeKey: base, usedBytes: 4096 }] : [];
      cluster.beat(device, cluster.store.sequence, held);
    }
  };
  cluster.pass(15_000, () => {
    beat([first]);
  });
  t.deepEqual(told(cluster, first, base)?.layers, [top, base]);
  cluster.pass(15_000, () => {
    beat([]);
  });
  t.deepEqual(told(cluster, first, base)?.layers, [top]);
  const updates = cluster.messages(first.link, MSG.MAP_UPDATE);
  t.deepEqual(
    updates.flatMap(({ removedMerges }) => removedMerges),
    [base],
  );
  t.true(updates.flatMap(({ removedLayers }) => removedLayers).includes(base));
  t.false(updates.flatMap(({ removedVolumes }) => removedVolumes).includes(base));
});

test('a volume is reverted only to one of its V-tree and size, and while nobody has either', (t) => {
  const all = setup({}, 2);
  const { cluster, devices, volumes } = all;
  const [v0 = 0, v1 = 0] = volumes;
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  const [s0 = 0] = made(all).keys;
  const revert = (key: number, sourceKey: number): string =>
    cluster.refused('OVERWRITE_VOLUME', { key, sourceKey }).error;
  t.is(revert(v0, v1), 'VTREE_MISMATCH');
  t.is(revert(v0, v0), 'VTREE_MISMATCH');
  const { sdcKey } = cluster.sdc(1);
  const mapping = { volumeKey: v0, sdcKey, allowMultiple: true, access: 'readWrite' } as const;
  cluster.begin('MAP_VOLUME', mapping);
  t.is(revert(v0, s0), 'VOLUME_MAPPED');
  cluster.begin('UNMAP_VOLUME', { volumeKey: v0, sdcKeys: [sdcKey], generation: 0 });
  const before = told(cluster, first, v0);
  const tag = cluster.begin('OVERWRITE_VOLUME', { key: v0, sourceKey: s0 });
  t.deepEqual(cluster.messages(first.link, MSG.CUT_HOLD).at(-1)?.volumes, [s0]);
  for (const key of [v0, s0])
    t.is(cluster.refused('REMOVE_VOLUME', { key, mode: 'onlyMe' }).error, 'VOLUME_BUSY');
  t.is(revert(s0, v0), 'VOLUME_BUSY');
  t.is(cluster.refused('MAP_VOLUME', mapping).error, 'VOLUME_BUSY', 'it loses its content');
  for (const device of devices) hold(cluster, device);
  t.deepEqual(told(cluster, first, s0)?.layers.slice(1), [s0, v0]);
  for (const device of devices.slice(1)) certify(cluster, device);
  t.deepEqual(told(cluster, first, v0), before, 'not before all certified');
  certify(cluster, first);
  const reverted = told(cluster, first, v0);
  t.deepEqual(reverted?.layers.slice(1), [s0, v0], 'both stand on what the snapshot was');
  t.is(reverted?.epoch, (before?.epoch ?? 0) + 1);
  t.deepEqual(told(cluster, first, s0)?.layers.slice(1), [s0, v0]);
  t.is(told(cluster, first, s0)?.epoch, 2);
  for (const device of devices) cluster.beat(device, cluster.store.sequence);
  t.deepEqual(cluster.outcome('OVERWRITE_VOLUME', tag), {});
  const { removedLayers } = cluster.messages(first.link, MSG.MAP_UPDATE).at(-1) ?? {};
  t.deepEqual(removedLayers, before?.layers.slice(0, 1), 'what it held is freed');
});

test('a revert of which a device does not certify the source changes nothing, and is tried again', (t) => {
  const all = setup({}, 1);
  const { cluster, devices, volumes } = all;
  const [v0 = 0] = volumes;
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  const [s0 = 0] = made(all).keys;
  const before = told(cluster, first, v0);
  cluster.begin('OVERWRITE_VOLUME', { key: v0, sourceKey: s0 });
  for (const device of devices) hold(cluster, device);
  for (const device of devices) certify(cluster, device, device !== first);
  t.deepEqual(told(cluster, first, v0), before);
  const merging = cluster.query('layer').layers.filter(({ mergeKey }) => mergeKey !== 0);
  t.deepEqual(
    merging.map(({ key }) => key),
    [s0],
    'what was frozen goes into what is written above it',
  );
  cluster.pass(200, () => {
    for (const device of devices) cluster.beat(device);
  });
  for (const device of devices) hold(cluster, device);
  for (const device of devices) certify(cluster, device);
  t.is(told(cluster, first, v0)?.epoch, (before?.epoch ?? 0) + 1);
  const [, ...below] = told(cluster, first, v0)?.layers ?? [];
  t.deepEqual(told(cluster, first, s0)?.layers.slice(1), below);
});

test('a volume is not reverted while a point in its V-tree is not valid, or is being discarded', (t) => {
  const all = setup({}, 1);
  const { cluster, devices, volumes } = all;
  const [v0 = 0] = volumes;
  const [s0 = 0] = made(all).keys;
  const params = {
    items: [{ volumeKey: s0, name: '' }],
    accessLimit: 'readWrite',
    secureMin: 0,
  } as const;
  const [s1 = 0] = made({ cluster, devices, volumes: [s0] }, 'again').keys;
  const revert = { key: v0, sourceKey: s1 };
  cluster.begin('SNAPSHOT_VOLUMES', params);
  t.is(cluster.refused('OVERWRITE_VOLUME', revert).error, 'VOLUME_BUSY', 'devices hold');
  for (const device of devices) hold(cluster, device);
  t.is(cluster.refused('OVERWRITE_VOLUME', revert).error, 'VOLUME_BUSY', 'the point is not valid');
  for (const device of devices) certify(cluster, device, false);
  t.is(cluster.refused('OVERWRITE_VOLUME', revert).error, 'VOLUME_BUSY', 'it is tried again');
  cluster.pass(200, () => {
    for (const device of devices) cluster.beat(device);
  });
  for (const device of devices) hold(cluster, device);
  for (const device of devices) certify(cluster, device);
  const tag = cluster.begin('OVERWRITE_VOLUME', revert);
  for (const device of devices) hold(cluster, device);
  for (const device of devices) certify(cluster, device);
  for (const device of devices) cluster.beat(device, cluster.store.sequence);
  t.deepEqual(cluster.outcome('OVERWRITE_VOLUME', tag), {});
});

/** The MDM begins anew with metadata that says so of a volume. */
function doubt(cluster: Cluster, key: number): void {
  const state = new State();
  state.load(cluster.store.entries());
  const volume = state.volumes.get(key);
  if (volume === undefined) throw new Error('a volume');
  state.volumes.put(key, { ...volume, doubtful: true });
  for (const entry of state.all())
    cluster.store.content.set(Buffer.from(entry.key).toString('hex'), entry.value);
  cluster.restart();
}

test('a volume of a doubtful V-tree is not reverted, although the doubt came by another one', (t) => {
  const all = setup({}, 1);
  const { cluster, devices, volumes } = all;
  const [v0 = 0] = volumes;
  const [s0 = 0] = made(all).keys;
  const [s1 = 0] = made({ cluster, devices, volumes: [v0] }, 'again').keys;
  doubt(cluster, s1);
  for (const device of devices)
    cluster.register(device, { incarnation: device.incarnation, dataIncarnation: 0 });
  const refused = cluster.refused('OVERWRITE_VOLUME', { key: v0, sourceKey: s0 });
  t.is(refused.error, 'VTREE_DOUBTFUL');
  cluster.begin('CONFIRM_VTREE', { vtreeKey: v0 });
  cluster.begin('OVERWRITE_VOLUME', { key: v0, sourceKey: s0 });
  t.deepEqual(
    devices.map((device) => cluster.messages(device.link, MSG.CUT_HOLD).at(-1)?.volumes),
    devices.map(() => [s0]),
  );
});

test('a doubtful V-tree is served to nobody until it is confirmed', (t) => {
  const all = setup({}, 2);
  const { cluster, devices, volumes } = all;
  const [v0 = 0, v1 = 0] = volumes;
  const [first] = devices;
  if (first === undefined) throw new Error('a device');
  doubt(cluster, v0);
  for (const device of devices)
    cluster.register(device, { incarnation: device.incarnation, dataIncarnation: 0 });
  t.deepEqual([told(cluster, first, v0)?.active, told(cluster, first, v1)?.active], [false, true]);
  const items = [{ volumeKey: v0, name: '' }];
  const params = { items, accessLimit: 'readWrite', secureMin: 0 } as const;
  t.is(cluster.refused('SNAPSHOT_VOLUMES', params).error, 'VTREE_DOUBTFUL');
  t.is(cluster.refused('CONFIRM_VTREE', { vtreeKey: 99_999 }).error, 'VTREE_NOT_FOUND');
  cluster.begin('CONFIRM_VTREE', { vtreeKey: v0 });
  t.true(told(cluster, first, v0)?.active);
});
