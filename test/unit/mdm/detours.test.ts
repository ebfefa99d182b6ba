// Data comes to rest: in fault sets of unequal size, where copies can be evened out only by way of a third device, and where a
// comb has as many members as it can have.

import test from 'ava';

import { isBlank, isTarget } from '../../../backend/cluster-map/entry.js';
import { begunMove, endedMove, lackingDevice, wantedPlan } from '../../../backend/mdm/moves.js';
import type { MoveView } from '../../../backend/mdm/moves.js';
import type { CombEntry } from '../../../backend/protocol/generated/types.js';

/** Devices and their fault sets; the last one is new. */
const UNITS = [
  [12, 1],
  [14, 2],
  [16, 3],
  [18, 1],
  [20, 2],
] as const;

const VIEW: MoveView = {
  places: UNITS.map(([deviceKey, unitKey]) => ({ deviceKey, unitKey, capacityBytes: 1e9 })),
  unitOf: (key) => UNITS.find(([deviceKey]) => deviceKey === key)?.[1] ?? 0,
  ...{ isGood: () => true, isFull: () => false, stays: () => null, perDevice: 4 },
};

function entry(index: number, ...keys: number[]): CombEntry {
  return {
    index,
    generation: { epoch: 1, number: 1 },
    members: keys.map((deviceKey) => ({ deviceKey, incarnation: 1 })),
    ...{ primary: 0, inSyncMask: 3, targetMask: 0, blankMask: 0 },
  };
}

/** One plan and what follows from it; returns how many combs it changed. */
function planned(combs: CombEntry[]): number {
  const plan = wantedPlan(combs, VIEW);
  if (plan === null) throw new Error('a plan');
  let changes = 0;
  for (const [index, before] of combs.entries()) {
    const pair = plan.pair(index);
    const to = lackingDevice(before, pair, VIEW);
    const after =
      endedMove(before, pair, VIEW) ??
      (to === 0 ? null : begunMove(before, { deviceKey: to, incarnation: 1 }, pair, VIEW));
    if (after === null) continue;
    combs[index] = after;
    changes++;
  }
  return changes;
}

/** Whoever is being filled is in sync. */
function admit(combs: CombEntry[]): void {
  for (const [at, comb] of combs.entries()) {
    const index = comb.members.findIndex((_, place) => isTarget(comb, place));
    if (index < 0 || !isBlank(comb, index)) continue;
    const inSyncMask = comb.inSyncMask | (1 << index);
    combs[at] = { ...comb, inSyncMask, targetMask: 0, blankMask: 0 };
  }
}

for (const count of [4, 8, 16, 64])
  test(`${count} combs of which none can go straight to the new device come to rest`, (t) => {
    // All partners of the fullest device lie in the fault set of the new one.
    const combs = Array.from({ length: count }, (_, index) =>
      index < count / 2 ? entry(index, 12, 16) : entry(index, 18, 14),
    );
    let rounds = 0;
    // Each copy takes three plans; what one plan began the next one goes on with.
    for (let quiet = 0; quiet < 4; quiet++) {
      const changes = planned(combs) + planned(combs) + planned(combs);
      admit(combs);
      if (changes > 0) quiet = 0;
      if (++rounds > 60) {
        t.fail('data is moved for ever');
        return;
      }
    }
    const held = new Map<number, number>();
    for (const { members } of combs) {
      t.is(members.length, 2);
      for (const { deviceKey } of members) held.set(deviceKey, (held.get(deviceKey) ?? 0) + 1);
    }
    // One unit of the three has one device only.
    const even = (2 * count) / 5;
    for (const [key] of UNITS)
      t.true(Math.abs((held.get(key) ?? 0) - even) <= 2, JSON.stringify([...held]));
  });

/** All members are in sync, and the devices from `leaving` on are to be removed. */
function crowded(leaving: readonly number[], ...keys: number[]): [CombEntry, MoveView] {
  const places = VIEW.places.filter(({ deviceKey }) => !leaving.includes(deviceKey));
  return [
    { ...entry(0, ...keys), inSyncMask: (1 << keys.length) - 1 },
    { ...VIEW, places },
  ];
}

test('of a comb with four copies those that leave go before data is spread anew', (t) => {
  // Seed 110000309: devices 16 and 18 have everything, so that the comb seemed to belong on the empty device 20.
  const [first, view] = crowded([12, 14], 12, 14, 16, 18);
  const others = [1, 2, 3].map((index) => entry(index, 16, 18));
  const plan = wantedPlan([first, ...others], view);
  t.truthy(plan);
  t.deepEqual([...(plan?.pair(0) ?? [])].sort(), [16, 18]);
  const ended = endedMove(first, plan?.pair(0) ?? [0, 0], view);
  t.deepEqual(ended?.members.map(({ deviceKey }) => deviceKey).sort(), [16, 18]);
});

test('a comb with four copies, of which three leave, gives one up for the target that it needs', (t) => {
  const [first, view] = crowded([12, 14, 18], 12, 14, 18, 16);
  const plan = wantedPlan([first], view);
  const pair = plan?.pair(0) ?? [0, 0];
  t.deepEqual([...pair].sort(), [16, 20]);
  t.is(endedMove(first, pair, view), null);
  t.is(lackingDevice(first, pair, view), 20);
  const begun = begunMove(first, { deviceKey: 20, incarnation: 1 }, pair, view);
  // The primary stays, device 14 is not needed for two copies in two units.
  t.deepEqual(
    begun?.members.map(({ deviceKey }) => deviceKey),
    [12, 18, 16, 20],
  );
  t.is(begun?.primary, 0);
  t.is(begun?.inSyncMask, 0b0111);
  t.is(begun?.targetMask, 0b1000);
});

test('no copy is given up where those that would be left fail together or are not alive', (t) => {
  const [first, view] = crowded([12, 14, 18], 12, 14, 18, 16);
  const pair = [16, 20] as const;
  const added = { deviceKey: 20, incarnation: 1 };
  const alive = (...keys: number[]): MoveView => ({
    ...view,
    isGood: ({ deviceKey }) => keys.includes(deviceKey),
  });
  t.is(begunMove(first, added, pair, alive(12, 18)), null);
  const together = { ...view, unitOf: (key: number) => (key === 14 || key === 18 ? 2 : 1) };
  const begun = begunMove(first, added, pair, together);
  t.deepEqual(
    begun?.members.map(({ deviceKey }) => deviceKey),
    [12, 18, 16, 20],
  );
  t.is(begunMove(first, added, pair, { ...view, unitOf: () => 1 }), null);
});

test('beside the last copy of a comb nobody is filled before a device of another unit is', (t) => {
  // Device 12 holds the only copy, 18 is of the same unit and is being filled.
  const lone: CombEntry = {
    ...entry(0, 12, 18),
    ...{ inSyncMask: 0b01, targetMask: 0b10, blankMask: 0b10 },
  };
  t.is(lackingDevice(lone, [18, 20], VIEW), 20);
  const begun = begunMove(lone, { deviceKey: 20, incarnation: 1 }, [18, 20], VIEW);
  t.deepEqual(
    begun?.members.map(({ deviceKey }) => deviceKey),
    [12, 20],
  );
  t.is(lackingDevice(entry(0, 12, 20), [18, 20], VIEW), 18);
  t.is(lackingDevice({ ...lone, targetMask: 0 }, [18, 16], VIEW), 16);
  t.is(lackingDevice(lone, [18, 12], VIEW), 0, 'where nobody of another unit is wanted it goes on');
});
