// Lists, the overview and relations: how clients get from one object to another.

import test from 'ava';

import { at } from '../support/gateway-harness.js';
import type { GatewayHarness } from '../support/gateway-harness.js';
import { startWithVolumes } from '../support/gateway-samples.js';

let gateway: GatewayHarness;
test.before(async () => {
  gateway = await startWithVolumes();
});
test.after.always(() => gateway.stop());

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
  for (const type of ['ScsiInitiator', 'AccelerationPool', 'ReplicationPair', 'Sdt', 'Host'])
    t.deepEqual((await gateway.get(`/api/types/${type}/instances`)).json, []);
});
