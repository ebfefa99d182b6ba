// The bridge's interface in front of real gateways over a cluster in memory: what each operation does, once, twice and at the
// same time, and what it refuses. Every answer is checked against the API document by the harness.

import { randomUUID } from 'node:crypto';

import test from 'ava';
import { Ajv } from 'ajv';

import { snapshotName, volumeName } from '../../../cinder-bridge/naming.js';
import { BRIDGE_ERRORS } from '../../../cinder-bridge/bridge-error.js';
import { ClusterError } from '../../../backend/runtime/cluster.js';
import { OPERATIONS } from '../../../cinder-bridge/operations.js';
import { BridgeHarness, POOL } from '../../support/bridge-harness.js';
import type { BridgeAnswer } from '../../support/bridge-harness.js';
import { SDC_GUID } from '../../support/memory-cluster.js';

let bridge: BridgeHarness;

test.before(async () => {
  bridge = await BridgeHarness.start();
});

test.after.always(async () => {
  await bridge.stop();
});

const GIB_SECTORS = 2 ** 21;
const HOST = { host: 'compute1', accessMode: 'ReadWrite' };
const wanted = (sizeGib = 1) => ({ ...POOL, sizeGib, provisioning: 'thin' });

const create = (uuid: string, sizeGib = 1): Promise<BridgeAnswer> =>
  bridge.call('PUT', `/v1/volumes/${uuid}`, wanted(sizeGib));

async function made(sizeGib = 1): Promise<string> {
  const uuid = randomUUID();
  const { status } = await create(uuid, sizeGib);
  if (status !== 200) throw new Error(`create answered ${status}`);
  return uuid;
}

const attach = (uuid: string, holder: string): Promise<BridgeAnswer> =>
  bridge.call('PUT', `/v1/volumes/${uuid}/attachments/${holder}`, HOST);
const detach = (uuid: string, holder: string, generation = 0): Promise<BridgeAnswer> =>
  bridge.call('DELETE', `/v1/volumes/${uuid}/attachments/${holder}`, { generation });

function codeOf({ status, body }: BridgeAnswer): string {
  const { code } = (body['error'] ?? {}) as { code?: keyof typeof BRIDGE_ERRORS };
  if (code === undefined) return `${status}`;
  return BRIDGE_ERRORS[code].httpStatus === status ? code : `${code} with ${status}`;
}

const messageOf = ({ body }: BridgeAnswer): string =>
  String((body['error'] as { message?: unknown } | undefined)?.message);

/** Volumes of the cluster that have the name of a uuid. */
const volumesOf = (uuid: string) =>
  bridge.cluster.tables.volume.filter(({ name }) => name === volumeName(uuid));

test('the document is served to everybody and names every operation with its shapes', async (t) => {
  const { status, body } = await bridge.send('GET', '/v1/openapi.json', Buffer.alloc(0), '');
  t.is(status, 200);
  t.is(body['openapi'], '3.1.0');
  const paths = body['paths'] as Record<string, Record<string, { operationId: string }>>;
  for (const { path, method, operationId } of OPERATIONS)
    t.is(paths[path]?.[method]?.operationId, operationId);
  t.is(Object.keys(paths).length, new Set(OPERATIONS.map(({ path }) => path)).size + 1);
  const ids = OPERATIONS.map(({ operationId }) => operationId);
  t.is(new Set(ids).size, ids.length);
  // Schemas in it are whole: no schema refers to another document.
  for (const { body: schema, answer } of OPERATIONS)
    t.notThrows(() => [new Ajv().compile(schema), new Ajv().compile(answer)]);
});

test('health, features, capacity', async (t) => {
  const health = await bridge.send('GET', '/v1/health', Buffer.alloc(0), '');
  t.is(health.body['status'], 'up');
  const features = await bridge.call('GET', '/v1/features');
  t.like(features.body, { snapshots: true, groupSnapshots: true, qos: true });
  t.true(features.proved);
  const capacity = await bridge.call('GET', `/v1/pools/${POOL.domain}/${POOL.pool}/capacity`);
  t.is(capacity.status, 200);
  t.true(Number(capacity.body['totalGib']) > 0);
  t.is(codeOf(await bridge.call('GET', '/v1/pools/pd1/none/capacity')), 'notFound');
  t.is(codeOf(await bridge.call('GET', '/v1/pools/none/pool1/capacity')), 'notFound');
});

