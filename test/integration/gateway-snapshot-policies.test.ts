// Snapshot policies, locks and secure snapshots over the REST interface: bodies as clients send them, the fields that they read,
// and refusals with the numbers of the original.

import test from 'ava';

import { ClusterError } from '../../backend/runtime/cluster.js';
import { GatewayHarness, at } from '../support/gateway-harness.js';

interface Context {
  readonly gateway: GatewayHarness;
  readonly volume: string;
}

async function start(): Promise<Context> {
  const gateway = await GatewayHarness.start();
  const pool = at((await gateway.get('/api/types/StoragePool/instances')).json, 0, 'id');
  const { json } = await gateway.post('/api/types/Volume/instances', {
    ...{ storagePoolId: pool, name: 'a', volumeSizeInKb: '8388608' },
    volumeType: 'ThinProvisioned',
  });
  return { gateway, volume: String(at(json, 'id')) };
}

/** As goscaleio sends it: numbers and booleans are strings. */
const BODY = {
  ...{ name: 'hourly', autoSnapshotCreationCadenceInMin: '60', paused: 'false' },
  ...{ numOfRetainedSnapshotsPerLevel: ['24', '7'], secureSnapshots: 'false' },
  snapshotAccessMode: 'ReadOnly',
};

async function made({ gateway }: Context, fields: object = {}): Promise<string> {
  const body = { ...BODY, ...fields };
  const { status, json, text } = await gateway.post('/api/types/SnapshotPolicy/instances', body);
  if (status !== 200) throw new Error(text);
  return String(at(json, 'id'));
}

const of = (id: string, name: string): string =>
  `/api/instances/SnapshotPolicy::${id}/action/${name}`;

test('a policy is made, shown with the fields that clients read, changed, paused and removed', async (t) => {
  const context = await start();
  const { gateway, volume } = context;
  t.teardown(() => gateway.stop());
  const id = await made(context);
  const view = async (): Promise<unknown> =>
    (await gateway.get(`/api/instances/SnapshotPolicy::${id}`)).json;
  t.like(await view(), {
    ...{ id, name: 'hourly', snapshotPolicyState: 'Active', snapshotAccessMode: 'ReadOnly' },
    ...{ autoSnapshotCreationCadenceInMin: 60, numOfRetainedSnapshotsPerLevel: [24, 7] },
    ...{ maxVTreeAutoSnapshots: 31, numOfSourceVolumes: 0, numOfAutoSnapshots: 0 },
    ...{ secureSnapshots: false, lastAutoSnapshotCreationFailureReason: 'NR' },
    ...{ nextAutoSnapshotCreationTime: 0, timeOfLastAutoSnapshot: 0, rcgId: null },
  });
  const list = await gateway.get('/api/types/SnapshotPolicy/instances');
  t.is((list.json as unknown[]).length, 1);
  const source = { sourceVolumeId: volume };
  t.is((await gateway.post(of(id, 'addSourceVolumeToSnapshotPolicy'), source)).status, 200);
  t.like(await view(), { numOfSourceVolumes: 1, nextAutoSnapshotCreationTime: 1_700_000_000 });
  const related = `/api/instances/SnapshotPolicy::${id}/relationships/`;
  t.is(at((await gateway.get(`${related}SourceVolume`)).json, 0, 'id'), volume);
  t.is(at((await gateway.get(`${related}SourceVolume`)).json, 0, 'snplIdOfSourceVolume'), id);
  t.like((await gateway.get(`${related}Statistics`)).json, {
    ...{ numOfSrcVols: 1, srcVolIds: [volume], numOfAutoSnapshots: 0, autoSnapshotVolIds: [] },
  });
  const times = {
    ...{ autoSnapshotCreationCadenceInMin: 30, numOfRetainedSnapshotsPerLevel: [2, 4, 6] },
  };
  t.is((await gateway.post(of(id, 'modifySnapshotPolicy'), times)).status, 200);
  t.is((await gateway.post(of(id, 'pauseSnapshotPolicy'), {})).status, 200);
  t.is((await gateway.post(of(id, 'renameSnapshotPolicy'), { newName: 'often' })).status, 200);
  t.like(await view(), {
    ...{ ...times, name: 'often', snapshotPolicyState: 'Paused', nextAutoSnapshotCreationTime: 0 },
  });
  t.is((await gateway.post(of(id, 'resumeSnapshotPolicy'), {})).status, 200);
  t.is(at((await gateway.post(of(id, 'removeSnapshotPolicy'), {})).json, 'errorCode'), 921);
  const leave = { ...source, autoSnapshotRemovalAction: 'Remove', detachLockedAutoSnapshots: null };
  t.is((await gateway.post(of(id, 'removeSourceVolumeFromSnapshotPolicy'), leave)).status, 200);
  t.like(gateway.cluster.asked.at(-1), { params: { detach: false, detachLocked: false } });
  t.is((await gateway.post(of(id, 'removeSnapshotPolicy'), {})).status, 200);
  t.is(at((await gateway.get(`/api/instances/SnapshotPolicy::${id}`)).json, 'errorCode'), 917);
});

