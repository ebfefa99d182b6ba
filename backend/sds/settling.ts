// Which changes are durable on every in-sync copy, so that their log records may go and need not be compared after a
// crash (C6, C7). It owns the rounds by which a primary finds that out and tells the members, and what stands open from
// earlier regimes. It must never settle a change that some in-sync copy may lack.
//
// A round notes how far the own log and every link are, waits until all of that is durable, and settles it as a whole: a
// few frames per round instead of bookkeeping per operation. What was changed under a regime that ended (the primary went
// away, this device stopped being primary, its member's link was lost) keeps the log position of its oldest change in the
// comb until the next regime has made the copies equal, or until its chunks were stamped anew for a copy that left.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { MSG } from '../protocol/generated/constants.js';
import { PART } from './comb.js';
import type { Comb } from './comb.js';
import { closeFrame, openFrame, setDurable } from './data-frame.js';
import type { PeerDevice } from './peer.js';
import type { SettlingPart, Shared } from './shared.js';
import { tagDistance } from './tag-ring.js';

const MARKS = {
  round: mark('sds.settle: a round was completed'),
  open: mark('sds.settle: changes of an ended regime stand open'),
  resolved: mark('sds.settle: changes of an ended regime were resolved'),
  withheld: mark('sds.settle: a member was not told because a comb stands open'),
  lostPeer: mark('sds.settle: a peer was lost during a round'),
  copies: mark('sds.settle: copies wait until those before are settled'),
  early: mark('sds.settle: a round began early for lack of room'),
};

interface Round {
  readonly number: number;
  readonly lsn: number;
  peers: { readonly peer: PeerDevice; readonly link: number; readonly tag: number }[];
}

export class Settling implements SettlingPart {
  private readonly shared: Shared;
  private round: Round | null = null;
  private rounds = 0;
  private lastOwnLsn = 0;
  private settledOwnLsn = 0;
  private changes = 0;
  private blocks = 0;
  private nextUs: Micros = Infinity;
  private readonly open = new Set<Comb>();
  private stampedLsn = 0;
  /** More could be settled once more is durable. */
  private limited = false;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  ownSettledLsn(): number {
    return this.settledOwnLsn;
  }

  appended(blocks: number): void {
    this.lastOwnLsn = this.shared.store.lastLsn;
    this.changes++;
    this.blocks += blocks;
    this.schedule();
    const { settleBlocksMax, settleChangesMax } = this.shared.options;
    if (this.changes < settleChangesMax && this.blocks < settleBlocksMax) return;
    if (this.nextUs > this.shared.nowUs) MARKS.early.hits++;
    this.nextUs = this.shared.nowUs;
  }

  forwarded(): void {
    this.schedule();
  }

  takesCopy(peer: PeerDevice): boolean {
    const { peers, store } = this.shared;
    let primaries = 0;
    for (const { up } of peers) if (up) primaries++;
    const copiesMax = Math.max(1, Math.floor(store.copyRecordsMax / Math.max(1, primaries)));
    const { ring, settledTag } = peer.out;
    if (tagDistance(ring.last, settledTag) < copiesMax) return true;
    // Where no round settles what the peer got, copies may be what it waits for.
    for (const comb of this.open)
      if (
        comb.resolveRound === 0 &&
        comb.part === PART.primary &&
        comb.memberOf(peer) !== undefined
      )
        return true;
    MARKS.copies.hits++;
    if (this.round === null) this.soon();
    return false;
  }

  regimeEnds(comb: Comb, fromLsn: number): void {
    if (fromLsn === Infinity || fromLsn > this.shared.store.lastLsn) {
      comb.resolveTag = 0;
      comb.resolveRound = 0;
      return;
    }
    MARKS.open.hits++;
    comb.unresolvedLsn = comb.unresolvedLsn === 0 ? fromLsn : Math.min(comb.unresolvedLsn, fromLsn);
    comb.resolveTag = 0;
    comb.resolveRound = 0;
    this.open.add(comb);
  }

  resolved(comb: Comb): void {
    if (!this.open.delete(comb)) return;
    MARKS.resolved.hits++;
    comb.unresolvedLsn = 0;
    comb.resolveTag = 0;
    comb.resolveRound = 0;
    this.limited = true;
  }

  soon(): void {
    this.nextUs = Math.min(this.nextUs, this.shared.nowUs);
  }

  stamped(lsn: number): void {
    this.stampedLsn = Math.max(this.stampedLsn, lsn);
    this.limited = true;
  }

  resolveByRound(comb: Comb): void {
    comb.resolveRound = this.rounds + 1;
    this.schedule();
  }

