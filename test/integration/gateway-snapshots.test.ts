// Snapshots over the REST interface: bodies as clients send them, what they read of the answers, and every refusal.

import test from 'ava';

import { ClusterError } from '../../backend/runtime/cluster.js';
import { GatewayHarness, at } from '../support/gateway-harness.js';
import { until } from '../support/until.js';

const GIB = 2 ** 30;

interface Context {
  readonly gateway: GatewayHarness;
  readonly volumes: readonly string[];
}

async function start(): Promise<Context> {
  const gateway = await GatewayHarness.start();
  const pool = at((await gateway.get('/api/types/StoragePool/instances')).json, 0, 'id');
  const volumes: string[] = [];
  for (const name of ['a', 'b']) {
    const body = { storagePoolId: pool, name, volumeSizeInKb: '8388608' };
    const { json } = await gateway.post('/api/types/Volume/instances', {
      ...body,
      volumeType: 'ThinProvisioned',
    });
    volumes.push(String(at(json, 'id')));
  }
  return { gateway, volumes };
}

const SNAPSHOT = '/api/instances/System/action/snapshotVolumes';

async function snapshot(
  { gateway }: Context,
  defs: readonly object[],
  fields: object = {},
): Promise<{ readonly ids: readonly string[]; readonly group: string }> {
  const { status, json, text } = await gateway.post(SNAPSHOT, { snapshotDefs: defs, ...fields });
  if (status !== 200) throw new Error(text);
  return {
    ids: at(json, 'volumeIdList') as string[],
    group: String(at(json, 'snapshotGroupId')),
  };
}

const view = async ({ gateway }: Context, id: string): Promise<unknown> =>
  (await gateway.get(`/api/instances/Volume::${id}`)).json;

test('snapshots of two volumes: ids in the order asked, one group, views as clients read them', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const [a = '', b = ''] = volumes;
  const systemId = String(at((await gateway.get('/api/types/System/instances')).json, 0, 'id'));
  const { status, json } = await gateway.post(
    `/api/instances/System::${systemId}/action/snapshotVolumes`,
    {
      snapshotDefs: [
        { volumeId: b, snapshotName: 'of-b' },
        { volumeId: a, snapshotName: null },
      ],
      accessModeLimit: 'ReadOnly',
      retentionPeriodInMin: '0',
      allowOnExtManagedVol: 'TRUE',
    },
  );
  t.is(status, 200);
  const [ofB = '', ofA = ''] = at(json, 'volumeIdList') as string[];
  const shown = await view(context, ofB);
  t.like(shown, {
    ...{ id: ofB, name: 'of-b', volumeType: 'Snapshot', ancestorVolumeId: b, vtreeId: b },
    ...{ consistencyGroupId: at(json, 'snapshotGroupId'), accessModeLimit: 'ReadOnly' },
    ...{ mappedSdcInfo: null, sizeInKb: 8388608 },
  });
  t.is(at(await view(context, ofA), 'ancestorVolumeId'), a);
  t.like(await view(context, a), {
    ...{ volumeType: 'ThinProvisioned', ancestorVolumeId: null, vtreeId: a },
    ...{ consistencyGroupId: null, accessModeLimit: 'ReadWrite' },
  });
  const links = at(shown, 'links') as { readonly rel: string; readonly href: string }[];
  t.is(
    links.find(({ rel }) => rel === '/api/parent/relationship/ancestorVolumeId')?.href,
    `/api/instances/Volume::${b}`,
  );
  const tree = await gateway.get(`/api/instances/VTree::${b}`);
  t.like(tree.json, { id: b, name: 'b', baseVolumeId: b, rootVolumes: [b] });
  const members = (await gateway.get(`/api/instances/VTree::${b}/relationships/Volume`)).json;
  t.deepEqual(
    (members as { id: string }[]).map(({ id }) => id),
    [b, ofB],
  );
  const selected = await gateway.post('/api/types/Volume/instances/action/queryBySelectedIds', {
    ids: [ofA, ofB],
  });
  t.deepEqual(
    (selected.json as { id: string }[]).map(({ id }) => id),
    [ofA, ofB],
  );
});

