// Links to the data processes of other devices: who dials whom, what a link that came up or went down means for combs, and
// when a link that is up does not work. It owns the watch over peers; it must never change an entry.

import { mark } from '../core/marks.js';
import type { LinkId, Micros, Peer } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { ENTRY_VERSION, bodyOf, decodeBody, decodeStruct } from '../protocol/control.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import {
  getAuthority,
  getChunkIndex,
  getCode,
  getOpLow,
  getStatus,
  getTag,
} from '../protocol/generated/frame-head.js';
import { ProtocolError } from '../protocol/wire.js';
import { CATCH_UP, PART } from './comb.js';
import { readWaits } from './copy-waits.js';
import { durableOf } from './data-frame.js';
import type { Leases } from './leases.js';
import { TAKEN } from './member-io.js';
import type { MemberIo, Taken } from './member-io.js';
import { isCopyTag, isScanTag } from './peer-read.js';
import type { PeerDevice } from './peer.js';
import type { PeerReads } from './peer-reads.js';
import type { Peering } from './peering.js';
import type { Resync } from './resync.js';
import type { ScanAnswers } from './scan-answers.js';
import type { Scanner } from './scanner.js';
import type { Serve } from './serve.js';
import type { Settling } from './settling.js';
import type { Shared } from './shared.js';
import type { Stability } from './stability.js';

const MARKS = {
  up: mark('sds.peer: a link came up'),
  down: mark('sds.peer: a link went down'),
  replaced: mark('sds.peer: a new link replaced the old one'),
  stuck: mark('sds.peer: a peer does not acknowledge'),
  leaseless: mark('sds.peer: a peer does not answer lease requests'),
  broken: mark('sds.peer: a peer broke the protocol'),
  refused: mark('sds.peer: a peer refused a change of another generation'),
  noRoom: mark('sds.peer: a peer has no room'),
  frozen: mark('sds.peer: a peer knows that a layer is frozen, which was written here'),
};

/** The parts that frames of peers go to. */
export interface PeerTopics {
  readonly serve: Serve;
  readonly stability: Stability;
  readonly memberIo: MemberIo;
  readonly peerReads: PeerReads;
  readonly peering: Peering;
  readonly resync: Resync;
  readonly settling: Settling;
  readonly leases: Leases;
  readonly scanner: Scanner;
  readonly scanAnswers: ScanAnswers;
}

export class PeerLinks {
  private readonly shared: Shared;
  private readonly topics: PeerTopics;

  constructor(shared: Shared, topics: PeerTopics) {
    this.shared = shared;
    this.topics = topics;
  }

  linkUp(nowUs: Micros, link: LinkId, told: Peer): void {
    const peer = this.shared.peerOf(nowUs, told.key);
    if (peer.link >= 0 && peer.link !== link) {
      MARKS.replaced.hits++;
      this.shared.links.close(peer.link);
      this.down(nowUs, peer);
    }
    MARKS.up.hits++;
    this.shared.bindLink(peer, link);
    peer.up = true;
    peer.version = told.version;
    peer.setIncarnation(told.incarnation);
    peer.dialAtUs = Infinity;
    peer.attempts = 0;
    peer.stalled = false;
    peer.out.reset();
    peer.in.reset();
    peer.out.creditBlocks = Number.MAX_SAFE_INTEGER;
    this.topics.leases.linkUp(peer);
    this.topics.serve.watermarks.linkUp(peer);
    this.shared.log.event('info', 'sds.peer-up', { peer: peer.key, incarnation: peer.incarnation });
    this.topics.peering.linkUp(peer);
    this.considerCombs(peer);
  }

  linkDown(nowUs: Micros, peer: PeerDevice, reason: string): void {
    if (peer.up) this.shared.log.event('warn', 'sds.peer-down', { peer: peer.key, reason });
    this.down(nowUs, peer);
  }

  /** Ends a link on our own account; the peer counts as lost at once. */
  drop(nowUs: Micros, peer: PeerDevice, reason: string): void {
    this.shared.log.event('warn', 'sds.peer-dropped', { peer: peer.key, reason });
    this.shared.links.close(peer.link);
    this.down(nowUs, peer);
    peer.downSinceUs = nowUs - this.shared.timing.detectionUs;
    peer.dialAtUs = nowUs + this.shared.options.dialMsMax * MICROS_PER_MS;
  }

