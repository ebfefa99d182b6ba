// What becomes of one comb entry: pure functions from an entry and what is known of its members to the next entry. They
// uphold C2, C6 and C8; they must never look at a clock or commit anything.
//
// The rule that matters most: a member is taken out of the in-sync set for another member only when that other one gave a
// sign of life after the first was found gone. Otherwise, when both die together, the set would shrink to the one that
// was merely found out later, and the first to come back with all its data could not serve.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { compareGenerations, isBlank, isInSync, isTarget } from '../cluster-map/entry.js';
import { ERR } from '../protocol/generated/constants.js';
import type { Rest } from './rest.js';
import type { CombChangeRequest, CombEntry, CombMember } from '../protocol/generated/types.js';

const MARKS = {
  promoted: mark('mdm: another member became primary'),
  shrunk: mark('mdm: a lost member left the in-sync set'),
  targeted: mark('mdm: a returned member became a target'),
  soleReturned: mark('mdm: the last in-sync member came back in a new life'),
  oneOfTwoReturned: mark('mdm: all in-sync members were lost and one came back'),
  rolledBackWaits: mark('mdm: a rolled back copy waits for the other one'),
  loneReturned: mark('mdm: a rolled back copy returned alone by policy'),
  bothRolledBack: mark('mdm: all that were in sync came back rolled back'),
  proofAwaited: mark('mdm: a change waits for a sign of life of the other copy'),
  targetDropped: mark('mdm: a lost target was dropped'),
  gaveBack: mark('mdm: the preferred primary got its comb back'),
  roleMoved: mark('mdm: the other copy leads a comb in place of one that stays in sync'),
  staleChange: mark('mdm: a change was asked on an older generation'),
  rested: mark('mdm: a member whose device rests left the in-sync set'),
  superfluous: mark('mdm: an admission ended the history of another member'),
};

/** What the MDM knows of a device. */
export interface MemberView {
  /** unknown: this master has not listened for long enough to judge. */
  readonly status: 'alive' | 'dead' | 'unknown';
  /** Of its latest registration, as all below. */
  readonly incarnation: number;
  /** Incarnation whose data it carries on from, 0: none. */
  readonly dataIncarnation: number;
  /** Incarnation in which its data began. */
  readonly dataSince: number;
  /** Latest incarnation that began without acknowledged writes of the one before, 0: none. */
  readonly rolledBackIncarnation: number;
  /** When it last made progress. */
  readonly provenUs: Micros;
  /** When it took its status or incarnation. */
  readonly sinceUs: Micros;
  /** Whether it may be made a target now. */
  readonly mayFill: boolean;
  readonly rest: Rest;
  /** Since when it rests; of no meaning where it does not. */
  readonly restingSinceUs: Micros;
}

export interface ReconcileContext {
  /** Undefined: no such device (any more). */
  readonly view: (deviceKey: number) => MemberView | undefined;
  /** After a double power loss in a volatile mode one copy may return alone. */
  readonly loneReturn: boolean;
}

export type Verdict =
  | { readonly kind: 'keep' }
  /** Cannot be decided before more is known. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'change'; readonly entry: CombEntry; readonly alone: boolean };

type Standing = 'good' | 'returned' | 'gone' | 'unknown';

const KEEP: Verdict = { kind: 'keep' };
const WAIT: Verdict = { kind: 'wait' };

function standing(member: CombMember, view: MemberView | undefined): Standing {
  if (view === undefined || view.status === 'dead') return 'gone';
  if (view.status === 'unknown') return 'unknown';
  return view.incarnation === member.incarnation ? 'good' : 'returned';
}

/** The next generation of an entry, with changes. */
export function next(entry: CombEntry, changes: Partial<CombEntry>): CombEntry {
  const { epoch, number } = entry.generation;
  return { ...entry, ...changes, generation: { epoch, number: number + 1 } };
}

/**
 * The entry that fits what is known of the members.
 *
 * in-sync members that are gone, or came back in a new life, leave the set while another good one is in it; the primary is
 * always in the set; lost targets are dropped; members that are there become targets.
 */
