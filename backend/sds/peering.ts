// Peering of a comb between its primary and its other members: who goes by which entry, what may differ (C6, C7), and when
// the comb is served (C5). It owns both sides of PEER_JOIN, PEER_JOINED and PEER_ACTIVE; it must never copy data.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { encodeControl } from '../protocol/control.js';
import { LIMIT, MSG } from '../protocol/generated/constants.js';
import type { BlockRange, CombAt, ControlBodies, Generation } from '../protocol/generated/types.js';
import { sendFrame } from '../protocol/send.js';
import { unionOf } from './block-ranges.js';
import { CATCH_UP, NO_GENERATION, PART, compareAt } from './comb.js';
import type { Comb, Member } from './comb.js';
import { KnownOps } from './known-ops.js';
import { OP_KIND, OP_PHASE } from './op.js';
import type { PeerDevice } from './peer.js';
import type { PeeringPart, Shared } from './shared.js';
import type { Stability } from './stability.js';
import { tagDistance } from './tag-ring.js';

const MARKS = {
  newer: mark('sds.peering: the member knew a newer entry'),
  rejoined: mark('sds.peering: a member in sync came back within its generation'),
  equalize: mark('sds.peering: a new primary makes unsettled ranges equal'),
  waited: mark('sds.peering: a new primary waits for a lease to run out'),
  released: mark('sds.peering: a lease was released early'),
  deactivated: mark('sds.peering: a comb waits for a lost member'),
  toldAgain: mark('sds.peering: a member was told again that a comb is active'),
  lostTail: mark('sds.peering: a device came back without changes that it had said to be durable'),
  full: mark('sds.peering: a member that counts has no room'),
  blank: mark('sds.peering: a target told all chunks that it has, because it starts from nothing'),
  paged: mark('sds.peering: a list of ranges took several frames'),
};

type Joined = ControlBodies[typeof MSG.PEER_JOINED];

const U32_MAX = 0xffffffff;
/** Tag of an operation that a peer's present link has not seen. */
const NOT_SENT = 0;

function at(comb: Comb): CombAt {
  return { index: comb.index, generation: comb.generation() };
}

function pages<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  const list: (readonly T[])[] = [];
  for (let from = 0; from < items.length; from += size) list.push(items.slice(from, from + size));
  return list.length === 0 ? [[]] : list;
}

export class Peering implements PeeringPart {
  private readonly shared: Shared;
  private readonly stability: Stability;
  readonly knownOps: KnownOps;
  /** Combs that wait for a time. */
  private readonly waiting = new Set<Comb>();
  /** Combs that are being made equal. */
  private readonly equalizing = new Set<Comb>();

  constructor(shared: Shared, stability: Stability) {
    this.shared = shared;
    this.stability = stability;
    this.knownOps = new KnownOps(shared);
  }

  // At the primary.

  open(nowUs: Micros, comb: Comb): void {
    if (comb.fresh) comb.startEqualAnew();
    for (const member of comb.members) {
      const { peer } = member;
      // What may differ is asked again of everybody.
      if (comb.fresh) member.unjoin();
      if (!peer.up || peer.incarnation !== member.incarnation) {
        if (member.joined) member.unjoin();
        continue;
      }
      this.join(comb, member);
    }
    comb.refreshForward();
    if (comb.active && comb.members.some((member) => member.required && !member.joined))
      this.deactivate(nowUs, comb);
    if (comb.active) this.tellAgain(comb);
    this.activateIfReady(nowUs, comb);
  }

  /** A member may have had a newer entry than the one of which it was told, and taken no notice. */
  private tellAgain(comb: Comb): void {
    for (const member of comb.members) {
      if (!member.required) continue;
      MARKS.toldAgain.hits++;
      this.tellActive(comb, member);
    }
  }

  /** @returns the tag */
  private tellActive(comb: Comb, { peer }: Member): number {
    return this.shared.parts.forward.control(peer, MSG.PEER_ACTIVE, { comb: at(comb) }, true);
  }