test('every wrong body is refused with what is wrong, and nothing is asked of the MDM', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const [a = ''] = volumes;
  const before = gateway.cluster.asked.length;
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{}, /must be part of the request body: snapshotDefs\./],
    [{ snapshotDefs: [] }, /snapshotDefs must name at least one volume/],
    [{ snapshotDefs: 'x' }, /snapshotDefs must be a list of at most 1024 objects/],
    [{ snapshotDefs: ['x'] }, /snapshotDefs\.0 must be an object/],
    [{ snapshotDefs: [{}] }, /must be part of the request body: snapshotDefs\.0\.volumeId\./],
    [{ snapshotDefs: [{ volumeId: a }, { volumeId: 7 }] }, /snapshotDefs\.1\.volumeId must be a/],
    [{ snapshotDefs: [{ volumeId: 'vol1' }] }, /id \(vol1\) must be a hexadecimal number/],
    [
      { snapshotDefs: [{ volumeId: a, snapshotName: 5 }] },
      /snapshotDefs\.0\.snapshotName must be a string/,
    ],
    [
      { snapshotDefs: [{ volumeId: a }, { volumeId: a.toUpperCase() }] },
      /must name each volume once, volume [0-9A-F]{16} is there twice/,
    ],
    [
      { snapshotDefs: [{ volumeId: a }], accessModeLimit: 'Mine' },
      /accessModeLimit must be ReadWrite or ReadOnly/,
    ],
    [
      { snapshotDefs: [{ volumeId: a }], retentionPeriodInMin: '-3' },
      /retentionPeriodInMin must be a whole number/,
    ],
    [
      { snapshotDefs: Array.from({ length: 1025 }, () => ({ volumeId: a })) },
      /snapshotDefs must be a list of at most 1024 objects/,
    ],
  ];
  for (const [body, reason] of wrong) {
    const { status, json } = await gateway.post(SNAPSHOT, body);
    t.is(status, 400, JSON.stringify(body));
    t.regex(String(at(json, 'message')), reason);
  }
  for (const [path, body, reason] of [
    [`Volume::${a}/action/overwriteVolumeContent`, {}, /request body: srcVolumeId/],
    [`Volume::${a}/action/overwriteVolumeContent`, { srcVolumeId: 'z' }, /hexadecimal/],
    ['System/action/removeConsistencyGroupSnapshots', {}, /request body: snapGroupId/],
    ['System/action/removeConsistencyGroupSnapshots', { snapGroupId: 'g' }, /hexadecimal/],
    [`Volume::${a}/action/removeVolume`, { removeMode: 'ALL' }, /removeMode must be ONLY_ME/],
  ] as const) {
    const { status, json } = await gateway.post(`/api/instances/${path}`, body);
    t.is(status, 400, path);
    t.regex(String(at(json, 'message')), reason);
  }
  t.is(gateway.cluster.asked.length, before);
});

test('unknown volumes, names in use and unknown groups have the codes and texts of the original', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const [a = '', b = ''] = volumes;
  const refused = async (defs: readonly object[]): Promise<unknown> =>
    (await gateway.post(SNAPSHOT, { snapshotDefs: defs })).json;
  t.deepEqual(await refused([{ volumeId: a }, { volumeId: '4d534156deadbeef' }]), {
    ...{ message: 'Could not find the volume', httpStatusCode: 500, errorCode: 79 },
  });
  t.is(at(await refused([{ volumeId: '0000000000000009' }]), 'errorCode'), 79);
  t.is(at(await refused([{ volumeId: a, snapshotName: 'b' }]), 'errorCode'), 99);
  const twice = [
    { volumeId: a, snapshotName: 'same' },
    { volumeId: b, snapshotName: 'same' },
  ];
  t.is(at(await refused(twice), 'errorCode'), 99);
  t.is(at(await refused([{ volumeId: a, snapshotName: 'x'.repeat(32) }]), 'errorCode'), 226);
  t.is(gateway.cluster.tables.volume.length, 2);
  const group = await gateway.post('/api/instances/System/action/removeConsistencyGroupSnapshots', {
    snapGroupId: '4d534156deadbeef',
  });
  t.like(group.json, { message: 'Could not find the consistency group', httpStatusCode: 500 });
  const overwrite = (srcVolumeId: string): ReturnType<GatewayHarness['post']> =>
    gateway.post(`/api/instances/Volume::${a}/action/overwriteVolumeContent`, { srcVolumeId });
  t.is(at((await overwrite('4d534156deadbeef')).json, 'errorCode'), 79);
  t.regex(String(at((await overwrite(b)).json, 'message')), /another volume of its VTree/);
});