export function reconcile(entry: CombEntry, context: ReconcileContext): Verdict {
  const views = entry.members.map(({ deviceKey }) => context.view(deviceKey));
  const standings = entry.members.map((member, index) => standing(member, views[index]));
  const inSync = standings.map((_, index) => index).filter((index) => isInSync(entry, index));
  const good = inSync.filter((index) => standings[index] === 'good');
  const lost = inSync.filter(
    (index) => standings[index] === 'gone' || standings[index] === 'returned',
  );
  const staying = good.filter((index) => views[index]?.rest !== 'out');
  const resting = good.filter((index) => views[index]?.rest === 'out');
  let { inSyncMask } = entry;
  let revived = -1;
  let alone = false;
  if (resting.length > 0 && staying.length > 0) {
    // As one that is lost: whoever stays has to have been there after the decision that the other rests.
    const foundUs = Math.max(...resting.map((index) => views[index]?.restingSinceUs ?? Infinity));
    const isThere = staying.some((index) => (views[index]?.provenUs ?? -1) > foundUs);
    if (!isThere && lost.length === 0) return WAIT;
    if (isThere) {
      for (const index of resting) inSyncMask &= ~(1 << index);
      MARKS.rested.hits++;
    }
  }
  if (lost.length > 0 && good.length > 0) {
    if (!isProven(staying.length > 0 ? staying : good, lost, views)) {
      MARKS.proofAwaited.hits++;
      return WAIT;
    }
    for (const index of lost) inSyncMask &= ~(1 << index);
    MARKS.shrunk.hits++;
  } else if (lost.length > 0) {
    if (lost.length < inSync.length) return WAIT;
    const choice = chooseSurvivor(entry, lost, standings, views, context.loneReturn);
    if (choice === null) return KEEP;
    revived = choice.index;
    alone = choice.alone;
    inSyncMask = 1 << revived;
  }
  return settle(entry, { standings, views, inSyncMask, revived, alone });
}

/** Whether a good member gave a sign of life after each of the others was found lost. */
function isProven(
  good: readonly number[],
  lost: readonly number[],
  views: readonly (MemberView | undefined)[],
): boolean {
  const foundUs = Math.max(...lost.map((index) => views[index]?.sinceUs ?? -1));
  return good.some((index) => (views[index]?.provenUs ?? -1) > foundUs);
}

/**
 * Nobody in the set is in its old life any more: who of those that came back holds every acknowledged write?
 *
 * @returns null: nobody yet (C8)
 */
function chooseSurvivor(
  entry: CombEntry,
  lost: readonly number[],
  standings: readonly Standing[],
  views: readonly (MemberView | undefined)[],
  loneReturn: boolean,
): { readonly index: number; readonly alone: boolean } | null {
  const back = lost.filter((index) => {
    const view = views[index];
    const member = entry.members[index];
    return (
      standings[index] === 'returned' &&
      view !== undefined &&
      member !== undefined &&
      view.dataIncarnation >= member.incarnation &&
      member.incarnation >= view.dataSince
    );
  });
  // Whatever life of a device rolled back after the one that the entry names: its later lives lack the same writes.
  const whole = back.filter(
    (index) =>
      (views[index]?.rolledBackIncarnation ?? 0) <= (entry.members[index]?.incarnation ?? 0),
  );
  if (whole.length > 0) {
    if (lost.length > 1) MARKS.oneOfTwoReturned.hits++;
    else MARKS.soleReturned.hits++;
    return { index: prefer(whole, entry.primary), alone: false };
  }
  if (back.length === 0) return null;
  if (back.length === lost.length) {
    // A member that was alone acknowledged from media only (C4): rolling back cost it nothing of that.
    MARKS.bothRolledBack.hits++;
    return { index: prefer(back, entry.primary), alone: lost.length > 1 };
  }
  if (!loneReturn) {
    MARKS.rolledBackWaits.hits++;
    return null;
  }
  MARKS.loneReturned.hits++;
  return { index: prefer(back, entry.primary), alone: true };
}

function prefer(candidates: readonly number[], preferred: number): number {
  return candidates.includes(preferred) ? preferred : (candidates[0] ?? preferred);
}

interface Findings {
  readonly standings: readonly Standing[];
  readonly views: readonly (MemberView | undefined)[];
  readonly inSyncMask: number;
  /** Member that carries on in a new life, -1: none. */
  readonly revived: number;
  readonly alone: boolean;
}

