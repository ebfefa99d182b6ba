import test from 'ava';
import fc from 'fast-check';

import { canPlace, place, quotas, shares } from '../../../backend/mdm/placement.js';
import type { Pair, Place } from '../../../backend/mdm/placement-plan.js';

const GIB = 1024 ** 3;

const places = fc
  .array(
    fc.record({
      unit: fc.integer({ min: 1, max: 6 }),
      capacityGib: fc.integer({ min: 1, max: 64 }),
    }),
    { minLength: 2, maxLength: 12 },
  )
  .map((devices) =>
    devices.map(({ unit, capacityGib }, index): Place => {
      return { deviceKey: 100 + index, unitKey: unit, capacityBytes: capacityGib * GIB };
    }),
  )
  .filter(canPlace);
const combCount = fc.constantFrom(16, 64, 256);

function copies(pairs: readonly Pair[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const pair of pairs) for (const key of pair) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

function moved(before: readonly Pair[], after: readonly Pair[]): number {
  return after.reduce(
    (sum, pair, comb) => sum + pair.filter((key) => before[comb]?.includes(key) !== true).length,
    0,
  );
}

function checkSound(devices: readonly Place[], pairs: readonly Pair[]): void {
  const unitOf = new Map(devices.map(({ deviceKey, unitKey }) => [deviceKey, unitKey]));
  for (const [primary, secondary] of pairs) {
    if (!unitOf.has(primary) || !unitOf.has(secondary)) throw new Error('an unknown device');
    if (unitOf.get(primary) === unitOf.get(secondary)) throw new Error('both copies in one unit');
  }
}

test('both copies are never in one unit, and devices carry what their capacity says', (t) => {
  fc.assert(
    fc.property(places, combCount, (devices, count) => {
      const pairs = place(devices, count);
      if (pairs.length !== count) return false;
      checkSound(devices, pairs);
      const wanted = quotas(devices, count);
      const held = copies(pairs);
      return [...wanted].every(([key, quota]) => (held.get(key) ?? 0) === quota);
    }),
    { numRuns: 300, seed: 1 },
  );
  t.pass();
});

test('quotas are in proportion to capacity, but for a unit with more than half of it', (t) => {
  fc.assert(
    fc.property(places, combCount, (devices, count) => {
      const wanted = quotas(devices, count);
      const total = devices.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
      const unitBytes = (unit: number): number =>
        devices
          .filter(({ unitKey }) => unitKey === unit)
          .reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
      const isHuge = devices.some(({ unitKey }) => unitBytes(unitKey) * 2 > total);
      if ([...wanted.values()].reduce((sum, quota) => sum + quota, 0) !== 2 * count) return false;
      if (isHuge) return true;
      // Rounding by units and then by devices: at most one copy each.
      return devices.every(
        ({ deviceKey, capacityBytes }) =>
          Math.abs((wanted.get(deviceKey) ?? 0) - (capacityBytes / total) * 2 * count) < 2,
      );
    }),
    { numRuns: 300, seed: 2 },
  );
  t.pass();
});

test('each device is primary of about half of its combs', (t) => {
  fc.assert(
    fc.property(places, combCount, (devices, count) => {
      const pairs = place(devices, count);
      const held = copies(pairs);
      return devices.every(({ deviceKey }) => {
        const primaries = pairs.filter(([primary]) => primary === deviceKey).length;
        return Math.abs(primaries - (held.get(deviceKey) ?? 0) / 2) <= 2;
      });
    }),
    { numRuns: 200, seed: 3 },
  );
  t.pass();
});

test('the partners of a device are spread over all other units', (t) => {
  const devices = Array.from({ length: 6 }, (_, index) => {
    return { deviceKey: index + 1, unitKey: index + 1, capacityBytes: 16 * GIB };
  });
  const pairs = place(devices, 1024);
  for (const { deviceKey } of devices) {
    const partners = new Map<number, number>();
    for (const pair of pairs) {
      if (!pair.includes(deviceKey)) continue;
      const other = pair.find((key) => key !== deviceKey) ?? 0;
      partners.set(other, (partners.get(other) ?? 0) + 1);
    }
    // 1024 combs, 2 copies, 6 devices: 341 each, 68 with each of the 5 others.
    t.is(partners.size, 5);
    for (const count of partners.values()) t.true(count > 60 && count < 77, `${count} in common`);
  }
});

test('a pool that grows keeps its rules and moves little more than the new share', (t) => {
  fc.assert(
    fc.property(places, combCount, fc.integer({ min: 1, max: 64 }), (devices, count, gib) => {
      const before = place(devices, count);
      const grown = [...devices, { deviceKey: 999, unitKey: 999, capacityBytes: gib * GIB }];
      const after = place(grown, count, before);
      checkSound(grown, after);
      const wanted = quotas(grown, count);
      const held = copies(after);
      if (![...wanted].every(([key, quota]) => (held.get(key) ?? 0) === quota)) return false;
      const old = quotas(devices, count);
      // Every copy that some device must give up has to move; where units are tight, one more for each at most.
      const given = [...old].reduce(
        (sum, [key, quota]) => sum + Math.max(0, quota - (wanted.get(key) ?? 0)),
        0,
      );
      return moved(before, after) <= 2 * given;
    }),
    { numRuns: 300, seed: 4 },
  );
  const equal = [1, 2, 3, 4].map((key) => ({ deviceKey: key, unitKey: key, capacityBytes: GIB }));
  const before = place(equal.slice(0, 3), 256);
  t.is(moved(before, place(equal, 256, before)), 128);
});

test('a pool that loses a device keeps all other copies, as far as units allow', (t) => {
  fc.assert(
    fc.property(places, combCount, (devices, count) => {
      const [gone, ...left] = devices;
      if (gone === undefined || !canPlace(left)) return true;
      const before = place(devices, count);
      const after = place(left, count, before);
      checkSound(left, after);
      const held = copies(after);
      return [...quotas(left, count)].every(([key, quota]) => (held.get(key) ?? 0) === quota);
    }),
    { numRuns: 300, seed: 5 },
  );
  const equal = [1, 2, 3, 4].map((key) => ({ deviceKey: key, unitKey: key, capacityBytes: GIB }));
  const before = place(equal, 256);
  t.is(moved(before, place(equal.slice(0, 3), 256, before)), 128);
});

test('nothing changes where nothing must', (t) => {
  fc.assert(
    fc.property(places, combCount, (devices, count) => {
      const before = place(devices, count);
      return JSON.stringify(place(devices, count, before)) === JSON.stringify(before);
    }),
    { numRuns: 100, seed: 6 },
  );
  t.pass();
});

test('one unit alone, or capacity in one unit only, cannot be placed', (t) => {
  const one = { deviceKey: 1, unitKey: 1, capacityBytes: GIB };
  t.false(canPlace([]));
  t.false(canPlace([one, { ...one, deviceKey: 2 }]));
  t.false(canPlace([one, { deviceKey: 2, unitKey: 2, capacityBytes: 0 }]));
  t.true(canPlace([one, { deviceKey: 2, unitKey: 2, capacityBytes: 1 }]));
});

test('shares add up and follow the weights', (t) => {
  t.deepEqual(shares([1, 1, 1], 10), [4, 3, 3]);
  t.deepEqual(shares([0, 5], 7), [0, 7]);
  t.deepEqual(shares([3, 1], 4), [3, 1]);
});
