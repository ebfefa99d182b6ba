// Where the copies of a pool with data shall lie, and the next entry of a comb on the way there: pure functions of entries
// and of what is known of devices. They uphold that a move never leaves a comb with fewer copies in sync, and that what is
// on its way goes on: the plan follows from the committed entries alone, whoever makes it. They must never commit.
//
// A comb moves in two or three entries: another device becomes a target that starts from nothing; its primary admits it;
// whoever is not wanted any more leaves.

import { isBlank, isInSync, isTarget, memberIndex } from '../cluster-map/entry.js';
import { mark } from '../core/marks.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type { CombEntry, CombMember } from '../protocol/generated/types.js';
import { canPlace, complete, emptyPlan } from './placement.js';
import { NOBODY } from './placement-plan.js';
import type { Pair, Place, Plan } from './placement-plan.js';
import { next, withMembers } from './reconcile.js';

const MARKS = {
  began: mark('mdm: a comb got a target on another device'),
  replaced: mark('mdm: a target on another device was given up for a third'),
  ended: mark('mdm: whoever was not wanted any more left a comb'),
  primaryLeft: mark('mdm: a primary left a comb whose data was moved'),
  rests: mark('mdm: a member rests, its data is on two others'),
  calledOff: mark('mdm: a target on another device was not needed any more'),
  spared: mark('mdm: a copy beyond two left a comb that needs its place for a target'),
};

/** What is known of the devices of a pool. */
export interface MoveView {
  /** Devices that keep what they have: there, or away for a short while, and not to be removed. */
  readonly places: readonly Place[];
  /** Whether a device is alive in the life that an entry names. */
  readonly isGood: (member: CombMember) => boolean;
  /** Devices of the same unit fail together: key of the fault set or SDS. */
  readonly unitOf: (deviceKey: number) => number;
  /** Whether a device has no room for what it is being filled with. */
  readonly isFull: (deviceKey: number) => boolean;
  /** Combs that a device may take part in the moves of at the same time. */
  readonly perDevice: number;
  /** Members that are kept although they have no place: out: they rest, back: they get what they missed; null: others. */
  readonly stays: (deviceKey: number) => 'out' | 'back' | null;
}

/** What is moved only to spread the data is planned a few steps ahead: all of it would take long, and is planned anew soon. */
const BALANCE_MIN = 64;

/** A member of an entry and what it is there. */
interface Standing {
  /** Of its device in the plan. */
  readonly at: number;
  readonly rank: number;
}

/** Who stays where there is a choice: the lower, the rather. */
const RANK = { inSync: 0, catchingUp: 1, filling: 2, away: 3 } as const;

/** The two devices on which each comb shall lie; null: the pool has no room for two copies apart. */
export function wantedPlan(combs: readonly CombEntry[], view: MoveView): Plan | null {
  const { places } = view;
  if (!canPlace(places)) return null;
  const plan = emptyPlan(places, combs.length);
  new Draft(plan, view).take(combs);
  complete(plan, places, BALANCE_MIN + view.perDevice * plan.deviceCount);
  return plan;
}

/** Whether a comb lies where it shall: nearly all of them do, nearly always. */
export function isAtRest({ members, inSyncMask, index }: CombEntry, plan: Plan): boolean {
  const [first, second] = members;
  if (members.length !== 2 || inSyncMask !== 3 || first === undefined || second === undefined)
    return false;
  return plan.isOn(index, first.deviceKey, second.deviceKey);
}

/** Puts into a plan what is there, before anything is placed for what is missing. */
class Draft {
  private readonly plan: Plan;
  private readonly view: MoveView;
  /** Copies by position of the device. */
  private readonly held: Int32Array;

  constructor(plan: Plan, view: MoveView) {
    this.plan = plan;
    this.view = view;
    this.held = new Int32Array(plan.deviceCount);
  }

  take(combs: readonly CombEntry[]): void {
    const open: { readonly entry: CombEntry; readonly all: readonly Standing[] }[] = [];
    for (const entry of combs) {
      if (this.takeWhole(entry)) continue;
      const all = this.standings(entry);
      this.put(entry.index, this.firstPair(all));
      const isFilling = all.some(({ rank }) => rank === RANK.filling);
      const inSync = all.filter(({ rank }) => rank === RANK.inSync).length;
      // Nothing is spread anew that is not whole, or on its way already: who is to leave leaves first.
      const isOnItsWay = isFilling || entry.members.length > 2;
      if (isOnItsWay || inSync !== 2) this.plan.pin(entry.index);
      if (inSync >= 2 && all.length > 2) open.push({ entry, all });
    }
    // What one of them settles may be what another one waits for: a copy that goes by way of a third device.
    const left = open.filter(({ entry, all }) => !this.choose(entry, all));
    for (const { entry, all } of left) this.choose(entry, all);
  }