  /** A frame of a peer; false: not taken. */
  frame(
    nowUs: Micros,
    peer: PeerDevice,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    let taken: Taken;
    try {
      taken = this.take(nowUs, peer, bytes, view, at, bodyBytes);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.shared.log.event('error', 'sds.peer-frame', { peer: peer.key, reason: error.message });
      taken = TAKEN.broken;
    }
    if (taken !== TAKEN.broken) return taken === TAKEN.yes;
    MARKS.broken.hits++;
    this.drop(nowUs, peer, `broke the protocol with message ${getCode(view, at)}`);
    return true;
  }

  tick(nowUs: Micros): void {
    if (this.shared.stage !== 'serving') return;
    for (const peer of this.shared.peers) {
      if (peer.up) this.watch(nowUs, peer);
      else if (peer.link < 0) this.dial(nowUs, peer);
    }
  }

  nextDeadlineUs(): Micros {
    if (this.shared.stage !== 'serving') return Infinity;
    const { detectionUs } = this.shared.timing;
    let next = Infinity;
    for (const peer of this.shared.peers) {
      if (!peer.up) {
        if (peer.link < 0 && this.mayDial(peer)) next = Math.min(next, peer.dialAtUs);
        continue;
      }
      if (peer.out.outstanding()) next = Math.min(next, peer.out.progressUs + detectionUs);
      if (peer.leaseUnansweredUs !== Infinity)
        next = Math.min(next, peer.leaseUnansweredUs + detectionUs);
    }
    return next;
  }

  /** The map changed: new addresses, new peers. */
  mapChanged(nowUs: Micros): void {
    for (const peer of this.shared.peers)
      if (!peer.up && peer.link < 0 && this.mayDial(peer) && peer.dialAtUs === Infinity)
        peer.dialAtUs = nowUs;
  }

  private down(nowUs: Micros, peer: PeerDevice): void {
    const wasUp = peer.up;
    this.shared.bindLink(peer, -1);
    peer.up = false;
    peer.stalled = false;
    peer.attempts++;
    peer.dialAtUs = nowUs + this.pauseUs(peer);
    if (!wasUp) return;
    MARKS.down.hits++;
    // What it left unanswered counts: two that wait for each other drop their link in turns (scenario full-for-each-other).
    peer.downSinceUs = peer.out.outstanding() ? peer.out.progressUs : nowUs;
    const unsettledLsn = peer.in.oldestUnsettledLsn();
    this.topics.leases.linkDown(peer);
    for (const comb of this.shared.knownCombs()) {
      const member = comb.part === PART.primary ? comb.memberOf(peer) : undefined;
      if (member !== undefined) this.topics.peering.lost(nowUs, comb, member);
      const isFollower = comb.part === PART.inSync || comb.part === PART.target;
      // Also one that skipped an entry, and so has not joined again, took changes on this link.
      if (comb.joinedFrom !== peer && !(isFollower && comb.primary === peer)) continue;
      comb.joinedFrom = null;
      this.topics.settling.regimeEnds(comb, unsettledLsn);
    }
    peer.out.reset();
    peer.in.reset();
    // A round that waits for it ends without it; where no comb is left that it shared, nothing else would ask (seed 510711).
    this.topics.settling.progress();
    // What it never said to be settled holds nothing back any more; with a full log nothing else would ask again.
    this.topics.settling.settle();
    this.topics.serve.repair.peerGone(nowUs, peer);
  }

  private considerCombs(peer: PeerDevice): void {
    for (const comb of this.shared.knownCombs())
      if (comb.part === PART.primary && comb.memberOf(peer) !== undefined)
        this.shared.parts.changes.consider(comb);
  }

  private watch(nowUs: Micros, peer: PeerDevice): void {
    const { detectionUs } = this.shared.timing;
    if (peer.out.outstanding() && nowUs - peer.out.progressUs >= detectionUs) {
      MARKS.stuck.hits++;
      this.drop(nowUs, peer, 'does not acknowledge');
    } else if (nowUs - peer.leaseUnansweredUs >= detectionUs) {
      MARKS.leaseless.hits++;
      this.drop(nowUs, peer, 'does not answer lease requests');
    }
  }