/** Targets, incarnations and the primary, once the in-sync set stands. */
function settle(entry: CombEntry, findings: Findings): Verdict {
  const { standings, views, inSyncMask, revived, alone } = findings;
  const served = standings.some(
    (state, index) => ((inSyncMask >> index) & 1) === 1 && (state === 'good' || index === revived),
  );
  let targetMask = 0;
  const members = entry.members.map((member, index) => {
    const state = standings[index] ?? 'gone';
    const now = views[index];
    const isHere = state === 'good' || state === 'returned';
    if (((inSyncMask >> index) & 1) === 1)
      return index === revived && now !== undefined
        ? { ...member, incarnation: now.incarnation }
        : member;
    const rests = now !== undefined && isKeptOut(now, inSyncMask);
    const stays = isTarget(entry, index) && state !== 'gone' && !rests;
    const begins = served && isHere && now?.mayFill === true && !rests;
    if (!stays && !begins) {
      if (isTarget(entry, index)) MARKS.targetDropped.hits++;
      return member;
    }
    targetMask |= 1 << index;
    if (!stays) MARKS.targeted.hits++;
    return isHere && now !== undefined ? { ...member, incarnation: now.incarnation } : member;
  });
  const primary = choosePrimary(entry, inSyncMask, standings, revived);
  if (primary !== entry.primary) MARKS.promoted.hits++;
  const isSame =
    inSyncMask === entry.inSyncMask &&
    targetMask === entry.targetMask &&
    primary === entry.primary &&
    members.every(
      (member, index) => member === entry.members[index] || sameLife(member, entry.members[index]),
    );
  return isSame
    ? KEEP
    : { kind: 'change', entry: next(entry, { members, primary, inSyncMask, targetMask }), alone };
}

/** Whether a member that rests is not filled: never where it is out, otherwise where two others are whole. */
function isKeptOut({ rest }: MemberView, inSyncMask: number): boolean {
  if (rest === 'none') return false;
  return rest === 'out' || (inSyncMask & (inSyncMask - 1)) !== 0;
}

function sameLife(left: CombMember, right: CombMember | undefined): boolean {
  return left.deviceKey === right?.deviceKey && left.incarnation === right.incarnation;
}

function choosePrimary(
  entry: CombEntry,
  inSyncMask: number,
  standings: readonly Standing[],
  revived: number,
): number {
  const stays = (index: number): boolean => ((inSyncMask >> index) & 1) === 1;
  // Also a primary of which nothing is known yet stays: only one that was found lost is replaced.
  if (stays(entry.primary)) return entry.primary;
  const candidate = standings.findIndex((state, index) => stays(index) && state === 'good');
  return candidate >= 0 ? candidate : revived;
}

/**
 * The change that a primary asks for (C2).
 *
 * @param asker - device and incarnation that asks
 * @param isThere - whether the member that shall be admitted is registered in the life that the entry names
 * @param unitOf - what fails together with a device
 * @returns the new entry, or an error code
 */
export function requestedChange(
  entry: CombEntry,
  request: CombChangeRequest,
  asker: CombMember,
  isThere: (member: CombMember) => boolean,
  unitOf: (deviceKey: number) => number,
): CombEntry | number {
  if (compareGenerations(entry.generation, request.generation) !== 0) {
    MARKS.staleChange.hits++;
    return ERR.STALE_GENERATION;
  }
  if (!sameLife(asker, entry.members[entry.primary])) return ERR.NOT_PRIMARY;
  const index = entry.members.findIndex((member) => sameLife(member, request.member));
  if (index < 0) return ERR.CONFLICT;
  const bit = 1 << index;
  if (request.change === 'shrink') {
    if (index === entry.primary) return ERR.CONFLICT;
    if (((entry.inSyncMask | entry.targetMask) & bit) === 0) return ERR.CONFLICT;
    return next(entry, {
      inSyncMask: entry.inSyncMask & ~bit,
      targetMask: entry.targetMask & ~bit,
    });
  }
  if (!isTarget(entry, index) || !isThere(request.member)) return ERR.CONFLICT;
  const admitted = withoutHistories(
    next(entry, {
      inSyncMask: entry.inSyncMask | bit,
      targetMask: entry.targetMask & ~bit,
      blankMask: entry.blankMask & ~bit,
    }),
    unitOf,
  );
  // Somebody else is on its way, once it is seen that these two do not lie apart.
  const units = new Set(admitted.members.map(({ deviceKey }) => unitOf(deviceKey)));
  return units.size < 2 ? ERR.CONFLICT : admitted;
}