test('the same create twice, and ten at once, is one volume of exactly that size', async (t) => {
  const uuid = randomUUID();
  const first = await create(uuid, 3);
  t.true(first.body['created']);
  t.is(first.body['sizeGib'], 3);
  const second = await create(uuid, 3);
  t.false(second.body['created']);
  t.is(second.body['meshsanId'], first.body['meshsanId']);
  const other = randomUUID();
  const answers = await Promise.all(Array.from({ length: 10 }, () => create(other, 2)));
  t.deepEqual([...new Set(answers.map(codeOf))], ['200']);
  t.is(answers.filter(({ body }) => body['created'] === true).length, 1);
  t.is(volumesOf(other).length, 1);
  t.is(volumesOf(other)[0]?.sizeSectors, 2 * GIB_SECTORS);
});

test('a create that differs from the volume that is there is a conflict that says in what', async (t) => {
  const uuid = await made(3);
  const other = await create(uuid, 4);
  t.is(codeOf(other), 'conflict');
  t.regex(messageOf(other), /has 3 GiB; asked for were 4 GiB thin in pd1:pool1/);
  const thick = { ...wanted(3), provisioning: 'thick' };
  t.is(codeOf(await bridge.call('PUT', `/v1/volumes/${uuid}`, thick)), 'conflict');
  const elsewhere = { ...wanted(3), pool: 'none' };
  t.is(codeOf(await bridge.call('PUT', `/v1/volumes/${uuid}`, elsewhere)), 'notFound');
  t.is(volumesOf(uuid).length, 1);
});

test('delete, and again; a mapped volume is busy until its leftovers may go', async (t) => {
  const uuid = await made();
  const path = `/v1/volumes/${uuid}`;
  await attach(uuid, 'a');
  const busy = await bridge.call('DELETE', path, { unmapLeftovers: false });
  t.is(codeOf(busy), 'busy');
  t.regex(messageOf(busy), /mapped to SDC [0-9a-f]{16} \(generation \d+\)/);
  t.is(volumesOf(uuid).length, 1);
  t.true((await bridge.call('DELETE', path, { unmapLeftovers: true })).body['existed']);
  t.false((await bridge.call('DELETE', path, { unmapLeftovers: true })).body['existed']);
  t.is(codeOf(await bridge.call('GET', path)), 'notFound');
});

interface Named {
  readonly meshsanId: string;
  readonly name: string;
  readonly sizeGib: number;
}

const snapshots = (...snapshotsOf: readonly object[]): Promise<BridgeAnswer> =>
  bridge.call('POST', '/v1/snapshots', { snapshots: snapshotsOf });
const copies = (...specs: readonly object[]): Promise<BridgeAnswer> =>
  bridge.call('POST', '/v1/copies', { copies: specs.map((spec) => ({ ...POOL, ...spec })) });
const listed = ({ body }: BridgeAnswer): readonly Named[] =>
  (body['snapshots'] ?? body['volumes']) as readonly Named[];

