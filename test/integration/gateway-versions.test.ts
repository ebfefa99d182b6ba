// What the gateway shows depends on the interface version that a client asks for, where an older client would choke.

import test from 'ava';

import { at, GatewayHarness } from '../support/gateway-harness.js';
import { SDC_GUID } from '../support/memory-cluster.js';

const OLD_FIELDS = ['limitBwInMbps', 'limitIops', 'sdcId', 'sdcIp'];

test('a mapping has four fields for a client of version 2.0, and more for one that does not say', async (t) => {
  const gateway = await GatewayHarness.start();
  t.teardown(() => gateway.stop());
  const pools = await gateway.get('/api/types/StoragePool/instances');
  const made = await gateway.post('/api/types/Volume/instances', {
    storagePoolId: at(pools.json, 0, 'id'),
    volumeSizeInKb: '8388608',
    name: 'mapped',
  });
  const path = `/api/instances/Volume::${String(at(made.json, 'id'))}`;
  await gateway.post(`${path}/action/addMappedSdc`, { guid: SDC_GUID });
  const token = await gateway.login();
  const fields = async (accept: string): Promise<string[]> => {
    const answer = await gateway.send('GET', path, {
      auth: { username: '', password: token },
      headers: { accept },
    });
    return Object.keys(at(answer.json, 'mappedSdcInfo', 0) as object).sort();
  };
  t.deepEqual(await fields('application/json; version=2.0'), OLD_FIELDS);
  t.deepEqual(await fields('application/json;version=1.1'), OLD_FIELDS);
  for (const accept of ['application/json', 'application/json;version=3.5', '*/*'])
    t.true((await fields(accept)).includes('accessMode'), accept);
});
