// Alerts: each cause raises its own, with the object it is about, and takes it away again.

import test from 'ava';

import { NO_COPY_LOAD } from '../../backend/cluster-map/copy-policy.js';
import { NO_DISK_TIMES } from '../../backend/core/disk-meter.js';
import { at } from '../support/gateway-harness.js';
import type { GatewayHarness } from '../support/gateway-harness.js';
import { startWithVolumes } from '../support/gateway-samples.js';

interface Listed {
  readonly id: string;
  readonly alertType: string;
  readonly severity: string;
  readonly affectedObject: { readonly type: string; readonly id: string };
  readonly alertValues: Readonly<Record<string, unknown>>;
  readonly startTime: string;
  readonly lastObserved: string;
}

const ALWAYS = 'MDM_NOT_CLUSTERED';

/** Three SDSs with as much spare as one of them has. */
async function start(): Promise<GatewayHarness> {
  const gateway = await startWithVolumes();
  const { tables } = gateway.cluster;
  tables.storagePool = tables.storagePool.map((pool) => ({ ...pool, sparePercent: 34 }));
  return gateway;
}

async function alerts(gateway: GatewayHarness): Promise<readonly Listed[]> {
  const { status, json } = await gateway.get('/api/types/Alert/instances/');
  if (status !== 200) throw new Error(`status ${status}`);
  return json as readonly Listed[];
}

const types = async (gateway: GatewayHarness): Promise<readonly string[]> =>
  (await alerts(gateway)).map(({ alertType }) => alertType);

async function idsOf(gateway: GatewayHarness, type: string): Promise<readonly string[]> {
  const { json } = await gateway.get(`/api/types/${type}/instances`);
  return (json as unknown[]).map((object) => String(at(object, 'id')));
}

test('a sound cluster with one MDM says only that, with the fields that tools read', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const [only, ...others] = await alerts(gateway);
  t.deepEqual(others, []);
  t.is(only?.alertType, ALWAYS);
  t.is(only?.severity, 'ALERT_LOW');
  t.is(only?.affectedObject.type, 'com.emc.ecs.api.model.gen.System');
  t.deepEqual([only?.affectedObject.id], await idsOf(gateway, 'System'));
  t.regex(only?.id ?? '', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  for (const time of [only?.startTime, only?.lastObserved])
    t.regex(time ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.is((await alerts(gateway))[0]?.id, only?.id);
});

test('an SDS that is away is one alert, not one for each of its devices too', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [sds] = cluster.tables.sds;
  if (sds === undefined) throw new Error('no SDS');
  cluster.disconnected.add(sds.key);
  for (const { key, sdsKey } of cluster.tables.device)
    if (sdsKey === sds.key) cluster.disconnected.add(key);
  const [first, ...others] = await alerts(gateway);
  t.is(first?.alertType, 'SDS_DISCONNECTED');
  t.is(first?.severity, 'ALERT_HIGH');
  t.is(first?.affectedObject.id, (await idsOf(gateway, 'Sds'))[0]);
  t.is(first?.alertValues['name'], sds.name);
  t.deepEqual(
    others.map(({ alertType }) => alertType),
    [ALWAYS],
  );
  cluster.disconnected.clear();
  t.deepEqual(await types(gateway), [ALWAYS]);
});

test('a device that failed says why; a device whose process is gone is told from it', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [failed, gone] = cluster.tables.device;
  if (failed === undefined || gone === undefined) throw new Error('no devices');
  cluster.tables.device[0] = { ...failed, state: 'failed', failure: 'write error EIO' };
  cluster.disconnected.add(gone.key);
  const found = await alerts(gateway);
  const failure = found.find(({ alertType }) => alertType === 'DEVICE_FAILED');
  t.is(failure?.alertValues['reason'], 'write error EIO');
  t.is(failure?.affectedObject.id, (await idsOf(gateway, 'Device'))[0]);
  const away = found.find(({ alertType }) => alertType === 'DEVICE_DISCONNECTED');
  t.is(away?.affectedObject.id, (await idsOf(gateway, 'Device'))[1]);
  t.true(found.some(({ alertType }) => alertType === 'STORAGE_POOL_HAS_UNREACHABLE_CAPACITY'));
});

test('a slow device is an alert with its reason, and a device in error over REST', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [slow] = cluster.tables.device;
  if (slow === undefined) throw new Error('no devices');
  const failure = 'slower than its peers: 5.00 ms for a flush, they take 0.50 ms';
  cluster.tables.device[0] = { ...slow, slowStage: 'relieved', failure };
  const found = await alerts(gateway);
  const alert = found.find(({ alertType }) => alertType === 'DEVICE_SLOW');
  t.is(alert?.severity, 'ALERT_MEDIUM');
  t.deepEqual(alert?.alertValues, { path: slow.path, reason: failure });
  const [id = ''] = await idsOf(gateway, 'Device');
  t.is(alert?.affectedObject.id, id);
  const { json } = await gateway.get(`/api/instances/Device::${id}`);
  t.is(at(json, 'errorState'), 'Error');
  cluster.tables.device[0] = slow;
  t.deepEqual(await types(gateway), [ALWAYS]);
});

