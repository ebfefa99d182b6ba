// Commands about read caches and kinds of media: what is refused, what SDSs and devices hear, what is kept.

import test from 'ava';

import { MSG } from '../../../backend/protocol/generated/constants.js';
import type { DeviceWantsBody } from '../../../backend/protocol/generated/types.js';
import { KEEP_POOL_SETTINGS } from '../../../backend/runtime/pool-settings.js';
import { standard } from './harness.js';

const MIB = 2 ** 20;

test('an SDS hears how much its read cache may have, and which of its devices use it', (t) => {
  const { cluster, devices } = standard();
  const [first] = devices;
  const sdsKey = first?.sdsKey ?? 0;
  const link = cluster.sds(1);
  const wants = (): DeviceWantsBody | undefined => cluster.messages(link, MSG.DEVICE_WANTS).at(-1);
  t.is(wants()?.cacheBytes, 128 * MIB);
  const poolKey = wants()?.wants[0]?.poolKey ?? 0;
  const pool = { ...KEEP_POOL_SETTINGS, key: poolKey };
  for (const rmcache of [false, true]) {
    cluster.command('SET_STORAGE_POOL', { ...pool, rmcache });
    t.true(wants()?.wants.every((want) => want.rmcache === rmcache));
  }
  cluster.command('SET_SDS_CACHE', { key: sdsKey, enabled: null, mib: 512 });
  t.is(wants()?.cacheBytes, 512 * MIB);
  cluster.command('SET_SDS_CACHE', { key: sdsKey, enabled: false, mib: null });
  t.is(wants()?.cacheBytes, 0);
  cluster.command('SET_SDS_CACHE', { key: sdsKey, enabled: true, mib: null });
  t.is(wants()?.cacheBytes, 512 * MIB, 'the size is kept while it is off');
  for (const mib of [127, 307_201])
    t.is(
      cluster.refused('SET_SDS_CACHE', { key: sdsKey, enabled: null, mib }).error,
      'LIMIT_ILLEGAL',
    );
  t.is(
    cluster.refused('SET_SDS_CACHE', { key: 9999, enabled: true, mib: null }).error,
    'SDS_NOT_FOUND',
  );
  t.is(wants()?.cacheBytes, 512 * MIB);
});

test('devices hear whether a volume and its pool use the cache, and what it takes of writes', (t) => {
  const { cluster, devices } = standard();
  const poolKey = cluster.query('storagePool').pools[0]?.key ?? 0;
  const volume = { poolKey, name: 'v', sizeSectors: 2 ** 24, provisioning: 'thin' as const };
  const { key } = cluster.command('ADD_VOLUME', { ...volume, rmcache: false });
  const link = devices[0]?.link ?? 0;
  const updates = () => cluster.messages(link, MSG.MAP_UPDATE);
  const seen = (): boolean | undefined =>
    updates()
      .flatMap(({ volumes }) => volumes)
      .filter((one) => one.key === key)
      .at(-1)?.rmcache;
  t.false(seen());
  cluster.command('SET_VOLUME_CACHE', { key, rmcache: true });
  t.true(seen());
  t.is(cluster.refused('SET_VOLUME_CACHE', { key: 9999, rmcache: true }).error, 'VOLUME_NOT_FOUND');
  const pool = { ...KEEP_POOL_SETTINGS, key: poolKey, rmcache: true };
  cluster.command('SET_STORAGE_POOL', { ...pool, cacheWrites: 'passthrough' });
  const { rmcache, cacheWrites } =
    updates()
      .flatMap(({ pools }) => pools)
      .at(-1) ?? {};
  t.deepEqual([rmcache, cacheWrites], [true, 'passthrough']);
});

test('of what kind a device is, is kept as it was found and as the operator said', (t) => {
  const { cluster, devices } = standard();
  const [first] = devices;
  const key = first?.key ?? 0;
  const device = () => cluster.query('device').devices.find((one) => one.key === key);
  const result = { deviceKey: key, task: 'open' as const, status: 0, reason: '', capacityBytes: 0 };
  const report = (mediaFound: string): void => {
    cluster.send(cluster.sds(1), MSG.DEVICE_RESULT, { ...result, path: '', mediaFound });
  };
  report('HDD');
  t.is(device()?.mediaFound, 'HDD');
  for (const nothing of ['', 'FLOPPY']) {
    report(nothing);
    t.is(device()?.mediaFound, 'HDD', 'who does not know takes nothing back');
  }
  cluster.command('SET_DEVICE_MEDIA', { key, mediaType: 'SSD' });
  t.like(device(), { mediaFound: 'HDD', mediaType: 'SSD' });
  cluster.command('SET_DEVICE_MEDIA', { key, mediaType: '' });
  t.is(device()?.mediaType, '');
  t.is(
    cluster.refused('SET_DEVICE_MEDIA', { key, mediaType: 'Transitional' }).error,
    'INVALID_PARAMETER',
  );
  t.is(cluster.refused('SET_DEVICE_MEDIA', { key: 9999, mediaType: '' }).error, 'DEVICE_NOT_FOUND');
});