test('snapshots of two volumes are of one call, once however often they are asked for', async (t) => {
  const volumes = [await made(2), await made(3)];
  const wantedOnes = volumes.map((volumeId) => ({ volumeId, snapshotId: randomUUID() }));
  const answers = await Promise.all(Array.from({ length: 5 }, () => snapshots(...wantedOnes)));
  t.deepEqual([...new Set(answers.map(codeOf))], ['200']);
  const [first = []] = answers.map(listed);
  for (const answer of answers) t.deepEqual(listed(answer), first);
  const keys = volumes.map((id) => volumesOf(id)[0]?.key);
  const found = bridge.cluster.tables.volume.filter((v) => keys.includes(v.ancestorKey));
  t.deepEqual(
    found.map(({ name }) => name),
    first.map(({ name }) => name),
  );
  const [one, two] = found;
  t.is(one?.groupKey, two?.groupKey);
  t.deepEqual([one?.ancestorKey, two?.ancestorKey], keys);
  t.regex(one?.name ?? '', /^snapshot-[A-Za-z0-9_-]{22}$/);
  // Half of a group that is there cannot become one moment with the other half.
  const half = await snapshots(...wantedOnes.slice(0, 1), {
    ...{ volumeId: volumes[1], snapshotId: randomUUID() },
  });
  t.is(codeOf(half), 'conflict');
  t.regex(messageOf(half), /they cannot be of one moment/);
  const other = await snapshots({ volumeId: await made(2), snapshotId: wantedOnes[0]?.snapshotId });
  t.regex(messageOf(other), /exists already and is no copy of/);
  t.is(codeOf(await snapshots({ volumeId: randomUUID(), snapshotId: randomUUID() })), 'notFound');
  const remove = (): Promise<BridgeAnswer> =>
    bridge.call('DELETE', `/v1/snapshots/${wantedOnes[0]?.snapshotId ?? ''}`);
  t.true((await remove()).body['existed']);
  t.false((await remove()).body['existed']);
  t.is(volumesOf(volumes[0] ?? '').length, 1, 'the volume stays');
});

test('volumes of snapshots and of volumes, larger where asked; an interrupted one is finished', async (t) => {
  const volumeId = await made(2);
  const snapshotId = randomUUID();
  await snapshots({ volumeId, snapshotId });
  const [fromSnapshot, fromVolume] = [randomUUID(), randomUUID()];
  const specs = [
    { volumeId: fromSnapshot, source: { snapshotId }, sizeGib: 2 },
    { volumeId: fromVolume, source: { volumeId }, sizeGib: 5 },
  ];
  const first = await copies(...specs);
  t.deepEqual(
    listed(first).map(({ sizeGib }) => sizeGib),
    [2, 5],
  );
  t.deepEqual((await copies(...specs)).body, first.body);
  t.is(volumesOf(fromVolume)[0]?.sizeSectors, 5 * GIB_SECTORS);
  for (const one of volumesOf(fromVolume)) Object.assign(one, { sizeSectors: 2 * GIB_SECTORS });
  t.deepEqual((await copies(...specs)).body, first.body, 'it was not enlarged yet');
  const smaller = await copies({ volumeId: randomUUID(), source: { volumeId }, sizeGib: 1 });
  t.regex(messageOf(smaller), /has 2 GiB, a copy of 1 GiB is smaller/);
  const none = { volumeId: randomUUID(), source: { snapshotId: randomUUID() }, sizeGib: 2 };
  t.is(codeOf(await copies(none)), 'notFound');
  t.is(codeOf(await copies({ ...none, source: { volumeId }, pool: 'none' })), 'notFound');
  // The source goes first.
  t.true(
    (await bridge.call('DELETE', `/v1/volumes/${volumeId}`, { unmapLeftovers: false })).body[
      'existed'
    ],
  );
  t.is(volumesOf(fromSnapshot).length, 1);
});

test('too many snapshots have a code of their own; a revert under a host is busy', async (t) => {
  const volumeId = await made();
  const snapshotId = randomUUID();
  await snapshots({ volumeId, snapshotId });
  const revert = (of = snapshotId): Promise<BridgeAnswer> =>
    bridge.call('POST', `/v1/volumes/${volumeId}/revert`, { snapshotId: of });
  t.is((await revert()).status, 200);
  // Other tests ask the same cluster meanwhile.
  t.is(bridge.cluster.asked.filter(({ name }) => name === 'OVERWRITE_VOLUME').length, 1);
  t.is(codeOf(await revert(randomUUID())), 'notFound');
  bridge.cluster.refusals.set('OVERWRITE_VOLUME', ClusterError.named('VOLUME_MAPPED'));
  t.is(codeOf(await revert()), 'busy');
  bridge.cluster.refusals.set('SNAPSHOT_VOLUMES', ClusterError.named('SNAPSHOT_LIMIT'));
  t.is(codeOf(await snapshots({ volumeId, snapshotId: randomUUID() })), 'snapshotLimit');
  const copy = { volumeId: randomUUID(), source: { volumeId }, sizeGib: 1 };
  t.is(codeOf(await copies(copy)), 'snapshotLimit');
  bridge.cluster.refusals.clear();
});