test('the 127th snapshot of a V-tree is error 182, also where Cinder looks for it', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const [a = '', b = ''] = volumes;
  for (let count = 0; count < 126; count++) await snapshot(context, [{ volumeId: a }]);
  const { status, json } = await gateway.post(SNAPSHOT, {
    snapshotDefs: [{ volumeId: b }, { volumeId: a }],
  });
  t.is(status, 500);
  const message = 'There are too many snapshots in the VTree';
  t.deepEqual(json, {
    ...{ message, httpStatusCode: 500, errorCode: 182 },
    details: [{ error: 'TOO_MANY_SNAPS_IN_VTREE', rc: 182, errorMessage: message }],
  });
  t.is(gateway.cluster.tables.volume.length, 128, 'not one of the call is there');
});

test('a cut that could not be held is told with its reason, and may be asked again', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  gateway.cluster.refusals.set(
    'SNAPSHOT_VOLUMES',
    ClusterError.named('SNAPSHOT_FAILED', 'device d1 of SDS s1 is not there'),
  );
  const { json } = await gateway.post(SNAPSHOT, { snapshotDefs: [{ volumeId: volumes[0] }] });
  t.deepEqual(json, {
    message: 'The volumes could not be held for a snapshot: device d1 of SDS s1 is not there',
    httpStatusCode: 500,
    errorCode: 32,
  });
});

test('a volume of which a snapshot is being made is waited for', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [volumeId = ''] = volumes;
  for (const [name, path, body] of [
    ['SNAPSHOT_VOLUMES', SNAPSHOT, { snapshotDefs: [{ volumeId }] }],
    ['RESIZE_VOLUME', `/api/instances/Volume::${volumeId}/action/setVolumeSize`, { sizeInGB: 16 }],
    ['REMOVE_VOLUME', `/api/instances/Volume::${volumeId}/action/removeVolume`, {}],
  ] as const) {
    cluster.refusals.set(name, ClusterError.named('VOLUME_BUSY'));
    const before = cluster.asked.length;
    const answer = gateway.post(path, body);
    await until('it was asked again', () => (cluster.asked.length > before + 1 ? true : null));
    cluster.refusals.delete(name);
    t.is((await answer).status, 200, (await answer).text);
  }
});

test('removal modes: each takes what it names, or nothing', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const [a = ''] = volumes;
  const one = async (volumeId: string): Promise<string> =>
    (await snapshot(context, [{ volumeId }])).ids[0] ?? '';
  const remove = async (id: string, removeMode?: string): Promise<unknown> =>
    (await gateway.post(`/api/instances/Volume::${id}/action/removeVolume`, { removeMode })).json;
  const left = (): readonly string[] =>
    gateway.cluster.tables.volume.map(({ key }) => key.toString(16));
  const child = await one(a);
  const grandchild = await one(child);
  const other = await one(a);
  t.deepEqual(await remove(child, 'ONLY_ME'), {});
  t.is(at(await view(context, grandchild), 'ancestorVolumeId'), a);
  t.is(at(await view(context, child), 'errorCode'), 79);
  const late = await one(grandchild);
  t.deepEqual(await remove(grandchild, 'DESCENDANTS_ONLY'), {});
  t.is(at(await view(context, late), 'errorCode'), 79);
  t.is(at(await view(context, grandchild), 'id'), grandchild);
  await one(grandchild);
  t.deepEqual(await remove(grandchild, 'INCLUDING_DESCENDANTS'), {});
  t.is(left().length, 3, `${left().join()}: a, b and the other snapshot of a`);
  // The base volume goes, its snapshot stays one, and the tree keeps its id.
  t.deepEqual(await remove(a), {});
  t.like(await view(context, other), {
    ...{ volumeType: 'Snapshot', ancestorVolumeId: null, vtreeId: a },
  });
  const tree = (await gateway.get(`/api/instances/VTree::${a}`)).json;
  t.like(tree, { id: a, baseVolumeId: other, rootVolumes: [other] });
  await one(other);
  t.deepEqual(await remove(other, 'WHOLE_VTREE'), {});
  t.is(left().length, 1);
});

