// Everything that can be configured by REST, from pools to users.

import test from 'ava';

import { GatewayHarness, at } from '../support/gateway-harness.js';
import { threeNodes } from '../support/memory-cluster.js';
import { SDC_GUID } from '../support/memory-cluster.js';

test('what this release does not carry out is refused by name, and changes nothing', async (t) => {
  const own = await GatewayHarness.start();
  t.teardown(() => own.stop());
  const before = own.cluster.asked.length;
  for (const [path, body, reason] of [
    [
      '/api/types/ReplicationPair/instances',
      { name: 'pair' },
      /Replication between systems is not supported/,
    ],
    [
      '/api/instances/Volume::0000000000000001/action/migrateVTree',
      { destSPId: '0000000000000002' },
      /Migration of a VTree to another Storage Pool is not supported/,
    ],
  ] as const) {
    const answer = await own.post(path, body);
    t.is(answer.status, 501, path);
    t.is(at(answer.json, 'errorCode'), 288);
    t.regex(String(at(answer.json, 'message')), reason);
  }
  t.is(own.cluster.asked.length, before);
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
  t.is(await shown('StoragePool', pool, 'rebuildIoPriorityPolicy'), 'dynamicBwThrottling');
  await done(`StoragePool::${pool}/action/setRebuildIoPriorityPolicy`, {
    ...{ policy: 'favorAppIos', numOfConcurrentIosPerDevice: '3' },
    bwLimitPerDeviceInKbps: '20480',
  });
  t.is(await shown('StoragePool', pool, 'rebuildIoPriorityPolicy'), 'favorAppIos');
  t.is(await shown('StoragePool', pool, 'rebuildIoPriorityNumOfConcurrentIosPerDevice'), 3);
  t.is(await shown('StoragePool', pool, 'rebuildIoPriorityBwLimitPerDeviceInKbps'), 20480);
  t.is(await shown('StoragePool', pool, 'rebuildIoPriorityAppIopsPerDeviceThreshold'), null);
  t.is(await shown('StoragePool', pool, 'rebalanceIoPriorityPolicy'), 'dynamicBwThrottling');
  const few = await own.post(
    `/api/instances/StoragePool::${pool}/action/setRebalanceIoPriorityPolicy`,
    { policy: 'limitNumOfConcurrentIos', numOfConcurrentIosPerDevice: '21' },
  );
  t.is(few.status, 400);
  t.regex(few.text, /numOfConcurrentIosPerDevice must be from 1 to 20, is 21/);
  await done(`StoragePool::${pool}/action/setRebalanceEnabled`, { rebalanceEnabled: 'FALSE' });
  t.is(await shown('StoragePool', pool, 'rebalanceEnabled'), false);
  await done(`StoragePool::${pool}/action/setRebuildRebalanceParallelism`, { limit: '9' });
  t.is(await shown('StoragePool', pool, 'numOfParallelRebuildRebalanceJobsPerDevice'), 9);
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
  own.cluster.members = threeNodes(false);
  const mdms = (await own.post('/api/instances/System/queryMdmCluster')).json;
  t.is(at(mdms, 'clusterMode'), 'ThreeNodes');
  t.is(at(mdms, 'clusterState'), 'ClusteredDegraded');
  t.is(at(mdms, 'goodNodesNum'), 2);
  t.is(at(mdms, 'goodReplicasNum'), 1);
  t.like(at(mdms, 'slaves'), [{ name: 'mdm2', ips: ['10.0.0.2'], status: 'Error' }]);
  t.like(at(mdms, 'tieBreakers'), [{ name: 'tb', role: 'TieBreaker', status: 'Normal' }]);
  own.cluster.members = threeNodes(true);
  const whole = (await own.post('/api/instances/System/queryMdmCluster')).json;
  t.is(at(whole, 'clusterState'), 'ClusteredNormal');
  t.deepEqual(at((await own.get('/api/Configuration')).json, 'mdmAddresses'), [
    ...['127.0.0.1', '10.0.0.2'],
  ]);

  const act = async (name: string, body: unknown): Promise<{ status: number; json: unknown }> =>
    own.post(`/api/instances/System/action/${name}`, body);
  const added = await act('addStandbyMdm', { ips: ['10.0.0.4'], role: 'Manager', name: 'm4' });
  t.is(added.status, 200);
  const id = String(at(added.json, 'id'));
  const view = (await own.post('/api/instances/System/queryMdmCluster')).json;
  t.like(at(view, 'standbyMDMs'), [{ id, name: 'm4', role: 'Manager', ips: ['10.0.0.4'] }]);
  const slaves = at(view, 'slaves') as { id: string }[];
  const change = { mode: 'ThreeNodes', addSlaveMdmIdList: [id] };
  const wrong = await act('switchClusterMode', { ...change, removeTBIdList: [slaves[0]?.id] });
  t.is(at(wrong.json, 'errorCode'), 561);
  const switched = await act('switchClusterMode', {
    ...{ ...change, removeSlaveMdmIdList: [slaves[0]?.id] },
  });
  t.deepEqual(switched.json, {});
  const after = (await own.post('/api/instances/System/queryMdmCluster')).json;
  t.like(at(after, 'slaves'), [{ name: 'm4' }]);
  const cluster = async (): Promise<unknown> =>
    (await own.post('/api/instances/System/queryMdmCluster')).json;
  t.is((await act('renameMdm', { id, newName: 'fourth' })).status, 200);
  t.like(at(await cluster(), 'slaves'), [{ id, name: 'fourth' }]);
  t.is((await act('changeMdmOwnership', { id })).status, 200);
  t.like(at(await cluster(), 'master'), { id });
  t.like(at(await cluster(), 'standbyMDMs'), [{ id: slaves[0]?.id }]);
  t.is((await act('removeStandbyMdm', { id: slaves[0]?.id })).status, 200);
  t.deepEqual(at(await cluster(), 'standbyMDMs'), []);
  const breaker = await act('addStandbyMdm', {
    ...{ ips: ['10.0.0.5'], role: 'TieBreaker', name: 't5', forceClean: true },
  });
  t.like(own.cluster.asked.at(-1)?.params, { host: '10.0.0.5', role: 'tieBreaker', clean: true });
  const [old] = at(await cluster(), 'tieBreakers') as { id: string }[];
  const exchanged = await act('switchClusterMode', {
    ...{ mode: 'ThreeNodes', addTBIdList: [at(breaker.json, 'id')], removeTBIdList: [old?.id] },
    allowLeaveFailed: true,
  });
  t.is(exchanged.status, 200);
  t.like(own.cluster.asked.at(-1)?.params, { mode: 3, allowFailed: true });
  t.like(at(await cluster(), 'tieBreakers'), [{ name: 't5' }]);
  own.cluster.lastReason = 'etcd does not answer';
  const given = await act('switchClusterMode', { mode: 'FiveNodes' });
  t.is(at(given.json, 'errorCode'), 642);
  t.like(own.cluster.asked.at(-1)?.params, { mode: 5, add: [], remove: [], allowFailed: false });
  own.cluster.lastReason = '';
  const none = await act('switchClusterMode', {
    ...{ ...change, addSlaveMdmIdList: ['00000000000000ff'] },
  });
  t.not(none.status, 200);
  t.is(at((await act('createMdmCluster', { mdmIp: '10.0.0.1' })).json, 'errorCode'), 551);
});