test('limits come with the attachment, and are changed on all mappings', async (t) => {
  const volumeId = await made(4);
  const limits = { iops: 100, kbps: 2048, iopsPerGib: 50, kbpsPerGib: 256 };
  const path = `/v1/volumes/${volumeId}`;
  const set = (changes: object = {}): Promise<BridgeAnswer> =>
    bridge.call('POST', `${path}/limits`, { limits: { ...limits, ...changes } });
  t.is((await set()).body['mappings'], 0);
  const attached = await bridge.call('PUT', `${path}/attachments/one`, { ...HOST, limits });
  t.is(attached.status, 200);
  const mapping = () => bridge.cluster.tables.mapping.at(-1);
  const shown = { iopsLimit: 100, bandwidthLimitKbps: 2048, iopsPerGib: 50, kbpsPerGib: 256 };
  t.like(mapping(), shown);
  await attach(volumeId, 'two');
  t.like(mapping(), shown, 'an attachment without limits leaves them');
  t.is((await set({ iops: 0, kbpsPerGib: 0 })).body['mappings'], 1);
  t.like(mapping(), { ...shown, iopsLimit: 0, kbpsPerGib: 0 });
  t.regex(messageOf(await set({ kbps: 1000 })), /kbps must be multiple of 1024/);
  t.is(codeOf(await set({ iops: 5 })), 'refused');
  t.is(codeOf(await set({ iops: 2 ** 32 })), 'invalid');
});

test('grow, and again; a volume never shrinks', async (t) => {
  const uuid = await made(2);
  const extend = (sizeGib: number): Promise<BridgeAnswer> =>
    bridge.call('POST', `/v1/volumes/${uuid}/extend`, { sizeGib });
  t.is((await extend(5)).body['sizeGib'], 5);
  t.is((await extend(5)).body['sizeGib'], 5);
  t.is(codeOf(await extend(4)), 'conflict');
  t.is(volumesOf(uuid)[0]?.sizeSectors, 5 * GIB_SECTORS);
});

test('attach and detach: the same holder again, two holders, late and repeated farewells', async (t) => {
  const uuid = await made();
  const first = await attach(uuid, 'one');
  t.regex(
    String(first.body['devicePath']),
    /^\/dev\/disk\/by-id\/emc-vol-[0-9a-f]{16}-[0-9a-f]{16}$/,
  );
  t.is(first.body['sdcGuid'], SDC_GUID);
  t.false(first.body['shared']);
  const again = await attach(uuid, 'one');
  t.is(again.body['generation'], first.body['generation']);
  t.true((await attach(uuid, 'two')).body['shared']);
  t.is((await detach(uuid, 'one')).body['outcome'], 'kept');
  t.is((await detach(uuid, 'one')).body['outcome'], 'stale');
  t.is((await detach(uuid, 'two')).body['outcome'], 'unmapped');
  const newer = await attach(uuid, 'three');
  t.not(newer.body['generation'], first.body['generation']);
  t.is((await detach(uuid, 'one', Number(first.body['generation']))).body['outcome'], 'stale');
  t.is((await detach(uuid, 'three', Number(first.body['generation']))).body['outcome'], 'stale');
  t.is((await bridge.call('GET', '/v1/ledger')).status, 200);
  t.is((await bridge.call('DELETE', `/v1/volumes/${uuid}/attachments`)).body['unmapped'], 1);
  t.is((await detach(randomUUID(), 'one')).body['outcome'], 'stale');
});