  /** Two copies in sync on devices that stay; false: it is not as simple as that. */
  private takeWhole({ index, members, inSyncMask }: CombEntry): boolean {
    const [first, second] = members;
    if (members.length !== 2 || inSyncMask !== 3 || first === undefined || second === undefined)
      return false;
    const one = this.plan.positionOf(first.deviceKey);
    const other = this.plan.positionOf(second.deviceKey);
    if (!this.plan.areApart(one, other)) return false;
    this.put(index, [one, other]);
    return true;
  }

  private put(comb: number, [first, second]: readonly [number, number]): void {
    this.plan.set(comb, first, second);
    this.count(first, 1);
    this.count(second, 1);
  }

  /** Members on devices that stay, the surest first. */
  private standings(entry: CombEntry): Standing[] {
    const { isGood, isFull } = this.view;
    const list: Standing[] = [];
    entry.members.forEach((member, index) => {
      const { deviceKey } = member;
      const at = this.plan.positionOf(deviceKey);
      if (at === NOBODY) return;
      if (isInSync(entry, index)) list.push({ at, rank: RANK.inSync });
      else if (isBlank(entry, index)) {
        const isFilling = isTarget(entry, index) && isGood(member) && !isFull(deviceKey);
        if (isFilling) list.push({ at, rank: RANK.filling });
      } else list.push({ at, rank: isTarget(entry, index) ? RANK.catchingUp : RANK.away });
    });
    return list.sort((one, other) => one.rank - other.rank);
  }

  private firstPair(all: readonly Standing[]): readonly [number, number] {
    const first = all[0]?.at ?? NOBODY;
    return [first, all.find(({ at }) => this.plan.areApart(first, at))?.at ?? NOBODY];
  }

  /**
   * Three that could stay: the one that has most beyond its share goes, where that helps.
   *
   * @returns whether the third one stays
   */
  private choose({ index }: CombEntry, all: readonly Standing[]): boolean {
    const { plan } = this;
    const base = [plan.firstOf(index), plan.secondOf(index)] as const;
    const third = all.find(({ at, rank }) => rank !== RANK.away && !base.includes(at));
    if (third === undefined || third.rank === RANK.catchingUp) return false;
    const leaver = base
      .filter((at) => plan.areApart(base[0] === at ? base[1] : base[0], third.at))
      .sort((one, other) => this.excess(other) - this.excess(one))[0];
    // A copy that goes by way of a third device takes two steps, of which one alone relieves only one of the two.
    if (leaver === undefined || this.excess(leaver) - this.excess(third.at) < 2) return false;
    this.count(leaver, -1);
    this.count(third.at, 1);
    plan.set(
      index,
      base[0] === leaver ? third.at : base[0],
      base[0] === leaver ? base[1] : third.at,
    );
    return true;
  }

  private excess(at: number): number {
    return (this.held[at] ?? 0) - this.plan.quotaOf(at);
  }

  private count(at: number, by: number): void {
    if (at !== NOBODY) this.held[at] = (this.held[at] ?? 0) + by;
  }
}

/**
 * The entry without those that are not wanted, once both that are wanted are in sync and alive; else null. The first of
 * the pair is the preferred primary. Whoever rests stays a member that is not in sync, so that he gets only what changed
 * when he comes back; while he does, the move is not ended.
 */
