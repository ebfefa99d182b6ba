// Objects, relations and statistics as clients read them: the fields that each client cannot live without.

import test from 'ava';

import { GatewayHarness, at } from '../support/gateway-harness.js';
import { SDC_GUID } from '../support/memory-cluster.js';

let gateway: GatewayHarness;
test.before(async () => {
  gateway = await GatewayHarness.start();
  const pool = at((await gateway.get('/api/types/StoragePool/instances')).json, 0, 'id');
  const volumes = '/api/types/Volume/instances';
  await gateway.post(volumes, {
    storagePoolId: pool,
    name: 'thin',
    volumeSizeInKb: '8388608',
    volumeType: 'ThinProvisioned',
  });
  await gateway.post(volumes, { storagePoolId: pool, name: 'thick', volumeSizeInKb: '16777216' });
  const [thin] = gateway.cluster.tables.volume;
  const [sdc] = gateway.cluster.tables.sdc;
  if (thin === undefined || sdc === undefined) throw new Error('no volume or SDC');
  await gateway.cluster.command('MAP_VOLUME', 'admin', {
    volumeKey: thin.key,
    sdcKey: sdc.key,
    allowMultiple: false,
    access: 'readWrite',
  });
  gateway.cluster.volumeUsage.push({
    volumeKey: thin.key,
    rawBytes: 2 * 2 ** 30,
    netBytes: 2 ** 30,
  });
  gateway.cluster.rates.push({
    key: thin.key,
    readOps: 10,
    readBytes: 40_960,
    writeOps: 5,
    writeBytes: 20_480,
    trimOps: 0,
    trimBytes: 0,
    readMicros: 2_000,
    writeMicros: 1_500,
  });
});
test.after.always(() => gateway.stop());

type Form = 'string' | 'number' | 'boolean' | 'array' | 'text or null';

function formOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return value === null ? 'null' : typeof value;
}

/** Fields that pyscaleio's validators and the structures of goscaleio need, by type. */
const NEEDED: Readonly<Record<string, Readonly<Record<string, Form>>>> = {
  System: {
    id: 'string',
    name: 'string',
    installId: 'string',
    swid: 'string',
    systemVersionName: 'string',
    restrictedSdcModeEnabled: 'boolean',
    restrictedSdcMode: 'string',
    daysInstalled: 'number',
    capacityAlertHighThresholdPercent: 'number',
    capacityAlertCriticalThresholdPercent: 'number',
    capacityTimeLeftInDays: 'string',
    maxCapacityInGb: 'string',
    enterpriseFeaturesEnabled: 'boolean',
    isInitialLicense: 'boolean',
    defaultIsVolumeObfuscated: 'boolean',
    remoteReadOnlyLimitState: 'boolean',
    mdmMode: 'string',
    mdmClusterState: 'string',
    mdmManagementIPList: 'array',
    mdmManagementPort: 'number',
    primaryMdmActorIpList: 'array',
    primaryMdmActorPort: 'number',
    secondaryMdmActorIpList: 'array',
    secondaryMdmActorPort: 'number',
    tiebreakerMdmIpList: 'array',
    tiebreakerMdmActorPort: 'number',
    perfProfile: 'string',
  },
  ProtectionDomain: {
    id: 'string',
    name: 'string',
    systemId: 'string',
    protectionDomainState: 'string',
    rebuildNetworkThrottlingEnabled: 'boolean',
    rebalanceNetworkThrottlingEnabled: 'boolean',
    overallIoNetworkThrottlingEnabled: 'boolean',
    rfcacheEnabled: 'boolean',
  },
  StoragePool: {
    id: 'string',
    name: 'string',
    protectionDomainId: 'string',
    checksumEnabled: 'boolean',
    useRfcache: 'boolean',
    useRmcache: 'boolean',
    zeroPaddingEnabled: 'boolean',
    dataLayout: 'string',
    sparePercentage: 'number',
    rebuildEnabled: 'boolean',
    rebalanceEnabled: 'boolean',
    rmcacheWriteHandlingMode: 'string',
    numOfParallelRebuildRebalanceJobsPerDevice: 'number',
    rebuildIoPriorityPolicy: 'string',
    rebalanceIoPriorityPolicy: 'string',
    mediaType: 'text or null',
  },
  Sds: {
    id: 'string',
    name: 'string',
    protectionDomainId: 'string',
    ipList: 'array',
    port: 'number',
    sdsState: 'string',
    membershipState: 'string',
    mdmConnectionState: 'string',
    drlMode: 'string',
    rmcacheEnabled: 'boolean',
    rmcacheSizeInKb: 'number',
    rmcacheFrozen: 'boolean',
    isOnVmWare: 'boolean',
    faultSetId: 'text or null',
  },
  Device: {
    id: 'string',
    name: 'text or null',
    deviceCurrentPathname: 'string',
    deviceOriginalPathname: 'string',
    deviceCurrentPathName: 'string',
    deviceState: 'string',
    errorState: 'string',
    capacityLimitInKb: 'number',
    maxCapacityInKb: 'number',
    sdsId: 'string',
    storagePoolId: 'string',
  },
  Sdc: {
    id: 'string',
    name: 'text or null',
    sdcGuid: 'string',
    sdcIp: 'string',
    sdcApproved: 'boolean',
    mdmConnectionState: 'string',
    systemId: 'string',
    onVmWare: 'boolean',
    osType: 'string',
  },
  Volume: {
    id: 'string',
    name: 'string',
    sizeInKb: 'number',
    storagePoolId: 'string',
    useRmcache: 'boolean',
    volumeType: 'string',
    vtreeId: 'string',
    ancestorVolumeId: 'text or null',
    consistencyGroupId: 'text or null',
    creationTime: 'number',
    isObfuscated: 'boolean',
    mappingToAllSdcsEnabled: 'boolean',
  },
  VTree: { id: 'string', name: 'string', baseVolumeId: 'string', storagePoolId: 'string' },
};