test('manage: a volume is taken over by id or name, once; unmanage gives it up under another name', async (t) => {
  const [pool] = bridge.cluster.tables.storagePool;
  const sizeSectors = 7 * GIB_SECTORS;
  const params = {
    poolKey: pool?.key ?? 0,
    name: 'by-hand',
    sizeSectors,
    provisioning: 'thin',
    rmcache: true,
  } as const;
  await bridge.cluster.command('ADD_VOLUME', 'admin', params);
  const odd = { ...params, name: 'odd', sizeSectors: GIB_SECTORS + 8 };
  await bridge.cluster.command('ADD_VOLUME', 'admin', odd);
  const at = `/v1/pools/${POOL.domain}/${POOL.pool}`;
  const inspect = (reference: object): Promise<BridgeAnswer> =>
    bridge.call('POST', `${at}/inspect`, { reference });
  const found = await inspect({ name: 'by-hand' });
  t.is(found.body['sizeGib'], 7);
  t.is(found.body['reason'], null);
  t.is((await inspect({ name: 'odd' })).body['reason'], 'its size is not a whole number of GiB');
  t.is(codeOf(await inspect({ name: 'none' })), 'notFound');
  const uuid = randomUUID();
  const manage = (reference: object): Promise<BridgeAnswer> =>
    bridge.call('POST', `/v1/volumes/${uuid}/manage`, { ...POOL, reference });
  t.is(codeOf(await manage({ name: 'odd' })), 'conflict');
  const managed = await manage({ id: String(found.body['meshsanId']) });
  t.is(managed.body['meshsanId'], found.body['meshsanId']);
  t.is((await manage({ name: 'by-hand' })).status, 200, 'the same request again');
  const list = (await bridge.call('GET', `${at}/volumes`)).body['volumes'] as {
    volumeId: string | null;
    reason: string | null;
  }[];
  t.is(list.find(({ volumeId }) => volumeId === uuid)?.reason, 'it is managed already');
  const left = await bridge.call('POST', `/v1/volumes/${uuid}/unmanage`);
  t.is((await bridge.call('POST', `/v1/volumes/${uuid}/unmanage`)).body['name'], left.body['name']);
  t.is((await inspect({ name: String(left.body['name']) })).body['reason'], null);
  t.is(codeOf(await bridge.call('GET', `/v1/volumes/${uuid}`)), 'notFound');
});

test('a snapshot is taken over as one of its own volume, once; unmanage gives it up under another name', async (t) => {
  const [volumeId, other] = [await made(2), await made(2)];
  const [source] = volumesOf(volumeId);
  if (source === undefined) throw new Error('the volume is not there');
  const name = `hand-${randomUUID().slice(0, 8)}`;
  const { keys } = await bridge.cluster.command('SNAPSHOT_VOLUMES', 'admin', {
    ...{ items: [{ volumeKey: source.key, name }], accessLimit: 'readWrite', secureMin: 0 },
  });
  const nameNow = (): string | undefined =>
    bridge.cluster.tables.volume.find(({ key }) => key === keys[0])?.name;
  const inspect = (of: string, reference: object): Promise<BridgeAnswer> =>
    bridge.call('POST', `/v1/volumes/${of}/inspect-snapshot`, { reference });
  const found = await inspect(volumeId, { name });
  t.like(found.body, { name, sizeGib: 2, snapshotId: null, volumeId, reason: null });
  const reference = { id: String(found.body['meshsanId']) };
  t.regex(String((await inspect(other, reference)).body['reason']), /no snapshot of the volume/);
  const itself = { name: volumeName(volumeId) };
  t.is((await inspect(volumeId, itself)).body['reason'], 'it is a volume of Cinder');
  t.is(codeOf(await inspect(volumeId, { name: 'nobody' })), 'notFound');
  t.is(codeOf(await inspect(randomUUID(), reference)), 'notFound');
  const snapshotId = randomUUID();
  const manage = (of: string, as = snapshotId): Promise<BridgeAnswer> =>
    bridge.call('POST', `/v1/snapshots/${as}/manage`, { volumeId: of, reference });
  t.is(codeOf(await manage(other)), 'conflict');
  t.is(nameNow(), name, 'a refusal changes nothing');
  const answers = await Promise.all([manage(volumeId), manage(volumeId)]);
  for (const answer of answers) t.like(answer.body, { snapshotId, volumeId, sizeGib: 2 });
  t.is(nameNow(), snapshotName(snapshotId));
  t.is(codeOf(await manage(volumeId, randomUUID())), 'conflict', 'it is managed already');
  const listed = await bridge.call('GET', `/v1/pools/${POOL.domain}/${POOL.pool}/snapshots`);
  const entries = listed.body['snapshots'] as { meshsanId: string; reason: string | null }[];
  const entry = entries.find(({ meshsanId }) => meshsanId === reference.id);
  t.like(entry, { snapshotId, volumeId, reason: 'it is managed already' });
  const unmanage = (): Promise<BridgeAnswer> =>
    bridge.call('POST', `/v1/snapshots/${snapshotId}/unmanage`);
  for (const answer of [await unmanage(), await unmanage()]) t.is(codeOf(answer), '200');
  t.regex(nameNow() ?? '', /^former-/);
  t.is((await manage(volumeId, randomUUID())).status, 200);
});

