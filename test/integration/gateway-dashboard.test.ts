// What the page of the dashboard reads, and who may read metrics; the page itself is tested in a browser.

import { NO_COPY_LOAD } from '../../backend/cluster-map/copy-policy.js';
import { NO_DISK_TIMES } from '../../backend/core/disk-meter.js';
import test from 'ava';

import { GatewayHarness, at } from '../support/gateway-harness.js';

let gateway: GatewayHarness;
test.before(async () => {
  gateway = await GatewayHarness.start();
  const pool = at((await gateway.get('/api/types/StoragePool/instances')).json, 0, 'id');
  for (const name of ['beta', 'alpha', 'gamma'])
    await gateway.post('/api/types/Volume/instances', {
      storagePoolId: pool,
      name,
      volumeSizeInKb: '8388608',
      volumeType: 'ThinProvisioned',
    });
  const [, second] = gateway.cluster.tables.device;
  if (second === undefined) throw new Error('no device');
  gateway.cluster.usage.set(second.key, {
    capacityBytes: second.capacityBytes,
    usedBytes: 2 ** 30,
    resyncBytesTotal: 4096,
    resyncBytesDone: 1024,
    degradedCombs: 3,
    rebuildBytesLeft: 2048,
    rebalanceBytesLeft: 0,
    ...{ resync: NO_COPY_LOAD, rebuild: NO_COPY_LOAD, rebalance: NO_COPY_LOAD },
    times: NO_DISK_TIMES,
    cache: null,
    scan: null,
  });
});
test.after.always(() => gateway.stop());

async function overview(): Promise<unknown> {
  const answer = await gateway.post('/api/dashboard/overview');
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.json;
}

test('the parts of the capacity add up to the total', async (t) => {
  const json = await overview();
  const part = (name: string): number => Number(at(json, 'capacity', name));
  const sum = ['usedBytes', 'spareBytes', 'unusedBytes', 'unreachableBytes'].map(part);
  t.true(part('totalBytes') > 0);
  t.is(
    sum.reduce((a, b) => a + b),
    part('totalBytes'),
  );
  t.is(part('usedBytes'), 2 ** 30);
});

test('a device that lacks copies stands first, with the progress of its resync', async (t) => {
  const json = await overview();
  t.is(at(json, 'devices', 'total'), 3);
  t.is(at(json, 'devices', 'rows', 0, 'degradedCombs'), 3);
  t.deepEqual(at(json, 'devices', 'rows', 0, 'resync'), { totalBytes: 4096, doneBytes: 1024 });
  t.deepEqual(at(json, 'resync'), { totalBytes: 4096, doneBytes: 1024 });
  t.is(at(json, 'user', 'role'), 'administrator');
});

test('volumes come sorted by name, a page at a time, found by a part of the name', async (t) => {
  const list = async (body: object): Promise<unknown> =>
    (await gateway.post('/api/dashboard/volumes', body)).json;
  const all = await list({});
  t.is(at(all, 'total'), 3);
  t.is(at(all, 'rows', 0, 'name'), 'alpha');
  const second = await list({ offset: 1, limit: 1 });
  t.is(at(second, 'rows', 0, 'name'), 'beta');
  t.is(at(second, 'rows', 1), undefined);
  t.is(at(await list({ search: 'GAM' }), 'rows', 0, 'name'), 'gamma');
  t.is(at(await list({ search: 'nothing' }), 'total'), 0);
});

test('snapshots stand below their source, with what each holds alone', async (t) => {
  const own = await GatewayHarness.start();
  t.teardown(() => own.stop());
  const pool = at((await own.get('/api/types/StoragePool/instances')).json, 0, 'id');
  for (const name of ['b', 'a'])
    await own.post('/api/types/Volume/instances', {
      ...{ storagePoolId: pool, name, volumeSizeInKb: '8388608', volumeType: 'ThinProvisioned' },
    });
  const [b] = own.cluster.tables.volume;
  if (b === undefined) throw new Error('no volume');
  const snapshot = async (volumeKey: number, name: string): Promise<number> => {
    const params = {
      items: [{ volumeKey, name }],
      accessLimit: 'readWrite',
      secureMin: 0,
    } as const;
    return (await own.cluster.command('SNAPSHOT_VOLUMES', 'admin', params)).keys[0] ?? 0;
  };
  const first = await snapshot(b.key, 'z-first');
  await snapshot(b.key, 'a-second');
  await snapshot(first, 'm-below');
  const GIB = 2 ** 30;
  const status = { volumeKey: b.key, rawBytes: 6 * GIB, netBytes: 3 * GIB };
  own.cluster.volumeUsage.push({ ...status, sharedNetBytes: 2 * GIB });
  const { json } = await own.post('/api/dashboard/volumes', {});
  const rows = at(json, 'rows') as readonly Record<string, unknown>[];
  t.deepEqual(
    rows.map(({ name, depth, ancestor, isSnapshot }) => [name, depth, ancestor, isSnapshot]),
    [
      ['a', 0, '', false],
      ['b', 0, '', false],
      ['z-first', 1, 'b', true],
      ['m-below', 2, 'z-first', true],
      ['a-second', 1, 'b', true],
    ],
  );
  t.like(rows[1], { usedBytes: 3 * GIB, ownBytes: GIB });
  t.is(rows[3]?.['vtreeId'], rows[1]?.['id']);
  const tree = await own.post('/api/dashboard/volumes', { search: String(rows[1]?.['id']) });
  t.is(at(tree.json, 'total'), 4, 'all of the V-tree');
});

test('wrong pages are refused by name, and nothing is shown without a login', async (t) => {
  for (const body of [{ limit: 0 }, { limit: 201 }, { offset: -1 }, { search: 7 }]) {
    const answer = await gateway.post('/api/dashboard/volumes', body);
    t.is(answer.status, 400);
    t.true(answer.text.includes(Object.keys(body)[0] ?? ''), answer.text);
  }
  for (const path of ['/api/dashboard/overview', '/api/dashboard/volumes'])
    t.is((await gateway.send('POST', path, { data: '{}' })).status, 401);
});

test('readiness follows the MDM, life does not', async (t) => {
  const own = await GatewayHarness.start();
  t.teardown(() => own.stop());
  t.is((await own.send('GET', '/health/ready')).status, 200);
  own.cluster.failure = new Error('the MDM is gone');
  t.true((await own.send('GET', '/health/ready')).status >= 500);
  t.is((await own.send('GET', '/health/live')).status, 200);
});
