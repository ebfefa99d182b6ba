// Statistics as clients ask for them: by type, mixed, of one object.

import test from 'ava';

import { GatewayHarness, at } from '../support/gateway-harness.js';
import { startWithVolumes } from '../support/gateway-samples.js';

let gateway: GatewayHarness;
test.before(async () => {
  gateway = await startWithVolumes();
});
test.after.always(() => gateway.stop());

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

test('an unknown property is refused also when no object is selected', async (t) => {
  const own = await GatewayHarness.start();
  t.teardown(() => own.stop());
  const path = '/api/types/Volume/instances/action/querySelectedStatistics';
  const wrong = await own.post(path, { allIds: '', properties: ['noSuchThing'] });
  t.is(wrong.status, 400);
  t.regex(
    String(at(wrong.json, 'message')),
    /no property "noSuchThing" in the statistics of Volume/,
  );
});

test('the allocation limit is what the MDM would still promise to thin volumes, in whole 8 GiB', async (t) => {
  const path = '/api/types/StoragePool/instances/action/querySelectedStatistics';
  const { json } = await gateway.post(path, {
    allIds: '',
    properties: ['volumeAllocationLimitInKb'],
  });
  const [pool] = Object.values(json as Record<string, unknown>);
  const gib = 2 ** 20;
  // Ten times half of 192 GiB, less the 24 GiB that are promised.
  t.is(at(pool, 'volumeAllocationLimitInKb'), (10 * 96 - 24) * gib);
});

test('combs without a second copy are degraded capacity, combs without any are failed capacity', async (t) => {
  const own = await startWithVolumes();
  t.teardown(() => own.stop());
  const [pool] = own.cluster.tables.storagePool;
  own.cluster.poolHealth.set(pool?.key ?? 0, { degradedCombs: 512, unavailableCombs: 256 });
  const properties = ['capacityInUseInKb', 'degradedHealthyCapacityInKb', 'failedCapacityInKb'];
  const { json } = await own.post(
    '/api/types/StoragePool/instances/action/querySelectedStatistics',
    { allIds: '', properties },
  );
  const [values] = Object.values(json as Record<string, unknown>);
  const inUse = at(values, 'capacityInUseInKb') as number;
  t.true(inUse > 0);
  t.is(at(values, 'degradedHealthyCapacityInKb'), inUse / 8);
  t.is(at(values, 'failedCapacityInKb'), inUse / 4);
});

test('bandwidth comes from the SDCs, per volume, SDC, pool and system', async (t) => {
  const { json } = await gateway.post('/api/instances/querySelectedStatistics', {
    selectedStatisticsList: [
      { type: 'System', properties: ['userDataReadBwc', 'numOfVolumes', 'numOfSds', 'sdcIds'] },
      { type: 'StoragePool', allIds: '', properties: ['userDataReadBwc'] },
      {
        type: 'Volume',
        allIds: '',
        properties: [
          ...['userDataWriteBwc', 'numOfMappedSdcs', 'userDataSdcReadLatency'],
          'userDataSdcThrottledLatency',
        ],
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
    userDataSdcThrottledLatency: { numSeconds: 1, totalWeightInKb: 90_000, numOccured: 3 },
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