for (const [type, fields] of Object.entries(NEEDED)) {
  test(`${type} has every field that clients need, in its list and alone`, async (t) => {
    const { json } = await gateway.get(`/api/types/${type}/instances`);
    const first = at(json, 0);
    for (const [name, form] of Object.entries(fields)) {
      const found = formOf(at(first, name));
      const right = form === 'text or null' ? ['string', 'null'].includes(found) : found === form;
      t.true(right, `${type}.${name} is ${found}, wanted ${form}`);
    }
    const alone = await gateway.get(`/api/instances/${type}::${String(at(first, 'id'))}`);
    t.deepEqual(alone.json, first);
    const chosen = await gateway.post(`/api/types/${type}/instances/action/queryBySelectedIds`, {
      ids: [at(first, 'id')],
    });
    t.deepEqual(chosen.json, [first]);
  });

  test(`every link of a ${type} leads somewhere`, async (t) => {
    const { json } = await gateway.get(`/api/types/${type}/instances`);
    const links = at(json, 0, 'links') as readonly { rel: string; href: string }[];
    const self = links.find(({ rel }) => rel === 'self');
    t.is(self?.href, `/api/instances/${type}::${String(at(json, 0, 'id'))}`);
    t.true(links.some(({ rel }) => rel === `/api/${type}/relationship/Statistics`));
    for (const { rel, href } of links) {
      const answer = await gateway.get(href);
      t.is(answer.status, 200, href);
      const isObject = rel === 'self' || rel.endsWith('/Statistics') || rel.includes('/parent/');
      t.is(Array.isArray(answer.json), !isObject, rel);
    }
  });
}

test('there is exactly one system, and the overview has a list of every type', async (t) => {
  const { json } = await gateway.get('/api/types/System/instances');
  t.is((json as unknown[]).length, 1);
  const all = await gateway.get('/api/instances');
  t.deepEqual(at(all.json, 'System'), at(json, 0));
  for (const list of [
    'protectionDomainList',
    'faultSetList',
    'storagePoolList',
    'sdsList',
    'deviceList',
    'rfcacheDeviceList',
    'sdcList',
    'volumeList',
    'vTreeList',
  ])
    t.true(Array.isArray(at(all.json, list)), list);
});