test('a server that comes and goes, and a disk that waits to be taken in', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [sds] = cluster.tables.sds;
  const [device] = cluster.tables.device;
  if (sds === undefined || device === undefined) throw new Error('an SDS and a device');
  cluster.losses.set(sds.key, 2);
  t.deepEqual(await types(gateway), [ALWAYS]);
  cluster.losses.set(sds.key, 3);
  const [restless] = await alerts(gateway);
  t.is(restless?.alertType, 'SDS_DISCONNECTS_FREQUENTLY');
  t.is(restless?.affectedObject.id, (await idsOf(gateway, 'Sds'))[0]);
  t.like(restless?.alertValues, { name: sds.name, losses: 3 });
  cluster.losses.clear();
  const pending = (failure: string): void => {
    cluster.tables.device[0] = { ...device, state: 'adding', failure };
  };
  pending('');
  const listed = async (): Promise<Listed | undefined> =>
    (await alerts(gateway)).find(({ alertType }) => alertType === 'DEVICE_PENDING_ACTIVATION');
  t.is((await listed())?.severity, 'ALERT_LOW');
  pending('the disk is in use');
  t.is((await listed())?.severity, 'ALERT_MEDIUM');
  t.is((await listed())?.alertValues['reason'], 'the disk is in use');
  cluster.tables.device[0] = device;
  t.deepEqual(await types(gateway), [ALWAYS]);
});

test('combs without a second copy, and combs without any', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [pool] = cluster.tables.storagePool;
  cluster.poolHealth.set(pool?.key ?? 0, { degradedCombs: 3, unavailableCombs: 0 });
  const [degraded] = await alerts(gateway);
  t.is(degraded?.alertType, 'STORAGE_POOL_HAS_DEGRADED_CAPACITY');
  t.is(degraded?.alertValues['degradedCombs'], 3);
  cluster.poolHealth.set(pool?.key ?? 0, {
    stuckRebuildCombs: 2,
    stuckMoveCombs: 1,
    stuckResyncCombs: 3,
  });
  t.deepEqual([...(await types(gateway))].sort(), [
    'BKWD_REBUILD_STUCK',
    'FWD_REBUILD_STUCK',
    ALWAYS,
    'REBALANCE_STUCK',
  ]);
  cluster.poolHealth.set(pool?.key ?? 0, { degradedCombs: 3, unavailableCombs: 2 });
  t.deepEqual((await types(gateway)).slice(0, 2), [
    'STORAGE_POOL_HAS_FAILED_CAPACITY',
    'STORAGE_POOL_HAS_DEGRADED_CAPACITY',
  ]);
});

test('a pool that will be full soon says when, the sooner the louder; one in sight of months is no alert', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const key = cluster.tables.storagePool[0]?.key ?? 0;
  const filling = (fullInS: number): void => {
    cluster.poolHealth.set(key, { growthBytesPerDay: 2 ** 30, isFillingUp: true, fullInS });
  };
  const listed = async () =>
    (await alerts(gateway)).find(({ alertType }) => alertType === 'STORAGE_POOL_FILLING_UP');
  filling(30 * 86_400);
  t.is(await listed(), undefined);
  filling(3 * 86_400 + 60);
  t.is((await listed())?.severity, 'ALERT_MEDIUM');
  t.is((await listed())?.alertValues['fullInHours'], 72);
  t.is((await listed())?.alertValues['growthPerDay'], '1 GiB');
  const [id = ''] = await idsOf(gateway, 'StoragePool');
  const { json } = await gateway.get(`/api/instances/StoragePool::${id}`);
  t.is(at(json, 'capacityFullInSeconds'), 3 * 86_400 + 60);
  t.is(at(json, 'capacityGrowthInKbPerDay'), 2 ** 20);
  filling(7200);
  t.is((await listed())?.severity, 'ALERT_HIGH');
  cluster.poolHealth.clear();
  t.is(await listed(), undefined);
});

