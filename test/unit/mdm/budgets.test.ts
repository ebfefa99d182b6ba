// What changes of thin volumes leave free of each device: the arithmetic, and that data processes hear of it.

import test from 'ava';

import { GIB } from '../../../backend/core/units.js';
import { keptBytes } from '../../../backend/mdm/budgets.js';
import type { BudgetDevice } from '../../../backend/mdm/budgets.js';
import { HEADROOM } from '../../../backend/mdm/room.js';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import { standard } from './harness.js';
import type { Cluster, TestDevice } from './harness.js';

/** Capacity of a device. */
const PART = 100_000;
const WHOLE = { present: 64, missing: 0 };

function devices(count: number, usedPercent: number): BudgetDevice[] {
  return Array.from({ length: count }, (_, index) => ({
    ...{
      key: index + 1,
      capacityBytes: PART,
      usedBytes: (PART * usedPercent) / 100,
      up: true,
      leaving: false,
      thickBytes: 0,
    },
  }));
}

/** What thin volumes may still take of all devices that work, in hundredths of one, moves' own part counted in. */
function left(all: readonly BudgetDevice[], missing: number, sparePercent: number): number {
  const kept = keptBytes(all, { present: 64 - missing, missing }, sparePercent);
  const free = all
    .filter(({ up }) => up)
    .map(({ key, usedBytes }) => PART - usedBytes - ((kept.get(key) ?? 0) - PART * HEADROOM));
  return Math.round((free.reduce((sum, bytes) => sum + bytes, 0) / 4 / PART) * 100);
}

test('the spare is kept of every device, with the part that moves leave free', (t) => {
  const kept = keptBytes(devices(4, 10), WHOLE, 25);
  t.deepEqual([...kept.values()], Array(4).fill(Math.ceil(PART * (0.25 + HEADROOM))));
  t.deepEqual([...keptBytes(devices(4, 10), WHOLE, 0).values()], [0, 0, 0, 0], 'no spare');
});

test('the loss of what the spare covers leaves thin volumes what they had, until it is made good', (t) => {
  // One of four is lost, and with it a quarter of all copies.
  const without = (usedPercent: number): BudgetDevice[] =>
    devices(4, usedPercent).map((device) =>
      device.key === 4 ? { ...device, up: false, usedBytes: 0 } : device,
    );
  const before = devices(4, 60);
  t.is(left(before, 0, 25), 15);
  t.is(left(without(60), 16, 25), 15, 'lost');
  t.is(left(without(70), 8, 25), 15, 'half of it is made anew');
  t.is(left(without(80), 0, 25), 15, 'all of it is');
  const full = devices(4, 75);
  t.is(left(full, 0, 25), 0);
  t.is(left(without(75), 16, 25), 0, 'a full pool stays full');
});

test('what leaves a device, and what thick volumes have not written yet, is kept room for', (t) => {
  const [first, ...others] = devices(4, 20);
  if (first === undefined) throw new Error('a device');
  const leaving = keptBytes([{ ...first, leaving: true }, ...others], WHOLE, 10);
  t.is(leaving.has(1), false);
  t.is(leaving.get(2), Math.ceil((PART * (0.3 + 0.2)) / 3 + PART * HEADROOM));
  const thick = keptBytes([{ ...first, thickBytes: 30 }, ...others], WHOLE, 0);
  t.deepEqual([...thick.values()], [30, 0, 0, 0]);
  t.is(
    keptBytes([{ ...first, thickBytes: 3 * PART }], WHOLE, 50).get(1),
    PART,
    'never more than there is',
  );
});

function toldTo(cluster: Cluster, { link }: TestDevice): number | undefined {
  return cluster.messages(link, MSG.DEVICE_BUDGET).at(-1)?.keptBytes;
}

const KEEP = {
  ...{
    durability: null,
    fullPolicy: null,
    zeroPadding: null,
    checksums: null,
    rmcache: null,
    cacheWrites: null,
  },
  ...{ capacityAlertHighPercent: null, capacityAlertCriticalPercent: null },
  ...{ mediaType: null, loneReturn: null, force: true },
};

test('data processes hear of it when the spare or a thick volume changes, and when they register again', (t) => {
  const { cluster, poolKey, devices: all } = standard({}, 3);
  const [first] = all;
  if (first === undefined) throw new Error('a device');
  const pass = (): void => {
    cluster.pass(1500, () => {
      for (const device of all) cluster.beat(device, cluster.store.sequence);
    });
  };
  pass();
  t.is(toldTo(cluster, first), 0, 'a former master may have said something else');
  cluster.command('SET_STORAGE_POOL', { ...KEEP, key: poolKey, sparePercent: 50 });
  pass();
  t.is(toldTo(cluster, first), Math.ceil(16 * GIB * (0.5 + HEADROOM)));
  cluster.register(first);
  pass();
  t.is(toldTo(cluster, first), Math.ceil(16 * GIB * (0.5 + HEADROOM)), 'its new life');
  cluster.command('SET_STORAGE_POOL', { ...KEEP, key: poolKey, sparePercent: 0 });
  pass();
  t.is(toldTo(cluster, first), 0);
  const { key } = cluster.command('ADD_VOLUME', {
    ...{ poolKey, name: 'thick', sizeSectors: 3 * 2 ** 21, provisioning: 'thick', rmcache: true },
  });
  pass();
  const kept = toldTo(cluster, first) ?? 0;
  t.true(kept > 1.5 * GIB && kept < 2.5 * GIB, `about two thirds of 3 GiB: ${kept}`);
  cluster.pass(1500, () => {
    for (const device of all)
      cluster.beat(device, cluster.store.sequence, [{ volumeKey: key, usedBytes: 1.5 * GIB }]);
  });
  t.is(toldTo(cluster, first), kept - 1.5 * GIB, 'what it has written is its own');
});
