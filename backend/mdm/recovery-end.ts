// How restored metadata becomes that of a system again, once the devices told what they know: every comb goes on with its newest
// entry under a new cluster epoch. It must never put a copy in sync that this entry does not put in sync.

import { isInSync } from '../cluster-map/entry.js';
import type { CombEntry, Device } from '../protocol/generated/types.js';
import { withMembers } from './reconcile.js';
import type { State } from './state.js';

/** What a device told. */
export interface Heard {
  readonly incarnation: number;
  readonly port: number;
  readonly capacityBytes: number;
}

/**
 * Makes the state that with which the system goes on.
 *
 * @param newest - by pool and index, the newest entry of each comb that anybody knows
 * @param heard - by device key
 * @param isLost - a device that was given up
 * @returns the cluster epoch
 */
export function concluded(
  state: State,
  newest: ReadonlyMap<number, ReadonlyMap<number, CombEntry>>,
  heard: ReadonlyMap<number, Heard>,
  isLost: (deviceKey: number) => boolean,
): number {
  const { system } = state;
  let epoch = system.clusterEpoch;
  for (const pool of newest.values())
    for (const { generation } of pool.values()) epoch = Math.max(epoch, generation.epoch);
  epoch += 1;
  const keyMax = Math.max(0, ...state.devices.keys(), ...state.sds.keys());
  const nextKey = Math.max(system.nextKey, keyMax + 1);
  state.systems.put(system.key, { ...system, clusterEpoch: epoch, nextKey });
  for (const [poolKey, pool] of newest)
    for (const index of [...pool.keys()].sort((one, other) => one - other)) {
      const entry = pool.get(index);
      if (entry === undefined) continue;
      const generation = { epoch, number: entry.generation.number + 1 };
      state.combs.put(poolKey, { ...withoutLost(entry, isLost), generation });
    }
  for (const [key, { incarnation, port, capacityBytes }] of heard) {
    const device = state.devices.get(key);
    if (device === undefined) continue;
    // Whether it rolled back was told to the former life; an entry of an earlier one is not trusted on its word.
    const rolledBackIncarnation = Math.max(device.rolledBackIncarnation, incarnation);
    const known = { ...device, incarnation, port, rolledBackIncarnation };
    state.devices.put(key, device.state === 'adding' ? arrived(known, capacityBytes) : known);
  }
  return epoch;
}

/** It was being added, or came along with its SDS, when the backup was taken; whoever tells what he remembers is there. */
function arrived(device: Device, capacityBytes: number): Device {
  const there = { state: 'up', formatted: true, capacityBytes, dataSince: 1 } as const;
  return { ...device, ...there, force: false, failure: '', replaces: [] };
}

/** Copies of devices that will not come back leave where another one in sync stays (C8). */
function withoutLost(entry: CombEntry, isLost: (deviceKey: number) => boolean): CombEntry {
  const stays = entry.members.findIndex(
    ({ deviceKey }, index) => isInSync(entry, index) && !isLost(deviceKey),
  );
  if (stays < 0 || !entry.members.some(({ deviceKey }) => isLost(deviceKey))) return entry;
  const primary = entry.members[entry.primary];
  const led =
    primary !== undefined && isLost(primary.deviceKey) ? { ...entry, primary: stays } : entry;
  return withMembers(led, ({ deviceKey }) => !isLost(deviceKey));
}