test('bodies that no policy can have are refused before anything is asked', async (t) => {
  const context = await start();
  const { gateway } = context;
  t.teardown(() => gateway.stop());
  const id = await made(context);
  const asked = gateway.cluster.asked.length;
  const path = '/api/types/SnapshotPolicy/instances';
  const leave = { sourceVolumeId: context.volume, autoSnapshotRemovalAction: 'Invalid' };
  for (const [where, body, reason] of [
    [path, { name: 'x' }, /autoSnapshotCreationCadenceInMin/],
    [path, { ...BODY, numOfRetainedSnapshotsPerLevel: ['a'] }, /numOfRetained.*whole number/],
    [path, { ...BODY, numOfRetainedSnapshotsPerLevel: '4' }, /must be a list/],
    [path, { ...BODY, snapshotAccessMode: 'Maybe' }, /ReadWrite, ReadOnly/],
    [of(id, 'removeSourceVolumeFromSnapshotPolicy'), leave, /Remove, Detach/],
    [of('Invalid', 'pauseSnapshotPolicy'), {}, /hexadecimal number/],
  ] as const) {
    const answer = await gateway.post(where, body);
    t.is(answer.status, 400, where);
    t.regex(String(at(answer.json, 'message')), reason);
  }
  t.is(gateway.cluster.asked.length, asked);
});

test('locks and secure snapshots: what is asked, and what volumes show', async (t) => {
  const context = await start();
  const { gateway, volume } = context;
  t.teardown(() => gateway.stop());
  const act = (name: string, body: object): ReturnType<GatewayHarness['post']> =>
    gateway.post(`/api/instances/Volume::${volume}/action/${name}`, body);
  const view = async (): Promise<unknown> =>
    (await gateway.get(`/api/instances/Volume::${volume}`)).json;
  t.is((await act('lockAutoSnapshot', {})).status, 200);
  t.like(await view(), { lockedAutoSnapshot: true, secureSnapshotExpTime: 0 });
  t.is((await act('unlockAutoSnapshot', { autoSnapshotWillBeRemoved: 'TRUE' })).status, 200);
  t.like(gateway.cluster.asked.at(-1), { params: { mayGo: true } });
  t.is((await act('setSnapshotSecurity', { retentionPeriodInMin: '60' })).status, 200);
  t.like(await view(), { secureSnapshotExpTime: 1_700_003_600, accessModeLimit: 'ReadOnly' });
  t.is((await act('setSnapshotSecurity', { retentionPeriodInMin: '0' })).status, 400);
  const defs = { snapshotDefs: [{ volumeId: volume }], retentionPeriodInMin: '90' };
  t.is((await gateway.post('/api/instances/System/action/snapshotVolumes', defs)).status, 200);
  t.like(gateway.cluster.asked.at(-1), { params: { secureMin: 90 } });
  const refusal = ClusterError.named('SNAPSHOT_SECURE', 'not before tomorrow');
  gateway.cluster.refusals.set('REMOVE_VOLUME', refusal);
  const answer = await act('removeVolume', { removeMode: 'ONLY_ME' });
  t.is(at(answer.json, 'errorCode'), 736);
});

test('a policy whose last run failed is an alert until one succeeds', async (t) => {
  const context = await start();
  const { gateway } = context;
  t.teardown(() => gateway.stop());
  await made(context);
  const { tables } = gateway.cluster;
  const failed = { lastFailedAtMs: 1_700_000_000_000, lastFailure: 'no room', failures: 3 };
  const found = async (): Promise<readonly unknown[]> => {
    const { json } = await gateway.get('/api/types/Alert/instances');
    return (json as { alertType: string }[]).filter(
      ({ alertType }) => alertType === 'AUTO_SNAPSHOT_CREATION_FAILED',
    );
  };
  t.is((await found()).length, 0);
  tables.snapshotPolicy = tables.snapshotPolicy.map((one) => ({ ...one, ...failed }));
  t.is((await found()).length, 1);
  tables.snapshotPolicy = tables.snapshotPolicy.map((one) => ({
    ...{ ...one, lastRunAtMs: 1_700_000_000_001 },
  }));
  t.is((await found()).length, 0);
});