  /** The link to a peer came up: opens its combs there. */
  linkUp(peer: PeerDevice): void {
    for (const comb of this.shared.knownCombs()) {
      if (comb.part !== PART.primary) continue;
      const member = comb.memberOf(peer);
      if (member?.incarnation === peer.incarnation) this.join(comb, member);
    }
  }

  lost(nowUs: Micros, comb: Comb, member: Member): void {
    const wasRequired = member.required;
    member.unjoin();
    comb.refreshForward();
    for (const op of this.shared.ops.inUse())
      if (op.comb === comb) op.waitAgain(member.peer.index, NOT_SENT);
    if (member.required) {
      if (comb.active) this.deactivate(nowUs, comb);
      comb.startEqualAnew();
    } else if (wasRequired) this.shared.parts.stability.membersChanged(nowUs, comb);
    this.shared.parts.changes.consider(comb);
  }

  /** A member that counts has no room: it lacks a change, and has to leave the set (C12). */
  full(nowUs: Micros, comb: Comb, member: Member): void {
    MARKS.full.hits++;
    this.lost(nowUs, comb, member);
    member.full = true;
  }

  joined(nowUs: Micros, peer: PeerDevice, tag: number, body: Joined): void {
    const comb = this.shared.comb(body.comb.index);
    const member = comb?.memberOf(peer);
    const { epoch, number } = body.comb.generation;
    if (comb?.part !== PART.primary || member === undefined || !comb.isAt(epoch, number)) return;
    if (member.joined || member.joinTag !== tag) return;
    member.ranges.push(...body.ranges);
    member.inSyncUntil = this.inSyncUntil(peer, body);
    if (body.more) return;
    member.joinTag = 0;
    this.released(nowUs, comb, peer);
    if (member.target || comb.fresh) this.knownOps.send(comb, member);
    member.joined = true;
    comb.refreshForward();
    if (member.required && !comb.fresh) this.resendTo(comb, member);
    if (member.target && member.catchUp !== CATCH_UP.admitting)
      this.shared.parts.resync.begin(comb, member);
    this.shared.parts.changes.consider(comb);
    this.activateIfReady(nowUs, comb);
  }

  /** A log that ends before what its device said to be durable was lost in part: that copy proves nothing (C6). */
  private inSyncUntil(peer: PeerDevice, { inSyncUntil, recoveredLsn }: Joined): Generation {
    if (recoveredLsn >= peer.durableLsnBefore) return inSyncUntil;
    MARKS.lostTail.hits++;
    this.shared.log.event('error', 'sds.peer-lost-changes', {
      ...{ peer: peer.key, durable: peer.durableLsnBefore, recovered: recoveredLsn },
    });
    return NO_GENERATION;
  }

  activateIfReady(nowUs: Micros, comb: Comb): void {
    if (comb.part !== PART.primary || comb.active || this.shared.stage !== 'serving') return;
    if (comb.members.some((member) => member.required && !member.joined)) return;
    if (comb.fresh ? !this.isEqual(comb) : this.hasUnsent(comb)) return;
    const afterUs = this.serveAfterUs(comb);
    if (nowUs < afterUs) {
      MARKS.waited.hits++;
      this.waiting.add(comb);
      return;
    }
    this.waiting.delete(comb);
    comb.active = true;
    comb.fresh = false;
    comb.graces = [];
    // Who was primary before may have acknowledged from volatile memory what is only flushed from here on.
    this.stability.debtLsn = this.shared.store.lastLsn;
    for (const member of comb.members) {
      if (!member.joined || !member.required) continue;
      member.peer.out.debtTag = this.tellActive(comb, member);
    }
    if (comb.unresolvedLsn !== 0) this.shared.parts.settling.resolveByRound(comb);
    this.shared.parts.changes.consider(comb);
  }

  released(nowUs: Micros, comb: Comb, peer: PeerDevice): void {
    const left = comb.graces.filter((grace) => grace.peer !== peer);
    if (left.length === comb.graces.length) return;
    MARKS.released.hits++;
    comb.graces = left;
    this.activateIfReady(nowUs, comb);
  }