test('findings and their repair go by generation', async (t) => {
  const uuid = await made();
  const attached = await attach(uuid, 'lost');
  const findings = async (): Promise<{ volumeId: string; repair: object | null }[]> => {
    const known = { volumes: [{ volumeId: uuid, settled: true }], attachments: [] };
    const answer = await bridge.call('POST', '/v1/ledger/findings', { known, minAgeSeconds: 0 });
    const all = answer.body['findings'] as { volumeId: string; repair: object | null }[];
    return all.filter(({ volumeId, repair }) => volumeId === uuid && repair !== null);
  };
  const [finding] = await findings();
  t.like(finding?.repair, { step: 'release', holder: 'lost' });
  const repair = async (steps: readonly unknown[]): Promise<unknown> =>
    (await bridge.call('POST', '/v1/ledger/repair', { steps })).body['outcomes'];
  const generation = Number(attached.body['generation']) + 1000;
  t.deepEqual(await repair([{ ...finding?.repair, generation }]), ['replaced']);
  t.deepEqual(await repair([finding?.repair]), ['done']);
  t.deepEqual(await repair([finding?.repair]), ['replaced']);
  t.deepEqual(await findings(), []);
});

test('bad input is refused with the place and what would be right, and changes nothing', async (t) => {
  const uuid = randomUUID();
  const bad = async (method: string, path: string, body: unknown): Promise<string> => {
    const answer = await bridge.call(method, path, body);
    t.is(codeOf(answer), 'invalid', `${method} ${path} ${JSON.stringify(body)}`);
    t.true(answer.proved);
    return messageOf(answer);
  };
  const path = `/v1/volumes/${uuid}`;
  t.regex(await bad('PUT', path, { ...wanted(), sizeGib: '1' }), /sizeGib must be integer/);
  t.regex(await bad('PUT', path, { ...wanted(), sizeGib: 0 }), /sizeGib must be >= 1/);
  t.regex(await bad('PUT', path, { ...wanted(), sizeGib: 1.5 }), /sizeGib must be integer/);
  t.regex(await bad('PUT', path, { ...wanted(), sizeGib: 2 ** 21 }), /sizeGib must be <=/);
  t.regex(
    await bad('PUT', path, { ...wanted(), pool: 'x'.repeat(32) }),
    /pool must NOT have more than 31/,
  );
  t.regex(await bad('PUT', path, { ...wanted(), pool: 'a b' }), /pool must match pattern/);
  t.regex(await bad('PUT', path, { ...wanted(), sizeGb: 1 }), /unknown key "sizeGb" .*"sizeGib"/);
  t.regex(
    await bad('PUT', path, { ...wanted(), provisioning: 'thinn' }),
    /provisioning must be one of/,
  );
  t.regex(await bad('PUT', path, { sizeGib: 1 }), /the body must have required property/);
  await bad('PUT', path, []);
  await bad('PUT', path, 'null');
  t.regex(await bad('PUT', path, '{"domain":'), /not well-formed JSON/);
  t.regex(await bad('PUT', `/v1/volumes/${uuid.toUpperCase()}X`, wanted()), /volumeId must match/);
  await bad('PUT', '/v1/volumes/..%2Fx', wanted());
  await bad('GET', `/v1/pools/pd1/${'p'.repeat(32)}/capacity`, undefined);
  await bad('PUT', `${path}/attachments/${'h'.repeat(65)}`, HOST);
  await bad('PUT', `${path}/attachments/a%20b`, HOST);
  await bad('PUT', `${path}/attachments/a`, { ...HOST, accessMode: 'rw' });
  await bad('PUT', `${path}/attachments/a`, { ...HOST, sdcGuid: 'x' });
  await bad('DELETE', `${path}/attachments/a`, { generation: -1 });
  await bad('DELETE', `${path}/attachments/a`, {});
  await bad('DELETE', path, { unmapLeftovers: 'true' });
  await bad('POST', `${path}/manage`, { ...POOL, reference: {} });
  await bad('POST', `${path}/manage`, { ...POOL, reference: { id: '1', name: 'x' } });
  await bad('POST', `${path}/extend`, { sizeGib: null });
  await bad('POST', '/v1/snapshots', { snapshots: [] });
  await bad('POST', '/v1/snapshots', { snapshots: [{ snapshotId: uuid }] });
  await bad('POST', '/v1/snapshots', { snapshots: [{ snapshotId: 'x', volumeId: uuid }] });
  const copy = { ...POOL, volumeId: uuid, sizeGib: 1 };
  await bad('POST', '/v1/copies', { copies: [copy] });
  await bad('POST', '/v1/copies', { copies: [{ ...copy, source: {} }] });
  await bad('POST', '/v1/copies', {
    copies: [{ ...copy, source: { volumeId: uuid, snapshotId: uuid } }],
  });
  await bad('POST', `${path}/revert`, {});
  await bad('POST', `${path}/limits`, { limits: { iops: 100 } });
  await bad('DELETE', '/v1/snapshots/x', undefined);
  const adopted = { volumeId: uuid, reference: { name: 'x' } };
  await bad('POST', '/v1/snapshots/x/manage', adopted);
  await bad('POST', `/v1/snapshots/${uuid}/manage`, { ...adopted, reference: {} });
  await bad('POST', `/v1/volumes/${uuid}/inspect-snapshot`, { reference: { id: 'x' } });
  await bad('POST', '/v1/ledger/repair', { steps: [{ step: 'drop' }] });
  const asked = JSON.stringify(bridge.cluster.asked);
  t.false(asked.includes(volumeName(uuid)), 'the cluster was not asked to change anything');
});