  /** The peer says that more of what it forwarded is settled, or acknowledged as durable here. */
  peerSettled(peer: PeerDevice): void {
    for (const comb of [...this.open]) {
      if (comb.joinedFrom !== peer || comb.resolveTag === 0) continue;
      const { settledTag, durableTag } = peer.in;
      if (tagDistance(comb.resolveTag, settledTag) > 0) continue;
      if (tagDistance(comb.resolveTag, durableTag) <= 0) this.resolved(comb);
    }
    this.settle();
  }

  /** Something became durable, here or at a peer. */
  progress(): void {
    if (this.round !== null) this.checkRound();
    if (this.limited) this.settle();
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.nextUs || this.round !== null) return;
    this.begin();
  }

  nextDeadlineUs(): Micros {
    return this.round === null ? this.nextUs : Infinity;
  }

  private schedule(): void {
    if (this.nextUs !== Infinity) return;
    const { settleMs, settleVolatileMs } = this.shared.options;
    const pauseMs = this.shared.mediaMode ? settleMs : settleVolatileMs;
    this.nextUs = this.shared.nowUs + pauseMs * MICROS_PER_MS;
  }

  private begin(): void {
    const { store, peers, parts } = this.shared;
    this.changes = 0;
    this.blocks = 0;
    this.rounds++;
    const round: Round = { number: this.rounds, lsn: store.lastLsn, peers: [] };
    store.wantDurable(round.lsn);
    for (const peer of peers) {
      const { out } = peer;
      // A peer without a comb of ours may still keep what it got when it had one.
      if (!peer.up || out.ring.last === out.settledTag) continue;
      if (tagDistance(out.lastVolatileTag, out.lastMediaTag) > 0) parts.forward.flush(peer);
      round.peers.push({ peer, link: peer.link, tag: out.ring.last });
    }
    this.round = round;
    // What the round itself forwarded belongs to it.
    this.nextUs = Infinity;
    this.checkRound();
  }

  private checkRound(): void {
    const { round } = this;
    if (round === null) return;
    const left = round.peers.filter(({ peer, link }) => peer.up && peer.link === link);
    // Combs that need the lost peer stand open on their own account.
    if (left.length < round.peers.length) MARKS.lostPeer.hits++;
    round.peers = left;
    if (round.lsn > this.shared.store.durableLsn) return;
    if (left.some(({ peer, tag }) => tagDistance(tag, peer.out.durableTag) > 0)) return;
    this.round = null;
    this.complete(round);
  }

  private complete(round: Round): void {
    MARKS.round.hits++;
    this.settledOwnLsn = round.lsn;
    for (const comb of [...this.open])
      if (comb.resolveRound !== 0 && comb.resolveRound <= round.number && comb.active)
        this.resolved(comb);
    for (const { peer, tag } of round.peers) {
      if (this.isOpenWith(peer)) {
        MARKS.withheld.hits++;
        continue;
      }
      peer.out.settledTag = tag;
      this.tell(peer, tag);
    }
    this.settle();
    if (this.lastOwnLsn > round.lsn || this.awaitsRound() || this.hasUntold()) this.schedule();
  }

  private tell(peer: PeerDevice, tag: number): void {
    const { links, store } = this.shared;
    const region = openFrame(links, peer.link, peer.version, MSG.SETTLED, 0, tag, 0);
    setDurable(region, store.durableLsn);
    closeFrame(region, 0);
  }

  /**
   * Some comb that this device leads and in which the peer takes part has changes that a third copy may lack. Combs that
   * others lead do not count, or devices that lead combs for each other would wait for each other (seed 41661): a member
   * that opened a comb keeps its changes by itself, and one that does not know yet that it takes changes from here no
   * more was sent the entry on the same link first (`Membership.tellEnded`).
   */
  private isOpenWith(peer: PeerDevice): boolean {
    for (const comb of this.open)
      if (comb.part === PART.primary && comb.memberOf(peer) !== undefined) return true;
    return false;
  }

  /** Something was forwarded since, or a member was not told. */
  private hasUntold(): boolean {
    return this.shared.peers.some(({ up, out }) => up && out.ring.last !== out.settledTag);
  }

  private awaitsRound(): boolean {
    for (const comb of this.open) if (comb.resolveRound !== 0) return true;
    return false;
  }

  /** Settles as far as everything allows. */
  settle(): void {
    const { store, peers } = this.shared;
    this.limited = false;
    if (this.stampedLsn > store.durableLsn) {
      this.limited = true;
      return;
    }
    let limit = this.lastOwnLsn > this.settledOwnLsn ? this.settledOwnLsn : Infinity;
    for (const peer of peers) limit = Math.min(limit, peer.in.oldestUnsettledLsn() - 1);
    for (const comb of this.open) limit = Math.min(limit, comb.unresolvedLsn - 1);
    if (limit > store.durableLsn) {
      limit = store.durableLsn;
      this.limited = store.durableLsn < store.lastLsn;
    }
    if (limit > store.settledLsn) store.settle(limit);
  }
}