  tick(nowUs: Micros): void {
    for (const comb of [...this.waiting]) {
      if (this.serveAfterUs(comb) > nowUs) continue;
      // Whoever still has to wait, for a time or for something else, is noted again by that.
      this.waiting.delete(comb);
      this.activateIfReady(nowUs, comb);
    }
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    for (const comb of this.waiting) next = Math.min(next, this.serveAfterUs(comb));
    return next;
  }

  /** Something became durable: copies that make combs equal may be complete. */
  progress(nowUs: Micros): void {
    if (this.equalizing.size === 0) return;
    for (const comb of [...this.equalizing]) this.activateIfReady(nowUs, comb);
  }

  /** C7: what any member in sync has unsettled is copied from here to all of them, once all have joined. */
  private isEqual(comb: Comb): boolean {
    if (comb.equal) return true;
    const others = comb.members.filter((member) => member.inSync);
    if (comb.equalizing < 0) {
      // All copies say nearly the same, and a hot block as often as it was written.
      const ranges = unionOf([
        ...this.unsettledOf(comb),
        ...others.flatMap((member) => member.ranges),
      ]);
      comb.equalizing = 0;
      if (others.length > 0 && ranges.length > 0) {
        MARKS.equalize.hits++;
        for (const member of others) {
          // Copies of an earlier attempt do not count.
          member.session++;
          this.shared.parts.resync.equalize(comb, member, ranges);
        }
      }
      for (const member of others) member.ranges = [];
      this.equalizing.add(comb);
    }
    if (comb.equalizing > 0) return false;
    // Also alone: a retry of what is known here is confirmed at once, so it must not be lost with the power (seed 5020261).
    if (!this.isStable(comb, others)) return false;
    this.equalizing.delete(comb);
    comb.equal = true;
    return true;
  }

  /** After the last copy: everything lies on media everywhere. */
  private isStable(comb: Comb, others: readonly Member[]): boolean {
    if (comb.equalizeLsn === 0) {
      comb.equalizeLsn = this.shared.store.lastLsn;
      this.shared.store.wantDurable(comb.equalizeLsn);
      for (const member of others) member.drainTag = this.shared.parts.forward.flush(member.peer);
    }
    const stable =
      comb.equalizeLsn <= this.shared.store.durableLsn &&
      others.every((member) => tagDistance(member.drainTag, member.peer.out.durableTag) <= 0);
    if (stable) comb.equalizeLsn = 0;
    return stable;
  }

  /** Some operation has not been sent again to a member that came back. */
  private hasUnsent(comb: Comb): boolean {
    for (const op of this.shared.ops.inUse()) {
      if (op.comb !== comb || op.phase !== OP_PHASE.applied || op.kind === OP_KIND.flush) continue;
      for (const member of comb.members) if (op.tagAt(member.peer.index) === NOT_SENT) return true;
    }
    return false;
  }

  private deactivate(nowUs: Micros, comb: Comb): void {
    MARKS.deactivated.hits++;
    const { settling, serve } = this.shared.parts;
    comb.active = false;
    settling.regimeEnds(comb, settling.ownSettledLsn() + 1);
    serve.interrupt(nowUs, comb);
  }

  private serveAfterUs(comb: Comb): Micros {
    let afterUs = this.shared.startedUs + this.shared.grantUs();
    for (const grace of comb.graces) afterUs = Math.max(afterUs, grace.untilUs);
    return comb.fresh ? afterUs : 0;
  }

  private join(comb: Comb, member: Member): void {
    const { entry } = comb;
    if (entry === null) return;
    const ranges = !member.joined && (member.target || comb.fresh);
    const body = { entry, ranges };
    const tag = this.shared.parts.forward.control(member.peer, MSG.PEER_JOIN, body, false);
    if (member.joined) return;
    member.joinTag = tag;
    member.ranges = [];
  }

  private resendTo(comb: Comb, member: Member): void {
    for (const op of this.shared.ops.inUse()) {
      if (op.comb !== comb || op.phase !== OP_PHASE.applied || op.kind === OP_KIND.flush) continue;
      if (op.tagAt(member.peer.index) < 0) continue;
      MARKS.rejoined.hits++;
      this.shared.parts.resync.resend(comb, member, op);
    }
  }

