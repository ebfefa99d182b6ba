// Adoption of committed entries (C2): the only place where this device's part in a comb changes. It owns the order: take
// over, persist, stamp anew what is unsettled (C6), then act. It must never take over an entry that is not newer than
// the one it goes by.

import { entryFault, isBlank, memberIndex } from '../cluster-map/entry.js';
import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { ENTRY_VERSION, decodeStored, encodeStored, encodeStruct } from '../protocol/control.js';
import type { CombEntry } from '../protocol/generated/types.js';
import { CATCH_UP, Member, NO_GENERATION, PART, compareAt, partOf } from './comb.js';
import type { Comb, Part } from './comb.js';
import type { PeerDevice } from './peer.js';
import type { MembershipPart, Shared } from './shared.js';
import type { SavedEntry } from './store/store.js';

const MARKS = {
  promoted: mark('sds.membership: became primary'),
  demoted: mark('sds.membership: stopped being primary'),
  alone: mark('sds.membership: is the only copy in sync now'),
  left: mark('sds.membership: left the set'),
  admitted: mark('sds.membership: is in sync again'),
  fenced: mark('sds.membership: an admission was called off'),
  ended: mark('sds.membership: told an entry to those who took changes until then'),
  blanked: mark('sds.membership: a target that was catching up has to start from nothing'),
  skipped: mark('sds.membership: adopted an entry after missing some'),
};

/** What an entry replaced. */
interface Before {
  readonly known: boolean;
  readonly part: Part;
  readonly primary: PeerDevice | null;
  readonly primaryIncarnation: number;
  readonly epoch: number;
  readonly number: number;
  readonly others: readonly PeerDevice[];
}

export class Membership implements MembershipPart {
  private readonly shared: Shared;
  /** LSN of the newest entries that were persisted. */
  savedLsn = 0;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  /** Takes in what the device remembers, after it was opened. */
  load(nowUs: Micros): void {
    const { store } = this.shared;
    for (const saved of store.entries()) {
      if (saved.bytes.length === 0) continue;
      const memory = decodeStored('CombMemory', saved.bytes);
      const comb = this.shared.makeComb(memory.entry.index);
      this.install(nowUs, comb, memory.entry);
      comb.inSyncUntil = memory.inSyncUntil;
      comb.changedSince = memory.changedSince;
      // What is left of a comb that is carried no more is nobody's concern.
      const isMember = memberIndex(memory.entry, this.shared.deviceKey) >= 0;
      for (const range of isMember ? store.unsettledRanges(comb.index) : []) {
        assert(range.comb === comb.index, 'unsettled ranges are of the comb asked for');
        this.shared.parts.settling.regimeEnds(comb, 1);
        break;
      }
      // What was read from the device is durable.
      this.shared.parts.leftovers.adopted(comb, 0);
    }
  }

  adopt(nowUs: Micros, entries: Iterable<CombEntry>): void {
    const changed: { readonly comb: Comb; readonly before: Before }[] = [];
    for (const entry of entries) {
      const comb = this.combFor(entry);
      if (comb === null) continue;
      const before = remember(comb, this.shared.deviceKey, (key) => this.shared.peerOf(nowUs, key));
      this.install(nowUs, comb, entry);
      this.noteHistory(comb);
      changed.push({ comb, before });
    }
    if (changed.length === 0) return;
    const { store } = this.shared;
    this.savedLsn = store.saveEntries(changed.map(({ comb }) => saved(comb, store.format)));
    store.wantDurable(this.savedLsn);
    for (const { comb } of changed) if (comb.alone) comb.aloneLsn = this.savedLsn;
    this.tellEnded(changed);
    for (const { comb, before } of changed) this.act(nowUs, comb, before);
    for (const { comb } of changed) this.shared.parts.leftovers.adopted(comb, this.savedLsn);
  }

  /**
   * Who took changes of a comb from this device and does so no more learns the entry on this link before anything else: a
   * member that took SETTLED for a change that a third copy lacks, and only then the entry, would neither tell its next
   * primary of that change nor stamp its chunk anew.
   */
  private tellEnded(changed: readonly { readonly comb: Comb; readonly before: Before }[]): void {
    const news = new Map<PeerDevice, CombEntry[]>();
    for (const { comb, before } of changed) {
      if (before.part !== PART.primary || comb.entry === null) continue;
      for (const peer of before.others) {
        if (!peer.up || comb.memberOf(peer) !== undefined) continue;
        const entries = news.get(peer) ?? [];
        entries.push(comb.entry);
        news.set(peer, entries);
      }
    }
    for (const [peer, entries] of news) {
      MARKS.ended.hits++;
      this.shared.parts.leases.tellEntries(peer, entries);
    }
  }

