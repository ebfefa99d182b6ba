// Volumes over the REST interface as Cinder's PowerFlex driver, os-brick, pyscaleio and goscaleio use it.

import test from 'ava';

import { GatewayHarness, at } from '../support/gateway-harness.js';
import { MemoryCluster, SDC_GUID } from '../support/memory-cluster.js';

interface Context {
  readonly gateway: GatewayHarness;
  readonly pool: string;
  readonly sdc: string;
}

async function start(): Promise<Context> {
  const gateway = await GatewayHarness.start();
  const pool = String(at((await gateway.get('/api/types/StoragePool/instances')).json, 0, 'id'));
  const sdc = String(at((await gateway.get('/api/types/Sdc/instances')).json, 0, 'id'));
  return { gateway, pool, sdc };
}

async function create(
  { gateway, pool }: Context,
  name: string,
  fields: object = {},
): Promise<string> {
  const body = {
    storagePoolId: pool,
    name,
    volumeSizeInKb: '8388608',
    volumeType: 'ThinProvisioned',
  };
  const answer = await gateway.post('/api/types/Volume/instances', { ...body, ...fields });
  if (answer.status !== 200) throw new Error(answer.text);
  return String(at(answer.json, 'id'));
}

test('creation rounds up to 8 GiB, whatever form the size has', async (t) => {
  const context = await start();
  t.teardown(() => context.gateway.stop());
  const sizes: readonly (readonly [object, number])[] = [
    [{ volumeSizeInKb: '8192' }, 8],
    [{ volumeSizeInKb: 8_388_609 }, 16],
    [{ volumeSizeInKb: undefined, volumeSizeInGb: 9 }, 16],
    [{ volumeSizeInKb: undefined, volumeSizeInGb: '24' }, 24],
  ];
  for (const [index, [fields, gib]] of sizes.entries()) {
    const id = await create(context, `v${index}`, fields);
    t.regex(id, /^[0-9a-f]{16}$/);
    const { json } = await context.gateway.get(`/api/instances/Volume::${id}`);
    t.is(at(json, 'sizeInKb'), gib * 2 ** 20);
  }
});

test('wrong sizes, names and missing keys are refused and change nothing', async (t) => {
  const context = await start();
  const { gateway, pool } = context;
  t.teardown(() => gateway.stop());
  const post = (body: object): ReturnType<GatewayHarness['post']> =>
    gateway.post('/api/types/Volume/instances', body);
  const whole = { storagePoolId: pool, volumeSizeInKb: '8388608' };
  for (const size of ['0', '-8', 'eight', 1.5, '999999999999999', {}]) {
    const { status, json } = await post({ ...whole, volumeSizeInKb: size });
    t.is(status, 400, JSON.stringify(size));
    t.is(at(json, 'httpStatusCode'), 400);
  }
  const missing = await post({ volumeSizeInKb: '8388608' });
  t.deepEqual(missing.json, {
    message:
      'Request message is not valid: The following parameter(s) must be part of the request body: storagePoolId.',
    httpStatusCode: 400,
    errorCode: 0,
  });
  const badId = await post({ ...whole, storagePoolId: 'pool1' });
  t.regex(String(at(badId.json, 'message')), /must be a hexadecimal number/);
  const noPool = await post({ ...whole, storagePoolId: '00000000deadbeef' });
  t.is(at(noPool.json, 'errorCode'), 171);
  const longName = await post({ ...whole, name: 'x'.repeat(32) });
  t.is(at(longName.json, 'errorCode'), 226);
  t.regex(
    String(at((await post({ ...whole, volumeType: 'Fat' })).json, 'message')),
    /volumeType must be one of/,
  );
  t.is(gateway.cluster.tables.volume.length, 0);
  await create(context, 'same');
  const duplicate = await post({ ...whole, name: 'same' });
  t.deepEqual(duplicate.json, {
    message: 'Volume name already in use. Please use a different name.',
    httpStatusCode: 500,
    errorCode: 99,
  });
});

test('growth must be a multiple of 8 GiB and larger', async (t) => {
  const context = await start();
  const { gateway } = context;
  t.teardown(() => gateway.stop());
  const id = await create(context, 'grows', { volumeSizeInKb: '16777216' });
  const resize = (sizeInGB: unknown): ReturnType<GatewayHarness['post']> =>
    gateway.post(`/api/instances/Volume::${id}/action/setVolumeSize`, { sizeInGB });
  t.is((await resize('20')).status, 400);
  t.is(at((await resize('20')).json, 'errorCode'), 225);
  t.is(at((await resize('8')).json, 'errorCode'), 133);
  t.is((await resize('0')).status, 400);
  const grown = await resize('24');
  t.is(grown.status, 200);
  t.deepEqual(grown.json, {});
  t.is(at((await gateway.get(`/api/instances/Volume::${id}`)).json, 'sizeInKb'), 24 * 2 ** 20);
});