/**
 * The entry after an admission, without those whose history it ends. A copy that was filled knows of every chunk that it
 * was given, but not of one that had been discarded before: a member that left earlier may still hold that, and would not
 * be told if the new copy led its resync. So whoever is neither in sync nor blank is dropped; where the copies in sync do
 * not lie apart, he stays as one that starts from nothing.
 */
function withoutHistories(entry: CombEntry, unitOf: (deviceKey: number) => number): CombEntry {
  const keeps = (index: number): boolean => isInSync(entry, index) || isBlank(entry, index);
  if (entry.members.every((_, index) => keeps(index))) return entry;
  MARKS.superfluous.hits++;
  const units = new Set(
    entry.members.flatMap(({ deviceKey }, index) =>
      isInSync(entry, index) ? [unitOf(deviceKey)] : [],
    ),
  );
  if (units.size >= 2) return withMembers(entry, (_, index) => keeps(index));
  const all = (1 << entry.members.length) - 1;
  return {
    ...entry,
    targetMask: entry.targetMask & entry.blankMask,
    blankMask: all & ~entry.inSyncMask,
  };
}

/** The entry with some of its members, in the same generation. The primary must be among them. */
export function withMembers(
  entry: CombEntry,
  stays: (member: CombMember, index: number) => boolean,
): CombEntry {
  const places = entry.members.flatMap((member, index) => (stays(member, index) ? [index] : []));
  const squeeze = (mask: number): number =>
    places.reduce((sum, index, place) => sum | (((mask >> index) & 1) << place), 0);
  return {
    ...entry,
    members: entry.members.filter((_, index) => places.includes(index)),
    primary: places.indexOf(entry.primary),
    inSyncMask: squeeze(entry.inSyncMask),
    targetMask: squeeze(entry.targetMask),
    blankMask: squeeze(entry.blankMask),
  };
}

/**
 * The entry with its preferred primary, the first member, or null when that is so already or the comb is not whole.
 *
 * One of two ways in which a member that stays in sync gives up being primary; `withoutPrimary` is the other one. A primary
 * that came back so within two entries could settle what it had forwarded before at a member that missed the entry between.
 * So after a switch in one of the two ways nobody is switched in the other one before both members have applied the first:
 * `isGood` has to say that. Twice in the same way is not possible without a shrink.
 */
export function withPreferredPrimary(
  entry: CombEntry,
  isGood: (member: CombMember) => boolean,
): CombEntry | null {
  if (entry.primary === 0 || entry.members.length !== 2) return null;
  if (entry.inSyncMask !== 3 || !entry.members.every(isGood)) return null;
  MARKS.gaveBack.hits++;
  return next(entry, { primary: 0 });
}

/**
 * The entry led by the other member, or null when this device does not lead it, or the comb is not whole. See
 * `withPreferredPrimary`.
 *
 * @param mayLead - whether a member is good, and has applied the last switch of the other kind
 */
export function withoutPrimary(
  entry: CombEntry,
  deviceKey: number,
  mayLead: (member: CombMember) => boolean,
): CombEntry | null {
  if (entry.members[entry.primary]?.deviceKey !== deviceKey || entry.members.length !== 2)
    return null;
  if (entry.inSyncMask !== 3 || !entry.members.every(mayLead)) return null;
  MARKS.roleMoved.hits++;
  return next(entry, { primary: 1 - entry.primary });
}

/**
 * The entry without a device, or null when the device holds a good copy: then it must stay.
 */
export function withoutMember(entry: CombEntry, deviceKey: number): CombEntry | null {
  const index = entry.members.findIndex((member) => member.deviceKey === deviceKey);
  if (index < 0) return entry;
  if (isInSync(entry, index)) return null;
  return next(
    withMembers(entry, (_, other) => other !== index),
    {},
  );
}
