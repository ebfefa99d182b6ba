// Questions about one comb entry and the order of generations. It must never make a new entry: only the MDM does (C2).

import type { CombEntry, CombMember, Generation } from '../protocol/generated/types.js';

/**
 * Order of generations: first by cluster epoch, then by number.
 *
 * @returns below 0: `left` is older; 0: the same; above 0: `left` is newer
 */
export function compareGenerations(left: Generation, right: Generation): number {
  return left.epoch - right.epoch || left.number - right.number;
}

/** The primary of an entry. The codec does not know the relation, so it is checked here. */
export function primaryOf(entry: CombEntry): CombMember | undefined {
  return entry.members[entry.primary];
}

/** Index of a device among the members, or -1. */
export function memberIndex(entry: CombEntry, deviceKey: number): number {
  return entry.members.findIndex((member) => member.deviceKey === deviceKey);
}

export function isInSync(entry: CombEntry, index: number): boolean {
  return index >= 0 && ((entry.inSyncMask >> index) & 1) === 1;
}

export function isTarget(entry: CombEntry, index: number): boolean {
  return index >= 0 && ((entry.targetMask >> index) & 1) === 1;
}

/** Whether a member starts from nothing: what its device remembers of the comb does not count. */
export function isBlank(entry: CombEntry, index: number): boolean {
  return index >= 0 && ((entry.blankMask >> index) & 1) === 1;
}

/**
 * Why an entry cannot be right, or null: masks within the members, disjoint, the primary in sync, no device twice.
 */
export function entryFault(entry: CombEntry): string | null {
  const all = (1 << entry.members.length) - 1;
  if (entry.members.length === 0) return 'has no members';
  if (entry.inSyncMask === 0) return 'has nobody in sync';
  if (((entry.inSyncMask | entry.targetMask | entry.blankMask) & ~all) !== 0)
    return 'has a mask beyond its members';
  if ((entry.inSyncMask & entry.targetMask) !== 0) return 'has a member in sync that is a target';
  if ((entry.inSyncMask & entry.blankMask) !== 0) return 'has a member in sync that is blank';
  if (!isInSync(entry, entry.primary)) return 'has a primary that is not in sync';
  const devices = new Set(entry.members.map((member) => member.deviceKey));
  if (devices.size !== entry.members.length) return 'names a device twice';
  return null;
}