test('mapping by guid or id, with codes that os-brick takes for success', async (t) => {
  const context = await start();
  const { gateway, sdc } = context;
  t.teardown(() => gateway.stop());
  const id = await create(context, 'mapped');
  const act = (action: string, body: object): ReturnType<GatewayHarness['post']> =>
    gateway.post(`/api/instances/Volume::${id}/action/${action}`, body);
  const shown = async (): Promise<unknown> =>
    at((await gateway.get(`/api/instances/Volume::${id}`)).json, 'mappedSdcInfo');
  t.is(await shown(), null);

  const mapped = await act('addMappedSdc', {
    guid: `${SDC_GUID.toLowerCase()}\n`,
    allowMultipleMappings: 'TRUE',
  });
  t.is(mapped.status, 200);
  t.deepEqual(mapped.json, {});
  t.is(at(await shown(), 0, 'sdcId'), sdc);
  t.is(at(await shown(), 0, 'sdcIp'), '127.0.2.1');
  t.is(
    at(
      (await act('addMappedSdc', { sdcId: sdc, allowMultipleMappings: 'True' })).json,
      'errorCode',
    ),
    81,
  );

  t.is((await act('setMappedSdcLimits', { sdcId: sdc, iopsLimit: '1000' })).status, 200);
  t.is(
    (await act('setMappedSdcLimits', { guid: SDC_GUID, bandwidthLimitInKbps: 2048 })).status,
    200,
  );
  t.is(at(await shown(), 0, 'limitIops'), 1000);
  t.is(at(await shown(), 0, 'limitBwInMbps'), 2);
  t.is(
    (await act('setMappedSdcLimits', { sdcId: sdc, iopsLimit: '0', bandwidthLimitInKbps: '0' }))
      .status,
    200,
  );
  t.is(at(await shown(), 0, 'limitIops'), 0);
  t.regex(
    String(at((await act('setMappedSdcLimits', { sdcId: sdc, iopsLimit: 5 })).json, 'message')),
    /iopsLimit \(5\) must be a number larger than 10/,
  );
  t.is((await act('setMappedSdcLimits', { sdcId: sdc, bandwidthLimitInKbps: '1000' })).status, 400);
  for (const [limit, value] of [
    ['iopsLimit', 4294967296],
    ['bandwidthLimitInKbps', 4294967296],
  ] as const)
    t.regex(
      String(at((await act('setMappedSdcLimits', { sdcId: sdc, [limit]: value })).json, 'message')),
      new RegExp(`${limit} \\(4294967296\\) must be .* and at most 4294967295`),
    );
  t.is((await act('setMappedSdcLimits', { sdcId: sdc })).status, 400);

  t.is(at((await act('removeVolume', { removeMode: 'ONLY_ME' })).json, 'errorCode'), 104);
  t.is((await act('removeMappedSdc', { allSdcs: '' })).status, 200);
  t.is(await shown(), null);
  t.is(at((await act('removeMappedSdc', { guid: SDC_GUID })).json, 'errorCode'), 84);
  t.is(
    at((await act('addMappedSdc', { guid: SDC_GUID.replace('0B', '1B') })).json, 'errorCode'),
    80,
  );
  t.is((await act('addMappedSdc', {})).status, 400);
});

test('the GUID of zeroes stands for the only SDC that declares it; two are named and refused', async (t) => {
  const context = await start();
  const { gateway, sdc } = context;
  t.teardown(() => gateway.stop());
  const id = await create(context, 'v');
  const guid = '00000000-0000-0000-0000-000000000000';
  const path = `/api/instances/Volume::${id}/action`;
  const map = () => gateway.post(`${path}/addMappedSdc`, { guid });
  t.is(at((await map()).json, 'errorCode'), 80);
  const { sdc: sdcs } = gateway.cluster.tables;
  for (const one of sdcs) Object.assign(one, { zeroGuid: true });
  t.is((await map()).status, 200);
  const { json } = await gateway.get(`/api/instances/Volume::${id}`);
  t.is(at(json, 'mappedSdcInfo', 0, 'sdcId'), sdc);
  await gateway.post(`${path}/removeMappedSdc`, { allSdcs: 'True' });
  const [first] = sdcs;
  if (first === undefined) throw new Error('the cluster has no SDC');
  const second = { ...first, key: 999, name: 'second', guid: SDC_GUID.replace('0B', '2B') };
  sdcs.push({ ...second, zeroGuid: false });
  t.is((await map()).status, 200, 'an SDC with a GUID of its own does not count');
  await gateway.post(`${path}/removeMappedSdc`, { allSdcs: 'True' });
  sdcs[1] = { ...second, approved: false };
  t.is((await map()).status, 200, 'nor does one that is not approved');
  await gateway.post(`${path}/removeMappedSdc`, { allSdcs: 'True' });
  sdcs[1] = second;
  const refused = await map();
  t.is(refused.status, 400);
  const message = String(at(refused.json, 'message'));
  for (const name of [first.name, 'second']) t.true(message.includes(name), message);
});

