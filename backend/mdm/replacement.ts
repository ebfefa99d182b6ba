// Comb entries of a pool whose devices changed. Only a pool without volumes is placed anew: nothing has to be copied then.
// What becomes of a pool with volumes is a matter of moves, which copy data (mover.ts).

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { CombEntry, Device, StoragePool } from '../protocol/generated/types.js';
import { combsKept } from './capacity.js';
import { canPlace, place } from './placement.js';
import type { Pair, Place } from './placement-plan.js';
import type { State } from './state.js';

const MARKS = {
  placed: mark('mdm: a pool got its first placement'),
  placedAnew: mark('mdm: a pool without volumes was placed anew'),
  kept: mark('mdm: the devices of a pool with volumes changed'),
  unplaced: mark('mdm: a pool lost its placement with its devices'),
  grown: mark('mdm: a pool without volumes got more combs for its devices'),
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

/** A pool has no more combs for its devices alone: a client that uses it keeps 40 MB of them in memory. */
const COMBS_LOG2_MAX = 17;

/**
 * How many combs a pool without data should have, as a binary logarithm. All others make the copies of a lost device anew
 * together, and as fast as their number says only if each of them shares several combs with it.
 *
 * @param combsPerPair - combs that two devices share, about; 0: as many as it has
 */
function combCountLog2For(
  pool: StoragePool,
  places: readonly Place[],
  combsPerPair: number,
): number {
  const pairs = (places.length * (places.length - 1)) / 2;
  const wanted = Math.ceil(Math.log2(Math.max(1, pairs * combsPerPair)));
  // Whatever its share is, every device keeps the entries of all combs of its pool.
  const smallest = Math.min(...places.map(({ capacityBytes }) => capacityBytes));
  const most = Math.min(COMBS_LOG2_MAX, Math.floor(Math.log2(combsKept(smallest))));
  return Math.max(pool.combCountLog2, Math.min(wanted, most));
}

/**
 * Places the combs of a pool anew where that is allowed. Called as work.
 *
 * @param sequence - of the commit that this takes part in. A comb's generation number goes up by at most one a commit, so
 *   the sequence is above every number that the comb had before, also when its pool had lost its placement
 * @param combsPerPair - the pool gets so many combs for each two of its devices, if it has fewer; 0: it does not
 */
export function replaceCombs(
  state: State,
  poolKey: number,
  sequence: number,
  combsPerPair: number,
): void {
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
  const combCountLog2 = isEmptied(state, poolKey)
    ? combCountLog2For(pool, places, combsPerPair)
    : pool.combCountLog2;
  const isGrown = combCountLog2 > pool.combCountLog2;
  if (isGrown) {
    MARKS.grown.hits++;
    state.pools.put(poolKey, { ...pool, combCountLog2 });
  }
  const present = combs.map(pairOf);
  const pairs = place(
    places,
    1 << combCountLog2,
    present.includes(null) ? [] : (present as Pair[]),
  );
  pairs.forEach((pair, index) => {
    // Chunks belong to other combs than before: nobody may take an entry of then for one of now.
    const entry = entryFor(state, isGrown ? undefined : combs[index], index, pair, sequence);
    if (entry !== null) state.combs.put(poolKey, entry);
  });
}

/** Whether nothing of removed volumes is left: chunks belong to combs by the number of combs of then. */
function isEmptied(state: State, poolKey: number): boolean {
  return state.tombstones.find((tombstone) => tombstone.poolKey === poolKey) === undefined;
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