test('relations lead from a pool to its volumes, devices and SDSs, and from an SDC to its volumes', async (t) => {
  const pool = String(at((await gateway.get('/api/types/StoragePool/instances')).json, 0, 'id'));
  const names = async (path: string): Promise<unknown[]> =>
    ((await gateway.get(path)).json as unknown[]).map((object) => at(object, 'name'));
  t.deepEqual(await names(`/api/instances/StoragePool::${pool}/relationships/Volume`), [
    'thin',
    'thick',
  ]);
  t.deepEqual(await names(`/api/instances/StoragePool::${pool}/relationships/SpSds`), [
    'sds1',
    'sds2',
    'sds3',
  ]);
  const sdc = String(at((await gateway.get('/api/types/Sdc/instances')).json, 0, 'id'));
  t.deepEqual(await names(`/api/instances/Sdc::${sdc}/relationships/Volume`), ['thin']);
  const parts = (await gateway.get(`/api/instances/StoragePool::${pool}/relationships/SpSds`)).json;
  const servers = (await gateway.get('/api/types/Sds/instances')).json;
  t.is(at(parts, 0, 'sdsId'), at(servers, 0, 'id'));
  const unknown = await gateway.get(`/api/instances/Sdc::${sdc}/relationships/Nothing`);
  t.is(unknown.status, 404);
});

test('types of other editions are empty lists, not errors', async (t) => {
  for (const type of ['Alert', 'ScsiInitiator', 'SnapshotPolicy', 'ReplicationPair', 'Sdt', 'Host'])
    t.deepEqual((await gateway.get(`/api/types/${type}/instances`)).json, []);
});

test("the pool's statistics are what Cinder computes with, as numbers", async (t) => {
  const pool = String(at((await gateway.get('/api/types/StoragePool/instances')).json, 0, 'id'));
  const properties = [
    'snapshotCapacityInKb',
    'thickCapacityInUseInKb',
    'netCapacityInUseInKb',
    'netUnusedCapacityInKb',
    'thinCapacityAllocatedInKb',
    'capacityLimitInKb',
    'spareCapacityInKb',
    'capacityAvailableForVolumeAllocationInKb',
    'thinCapacityAllocatedInKm',
    'snapCapacityInUseInKb',
  ];
  const { json } = await gateway.post(
    '/api/types/StoragePool/instances/action/querySelectedStatistics',
    {
      ids: [pool],
      properties,
    },
  );
  t.deepEqual(Object.keys(json as object), [pool]);
  const kb = (name: string): number => at(json, pool, name) as number;
  const gib = 2 ** 20;
  t.is(kb('thickCapacityInUseInKb'), 32 * gib);
  t.is(kb('thinCapacityAllocatedInKb'), 16 * gib);
  t.is(kb('thinCapacityAllocatedInKm'), 16 * gib);
  t.is(kb('netCapacityInUseInKb'), 17 * gib);
  t.is(kb('capacityLimitInKb'), 192 * gib);
  t.is(kb('spareCapacityInKb'), Math.floor(19.2 * gib));
  t.is(
    kb('netUnusedCapacityInKb'),
    Math.floor((192 * gib - 34 * gib - Math.floor(19.2 * gib)) / 2),
  );
  t.is(kb('capacityAvailableForVolumeAllocationInKb'), 64 * gib);
  t.is(kb('snapshotCapacityInKb'), 0);
});