  /** The comb if the entry is sound and news to it, else null. */
  private combFor(entry: CombEntry): Comb | null {
    const { deviceKey } = this.shared;
    // A pool that got more combs may be told by another member before the map of it comes.
    if (entryFault(entry) !== null) return null;
    const comb = this.shared.comb(entry.index);
    if (comb?.entry === undefined || comb.entry === null)
      return entry.members.some((member) => member.deviceKey === deviceKey)
        ? this.shared.makeComb(entry.index)
        : null;
    const { epoch, number } = entry.generation;
    return compareAt(epoch, number, comb.epoch, comb.number) > 0 ? comb : null;
  }

  private install(nowUs: Micros, comb: Comb, entry: CombEntry): void {
    const { deviceKey, incarnation } = this.shared;
    this.count(comb, -1);
    const primary = entry.members[entry.primary];
    assert(primary !== undefined, 'a sound entry has its primary among its members');
    comb.entry = entry;
    comb.epoch = entry.generation.epoch;
    comb.number = entry.generation.number;
    comb.entryBytes = encodeStruct('CombEntry', entry, ENTRY_VERSION);
    comb.part = partOf(entry, deviceKey, incarnation);
    comb.primary =
      primary.deviceKey === deviceKey ? null : this.shared.peerOf(nowUs, primary.deviceKey);
    comb.primaryIncarnation = primary.incarnation;
    comb.alone = (entry.inSyncMask & (entry.inSyncMask - 1)) === 0;
    comb.countedOurs = [];
    comb.countedTheirs = null;
    entry.members.forEach((member, index) => {
      const takesPart = (((entry.inSyncMask | entry.targetMask) >> index) & 1) === 1;
      if (!takesPart || index === entry.primary) return;
      if (primary.deviceKey === deviceKey)
        comb.countedOurs.push(this.shared.peerOf(nowUs, member.deviceKey));
      else if (member.deviceKey === deviceKey) comb.countedTheirs = comb.primary;
    });
    this.count(comb, 1);
    this.installMembers(nowUs, comb, entry);
  }

  /** Members keep what they have reached as long as their place allows it. */
  private installMembers(nowUs: Micros, comb: Comb, entry: CombEntry): void {
    const before = comb.members;
    comb.members = [];
    if (comb.part === PART.primary)
      entry.members.forEach((told, index) => {
        const inSync = ((entry.inSyncMask >> index) & 1) === 1;
        const target = ((entry.targetMask >> index) & 1) === 1;
        if (index === entry.primary || (!inSync && !target)) return;
        const peer = this.shared.peerOf(nowUs, told.deviceKey);
        const known = before.find(
          (member) => member.peer === peer && member.incarnation === told.incarnation,
        );
        const member = known ?? new Member(peer, told.incarnation);
        const wasAsked = member.catchUp === CATCH_UP.admitting;
        if (wasAsked) member.catchUp = CATCH_UP.idle;
        // Out of the set, or not admitted after all: whatever it has, it starts anew.
        if (target && (member.inSync || wasAsked)) {
          MARKS.fenced.hits += wasAsked ? 1 : 0;
          member.unjoin();
        }
        // Its history ended: what was to be copied by that is not enough, it has to tell all that it has.
        const blank = isBlank(entry, index);
        if (blank && !member.blank && member.target) {
          MARKS.blanked.hits++;
          member.unjoin();
        }
        if (inSync) member.catchUp = CATCH_UP.idle;
        member.inSync = inSync;
        member.target = target;
        member.blank = blank;
        comb.members.push(member);
      });
    for (const member of before) if (!comb.members.includes(member)) member.unjoin();
    comb.refreshForward();
  }

  private count(comb: Comb, sign: 1 | -1): void {
    for (const peer of comb.countedOurs) {
      peer.ours.count(sign, comb.index, comb.epoch, comb.number);
      if (sign > 0) this.shared.parts.leases.askSoon(peer);
    }
    comb.countedTheirs?.theirs.count(sign, comb.index, comb.epoch, comb.number);
  }

  /**
   * C6: since when this copy may differ from those in sync. Who is no member, or starts from nothing, has no history:
   * what it still holds is freed, or told to the primary as a whole.
   */
  private noteHistory(comb: Comb): void {
    const { entry } = comb;
    const index = entry === null ? -1 : memberIndex(entry, this.shared.deviceKey);
    if (entry === null || index < 0 || isBlank(entry, index)) {
      comb.inSyncUntil = NO_GENERATION;
      comb.changedSince = NO_GENERATION;
    } else if (comb.part === PART.primary || comb.part === PART.inSync) {
      comb.inSyncUntil = comb.generation();
      comb.changedSince = NO_GENERATION;
    } else if (comb.changedSince.epoch === 0 && comb.changedSince.number === 0)
      comb.changedSince = comb.generation();
  }

  private act(nowUs: Micros, comb: Comb, before: Before): void {
    const { parts } = this.shared;
    if (before.known) this.stampAnew(comb);
    this.keepOrDropJoin(comb, before);
    this.endRegime(comb, before);
    if (before.part === PART.primary && comb.part !== PART.primary) this.demote(nowUs, comb);
    else if (before.part !== PART.primary && comb.part === PART.primary)
      this.promote(nowUs, comb, before);
    else if (comb.part === PART.primary) {
      parts.stability.membersChanged(nowUs, comb);
      parts.serve.membersChanged(nowUs);
    }
    this.mark(comb, before);
    if (comb.part === PART.primary) {
      parts.peering.open(nowUs, comb);
      parts.changes.consider(comb);
    }
  }