test('a pool that fills crosses its two thresholds, and only the higher one is told', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const [pool] = await idsOf(gateway, 'StoragePool');
  const thresholds = (high: number, critical: number): Promise<unknown> =>
    gateway.post(`/api/instances/StoragePool::${pool ?? ''}/action/setCapacityAlertThresholds`, {
      capacityAlertHighThresholdPercent: String(high),
      capacityAlertCriticalThresholdPercent: String(critical),
    });
  // 34 of 126.7 GiB are in use: 26 %.
  await thresholds(20, 50);
  t.deepEqual((await types(gateway)).slice(0, 1), ['CAPACITY_UTILIZATION_ABOVE_HIGH_THRESHOLD']);
  await thresholds(20, 25);
  t.deepEqual(await types(gateway), ['CAPACITY_UTILIZATION_ABOVE_CRITICAL_THRESHOLD', ALWAYS]);
  await thresholds(80, 90);
  t.deepEqual(await types(gateway), [ALWAYS]);
});

test('a client host that is away weighs more while it has volumes; a stopped domain is told', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [sdc] = cluster.tables.sdc;
  cluster.disconnected.add(sdc?.key ?? 0);
  const [away] = await alerts(gateway);
  t.is(away?.alertType, 'SDC_DISCONNECTED');
  t.is(away?.severity, 'ALERT_MEDIUM');
  t.is(away?.alertValues['volumes'], 1);
  cluster.tables.mapping.length = 0;
  const later = await alerts(gateway);
  t.is(later.find(({ alertType }) => alertType === 'SDC_DISCONNECTED')?.severity, 'ALERT_LOW');
  const [domain] = await idsOf(gateway, 'ProtectionDomain');
  await gateway.post(
    `/api/instances/ProtectionDomain::${domain ?? ''}/action/inactivateProtectionDomain`,
  );
  t.true((await types(gateway)).includes('PD_INACTIVE'));
});

test('a pool on one server only has nowhere for second copies', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const one = cluster.tables.device[0]?.sdsKey;
  const left = cluster.tables.device.filter(({ sdsKey }) => sdsKey === one);
  cluster.tables.device.splice(0, cluster.tables.device.length, ...left);
  t.is((await types(gateway))[0], 'NOT_ENOUGH_FAULT_UNITS_IN_SP');
});

test('a spare that does not cover the largest unit is told with the unit, an SDS or a fault set', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const { tables } = cluster;
  const TYPE = 'CONFIGURED_SPARE_CAPACITY_SMALLER_THAN_LARGEST_FAULT_UNIT';
  const setSpare = (sparePercent: number): void => {
    tables.storagePool = tables.storagePool.map((pool) => ({ ...pool, sparePercent }));
  };
  setSpare(33);
  const found = (await alerts(gateway)).find(({ alertType }) => alertType === TYPE);
  t.is(found?.severity, 'ALERT_MEDIUM');
  t.is(found?.alertValues['neededPercent'], 34);
  t.is(found?.alertValues['faultUnitType'], 'SDS');
  t.is(found?.alertValues['faultUnit'], tables.sds[0]?.name);
  setSpare(34);
  t.deepEqual(await types(gateway), [ALWAYS]);
  // Two of three in one fault set: it has more than the rest, of which some is of no use.
  const domainKey = tables.protectionDomain[0]?.key ?? 0;
  tables.faultSet.push({ key: 999, domainKey, name: 'rack1' });
  tables.sds = tables.sds.map((sds, index) => ({ ...sds, faultSetKey: index < 2 ? 999 : 0 }));
  const grouped = await alerts(gateway);
  const wide = grouped.find(({ alertType }) => alertType === TYPE);
  t.is(wide?.alertValues['faultUnit'], 'rack1');
  t.is(wide?.alertValues['neededPercent'], 67);
  t.true(grouped.some(({ alertType }) => alertType === 'STORAGE_POOL_UNBALANCED'));
});

test('a pool that has less left than its largest unit has says so', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  for (const { key, capacityBytes } of cluster.tables.device)
    cluster.usage.set(key, {
      ...{ capacityBytes, usedBytes: capacityBytes * 0.7, resyncBytesTotal: 0, resyncBytesDone: 0 },
      ...{ degradedCombs: 0, rebuildBytesLeft: 0, rebalanceBytesLeft: 0 },
      ...{ resync: NO_COPY_LOAD, rebuild: NO_COPY_LOAD, rebalance: NO_COPY_LOAD },
      times: NO_DISK_TIMES,
      cache: null,
      scan: null,
    });
  t.true(
    (await types(gateway)).includes(
      'SPARE_CAPACITY_AND_FREE_CAPACITY_SMALLER_THAN_LARGEST_FAULT_UNIT',
    ),
  );
});