test('one unknown property fails the call, and properties that do not exist here are zero', async (t) => {
  const path = '/api/types/Sds/instances/action/querySelectedStatistics';
  const wrong = await gateway.post(path, {
    allIds: '',
    properties: ['maxCapacityInKb', 'noSuchThing'],
  });
  t.is(wrong.status, 400);
  t.regex(String(at(wrong.json, 'message')), /no property "noSuchThing"/);
  const right = await gateway.post(path, {
    allIds: [],
    properties: ['rfacheReadHit', 'totalReadBwc', 'rebalanceReadBwc'],
  });
  t.is(Object.keys(right.json as object).length, 3);
  for (const values of Object.values(right.json as object))
    t.deepEqual(values, {
      rfacheReadHit: 0,
      totalReadBwc: { numSeconds: 0, totalWeightInKb: 0, numOccured: 0 },
      rebalanceReadBwc: { numSeconds: 0, totalWeightInKb: 0, numOccured: 0 },
    });
  t.is((await gateway.post(path, { properties: [] })).status, 400);
});

test('bandwidth comes from the SDCs, per volume, SDC, pool and system', async (t) => {
  const { json } = await gateway.post('/api/instances/querySelectedStatistics', {
    selectedStatisticsList: [
      { type: 'System', properties: ['userDataReadBwc', 'numOfVolumes', 'numOfSds', 'sdcIds'] },
      { type: 'StoragePool', allIds: '', properties: ['userDataReadBwc'] },
      {
        type: 'Volume',
        allIds: '',
        properties: ['userDataWriteBwc', 'numOfMappedSdcs', 'userDataSdcReadLatency'],
      },
      {
        type: 'Sdc',
        allIds: '',
        properties: ['userDataReadBwc', 'numOfMappedVolumes', 'volumeIds'],
      },
      { type: 'RfcacheDevice', allIds: '', properties: ['x'] },
    ],
  });
  const reads = { numSeconds: 1, totalWeightInKb: 40, numOccured: 10 };
  t.deepEqual(at(json, 'System', 'userDataReadBwc'), reads);
  t.is(at(json, 'System', 'numOfVolumes'), 2);
  t.is(at(json, 'System', 'numOfSds'), 3);
  const [pool] = Object.values<unknown>(at(json, 'StoragePool') as Record<string, unknown>);
  t.deepEqual(at(pool, 'userDataReadBwc'), reads);
  const volumes = Object.values<unknown>(at(json, 'Volume') as Record<string, unknown>);
  t.deepEqual(volumes[0], {
    userDataWriteBwc: { numSeconds: 1, totalWeightInKb: 20, numOccured: 5 },
    numOfMappedSdcs: 1,
    userDataSdcReadLatency: { numSeconds: 1, totalWeightInKb: 2000, numOccured: 10 },
  });
  t.is(at(volumes[1], 'userDataWriteBwc', 'numOccured'), 0);
  const [sdc] = Object.values<unknown>(at(json, 'Sdc') as Record<string, unknown>);
  t.is(at(sdc, 'numOfMappedVolumes'), 1);
  t.deepEqual(at(json, 'RfcacheDevice'), {});
});

test('the system alone answers flat, by id keyed', async (t) => {
  const path = '/api/types/System/instances/action/querySelectedStatistics';
  const flat = await gateway.post(path, { ids: [], properties: ['maxCapacityInKb'] });
  t.deepEqual(flat.json, { maxCapacityInKb: 192 * 2 ** 20 });
  const system = String(at((await gateway.get('/api/types/System/instances')).json, 0, 'id'));
  const keyed = await gateway.post(path, { ids: [system], properties: ['maxCapacityInKb'] });
  t.deepEqual(keyed.json, { [system]: { maxCapacityInKb: 192 * 2 ** 20 } });
});