  /** Another copy may lack what is unsettled: "stamped after it left" must cover that. */
  private stampAnew(comb: Comb): void {
    const { store, parts } = this.shared;
    const lsn = store.restampUnsettled(comb.index, comb.epoch, comb.number);
    store.wantDurable(lsn);
    parts.settling.stamped(lsn);
  }

  /**
   * At a member: the primary may not know the new entry yet. Its changes are still good if it is primary in the entry
   * right before as well, and keeps this device at least as close.
   */
  private keepOrDropJoin(comb: Comb, before: Before): void {
    if (comb.joinedFrom === null) return;
    const samePrimary =
      comb.primary === comb.joinedFrom &&
      before.primary === comb.primary &&
      before.primaryIncarnation === comb.primaryIncarnation;
    const next = comb.epoch === comb.joinedEpoch && comb.number === comb.joinedNumber + 1;
    const stays =
      comb.part === PART.inSync || (comb.part === PART.target && before.part === PART.target);
    if (!samePrimary || !next || !stays) comb.joinedFrom = null;
  }

  private endRegime(comb: Comb, before: Before): void {
    const { settling } = this.shared.parts;
    const isInSync = comb.part === PART.primary || comb.part === PART.inSync;
    // It may become the only copy in its present life: what others lack must then be stamped anew (seed 40001314).
    if (!isInSync && wasInSyncBefore(comb.entry, this.shared.deviceKey)) return;
    if (!isInSync || comb.alone) {
      settling.resolved(comb);
      return;
    }
    const samePrimary =
      before.part === PART.primary
        ? comb.part === PART.primary
        : comb.primary === before.primary && comb.primaryIncarnation === before.primaryIncarnation;
    if (samePrimary) return;
    if (before.part === PART.primary) settling.regimeEnds(comb, settling.ownSettledLsn() + 1);
    else if (before.primary !== null && before.part !== PART.none)
      settling.regimeEnds(comb, before.primary.in.oldestUnsettledLsn());
  }

  private demote(nowUs: Micros, comb: Comb): void {
    comb.active = false;
    comb.fresh = false;
    this.shared.parts.serve.interrupt(nowUs, comb);
    if (comb.primary !== null) this.shared.parts.leases.release(comb, comb.primary);
  }

  /** C5: whoever may have served reads until now must have lost its lease first. */
  private promote(nowUs: Micros, comb: Comb, before: Before): void {
    comb.active = false;
    comb.fresh = true;
    comb.startEqualAnew();
    comb.asking = false;
    comb.graces = before.others
      .filter((peer) => peer.grantedUntilUs > nowUs)
      .map((peer) => ({ peer, untilUs: peer.grantedUntilUs }));
  }

  private mark(comb: Comb, before: Before): void {
    const { part } = comb;
    const wasIn = before.part === PART.primary || before.part === PART.inSync;
    const isIn = part === PART.primary || part === PART.inSync;
    if (part === PART.primary && before.part !== PART.primary) MARKS.promoted.hits++;
    if (part !== PART.primary && before.part === PART.primary) MARKS.demoted.hits++;
    if (part === PART.primary && comb.alone) MARKS.alone.hits++;
    if (wasIn && !isIn) MARKS.left.hits++;
    if (before.part === PART.target && isIn) MARKS.admitted.hits++;
    if (before.known && comb.number > before.number + 1) MARKS.skipped.hits++;
    if (part === before.part) return;
    this.shared.log.event('info', 'sds.part', {
      comb: comb.index,
      epoch: comb.epoch,
      number: comb.number,
      part,
      alone: comb.alone,
    });
  }
}

/** Whether an entry that does not count the present life of a device counts an earlier one as in sync. */
function wasInSyncBefore(entry: CombEntry | null, deviceKey: number): boolean {
  const index = entry?.members.findIndex((member) => member.deviceKey === deviceKey) ?? -1;
  return entry !== null && index >= 0 && ((entry.inSyncMask >> index) & 1) === 1;
}

function remember(comb: Comb, deviceKey: number, peerOf: (key: number) => PeerDevice): Before {
  const { entry, part, primary, primaryIncarnation, epoch, number } = comb;
  const others = (entry?.members ?? [])
    .filter((member) => member.deviceKey !== deviceKey)
    .map((member) => peerOf(member.deviceKey));
  return { known: entry !== null, part, primary, primaryIncarnation, epoch, number, others };
}

function saved(comb: Comb, format: number): SavedEntry {
  const { entry, inSyncUntil, changedSince } = comb;
  assert(entry !== null, 'an adopted comb has its entry');
  const memory = { entry, inSyncUntil, changedSince };
  return { comb: comb.index, bytes: encodeStored('CombMemory', memory, format) };
}