  // At a member.

  /** PEER_JOIN; its number was noted. Entries that are news were adopted. */
  joinAsked(peer: PeerDevice, tag: number, body: ControlBodies[typeof MSG.PEER_JOIN]): void {
    const comb = this.shared.comb(body.entry.index);
    if (comb?.entry === undefined || comb.entry === null) return;
    const { epoch, number } = body.entry.generation;
    if (compareAt(comb.epoch, comb.number, epoch, number) > 0) {
      MARKS.newer.hits++;
      const known = { wanted: false, last: true, entries: [comb.entry] };
      this.send(peer, MSG.PEER_ENTRIES, tag, known);
      return;
    }
    const isMember = comb.part === PART.inSync || comb.part === PART.target;
    if (
      !isMember ||
      comb.primary !== peer ||
      comb.primaryIncarnation !== peer.incarnation ||
      !comb.isAt(epoch, number)
    )
      return;
    comb.joinedFrom = peer;
    comb.joinedEpoch = epoch;
    comb.joinedNumber = number;
    // The primary copies whatever a target changed since it left: nothing of an earlier session has to be kept for it.
    if (comb.part === PART.target && body.ranges) {
      this.shared.parts.settling.resolved(comb);
      // Nothing else may happen here until the log has room for what the primary copies.
      this.shared.parts.settling.settle();
    }
    const ranges = body.ranges ? this.rangesOf(comb) : [];
    const list = pages(ranges, LIMIT.queryItemsMax);
    if (list.length > 1) MARKS.paged.hits++;
    list.forEach((page, index) => {
      this.send(peer, MSG.PEER_JOINED, tag, {
        comb: at(comb),
        inSyncUntil: comb.inSyncUntil,
        recoveredLsn: this.shared.recoveredLsn,
        more: index < list.length - 1,
        ranges: page,
      });
    });
  }

  activeTold(peer: PeerDevice, tag: number, body: ControlBodies[typeof MSG.PEER_ACTIVE]): void {
    const comb = this.shared.comb(body.comb.index);
    const { epoch, number } = body.comb.generation;
    if (comb?.joinedFrom === peer && comb.isAt(epoch, number)) comb.resolveTag = tag;
  }

  /** In sync: what is unsettled. A target: the chunks that were changed since it left the set (C6). */
  private rangesOf(comb: Comb): readonly BlockRange[] {
    const { store, geometry } = this.shared;
    if (comb.part === PART.inSync) return this.unsettledOf(comb);
    const after = this.lastEqual(comb);
    return [...store.chunksStampedAfter(comb.index, after.epoch, after.number)].map((chunk) => ({
      volumeKey: chunk.volumeKey,
      vtreeKey: chunk.vtreeKey,
      chunkIndex: chunk.chunkIndex,
      firstBlock: 0,
      blockCount: geometry.chunkBlocks,
    }));
  }

  private unsettledOf(comb: Comb): BlockRange[] {
    return [...this.shared.store.unsettledRanges(comb.index)].map(
      ({ volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount }) => ({
        ...{ volumeKey, vtreeKey, chunkIndex },
        ...{ firstBlock, blockCount },
      }),
    );
  }

  /** A target's own chunks that were stamped later may differ; a copy without history has to be made equal as a whole. */
  private lastEqual({ inSyncUntil, changedSince }: Comb): Generation {
    if (inSyncUntil.epoch === 0 && inSyncUntil.number === 0) {
      MARKS.blank.hits++;
      return NO_GENERATION;
    }
    const { epoch, number } = changedSince;
    return number > 0 ? { epoch, number: number - 1 } : { epoch: epoch - 1, number: U32_MAX };
  }

  private send<C extends typeof MSG.PEER_ENTRIES | typeof MSG.PEER_JOINED>(
    peer: PeerDevice,
    code: C,
    tag: number,
    body: ControlBodies[C],
  ): void {
    sendFrame(this.shared.links, peer.link, encodeControl(code, tag, 0, body, peer.version));
  }
}
