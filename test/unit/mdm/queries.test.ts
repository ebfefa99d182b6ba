import test from 'ava';

import { ALL_KEYS, LAST_KEY } from '../../../backend/core/key-range.js';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import type { Counter, PoolStatus } from '../../../backend/protocol/generated/types.js';
import { CounterHistory } from '../../../backend/mdm/counters.js';
import { GIB, SECTORS_PER_GIB, standard } from './harness.js';

function counter(key: number, operations: number): Counter {
  return {
    ...{ key, readOps: operations, readBytes: operations * 4096, writeOps: 0, writeBytes: 0 },
    ...{ trimOps: 0, trimBytes: 0, readMicros: operations * 10, writeMicros: 0 },
    ...{ throttledOps: 0, throttledMicros: 0, cachedReadOps: 0, cachedReadBytes: 0 },
  };
}

test('queries page in ascending order, by keys and behind a key', (t) => {
  const { cluster, poolKey } = standard();
  const keys: number[] = [];
  for (let number = 0; number < 1005; number++)
    keys.push(
      cluster.command('ADD_VOLUME', {
        ...{ poolKey, name: `v${number}`, sizeSectors: 8, provisioning: 'thin', rmcache: true },
      }).key,
    );
  const first = cluster.query('volume');
  t.true(first.more);
  t.is(first.volumes.length, 1000);
  const last = first.volumes.at(-1)?.key ?? 0;
  const second = cluster.query('volume', [], last);
  t.false(second.more);
  t.deepEqual(
    [...first.volumes, ...second.volumes].map(({ key }) => key),
    keys,
  );
  const [one = 0, two = 0] = keys;
  t.deepEqual(
    cluster.query('volume', [two, 9999, one, two]).volumes.map(({ key }) => key),
    [one, two],
  );
});

test('mappings are asked by volume, and a page never ends within one', (t) => {
  const { cluster, poolKey, devices } = standard();
  const volumes = ['a', 'b', 'c'].map(
    (name) =>
      cluster.command('ADD_VOLUME', {
        ...{ poolKey, name, sizeSectors: 8, provisioning: 'thin', rmcache: true },
      }).key,
  );
  const sdcs = Array.from({ length: 500 }, (_, number) => cluster.sdc(number).sdcKey);
  for (const volumeKey of volumes)
    for (const sdcKey of sdcs)
      cluster.begin('MAP_VOLUME', { volumeKey, sdcKey, allowMultiple: true, access: 'readWrite' });
  cluster.applyAll(devices);
  const first = cluster.query('mapping');
  t.true(first.more);
  t.is(first.mappings.length, 1000);
  const second = cluster.query('mapping', [], volumes[1]);
  t.false(second.more);
  t.is(second.mappings.length, 500);
  t.deepEqual(
    new Set(cluster.query('mapping', [volumes[2] ?? 0]).mappings.map(({ volumeKey }) => volumeKey)),
    new Set([volumes[2]]),
  );
});

test('volumes report what they hold raw and net, and what clients did with them', (t) => {
  const { cluster, poolKey, devices } = standard();
  const { key } = cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: SECTORS_PER_GIB, provisioning: 'thin', rmcache: true },
  });
  const [a, b, c] = devices;
  if (a === undefined || b === undefined || c === undefined) throw new Error('devices');
  cluster.beat(a, 0, [{ volumeKey: key, usedBytes: 30 }]);
  cluster.beat(b, 0, [{ volumeKey: key, usedBytes: 50 }]);
  cluster.beat(c, 0, [{ volumeKey: key, usedBytes: 20 }]);
  const { link } = cluster.sdc(1);
  const beat = (operations: number): void => {
    const counters = [counter(key, operations)];
    cluster.send(link, MSG.HEARTBEAT, {
      ...{ progress: 1, appliedSequence: 0, usage: null, volumes: [], counters },
      ...{ listedAfter: 0, listedThrough: LAST_KEY },
    });
  };
  beat(0);
  cluster.nowUs += 1_000_000;
  beat(300);
  const { statuses, volumes } = cluster.status('volume');
  t.deepEqual(volumes, [{ volumeKey: key, rawBytes: 100, netBytes: 50, sharedNetBytes: 0 }]);
  t.is(statuses[0]?.counters[0]?.readOps, 300);
  t.is(statuses[0]?.rates[0]?.readOps, 300);
});