export function endedMove(
  entry: CombEntry,
  pair: Pair,
  { isGood, stays }: Pick<MoveView, 'isGood' | 'stays'>,
): CombEntry | null {
  const wanted = pair.map((key) => memberIndex(entry, key));
  const isDone = wanted.every((index) => {
    const member = entry.members[index];
    return isInSync(entry, index) && member !== undefined && isGood(member);
  });
  if (!isDone || entry.members.length === 2) return null;
  const others = entry.members.flatMap((_, index) => (wanted.includes(index) ? [] : [index]));
  const staysAt = (index: number): 'out' | 'back' | null =>
    isBlank(entry, index) ? null : stays(entry.members[index]?.deviceKey ?? 0);
  if (others.some((index) => staysAt(index) === 'back' && !isInSync(entry, index))) return null;
  const kept = others.filter((index) => staysAt(index) === 'out');
  const isIdle = (index: number): boolean => !isInSync(entry, index) && !isTarget(entry, index);
  if (kept.length === others.length && kept.every(isIdle)) return null;
  MARKS.ended.hits++;
  if (entry.blankMask !== 0) MARKS.calledOff.hits++;
  if (kept.length > 0) MARKS.rests.hits++;
  const members = [...wanted, ...kept].flatMap((index) => entry.members[index] ?? []);
  const before = wanted.indexOf(entry.primary);
  if (before < 0) MARKS.primaryLeft.hits++;
  return next(entry, {
    members,
    primary: Math.max(0, before),
    ...{ inSyncMask: 3, targetMask: 0, blankMask: 0 },
  });
}

/** A device that is to be filled, in its present life. */
export type NewMember = CombMember;

/**
 * The wanted device that a comb lacks, 0: none, or one is being filled already. Where all good copies lie in one unit, a
 * device of another one goes first, also before one of theirs that is being filled: that could not be admitted (scenario
 * filled-beside-the-last-copy).
 */
export function lackingDevice(
  entry: CombEntry,
  pair: Pair,
  { isGood, unitOf }: Pick<MoveView, 'isGood' | 'unitOf'>,
): number {
  const good = entry.members.filter((member, index) => isInSync(entry, index) && isGood(member));
  const units = new Set(good.map(({ deviceKey }) => unitOf(deviceKey)));
  const isApart = (key: number): boolean => units.size !== 1 || !units.has(unitOf(key));
  const isFilling = entry.members.some(
    (member, index) =>
      isBlank(entry, index) &&
      isTarget(entry, index) &&
      isGood(member) &&
      pair.includes(member.deviceKey) &&
      isApart(member.deviceKey),
  );
  if (isFilling) return 0;
  const lacking = pair.filter((key) => {
    const index = memberIndex(entry, key);
    return index < 0 || (isBlank(entry, index) && !isTarget(entry, index));
  });
  return lacking.find(isApart) ?? lacking[0] ?? 0;
}

/** A copy that is neither wanted nor primary, and without which two that are alive lie in two units; -1: there is none. */
function sparedCopy(
  entry: CombEntry,
  pair: Pair,
  { isGood, unitOf }: Pick<MoveView, 'isGood' | 'unitOf'>,
): number {
  return entry.members.findIndex(({ deviceKey }, spared) => {
    if (spared === entry.primary || pair.includes(deviceKey)) return false;
    const units = entry.members
      .filter((other, index) => index !== spared && isInSync(entry, index) && isGood(other))
      .map((other) => unitOf(other.deviceKey));
    return new Set(units).size >= 2;
  });
}

/**
 * The entry with a target that starts from nothing. Others that do, and were given up, leave with the same entry. Where the
 * comb has as many members as it can have, one leaves that nobody needs: who is away, or else a copy beyond two others
 * that stay alive in two units.
 *
 * @param pair - devices on which the comb shall lie: none of them leaves
 * @returns null: the comb has as many members as it can have, and none of them can go
 */
export function begunMove(
  entry: CombEntry,
  added: NewMember,
  pair: Pair,
  view: Pick<MoveView, 'isGood' | 'unitOf'>,
): CombEntry | null {
  let kept = withMembers(entry, (_, index) => !isBlank(entry, index));
  if (kept.members.length >= LIMIT.combMembersMax) {
    const away = kept.members.findIndex(
      (_, index) => !isInSync(kept, index) && !isTarget(kept, index),
    );
    const leaver = away < 0 ? sparedCopy(kept, pair, view) : away;
    if (leaver < 0) return null;
    if (away < 0) MARKS.spared.hits++;
    kept = withMembers(kept, (_, index) => index !== leaver);
  }
  MARKS.began.hits++;
  if (entry.blankMask !== 0) MARKS.replaced.hits++;
  const bit = 1 << kept.members.length;
  return next(kept, {
    members: [...kept.members, added],
    targetMask: kept.targetMask | bit,
    blankMask: kept.blankMask | bit,
  });
}