test('a body over 1 MiB, an unknown path, a request without signature', async (t) => {
  const body = JSON.stringify({ ...wanted(), pad: 'x'.repeat(1024 * 1024) });
  t.is(codeOf(await bridge.call('PUT', `/v1/volumes/${randomUUID()}`, body)), 'tooLarge');
  t.is(codeOf(await bridge.call('GET', '/v1/none')), 'notFound');
  t.is(codeOf(await bridge.call('GET', '/v1/volumes/%E0%A4')), 'invalid');
  const bare = await bridge.send('GET', '/v1/features', Buffer.alloc(0), '');
  t.is(codeOf(bare), 'unauthorized');
  t.false(bare.proved);
  const text = JSON.stringify(bridge.log);
  t.false(text.includes('05'.repeat(32)), 'the token is not in the log');
  t.false(text.includes('Correct-1'), 'the password is not in the log');
});

test('what the cluster refuses is told in its words', async (t) => {
  const answer = await create(randomUUID(), 1048576);
  t.true(['200', 'refused'].includes(codeOf(answer)), JSON.stringify(answer));
  const unknown = await bridge.call('PUT', `/v1/volumes/${await made()}/attachments/a`, {
    ...HOST,
    sdcGuid: '00000000-1111-4111-8111-111111111111',
  });
  t.is(codeOf(unknown), 'notFound');
  t.regex(messageOf(unknown), /no SDC is known for host compute1/);
});