test('the snapshots of a group are removed together and counted', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const defs = volumes.map((volumeId) => ({ volumeId }));
  const { group } = await snapshot(context, defs);
  const path = '/api/instances/System/action/removeConsistencyGroupSnapshots';
  const body = { snapGroupId: group, allowOnExtManagedVol: 'True' };
  t.deepEqual((await gateway.post(path, body)).json, { numberOfVolumes: 2 });
  t.is(gateway.cluster.tables.volume.length, 2);
  t.is(at((await gateway.post(path, body)).json, 'errorCode'), 185);
});

test('what snapshots hold is counted beside what volumes hold, every byte once', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const [a = ''] = volumes;
  const { ids } = await snapshot(context, [{ volumeId: a }]);
  const { cluster } = gateway;
  const [base, , copy] = cluster.tables.volume;
  if (base === undefined || copy === undefined) throw new Error('no volumes');
  // 4 GiB below both, 1 GiB written since to the volume, 2 GiB to the snapshot.
  const net = (gib: number): { rawBytes: number; netBytes: number } => ({
    ...{ rawBytes: 2 * gib * GIB, netBytes: gib * GIB },
  });
  cluster.volumeUsage.push(
    { volumeKey: base.key, ...net(5), sharedNetBytes: 4 * GIB },
    { volumeKey: copy.key, ...net(6), sharedNetBytes: 4 * GIB },
  );
  cluster.treeUsage.push({
    ...{ vtreeKey: base.key, poolKey: base.poolKey, ...net(7) },
    ...{ baseNetBytes: 5 * GIB, snapshotNetBytes: 2 * GIB, volumes: 2, layers: 3, merging: 0 },
  });
  const statistics = async (type: string, properties: readonly string[]): Promise<unknown> => {
    const path = `/api/types/${type}/instances/action/querySelectedStatistics`;
    const { json } = await gateway.post(path, { allIds: '', properties });
    return type === 'VTree' ? at(json, a) : Object.values(json as object)[0];
  };
  const kb = 2 ** 20;
  const names = ['snapCapacityInUseInKb', 'snapshotCapacityInKb', 'netSnapshotCapacityInKb'];
  const counts = ['numOfSnapshots', 'numOfVolumes', 'numOfVtrees', 'numOfThinBaseVolumes'];
  const wanted = {
    ...{ thinCapacityInUseInKb: 10 * kb, snapCapacityInUseInKb: 4 * kb },
    ...{ snapshotCapacityInKb: 4 * kb, netSnapshotCapacityInKb: 2 * kb, numOfSnapshots: 1 },
    ...{ numOfVolumes: 3, numOfVtrees: 2, numOfThinBaseVolumes: 2 },
  };
  t.deepEqual(
    await statistics('StoragePool', ['thinCapacityInUseInKb', ...names, ...counts]),
    wanted,
  );
  t.deepEqual(
    await statistics('VTree', [
      ...['numOfVolumes', 'netCapacityInUseInKb', 'baseNetCapacityInUseInKb'],
      ...['snapNetCapacityInUseInKb', 'volumeIds'],
    ]),
    {
      ...{ numOfVolumes: 2, netCapacityInUseInKb: 7 * kb, baseNetCapacityInUseInKb: 5 * kb },
      ...{ snapNetCapacityInUseInKb: 2 * kb, volumeIds: [a, ids[0]] },
    },
  );
  // A thick volume keeps the room to be written once more: all that is below it is held for the snapshot.
  cluster.tables.volume[0] = { ...base, provisioning: 'thick' };
  t.like(await statistics('StoragePool', ['thickCapacityInUseInKb', 'snapCapacityInUseInKb']), {
    ...{ thickCapacityInUseInKb: 16 * kb, snapCapacityInUseInKb: 12 * kb },
  });
  // Of a cluster that is older than snapshots V-trees are not asked: each volume is one.
  const [system] = cluster.tables.system;
  if (system === undefined) throw new Error('no system');
  cluster.tables.system[0] = { ...system, clusterVersion: 1 };
  cluster.tables.volume.splice(2, 1);
  cluster.tables.volume[0] = base;
  t.like(await statistics('StoragePool', ['thinCapacityInUseInKb', 'snapCapacityInUseInKb']), {
    ...{ thinCapacityInUseInKb: 10 * kb, snapCapacityInUseInKb: 0 },
  });
  t.like(await statistics('VTree', ['netCapacityInUseInKb']), { netCapacityInUseInKb: 5 * kb });
});