test('a device of another kind than its pool is for says so, until the pool is Transitional', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { tables } = gateway.cluster;
  const [first] = tables.device;
  const pool = tables.storagePool.find(({ key }) => key === first?.poolKey);
  const set = (mediaFound: string, mediaType: string): void => {
    tables.device = tables.device.map((device) =>
      device.key === first?.key ? { ...device, mediaFound, mediaType } : device,
    );
  };
  const [other, own] = pool?.mediaType === 'SSD' ? ['HDD', 'SSD'] : ['SSD', 'HDD'];
  const found = async (): Promise<Listed | undefined> =>
    (await alerts(gateway)).find(({ alertType }) => alertType === 'DEVICE_MEDIA_TYPE_MISMATCH');
  const shown = async (): Promise<readonly unknown[]> => {
    const [id] = await idsOf(gateway, 'Device');
    const { json } = await gateway.get(`/api/instances/Device::${id ?? ''}`);
    return [at(json, 'mediaType'), at(json, 'autoDetectMediaType')];
  };
  t.deepEqual(await shown(), [pool?.mediaType, null]);
  set(own, '');
  t.is(await found(), undefined);
  set(other, '');
  t.like((await found())?.alertValues, { path: first?.path, mediaType: other, poolMediaType: own });
  t.deepEqual(await shown(), [other, other]);
  set(other, own);
  t.is(await found(), undefined, 'the operator knows better');
  t.deepEqual(await shown(), [own, other]);
  set(own, other);
  t.not(await found(), undefined);
  tables.storagePool = tables.storagePool.map((one) => ({ ...one, mediaType: 'Transitional' }));
  t.is(await found(), undefined);
});

test('an SDS whose read cache has no memory says so', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [first] = cluster.tables.device;
  const [sds] = await idsOf(gateway, 'Sds');
  const state = async (): Promise<unknown> => {
    const { json } = await gateway.get(`/api/instances/Sds::${sds ?? ''}`);
    return at(json, 'rmcacheMemoryAllocationState');
  };
  t.is(await state(), 'AllocationSuccessful');
  cluster.usage.set(first?.key ?? 0, {
    ...{ capacityBytes: 2 ** 34, usedBytes: 0, resyncBytesTotal: 0, resyncBytesDone: 0 },
    ...{ degradedCombs: 0, rebuildBytesLeft: 0, rebalanceBytesLeft: 0 },
    ...{ resync: NO_COPY_LOAD, rebuild: NO_COPY_LOAD, rebalance: NO_COPY_LOAD },
    ...{ times: NO_DISK_TIMES, scan: null },
    cache: {
      ...{ sizeBytes: 0, entries: 0, usedEntries: 0, hits: 0, misses: 0, inserts: 0, evictions: 0 },
      ...{ skippedLarge: 0, skippedUnaligned: 0, rejects: 0, failed: true },
    },
  });
  const TYPE = 'SDS_RMCACHE_MEMORY_ALLOCATION_FAILED';
  t.true((await types(gateway)).includes(TYPE));
  t.is(await state(), 'AllocationFailed');
  cluster.tables.sds = cluster.tables.sds.map((one) => ({ ...one, cacheEnabled: false }));
  t.false((await types(gateway)).includes(TYPE));
});

test('an SDS in maintenance says so, and that it is away is no alert', async (t) => {
  const gateway = await start();
  t.teardown(() => gateway.stop());
  const { cluster } = gateway;
  const [id] = await idsOf(gateway, 'Sds');
  const act = (name: string): Promise<{ status: number }> =>
    gateway.post(`/api/instances/Sds::${id ?? ''}/action/${name}`, {});
  const state = async (): Promise<readonly unknown[]> => {
    const { json } = await gateway.get(`/api/instances/Sds::${id ?? ''}`);
    return [at(json, 'maintenanceState'), at(json, 'maintenanceType')];
  };
  t.deepEqual(await state(), ['NoMaintenance', 'NoMaintenance']);
  t.is((await act('enterMaintenanceMode')).status, 200);
  t.deepEqual(await state(), ['InMaintenance', 'InstantMaintenance']);
  const [sds] = cluster.tables.sds;
  cluster.disconnected.add(sds?.key ?? 0);
  for (const { key, sdsKey } of cluster.tables.device)
    if (sdsKey === sds?.key) cluster.disconnected.add(key);
  t.deepEqual(await types(gateway), ['SDS_IN_MAINTENANCE', ALWAYS]);
  t.is((await act('exitMaintenanceMode')).status, 200);
  t.is((await act('exitMaintenanceMode')).status, 500);
  t.true((await types(gateway)).includes('SDS_DISCONNECTED'));
  cluster.disconnected.clear();
  t.is((await act('enterProtectedMaintenanceMode')).status, 200);
  t.deepEqual(await state(), ['InMaintenance', 'ProtectedMaintenance']);
  t.is((await act('abortEnterProtectedMaintenanceMode')).status, 200);
  t.deepEqual(await types(gateway), [ALWAYS]);
});