  private mayDial(peer: PeerDevice): boolean {
    if (peer.key <= this.shared.deviceKey || !peer.wanted()) return false;
    const device = this.shared.map.devices.get(peer.key);
    return device !== undefined && device.port !== 0;
  }

  private dial(nowUs: Micros, peer: PeerDevice): void {
    if (!this.mayDial(peer) || nowUs < peer.dialAtUs) return;
    const device = this.shared.map.devices.get(peer.key);
    if (device === undefined) return;
    const addresses = device.addresses
      .filter(({ role }) => role === 'all' || role === 'sdsOnly')
      .map(({ host }) => ({ host, port: device.port }));
    peer.linkEpoch++;
    peer.dialAtUs = Infinity;
    const link = this.shared.links.newLink();
    this.shared.bindLink(peer, link);
    this.shared.links.connect(link, {
      role: 'sdsData',
      key: peer.key,
      addresses,
      link: 0,
      linkEpoch: peer.linkEpoch,
    });
  }

  private pauseUs(peer: PeerDevice): Micros {
    const { dialMsMin, dialMsMax } = this.shared.options;
    const pauseMs = Math.min(dialMsMax, dialMsMin * 2 ** Math.min(peer.attempts, 10));
    return pauseMs * MICROS_PER_MS;
  }

  private take(
    nowUs: Micros,
    peer: PeerDevice,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): Taken {
    const { memberIo, peerReads, serve } = this.topics;
    const tag = getTag(view, at);
    switch (getCode(view, at)) {
      case MSG.PEER_WRITE:
      case MSG.PEER_ZERO:
        return memberIo.change(peer, bytes, view, at, bodyBytes);
      case MSG.PEER_MERGE:
        return memberIo.merge(peer, view, at, bodyBytes);
      case MSG.PEER_ACK:
        return this.acked(nowUs, peer, view, at);
      case MSG.SETTLED: {
        peer.durableLsn = Math.max(peer.durableLsn, durableOf(view, at));
        const taken = memberIo.settled(peer, tag);
        this.topics.settling.peerSettled(peer);
        return taken;
      }
      case MSG.OPS_SETTLED:
        return serve.watermarks.relayed(view, at, bodyBytes) ? TAKEN.yes : TAKEN.broken;
      case MSG.PEER_FLUSH:
        return memberIo.note(peer, tag, true);
      case MSG.PEER_REFUSED:
        return this.refused(nowUs, peer, tag, getStatus(view, at), bodyOf(bytes, view, at));
      case MSG.PEER_READ:
        return peerReads.asked(peer, view, at, bodyBytes) ? TAKEN.yes : TAKEN.broken;
      case MSG.PEER_READ_REPLY:
        if (isScanTag(tag)) this.topics.scanner.repairs.checks.reply(bytes, view, at, bodyBytes);
        else if (isCopyTag(tag)) this.topics.resync.copier.reply(tag, bytes, view, at, bodyBytes);
        else serve.repair.reply(nowUs, peer, bytes, view, at, bodyBytes);
        return TAKEN.yes;
      default:
        return this.takeControl(nowUs, peer, bytes, view, at);
    }
  }