test('configuration by REST: pools, domains, fault sets, SDSs, devices, SDCs and users', async (t) => {
  const own = await GatewayHarness.start();
  t.teardown(() => own.stop());
  const made = async (type: string, body: object): Promise<string> => {
    const answer = await own.post(`/api/types/${type}/instances`, body);
    t.is(answer.status, 200, answer.text);
    return String(at(answer.json, 'id'));
  };
  const done = async (path: string, body: object): Promise<void> => {
    const answer = await own.post(`/api/instances/${path}`, body);
    t.is(answer.status, 200, answer.text);
    t.deepEqual(answer.json, {});
  };
  const shown = async (type: string, id: string, name: string): Promise<unknown> =>
    at((await own.get(`/api/instances/${type}::${id}`)).json, name);

  const domain = await made('ProtectionDomain', { name: 'pd2' });
  const pool = await made('StoragePool', {
    protectionDomainId: domain,
    name: 'p2',
    checksumEnabled: 'TRUE',
    rebuildEnabled: true,
  });
  t.is(await shown('StoragePool', pool, 'checksumEnabled'), true);
  t.is(await shown('StoragePool', pool, 'zeroPaddingEnabled'), true);
  await done(`StoragePool::${pool}/action/setSparePercentage`, { sparePercentage: '25' });
  t.is(await shown('StoragePool', pool, 'sparePercentage'), 25);
  await done(`StoragePool::${pool}/action/setStoragePoolName`, { name: 'renamed' });
  t.is(await shown('StoragePool', pool, 'name'), 'renamed');
  const faultSet = await made('FaultSet', { protectionDomainId: domain, name: 'rack1' });
  const sds = await made('Sds', {
    protectionDomainId: domain,
    name: 'node9',
    faultSetId: faultSet,
    sdsIpList: [{ SdsIp: { ip: '10.0.0.9', role: 'all' } }, { ip: '10.0.1.9', role: 'sdcOnly' }],
    deviceInfoList: [{ devicePath: '/dev/sdb', storagePoolId: pool }],
  });
  t.deepEqual(await shown('Sds', sds, 'ipList'), [
    { ip: '10.0.0.9', role: 'all' },
    { ip: '10.0.1.9', role: 'sdcOnly' },
  ]);
  const inSet = await own.get(`/api/instances/FaultSet::${faultSet}/relationships/Sds`);
  t.is(at(inSet.json, 0, 'id'), sds);
  const device = await made('Device', {
    sdsId: sds,
    storagePoolId: pool,
    deviceCurrentPathname: '/dev/sdc',
  });
  await done(`Device::${device}/action/removeDevice`, {});
  const sdc = String(at((await own.get('/api/types/Sdc/instances')).json, 0, 'id'));
  await done(`Sdc::${sdc}/action/setSdcName`, { sdcName: 'host1' });
  t.is(await shown('Sdc', sdc, 'name'), 'host1');
  const system = String(at((await own.get('/api/types/System/instances')).json, 0, 'id'));
  const approved = await own.post(`/api/instances/System::${system}/action/approveSdc`, {
    sdcGuid: SDC_GUID,
  });
  t.is(at(approved.json, 'id'), sdc);
  await done(`System::${system}/action/setRestrictedSdcMode`, { restrictedSdcMode: 'Guid' });
  t.is(
    at((await own.get('/api/types/System/instances')).json, 0, 'restrictedSdcModeEnabled'),
    true,
  );

  const weak = await own.post('/api/types/User/instances', {
    name: 'kim',
    userRole: 'Monitor',
    password: 'kim',
  });
  t.is(at(weak.json, 'errorCode'), 167);
  const user = await made('User', { name: 'kim', userRole: 'Monitor', password: 'Long-enough-1' });
  t.is(
    (await own.send('GET', '/api/login', { auth: { username: 'kim', password: 'Long-enough-1' } }))
      .status,
    200,
  );
  await done(`User::${user}/action/removeUser`, {});
  t.is(
    (await own.send('GET', '/api/login', { auth: { username: 'kim', password: 'Long-enough-1' } }))
      .status,
    401,
  );

  const limits = await own.post('/api/instances/System/action/querySystemLimits');
  const entry = (
    at(limits.json, 'systemLimitEntryList') as { type: string; maxVal: string }[]
  ).find(({ type }) => type === 'volumeSizeGb');
  t.is(entry?.maxVal, '1048576');
  t.is(
    at((await own.post('/api/instances/System/queryMdmCluster')).json, 'clusterMode'),
    'OneNode',
  );
  t.deepEqual(at((await own.get('/api/Configuration')).json, 'mdmAddresses'), ['127.0.0.1']);
});
