// Comb entries of a pool whose devices changed. Only a pool without volumes is placed anew: nothing has to be copied then.
// What becomes of a pool with volumes is a matter of moves, which copy data (mover.ts).

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { CombEntry, Device } from '../protocol/generated/types.js';
import { canPlace, place } from './placement.js';
import type { Pair, Place } from './placement-plan.js';
import type { State } from './state.js';

const MARKS = {
  placed: mark('mdm: a pool got its first placement'),
  placedAnew: mark('mdm: a pool without volumes was placed anew'),
  kept: mark('mdm: the devices of a pool with volumes changed'),
  unplaced: mark('mdm: a pool lost its placement with its devices'),
};

/** What fails together with a device: key of its fault set or SDS, 0 for a device that does not exist. */
export function unitOf(state: State, deviceKey: number): number {
  const sdsKey = state.devices.get(deviceKey)?.sdsKey ?? 0;
  const faultSetKey = state.sds.get(sdsKey)?.faultSetKey ?? 0;
  return faultSetKey === 0 ? sdsKey : faultSetKey;
}

/** Devices that may carry combs: formatted, and not known to be broken. */
export function placesOf(state: State, poolKey: number): Place[] {
  return state.devices
    .filter((device) => device.poolKey === poolKey && isUsable(device))
    .filter(({ sdsKey, removing }) => !removing && state.sds.get(sdsKey)?.removing !== true)
    .map(({ key, capacityBytes }) => {
      return { deviceKey: key, unitKey: unitOf(state, key), capacityBytes };
    });
}

function isUsable({ state, incarnation }: Device): boolean {
  return incarnation > 0 && (state === 'up' || state === 'down');
}

/**
 * Places the combs of a pool anew where that is allowed. Called as work.
 *
 * @param sequence - of the commit that this takes part in. A comb's generation number goes up by at most one a commit, so
 *   the sequence is above every number that the comb had before, also when its pool had lost its placement
 */
export function replaceCombs(state: State, poolKey: number, sequence: number): void {
  const pool = state.pools.get(poolKey);
  if (pool === undefined) return;
  const combs = state.combs.ofPool(poolKey);
  if (state.volumes.find((volume) => volume.poolKey === poolKey) !== undefined) {
    MARKS.kept.hits++;
    return;
  }
  const places = placesOf(state, poolKey);
  if (!canPlace(places)) {
    if (combs.length > 0) MARKS.unplaced.hits++;
    state.combs.clear(poolKey);
    return;
  }
  if (combs.length === 0) MARKS.placed.hits++;
  else MARKS.placedAnew.hits++;
  const present = combs.map(pairOf);
  const pairs = place(
    places,
    1 << pool.combCountLog2,
    present.includes(null) ? [] : (present as Pair[]),
  );
  pairs.forEach((pair, index) => {
    const entry = entryFor(state, combs[index], index, pair, sequence);
    if (entry !== null) state.combs.put(poolKey, entry);
  });
}

function pairOf({ members }: CombEntry): Pair | null {
  const [first, second] = members;
  return first === undefined || second === undefined ? null : [first.deviceKey, second.deviceKey];
}

/** The new entry, or null when the present one has these members already, in this order and all in sync. */
function entryFor(
  state: State,
  before: CombEntry | undefined,
  index: number,
  pair: Pair,
  sequence: number,
): CombEntry | null {
  const members = pair.map((deviceKey) => {
    const incarnation = state.devices.get(deviceKey)?.incarnation ?? 0;
    assert(incarnation > 0, 'a comb is placed on devices that were opened');
    return { deviceKey, incarnation };
  });
  const isSame =
    before?.members.length === 2 &&
    before.members.every(({ deviceKey }, at) => members[at]?.deviceKey === deviceKey);
  if (isSame) return null;
  const generation = { epoch: state.system.clusterEpoch, number: sequence };
  return { index, generation, members, primary: 0, inSyncMask: 3, targetMask: 0, blankMask: 0 };
}
