// Leases between two devices (C5): a primary serves reads only while every other required member has promised not to
// take part in a change of primary. One lease covers all combs that two devices share; it is given only if both go by the
// same entries, which a digest proves. It owns asking and granting; it must never count a lease from anything but the
// sending of the request.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { encodeControl } from '../protocol/control.js';
import { ERR, LIMIT, MSG } from '../protocol/generated/constants.js';
import type { CombEntry, ControlBodies } from '../protocol/generated/types.js';
import { sendFrame } from '../protocol/send.js';
import { PART, compareAt } from './comb.js';
import type { Comb } from './comb.js';
import type { PeerDevice } from './peer.js';
import type { LeasesPart, Shared } from './shared.js';

const MARKS = {
  refused: mark('sds.lease: refused, the entries differ'),
  exchanged: mark('sds.lease: entries were exchanged between peers'),
  learned: mark('sds.lease: a peer knew a newer entry'),
};

/** Part of a lease after which it is renewed. */
const RENEW_DIVISOR = 3;
/** Part of a lease after which a refused request is repeated. */
const RETRY_DIVISOR = 20;
/** Refusals in a row after which entries are exchanged: before, a change is probably on its way. */
const MISMATCHES_MAX = 3;

export class Leases implements LeasesPart {
  private readonly shared: Shared;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  askSoon(peer: PeerDevice): void {
    peer.leaseAskUs = Math.min(peer.leaseAskUs, this.shared.nowUs);
  }

  release(comb: Comb, to: PeerDevice): void {
    if (!to.up) return;
    const body = { combs: [{ index: comb.index, generation: comb.generation() }] };
    this.send(to, MSG.LEASE_RELEASE, 0, body);
  }

  linkUp(peer: PeerDevice): void {
    peer.leaseUntilUs = 0;
    peer.leaseUnansweredUs = Infinity;
    peer.mismatches = 0;
    peer.leaseAskUs = this.shared.nowUs;
  }

  linkDown(peer: PeerDevice): void {
    peer.leaseUntilUs = 0;
    peer.leaseUnansweredUs = Infinity;
    peer.leaseAskUs = Infinity;
  }

  tick(nowUs: Micros): void {
    for (const peer of this.shared.peers)
      if (peer.leaseAskUs <= nowUs && peer.up) this.ask(nowUs, peer);
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    for (const peer of this.shared.peers)
      if (peer.up && peer.ours.combs > 0) next = Math.min(next, peer.leaseAskUs);
    return next;
  }

  /** LEASE_REQUEST. */
  requested(
    nowUs: Micros,
    peer: PeerDevice,
    tag: number,
    body: ControlBodies[typeof MSG.LEASE_REQUEST],
  ): void {
    const { number, combs, digestLow, digestHigh } = body;
    const { theirs } = peer;
    const same = theirs.combs === combs && theirs.low === digestLow && theirs.high === digestHigh;
    const leaseMs = Math.floor(this.shared.timing.leaseUs / MICROS_PER_MS);
    if (same && this.shared.stage === 'serving') {
      peer.mismatches = 0;
      peer.grantedUntilUs = Math.max(peer.grantedUntilUs, nowUs + this.shared.grantUs());
      this.send(peer, MSG.LEASE_GRANT, tag, { number, leaseMs });
      return;
    }
    MARKS.refused.hits++;
    this.send(peer, MSG.LEASE_GRANT, tag, { number, leaseMs: 0 }, ERR.STALE_GENERATION);
    peer.mismatches++;
    if (peer.mismatches < MISMATCHES_MAX) return;
    peer.mismatches = 0;
    this.exchange(peer);
  }