test('status says who is connected', (t) => {
  const { cluster, devices } = standard();
  const { link } = cluster.sdc(1);
  const liveness = (type: 'sds' | 'sdc' | 'device'): string =>
    cluster
      .status(type)
      .statuses.map(({ liveness: word }) => word[0])
      .join('');
  t.is(liveness('sds'), 'ccc');
  t.is(liveness('sdc'), 'c');
  t.is(liveness('device'), 'ccc');
  cluster.close(2);
  cluster.close(link);
  cluster.pass(2500, () => {
    for (const device of devices.slice(1)) cluster.beat(device);
  });
  t.is(liveness('sds'), 'dcc');
  t.is(liveness('sdc'), 'd');
  t.is(liveness('device'), 'dcc');
  const state = cluster.send(1, MSG.CLUSTER_QUERY, {});
  const { degradedCombs, unavailableCombs, combs, mode } = cluster.reply(
    state,
    MSG.CLUSTER_QUERY_REPLY,
  );
  t.is(combs, 16);
  t.is(mode, 1);
  t.is(unavailableCombs, 0);
  t.true(degradedCombs >= 10 && degradedCombs <= 11);
});

test('rates are those of the last five seconds, and end when reports end', (t) => {
  const history = new CounterHistory();
  t.deepEqual(history.rates(0), []);
  for (let second = 0; second <= 20; second++)
    for (let quarter = 0; quarter < 4; quarter++)
      history.add(
        second * 1_000_000 + quarter * 250_000,
        [counter(1, second < 10 ? 0 : (second - 10) * 100)],
        ALL_KEYS,
      );
  t.true(Math.abs((history.rates(20_750_000)[0]?.readOps ?? 0) - 100) <= 20);
  t.is(history.latest[0]?.readOps, 1000);
  t.is(history.rates(40_000_000)[0]?.readOps, 0);
  history.clear();
  t.deepEqual(history.latest, []);
});

test('counters that come in parts add up, and leave with their range', (t) => {
  const history = new CounterHistory();
  history.add(0, [counter(1, 10), counter(2, 20)], { after: 0, through: 2 });
  history.add(250_000, [counter(9, 90)], { after: 2, through: LAST_KEY });
  t.deepEqual(
    history.latest.map(({ key }) => key),
    [1, 2, 9],
  );
  history.add(500_000, [counter(2, 21)], { after: 0, through: 2 });
  t.deepEqual(
    history.latest.map(({ key, readOps }) => [key, readOps]),
    [
      [9, 90],
      [2, 21],
    ],
  );
});

test('volumes that a device reports in parts all count', (t) => {
  const { cluster, poolKey, devices } = standard();
  const [device] = devices;
  if (device === undefined) throw new Error('device');
  const keys = [1, 2, 3].map(
    (number) =>
      cluster.command('ADD_VOLUME', {
        ...{
          poolKey,
          name: `v${number}`,
          sizeSectors: SECTORS_PER_GIB,
          provisioning: 'thin',
          rmcache: true,
        },
      }).key,
  );
  const [first = 0, second = 0, third = 0] = keys;
  cluster.beat(device, 0, [{ volumeKey: first, usedBytes: 10 }], { after: 0, through: first });
  cluster.beat(
    device,
    0,
    [
      { volumeKey: second, usedBytes: 20 },
      { volumeKey: third, usedBytes: 30 },
    ],
    { after: first, through: LAST_KEY },
  );
  const held = (): number[] => cluster.status('volume').volumes.map(({ rawBytes }) => rawBytes);
  t.deepEqual(held(), [10, 20, 30]);
  cluster.beat(device, 0, [], { after: 0, through: first });
  t.deepEqual(held(), [0, 20, 30]);
});