test('removal is final: the volume is gone with code 79, by id and by name', async (t) => {
  const context = await start();
  const { gateway } = context;
  t.teardown(() => gateway.stop());
  const id = await create(context, 'brief');
  const mode = await gateway.post(`/api/instances/Volume::${id}/action/removeVolume`, {
    removeMode: 'ALL',
  });
  t.is(at(mode.json, 'errorCode'), 62);
  const removed = await gateway.post(`/api/instances/Volume::${id}/action/removeVolume`, {
    removeMode: 'ONLY_ME',
  });
  t.is(removed.status, 200);
  for (const answer of [
    await gateway.get(`/api/instances/Volume::${id}`),
    await gateway.post(`/api/instances/Volume::${id}/action/removeVolume`, {
      removeMode: 'ONLY_ME',
    }),
    await gateway.post('/api/types/Volume/instances/action/queryIdByKey', { name: 'brief' }),
  ])
    t.deepEqual(answer.json, {
      message: 'Could not find the volume',
      httpStatusCode: 500,
      errorCode: 79,
    });
  const legacy = await gateway.get('/api/types/Volume/instances/getByName::brief');
  t.is(at(legacy.json, 'errorCode'), 3);
});

test('names of every kind are found, encoded once or twice', async (t) => {
  const context = await start();
  const { gateway, pool } = context;
  t.teardown(() => gateway.stop());
  for (const name of ['a/b+c==', '100%', 'ümlaut', '%2F']) {
    const id = await create(context, name);
    const once = encodeURIComponent(name);
    t.is((await gateway.get(`/api/types/Volume/instances/getByName::${once}`)).json, id, name);
    t.is(
      (await gateway.get(`/api/types/Volume/instances/getByName::${encodeURIComponent(once)}`))
        .json,
      id,
    );
    t.is(
      (await gateway.post('/api/types/Volume/instances/action/queryIdByKey', { name })).json,
      id,
    );
  }
  const domain = (await gateway.get('/api/types/Domain/instances/getByName::pd1')).json;
  t.is(
    (await gateway.get(`/api/types/Pool/instances/getByName::${String(domain)},pool1`)).json,
    pool,
  );
  t.is(
    (await gateway.get(`/api/types/Pool/instances/getByName::${String(domain)}%252Cpool1`)).json,
    pool,
  );
  t.is((await gateway.get('/api/types/Client/instances/getByIp::127.0.2.1/')).json, context.sdc);
  const inDomain = { name: 'pool1', protectionDomainName: 'pd1' };
  t.is(
    (await gateway.post('/api/types/StoragePool/instances/action/queryIdByKey', inDomain)).json,
    pool,
  );
  const byIp = await gateway.post('/api/types/Sdc/instances/action/queryIdByKey', {
    ip: '127.0.2.1',
  });
  t.is(byIp.json, context.sdc);
});

test('a monitor may look but not change', async (t) => {
  const context = await start();
  const { gateway } = context;
  t.teardown(() => gateway.stop());
  const token = await gateway.login('watcher');
  const as = { auth: { username: '', password: token } };
  t.is((await gateway.send('GET', '/api/types/Volume/instances', as)).status, 200);
  const denied = await gateway.send('POST', '/api/types/ProtectionDomain/instances', {
    ...as,
    data: { name: 'x' },
  });
  t.is(denied.status, 403);
  t.is(at(denied.json, 'errorCode'), 247);
  t.is(gateway.cluster.asked.at(-1)?.actor, 'watcher');
});

test('an id of another system names nothing here', async (t) => {
  const cluster = await MemoryCluster.make();
  const gateway = await GatewayHarness.start(cluster);
  t.teardown(() => gateway.stop());
  const key = cluster.tables.storagePool[0]?.key ?? 0;
  const other = `0badcafe${key.toString(16).padStart(8, '0')}`;
  t.is(at((await gateway.get(`/api/instances/StoragePool::${other}`)).json, 'errorCode'), 171);
  const list = await gateway.post('/api/types/StoragePool/instances/action/queryBySelectedIds', {
    ids: [other],
  });
  t.deepEqual(list.json, []);
});