test('metrics of what volumes have alone and what they share add up to their V-tree', async (t) => {
  const context = await start();
  const { gateway, volumes } = context;
  t.teardown(() => gateway.stop());
  const [a = '', b = ''] = volumes;
  const [snapshotId = ''] = (await snapshot(context, [{ volumeId: a }])).ids;
  const { cluster } = gateway;
  const [base, other, copy] = cluster.tables.volume;
  if (base === undefined || other === undefined || copy === undefined)
    throw new Error('no volumes');
  // 4 GiB below both, 1 GiB written since to the volume, 2 GiB to the snapshot; 3 GiB in a volume without any.
  const use = (volumeKey: number, gib: number, shared: number) => ({
    ...{ volumeKey, rawBytes: 2 * gib * GIB, netBytes: gib * GIB, sharedNetBytes: shared * GIB },
  });
  cluster.volumeUsage.push(use(base.key, 5, 4), use(other.key, 3, 0), use(copy.key, 6, 4));
  cluster.treeUsage.push({
    ...{ vtreeKey: base.key, poolKey: base.poolKey, rawBytes: 14 * GIB, netBytes: 7 * GIB },
    ...{ baseNetBytes: 5 * GIB, snapshotNetBytes: 2 * GIB, volumes: 2, layers: 3, merging: 0 },
  });
  const sample = async (name: string, id: string): Promise<number> => {
    const auth = { username: 'admin', password: 'Correct-1' };
    const { text } = await gateway.send('GET', '/metrics', { auth });
    const line = text.split('\n').find((one) => one.startsWith(`${name}{`) && one.includes(id));
    return Number(line?.split(' ').at(-1)) / GIB;
  };
  t.is(await sample('meshsan_volume_used_bytes', `volume_id="${a}"`), 1);
  t.is(await sample('meshsan_volume_used_bytes', `volume_id="${snapshotId}"`), 2);
  t.is(await sample('meshsan_volume_shared_bytes', `volume_id="${a}"`), 4);
  t.is(await sample('meshsan_volume_shared_bytes', `volume_id="${snapshotId}"`), 4);
  t.is(await sample('meshsan_vtree_shared_bytes', `vtree_id="${a}"`), 4);
  t.is(await sample('meshsan_vtree_used_bytes', `vtree_id="${a}"`), 7, '1 and 2 and 4');
  t.is(await sample('meshsan_volume_used_bytes', `volume_id="${b}"`), 3);
  t.is(await sample('meshsan_vtree_used_bytes', `vtree_id="${b}"`), 3);
  t.is(await sample('meshsan_vtree_shared_bytes', `vtree_id="${b}"`), 0);
  // The volume goes: what it shared is the snapshot's alone.
  cluster.tables.volume.splice(0, 1);
  cluster.volumeUsage.splice(0, 3, use(other.key, 3, 0), use(copy.key, 6, 0));
  const left = { rawBytes: 12 * GIB, netBytes: 6 * GIB, baseNetBytes: 0, volumes: 1, layers: 2 };
  const tree = { vtreeKey: base.key, poolKey: base.poolKey, snapshotNetBytes: 6 * GIB, merging: 0 };
  cluster.treeUsage.splice(0, 1, { ...tree, ...left });
  t.is(await sample('meshsan_vtree_used_bytes', `vtree_id="${a}"`), 6);
  t.is(await sample('meshsan_vtree_shared_bytes', `vtree_id="${a}"`), 0);
});