test('a pool that grows says when it will be full, also through another master', (t) => {
  const { cluster, poolKey, devices } = standard();
  const { key: volumeKey } = cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'v', sizeSectors: 10 * SECTORS_PER_GIB, provisioning: 'thin' },
    rmcache: false,
  });
  const pool = (): PoolStatus | undefined => cluster.status('storagePool').pools[0];
  const netBytes = pool()?.netBytes ?? 0;
  // Two copies on three devices, of what takes half a day to fill the pool.
  const grown = (minutes: number): number => Math.round((netBytes * minutes) / 720);
  const goOn = (fromMinutes: number, toMinutes: number): void => {
    const endUs = cluster.nowUs + (toMinutes - fromMinutes) * 60_000_000;
    while (cluster.nowUs < endUs) {
      const minutes = toMinutes - (endUs - cluster.nowUs) / 60_000_000;
      const held = { volumeKey, usedBytes: Math.round((grown(minutes) * 2) / 3) };
      cluster.nowUs += 200_000;
      cluster.pass(100, () => {
        for (const device of devices) cluster.beat(device, cluster.store.sequence, [held]);
      });
    }
  };
  goOn(0, 20);
  t.like(pool(), { growthBytesPerDay: 0, isFillingUp: false, fullInS: 0 }, 'too little was seen');
  goOn(20, 45);
  t.true(pool()?.isFillingUp);
  const leftS = (720 - 45) * 60;
  t.true(Math.abs((pool()?.fullInS ?? 0) - leftS) < leftS / 20, `${pool()?.fullInS} s of ${leftS}`);
  const perDay = pool()?.growthBytesPerDay ?? 0;
  t.true(Math.abs(perDay - 2 * netBytes) < netBytes / 10);

  cluster.restart();
  for (const number of [1, 2, 3]) cluster.sds(number);
  for (const device of devices) cluster.register(device);
  goOn(45, 46);
  t.true(pool()?.isFillingUp, 'what was seen is committed');
});

test('a pool says how its data is kept and what it may still promise', (t) => {
  const { cluster, poolKey, devices } = standard();
  const pool = (): PoolStatus | undefined => cluster.status('storagePool').pools[0];
  const before = pool();
  t.is(before?.poolKey, poolKey);
  t.is(before?.combs, 16);
  t.is(before?.degradedCombs, 0);
  t.true((before?.netBytes ?? 0) > 0);
  t.is(before?.thickLeftBytes, before?.netBytes);
  const thick = {
    poolKey,
    name: 't',
    sizeSectors: SECTORS_PER_GIB,
    provisioning: 'thick',
    rmcache: true,
  } as const;
  cluster.command('ADD_VOLUME', thick);
  t.is(pool()?.thickLeftBytes, (before?.netBytes ?? 0) - GIB);
  t.is(pool()?.thinLeftBytes, (before?.thinLeftBytes ?? 0) - GIB);
  const left = Math.floor((pool()?.thinLeftBytes ?? 0) / 512 / 8) * 8;
  const tooLarge = {
    poolKey,
    name: 'x',
    sizeSectors: left + 8,
    provisioning: 'thin',
    rmcache: true,
  } as const;
  t.is(cluster.refused('ADD_VOLUME', tooLarge).error, 'CAPACITY_EXCEEDED');
  cluster.command('ADD_VOLUME', { ...tooLarge, sizeSectors: left });
  cluster.close(devices[0]?.link ?? 0);
  cluster.pass(2500, () => {
    for (const device of devices.slice(1)) cluster.beat(device);
  });
  t.true((pool()?.degradedCombs ?? 0) > 0);
  t.is(pool()?.unavailableCombs, 0);
});