  /** LEASE_GRANT. */
  granted(
    nowUs: Micros,
    peer: PeerDevice,
    status: number,
    body: ControlBodies[typeof MSG.LEASE_GRANT],
  ): void {
    peer.leaseUnansweredUs = Infinity;
    const { leaseUs } = this.shared.timing;
    if (status !== 0) {
      peer.leaseAskUs = Math.min(peer.leaseAskUs, nowUs + Math.floor(leaseUs / RETRY_DIVISOR));
      return;
    }
    const age = peer.leaseNumber - body.number;
    if (age < 0 || age >= peer.leaseSentUs.length) return;
    const sentUs = peer.leaseSentUs[body.number % peer.leaseSentUs.length] ?? 0;
    const untilUs = sentUs + Math.min(leaseUs, body.leaseMs * MICROS_PER_MS);
    peer.leaseUntilUs = Math.max(peer.leaseUntilUs, untilUs);
  }

  /** LEASE_RELEASE. */
  releaseTold(
    nowUs: Micros,
    peer: PeerDevice,
    body: ControlBodies[typeof MSG.LEASE_RELEASE],
  ): void {
    for (const { index, generation } of body.combs) {
      const comb = this.shared.comb(index);
      if (comb?.part !== PART.primary) continue;
      // A release of an earlier time says nothing about what was served since.
      if (compareAt(generation.epoch, generation.number, comb.epoch, comb.number) >= 0)
        this.shared.parts.peering.released(nowUs, comb, peer);
    }
  }

  /** PEER_ENTRIES; those that are news were adopted. */
  entriesTold(peer: PeerDevice, body: ControlBodies[typeof MSG.PEER_ENTRIES]): void {
    if (body.entries.length > 0) MARKS.learned.hits++;
    this.askSoon(peer);
    if (!body.wanted) return;
    const newer: CombEntry[] = [];
    const told = new Map(body.entries.map((entry) => [entry.index, entry.generation]));
    for (const comb of this.shared.knownCombs()) {
      const theirs = told.get(comb.index);
      if (comb.entry === null) continue;
      if (
        theirs === undefined ||
        compareAt(comb.epoch, comb.number, theirs.epoch, theirs.number) > 0
      )
        newer.push(comb.entry);
    }
    this.sendEntries(peer, newer, false);
  }

  private ask(nowUs: Micros, peer: PeerDevice): void {
    if (peer.ours.combs === 0) {
      peer.leaseAskUs = Infinity;
      return;
    }
    peer.leaseAskUs = nowUs + Math.floor(this.shared.timing.leaseUs / RENEW_DIVISOR);
    peer.leaseNumber = (peer.leaseNumber + 1) >>> 0;
    peer.leaseSentUs[peer.leaseNumber % peer.leaseSentUs.length] = nowUs;
    if (peer.leaseUnansweredUs === Infinity) peer.leaseUnansweredUs = nowUs;
    this.send(peer, MSG.LEASE_REQUEST, 0, {
      number: peer.leaseNumber,
      combs: peer.ours.combs,
      digestLow: peer.ours.low,
      digestHigh: peer.ours.high,
    });
  }

  private exchange(peer: PeerDevice): void {
    MARKS.exchanged.hits++;
    const entries: CombEntry[] = [];
    for (const comb of this.shared.knownCombs()) if (comb.entry !== null) entries.push(comb.entry);
    this.sendEntries(peer, entries, true);
  }

  tellEntries(peer: PeerDevice, entries: readonly CombEntry[]): void {
    this.sendEntries(peer, entries, false);
  }

  private sendEntries(peer: PeerDevice, entries: readonly CombEntry[], wanted: boolean): void {
    for (let from = 0; from === 0 || from < entries.length; from += LIMIT.combsPerPage) {
      const page = entries.slice(from, from + LIMIT.combsPerPage);
      const last = from + LIMIT.combsPerPage >= entries.length;
      this.send(peer, MSG.PEER_ENTRIES, 0, { wanted: wanted && last, last, entries: page });
    }
  }

  private send<
    C extends
      | typeof MSG.LEASE_REQUEST
      | typeof MSG.LEASE_GRANT
      | typeof MSG.LEASE_RELEASE
      | typeof MSG.PEER_ENTRIES,
  >(peer: PeerDevice, code: C, tag: number, body: ControlBodies[C], status = 0): void {
    sendFrame(this.shared.links, peer.link, encodeControl(code, tag, status, body, peer.version));
  }
}
