// One comb as a data process knows it: its committed entry, the part of this device in it, and, at the primary, how far
// each other member has come. It owns the shape of that state; adoption, peering, resync and leases change it.

import type { BlockRange, CombEntry, Generation } from '../protocol/generated/types.js';
import { isInSync, isTarget } from '../cluster-map/entry.js';
import type { CopyRange } from './block-ranges.js';
import type { PeerDevice } from './peer.js';

export const NO_GENERATION: Generation = { epoch: 0, number: 0 };

/** What this device is in a comb. */
export const PART = { none: 0, primary: 1, inSync: 2, target: 3 } as const;
export type Part = (typeof PART)[keyof typeof PART];

/** How far a target is. From `draining` on, acknowledgements wait for it. */
export const CATCH_UP = { idle: 0, stuck: 1, copying: 2, draining: 3, admitting: 4 } as const;
export type CatchUp = (typeof CATCH_UP)[keyof typeof CATCH_UP];

/** Another member, at the primary. Kept across entries as long as device and incarnation stay. */
export class Member {
  readonly peer: PeerDevice;
  readonly incarnation: number;
  inSync = false;
  target = false;
  /** A target that starts from nothing. */
  blank = false;
  /** It goes by the present entry on the present link: what is forwarded reaches it in order. */
  joined = false;
  /** Goes up when it has to start anew: copies that were under way stop. */
  session = 0;
  /** Number of the PEER_JOIN that is not answered, 0: none. */
  joinTag = 0;
  /** What its answer to PEER_JOIN listed so far. */
  ranges: BlockRange[] = [];
  inSyncUntil: Generation = NO_GENERATION;

  catchUp: CatchUp = CATCH_UP.idle;
  /** Chunks to copy to it, and how many of them were begun and ended. */
  work: CopyRange[] = [];
  workNext = 0;
  workDone = 0;
  /** Everything that it needs lies at or before this tag. */
  drainTag = 0;
  /** When to try again after a copy that could not be made. */
  retryAtUs = Infinity;
  /** It refused for lack of room what it has to have: it must leave the set (C12). */
  full = false;

  constructor(peer: PeerDevice, incarnation: number) {
    this.peer = peer;
    this.incarnation = incarnation;
  }

  /** Acknowledgements wait for it: in sync, or asked to be admitted (C3, C5). */
  get required(): boolean {
    return this.inSync || this.catchUp >= CATCH_UP.draining;
  }

  /** The present link does not count any more. */
  unjoin(): void {
    this.session++;
    this.joined = false;
    this.ranges = [];
    if (this.catchUp !== CATCH_UP.admitting) this.catchUp = CATCH_UP.idle;
    this.work = [];
    this.workNext = 0;
    this.workDone = 0;
    this.retryAtUs = Infinity;
    this.full = false;
  }
}

export class Comb {
  readonly index: number;
  entry: CombEntry | null = null;
  epoch = 0;
  number = 0;
  /** The entry as refusals carry it. */
  entryBytes: Uint8Array = new Uint8Array(0);
  part: Part = PART.none;
  /** The primary, unless that is this device. */
  primary: PeerDevice | null = null;
  primaryIncarnation = 0;
  inSyncUntil: Generation = NO_GENERATION;
  changedSince: Generation = NO_GENERATION;

  // At the primary.
  /** Operations of clients are served. */
  active = false;
  /** Newly primary: the copies must be made equal first (C7). */
  fresh = false;
  /** They are. */
  equal = false;
  /** Copies that make them equal and are not done, -1: not begun. */
  equalizing = -1;
  /** Everything that makes them equal lies at or before this position here. */
  equalizeLsn = 0;
  /** Nobody else may serve reads after these times (C5). */
  graces: { readonly peer: PeerDevice; readonly untilUs: number }[] = [];
  members: Member[] = [];
  /** Those of them to which changes are forwarded. */
  forward: Member[] = [];
  /** Nobody else is in sync: acknowledge from media only (C4). */
  alone = false;
  /** Alone since the entry at this position: what was completed before it is durable with it. */
  aloneLsn = 0;
  /** A change that was asked of the MDM and not answered. */
  asking = false;
  askAgainUs = 0;

  /** Whose digests count it: members, if the primary has the key of this device; the primary otherwise. */
  countedOurs: PeerDevice[] = [];
  countedTheirs: PeerDevice | null = null;

  // At a member.
  /** From whom, and as of which entry, forwarded changes are taken. */
  joinedFrom: PeerDevice | null = null;
  joinedEpoch = 0;
  joinedNumber = 0;

  // Settling of changes that were made under an earlier regime.
  /** LSN of the oldest of them, 0: none. */
  unresolvedLsn = 0;
  /** At a member: settled when the primary settles this tag; 0: not known yet. */
  resolveTag = 0;
  /** At the primary: settled with this round of settling; 0: not known yet. */
  resolveRound = 0;

  constructor(index: number) {
    this.index = index;
  }

  isAt(epoch: number, number: number): boolean {
    return this.epoch === epoch && this.number === number;
  }

  generation(): Generation {
    return { epoch: this.epoch, number: this.number };
  }

  /** Whatever was done to make the copies equal does not count any more. */
  startEqualAnew(): void {
    this.equal = false;
    this.equalizing = -1;
    this.equalizeLsn = 0;
  }

  /** Computes again to whom changes go. */
  refreshForward(): void {
    this.forward = this.members.filter((member) => member.joined);
  }

  memberOf(peer: PeerDevice): Member | undefined {
    return this.members.find((member) => member.peer === peer);
  }
}

/** The part of a device in an entry; a device counts only in the life that the entry names. */
export function partOf(entry: CombEntry, deviceKey: number, incarnation: number): Part {
  const index = entry.members.findIndex(
    (member) => member.deviceKey === deviceKey && member.incarnation === incarnation,
  );
  if (index < 0) return PART.none;
  if (isInSync(entry, index)) return index === entry.primary ? PART.primary : PART.inSync;
  return isTarget(entry, index) ? PART.target : PART.none;
}

/** Order of two generations given as numbers: below 0, 0, above 0. */
export function compareAt(
  epoch: number,
  number: number,
  otherEpoch: number,
  otherNumber: number,
): number {
  return epoch - otherEpoch || number - otherNumber;
}
