// Copies that are wanted elsewhere, why, and what is under way: facts about entries, for whoever decides which move begins next.
// It must never change an entry.

import { isBlank, isInSync, isTarget, primaryOf } from '../cluster-map/entry.js';
import type { CombEntry } from '../protocol/generated/types.js';
import type { MoveView } from './moves.js';
import type { Pair } from './placement-plan.js';
import type { PendingCopies } from './runs.js';

/** Why a comb gets another copy; the lower goes first. */
export const WHY = { rebuild: 0, evacuate: 1, balance: 2 } as const;
export type Why = (typeof WHY)[keyof typeof WHY];

/** Bytes of one comb by device, about. */
export type Sizes = ReadonlyMap<number, number>;

export interface Wish {
  readonly entry: CombEntry;
  readonly to: number;
  /** Where the comb shall lie. */
  readonly pair: Pair;
  readonly why: Why;
}

/** What is under way, by device. */
export class Traffic {
  total = 0;
  readonly byDevice = new Map<number, number>();
  /** Bytes that are still to come to a device, about. */
  readonly incoming = new Map<number, number>();

  add(entry: CombEntry, to: number, bytes: number): void {
    this.total++;
    this.incoming.set(to, (this.incoming.get(to) ?? 0) + bytes);
    for (const key of [to, primaryOf(entry)?.deviceKey ?? 0])
      this.byDevice.set(key, (this.byDevice.get(key) ?? 0) + 1);
  }

  of(key: number): number {
    return this.byDevice.get(key) ?? 0;
  }

  /** What was being filled for a comb, if anything, is not any more. */
  leave(entry: CombEntry, bytes: number): void {
    const filling = fillingDevice(entry);
    if (filling === 0) return;
    this.total--;
    this.incoming.set(filling, (this.incoming.get(filling) ?? 0) - bytes);
    for (const key of [filling, primaryOf(entry)?.deviceKey ?? 0])
      this.byDevice.set(key, (this.byDevice.get(key) ?? 0) - 1);
  }
}

/** What waits for its turn. */
export class Pending implements PendingCopies {
  pendingRebuildBytes = 0;
  pendingRebalanceBytes = 0;
  stuckRebuildCombs = 0;
  stuckMoveCombs = 0;

  /** No device that may have a comb has room for it. */
  lackRoom(why: Why): void {
    if (why === WHY.rebuild) this.stuckRebuildCombs++;
    else this.stuckMoveCombs++;
  }

  add(why: Why, bytes: number): void {
    if (why === WHY.rebuild) this.pendingRebuildBytes += Math.round(bytes);
    else this.pendingRebalanceBytes += Math.round(bytes);
  }
}

/** @param stays - devices that keep what they have */
export function whyOf(entry: CombEntry, stays: ReadonlySet<number>): Why {
  if (!hasTwoCopies(entry)) return WHY.rebuild;
  return entry.members.every(
    (member, index) => !isInSync(entry, index) || stays.has(member.deviceKey),
  )
    ? WHY.balance
    : WHY.evacuate;
}

export function hasTwoCopies({ inSyncMask }: CombEntry): boolean {
  return (inSyncMask & (inSyncMask - 1)) !== 0;
}

/** The primary, and whoever counts, is alive: the entry is not about to be changed for another reason. */
export function isServed(entry: CombEntry, isGood: MoveView['isGood']): boolean {
  return entry.members.every((member, index) => !isInSync(entry, index) || isGood(member));
}

/** The device that a comb is being moved to, 0: none. */
export function fillingDevice(entry: CombEntry): number {
  const found = entry.members.find((_, index) => isBlank(entry, index) && isTarget(entry, index));
  return found?.deviceKey ?? 0;
}

/** What a comb holds, by its fullest copy. */
export function bytesOf(entry: CombEntry, sizes: Sizes): number {
  let bytes = 0;
  entry.members.forEach(({ deviceKey }, index) => {
    if (isInSync(entry, index)) bytes = Math.max(bytes, sizes.get(deviceKey) ?? 0);
  });
  return bytes;
}