  private takeControl(
    nowUs: Micros,
    peer: PeerDevice,
    bytes: Uint8Array,
    view: DataView,
    at: number,
  ): Taken {
    const { memberIo, peering, leases } = this.topics;
    const tag = getTag(view, at);
    const body = bodyOf(bytes, view, at);
    const code = getCode(view, at);
    switch (code) {
      case MSG.LEASE_REQUEST:
        leases.requested(nowUs, peer, tag, decodeBody(code, body, peer.version));
        return TAKEN.yes;
      case MSG.LEASE_GRANT:
        leases.granted(nowUs, peer, getStatus(view, at), decodeBody(code, body, peer.version));
        return TAKEN.yes;
      case MSG.LEASE_RELEASE:
        leases.releaseTold(nowUs, peer, decodeBody(code, body, peer.version));
        return TAKEN.yes;
      case MSG.PEER_ENTRIES: {
        const told = decodeBody(code, body, peer.version);
        this.shared.parts.membership.adopt(nowUs, told.entries);
        leases.entriesTold(peer, told);
        return TAKEN.yes;
      }
      case MSG.PEER_JOIN: {
        const asked = decodeBody(code, body, peer.version);
        this.shared.parts.membership.adopt(nowUs, [asked.entry]);
        const taken = memberIo.note(peer, tag, false);
        if (taken === TAKEN.yes) peering.joinAsked(peer, tag, asked);
        return taken;
      }
      case MSG.PEER_JOINED:
        peering.joined(nowUs, peer, tag, decodeBody(code, body, peer.version));
        return TAKEN.yes;
      case MSG.PEER_OPS: {
        const told = decodeBody(code, body, peer.version);
        if (!peering.knownOps.told(peer, told)) return memberIo.stall(peer);
        return memberIo.note(peer, tag, false);
      }
      case MSG.PEER_ACTIVE: {
        const taken = memberIo.note(peer, tag, true);
        peering.activeTold(peer, tag, decodeBody(code, body, peer.version));
        return taken;
      }
      case MSG.SCAN_FOUND:
        this.topics.scanner.repairs.told(peer, decodeBody(code, body, peer.version));
        return TAKEN.yes;
      case MSG.SCAN_ASK:
        this.topics.scanAnswers.asked(peer, tag, decodeBody(code, body, peer.version));
        return TAKEN.yes;
      case MSG.SCAN_SUMS: {
        const sums = decodeBody(code, body, peer.version);
        this.topics.scanner.repairs.checks.told(peer, tag, getStatus(view, at), sums);
        return TAKEN.yes;
      }
      default:
        return TAKEN.broken;
    }
  }

  private acked(nowUs: Micros, peer: PeerDevice, view: DataView, at: number): Taken {
    const { stability, resync, peering, settling, serve } = this.topics;
    const credit = getAuthority(view, at);
    const kept = getChunkIndex(view, at);
    peer.durableLsn = Math.max(peer.durableLsn, durableOf(view, at));
    if (!stability.acked(nowUs, peer, getOpLow(view, at), getTag(view, at), credit, kept))
      return TAKEN.broken;
    readWaits(view, at, nowUs, peer.out);
    resync.acked(peer);
    peering.progress(nowUs);
    settling.progress();
    serve.flushes.progress(nowUs);
    return TAKEN.yes;
  }

  /**
   * A peer without room, or that knows a written layer to be frozen, loses its part in that comb only: the link serves
   * others, some of which it may be primary of.
   */
  private leaves(nowUs: Micros, peer: PeerDevice, combIndex: number, lacksRoom: boolean): void {
    if (lacksRoom) MARKS.noRoom.hits++;
    else {
      MARKS.frozen.hits++;
      const told = { peer: peer.key, comb: combIndex };
      this.shared.log.event('error', 'sds.frozen-layer-written', told);
    }
    const comb = this.shared.comb(combIndex);
    const member = comb?.memberOf(peer);
    if (comb?.part !== PART.primary || member === undefined) return;
    const { peering, resync } = this.topics;
    if (member.inSync || member.catchUp === CATCH_UP.admitting) peering.full(nowUs, comb, member);
    else resync.noRoom(comb, member);
  }

  /** A member did not take a change. With a newer entry this device may not be primary any more; else it is asked again. */
  private refused(
    nowUs: Micros,
    peer: PeerDevice,
    tag: number,
    status: number,
    entryBytes: Uint8Array,
  ): Taken {
    if (entryBytes.length === 0) return TAKEN.broken;
    const entry = decodeStruct('CombEntry', entryBytes, ENTRY_VERSION);
    if (status === ERR.NO_SPACE || status === ERR.STALE_VOLUME_EPOCH) {
      this.leaves(nowUs, peer, entry.index, status === ERR.NO_SPACE);
      return TAKEN.yes;
    }
    MARKS.refused.hits++;
    this.shared.parts.membership.adopt(nowUs, [entry]);
    const comb = this.shared.comb(entry.index);
    const member = comb?.part === PART.primary ? comb.memberOf(peer) : undefined;
    if (comb === undefined || member === undefined || !this.isPending(peer, tag)) return TAKEN.yes;
    this.topics.peering.lost(nowUs, comb, member);
    this.topics.peering.open(nowUs, comb);
    return TAKEN.yes;
  }

  /** Whether the refused change belongs to what was forwarded and not acknowledged. */
  private isPending(peer: PeerDevice, tag: number): boolean {
    return peer.out.ring.has(tag);
  }
}
