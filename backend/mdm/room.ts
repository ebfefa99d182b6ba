// Room on devices for data that moves. It owns what moves leave free; it must never count what is on its way twice.

import { isBlank, isInSync } from '../cluster-map/entry.js';
import type { CombEntry, Device } from '../protocol/generated/types.js';
import { WHY } from './move-wishes.js';
import type { Sizes, Traffic, Why } from './move-wishes.js';
import type { Runs } from './runs.js';
import type { State } from './state.js';

/** Part of a device that moves leave free. */
export const HEADROOM = 1 / 32;

export class Room {
  private readonly state: State;
  private readonly runs: Runs;

  constructor(state: State, runs: Runs) {
    this.state = state;
    this.runs = runs;
  }

  /** Bytes of one comb on each device, about: of all that it holds, also as a copy that does not count, such as while it rests. */
  sizes(combs: readonly CombEntry[]): Sizes {
    const held = new Map<number, number>();
    for (const entry of combs)
      entry.members.forEach(({ deviceKey }, index) => {
        if (isInSync(entry, index) || !isBlank(entry, index))
          held.set(deviceKey, (held.get(deviceKey) ?? 0) + 1);
      });
    return new Map(
      [...held].map(([key, count]) => [
        key,
        (this.runs.devices.get(key)?.usage?.usedBytes ?? 0) / count,
      ]),
    );
  }

  /** Whether a device has no room for anything that moves. */
  isFull(key: number): boolean {
    const usage = this.runs.devices.get(key)?.usage ?? null;
    return usage !== null && usage.usedBytes > usage.capacityBytes * (1 - HEADROOM / 2);
  }

  /** Bytes that a device can still take, what is on its way taken away. The spare is there for lost copies only. */
  of({ key, poolKey, capacityBytes }: Device, traffic: Traffic, why: Why): number {
    const usage = this.runs.devices.get(key)?.usage ?? null;
    if (usage === null) return -1;
    const spare = (this.state.pools.get(poolKey)?.sparePercent ?? 0) / 100;
    const kept = why === WHY.balance ? Math.max(HEADROOM, spare) : HEADROOM;
    const free = capacityBytes * (1 - kept) - usage.usedBytes;
    return free - (traffic.incoming.get(key) ?? 0);
  }
}
