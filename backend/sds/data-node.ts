// The data machine: everything that the process of one device decides. It owns the wiring of its parts and the order of
// its inputs; each part owns its topic. It must never do I/O, nor know how a device is laid out.
//
//   serve, admission, intake, write-path, edges, flushes, repair   requests of clients at the primary
//   stability, forward, member-io, peer-reads  a change reaches its copies and is acknowledged
//   membership, peering, known-ops, leases     entries, who goes by which, who may serve
//   resync, copier                             content for copies that lack it
//   settling                                   what need not be compared after a crash
//   cuts                                       group snapshots: one moment for many volumes
//   merging                                    layers that their child takes over
//   scanner, scan-repairs, scan-answers        what lies on the device is verified and compared in the background
//   leftovers                                  chunks of combs that are carried no more
//   changes, mdm-link, peer-links              the MDM and the other data processes

import { ClusterMap } from '../cluster-map/cluster-map.js';
import { mark } from '../core/marks.js';
import type { LinkId, Links, Log, Machine, Micros, Peer, Token } from '../core/ports.js';
import { Changes } from './changes.js';
import type { Client } from './clients.js';
import { CopyTask } from './copy-task.js';
import { CopyLimits } from './copy-limits.js';
import { Cuts } from './cuts.js';
import { Forward } from './forward.js';
import { Leases } from './leases.js';
import { Leftovers } from './leftovers.js';
import {
  COPY_TOKENS,
  PEER_READ_TOKENS,
  SCAN_ANSWER_TOKENS,
  SCAN_TOKENS,
  tokenPart,
  tokenSlot,
} from './load-token.js';
import { MdmLink } from './mdm-link.js';
import { MemberIo } from './member-io.js';
import { Membership } from './membership.js';
import { Op } from './op.js';
import type { DataIdentity, DataOptions } from './options.js';
import { PeerLinks } from './peer-links.js';
import { PeerReads } from './peer-reads.js';
import { Peering } from './peering.js';
import { Resync } from './resync.js';
import { ScanAnswers } from './scan-answers.js';
import { ScanTask } from './scan-task.js';
import { Scanner } from './scanner.js';
import { Serve } from './serve.js';
import { Settling } from './settling.js';
import { Shared } from './shared.js';
import { Stability } from './stability.js';
import type { Store, StoreHost, StoreIdentity, StoreStatus } from './store/store.js';

const MARKS = {
  superseded: mark('sds.client: a newer link replaced an older one'),
  late: mark('sds.client: an older link came after a newer one'),
  failed: mark('sds.node: the device failed'),
};

/** How a data process ends; the shell ends with it. */
export type DataEnd = 'closed' | 'refused' | 'failed';

/** The doors of a data machine. */
export interface DataPorts {
  readonly links: Links;
  readonly log: Log;
  /** Makes the store over the device; the host is the machine. */
  openStore(host: StoreHost): Store;
  /** The device was opened: links are welcome from now on. */
  opened?(): void;
  /** The read cache holds no more than this, and takes no more, until it is told otherwise. */
  cacheSettled?(bytes: number): void;
  /** The machine is done for good: closed as asked, not our device, or the device failed (C14). */
  ended(end: DataEnd, reason: string): void;
}

export class DataNode implements Machine, StoreHost {
  private readonly ports: DataPorts;
  private readonly shared: Shared;
  private readonly store: Store;
  private readonly stability: Stability;
  private readonly serve: Serve;
  private readonly memberIo: MemberIo;
  private readonly peerReads: PeerReads;
  private readonly membership: Membership;
  private readonly peering: Peering;
  private readonly resync: Resync;
  private readonly settling: Settling;
  private readonly leases: Leases;
  private readonly mdmLink: MdmLink;
  private readonly changes: Changes;
  private readonly leftovers: Leftovers;
  private readonly peerLinks: PeerLinks;
  private readonly cuts: Cuts;
  /** Memory that the read cache may have, and that it was said to have settled at. */
  private cacheBytes = 0;
  private cacheSettledBytes = 0;
  private readonly scanner: Scanner;
  private readonly scanAnswers: ScanAnswers;

  constructor(ports: DataPorts, identity: DataIdentity, options: DataOptions) {
    this.ports = ports;
    const store = ports.openStore(this);
    const shared = new Shared(ports.links, ports.log, store, identity, options, ClusterMap.EMPTY);
    this.store = store;
    this.shared = shared;
    this.stability = new Stability(shared);
    this.serve = new Serve(shared, this.stability);
    const limits = new CopyLimits(shared);
    this.memberIo = new MemberIo(shared, limits, (layerKey, chunkIndex) => {
      this.serve.merging.changed(layerKey, chunkIndex);
    });
    const { memberIo } = this;
    this.peerReads = new PeerReads(shared, (peer, view, at, extent) =>
      memberIo.accept(peer, view, at, extent),
    );
    this.membership = new Membership(shared);
    this.peering = new Peering(shared, this.stability);
    this.resync = new Resync(shared, limits);
    this.settling = new Settling(shared);
    this.leases = new Leases(shared);
    this.mdmLink = new MdmLink(shared);
    this.changes = new Changes(shared, this.mdmLink.client);
    this.leftovers = new Leftovers(shared, this.mdmLink.client);
    const { serve, stability, peerReads, membership, peering, resync, settling, leases } = this;
    this.scanner = new Scanner(shared, {
      copier: resync.copier,
      changed: (layerKey, chunkIndex) => {
        this.serve.merging.changed(layerKey, chunkIndex);
      },
    });
    this.scanAnswers = new ScanAnswers(shared);
    const { scanner, scanAnswers } = this;
    this.peerLinks = new PeerLinks(shared, {
      serve,
      stability,
      memberIo,
      peerReads,
      peering,
      resync,
      settling,
      leases,
      scanner,
      scanAnswers,
    });
    shared.wire({
      serve: this.serve,
      stability: this.stability,
      forward: new Forward(shared),
      peering: this.peering,
      resync: this.resync,
      membership: this.membership,
      settling: this.settling,
      changes: this.changes,
      leases: this.leases,
      leftovers: this.leftovers,
    });
    const { peerLinks, leftovers } = this;
    this.cuts = new Cuts(shared, this.mdmLink.client, () => {
      this.serve.mayResume();
    });
    const { cuts } = this;
    const { merging } = this.serve;
    this.mdmLink.wire(
      { membership, peerLinks, peering, resync, leftovers, merging, cuts, scanner },
      this.changes,
    );
  }

  /** Begins: the store recovers, then the machine looks for the MDM. Once, before any other input. */
  start(nowUs: Micros): void {
    this.shared.nowUs = nowUs;
    this.shared.startedUs = nowUs;
    this.shared.clients.startedUs = nowUs;
    this.store.start(nowUs, this.shared.identity.bootId);
  }

  /** Ends cleanly: nothing new is admitted, everything becomes durable, then `ended('closed')`. */
  stop(nowUs: Micros): void {
    this.shared.nowUs = nowUs;
    if (this.isOver() || this.shared.stage === 'closing') return;
    if (this.shared.stage === 'opening') {
      this.end('closed', 'stopped before the device was open');
      return;
    }
    this.shared.stage = 'closing';
    for (const client of [...this.shared.clients.all()]) this.dropClient(nowUs, client);
    for (const peer of this.shared.peers) {
      if (peer.link >= 0) this.shared.links.close(peer.link);
      this.shared.bindLink(peer, -1);
      peer.up = false;
    }
    this.mdmLink.client.stop(nowUs);
    this.store.close(nowUs);
    this.closeIfDone();
  }

  /** The read cache may have so much memory from now on. */
  setCacheSize(bytes: number): void {
    this.cacheBytes = bytes;
    this.store.setCacheSize(bytes);
  }

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    this.shared.nowUs = nowUs;
    const { stage } = this.shared;
    if (this.mdmLink.client.owns(link)) this.mdmLink.client.linkUp(nowUs, link, peer);
    else if (stage !== 'waiting' && stage !== 'serving') this.shared.links.close(link);
    else if (peer.role === 'sdsData') this.peerLinks.linkUp(nowUs, link, peer);
    else if (peer.role === 'sdc') this.clientUp(nowUs, link, peer);
    else this.shared.links.close(link);
    this.drainGranted(nowUs);
  }

  linkDown(nowUs: Micros, link: LinkId, reason: string): void {
    this.shared.nowUs = nowUs;
    const client = this.shared.clients.find(link);
    const peer = this.shared.findPeer(link);
    if (client !== undefined) this.forgetClient(nowUs, client);
    else if (peer !== undefined) this.peerLinks.linkDown(nowUs, peer, reason);
    else this.mdmLink.client.linkDown(nowUs, link, reason);
    this.drainGranted(nowUs);
  }

  frame(
    nowUs: Micros,
    link: LinkId,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    const { shared } = this;
    shared.nowUs = nowUs;
    if (shared.stage === 'ended' || shared.stage === 'closing') return true;
    let taken = true;
    const client = shared.clients.find(link);
    if (client !== undefined) taken = this.serve.frame(nowUs, client, bytes, view, at, bodyBytes);
    else {
      const peer = shared.findPeer(link);
      if (peer !== undefined) taken = this.peerLinks.frame(nowUs, peer, bytes, view, at, bodyBytes);
      else taken = this.mdmLink.client.frame(nowUs, link, bytes, view, at);
    }
    this.drainGranted(nowUs);
    return taken;
  }

  /** Completion of the disk that the store was opened over. */
  diskDone(nowUs: Micros, token: Token, ok: boolean): void {
    this.shared.nowUs = nowUs;
    this.store.diskDone(nowUs, token, ok);
    this.drainGranted(nowUs);
  }

  tick(nowUs: Micros): void {
    const { shared } = this;
    shared.nowUs = nowUs;
    this.store.tick(nowUs);
    if (this.isOver() || shared.stage === 'closing') {
      this.closeIfDone();
      return;
    }
    this.mdmLink.client.tick(nowUs);
    this.peerLinks.tick(nowUs);
    this.leases.tick(nowUs);
    this.peering.tick(nowUs);
    this.resync.tick(nowUs);
    this.settling.tick(nowUs);
    this.changes.tick(nowUs);
    this.leftovers.tick(nowUs);
    this.serve.tick(nowUs);
    this.cuts.tick(nowUs);
    this.scanner.tick(nowUs);
    this.drainGranted(nowUs);
  }

  /** Ends a batch of inputs: one write to the log, one acknowledgement per link. */
  endBatch(nowUs: Micros): void {
    const { shared } = this;
    shared.nowUs = nowUs;
    if (this.isOver()) return;
    this.store.endBatch(nowUs);
    this.drainGranted(nowUs);
    if (shared.stage === 'serving') {
      this.resync.pump();
      this.serve.merging.pump(nowUs);
      this.cuts.pump();
      this.scanner.repairs.checks.pump();
      this.changes.tick(nowUs);
      this.leases.tick(nowUs);
      this.settling.tick(nowUs);
      // What was appended since the store's own end of the batch still belongs to it.
      this.store.endBatch(nowUs);
      this.drainGranted(nowUs);
      this.memberIo.acknowledge();
      this.mdmLink.applyIfDrained(nowUs);
    }
    this.serve.resumeStalled();
    if (this.cacheSettledBytes !== this.cacheBytes) this.settleCache();
    this.closeIfDone();
  }

  private settleCache(): void {
    if ((this.store.cacheCounts()?.sizeBytes ?? 0) > this.cacheBytes) return;
    this.cacheSettledBytes = this.cacheBytes;
    this.ports.cacheSettled?.(this.cacheBytes);
  }

  nextDeadlineUs(): Micros {
    if (this.isOver()) return Infinity;
    if (this.shared.stage === 'closing') return this.store.nextDeadlineUs();
    return Math.min(
      this.store.nextDeadlineUs(),
      this.mdmLink.client.nextDeadlineUs(),
      this.peerLinks.nextDeadlineUs(),
      this.leases.nextDeadlineUs(),
      this.peering.nextDeadlineUs(),
      this.resync.nextDeadlineUs(),
      this.settling.nextDeadlineUs(),
      this.changes.nextDeadlineUs(),
      this.leftovers.nextDeadlineUs(),
      this.serve.nextDeadlineUs(),
      this.serve.merging.nextDeadlineUs(),
      this.cuts.nextDeadlineUs(),
      this.scanner.nextDeadlineUs(),
    );
  }

  // What the store says.

  storeOpened(nowUs: Micros, identity: StoreIdentity): void {
    const { shared } = this;
    shared.device = identity;
    shared.deviceKey = identity.deviceKey;
    shared.incarnation = identity.incarnation;
    shared.recoveredLsn = this.store.lastLsn;
    shared.poolKey = identity.poolKey;
    shared.stage = 'waiting';
    shared.links.identify({
      key: identity.deviceKey,
      incarnation: identity.incarnation,
      run: 0,
      systemId: identity.systemId,
    });
    this.membership.load(nowUs);
    shared.log.event('info', 'sds.opened', {
      device: identity.deviceKey,
      incarnation: identity.incarnation,
      rolledBack: identity.rolledBack,
    });
    this.ports.opened?.();
    this.mdmLink.client.start(nowUs);
  }

  storeRefused(_nowUs: Micros, reason: string): void {
    this.end('refused', reason);
  }

  storeProgress(nowUs: Micros): void {
    if (this.isOver()) return;
    if (this.shared.stage === 'closing') {
      // Nothing may be appended any more.
      this.closeIfDone();
      return;
    }
    this.stability.storeProgress(nowUs);
    this.serve.flushes.progress(nowUs);
    this.settling.progress();
    this.leftovers.progress();
    this.peering.progress(nowUs);
    this.memberIo.resumeStalled();
    this.serve.storeProgress(nowUs);
  }

  storeRead(
    nowUs: Micros,
    token: Token,
    status: StoreStatus,
    badMaskLow: number,
    badMaskHigh: number,
  ): void {
    if (this.isOver() || this.shared.stage === 'closing') return;
    if (token >= SCAN_TOKENS) this.scanner.storeRead(token, status, badMaskLow, badMaskHigh);
    else if (token >= PEER_READ_TOKENS) this.peerReads.done(token - PEER_READ_TOKENS, status);
    else if (token >= COPY_TOKENS)
      this.resync.copier.storeRead(token, status, badMaskLow, badMaskHigh);
    else {
      const op = this.shared.ops.at(tokenSlot(token));
      if (op === undefined || op.loads === 0) return;
      this.serve.storeRead(nowUs, op, tokenPart(token), status, badMaskLow, badMaskHigh);
    }
  }

  storeDescribed(nowUs: Micros, token: Token, status: StoreStatus): void {
    if (this.isOver() || this.shared.stage === 'closing') return;
    if (token >= SCAN_ANSWER_TOKENS) this.scanAnswers.described(token - SCAN_ANSWER_TOKENS, status);
    else if (token >= SCAN_TOKENS) this.scanner.storeDescribed(token, status);
    else if (token >= COPY_TOKENS) this.resync.copier.storeDescribed(token, status);
    else {
      const op = this.shared.ops.at(tokenSlot(token));
      if (op !== undefined && op.loads > 0) this.serve.storeDescribed(nowUs, op, status);
    }
  }

  storeFailed(_nowUs: Micros, reason: string): void {
    MARKS.failed.hits++;
    this.end('failed', reason);
  }

  opIdNeeded(run: number, opLow: number, opHigh: number): boolean {
    return this.shared.clients.mayRetry(this.shared.nowUs, run, opLow, opHigh);
  }

  // Links of clients.

  private clientUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    const replaced = this.shared.clients.add(nowUs, link, peer);
    if (replaced === null) {
      MARKS.late.hits++;
      this.shared.links.close(link);
      return;
    }
    for (const client of replaced) {
      MARKS.superseded.hits++;
      this.dropClient(nowUs, client);
    }
  }

  private dropClient(nowUs: Micros, client: Client): void {
    this.shared.links.close(client.link);
    this.forgetClient(nowUs, client);
  }

  private forgetClient(nowUs: Micros, client: Client): void {
    this.shared.clients.remove(nowUs, client.link);
    this.serve.clientGone(nowUs, client);
  }

  /** Goes on with whatever got its lock. */
  private drainGranted(nowUs: Micros): void {
    while (this.shared.stage === 'serving') {
      const granted = this.shared.lock.takeGranted();
      if (granted === null) return;
      if (granted instanceof Op) this.serve.granted(nowUs, granted);
      else if (granted instanceof CopyTask) this.resync.copier.granted(granted);
      else if (granted instanceof ScanTask) this.scanner.repairs.checks.granted(granted);
    }
  }

  private isOver(): boolean {
    return this.shared.stage === 'ended';
  }

  private closeIfDone(): void {
    if (this.shared.stage !== 'closing' || !this.store.closed) return;
    this.end('closed', 'stopped');
  }

  private end(how: DataEnd, reason: string): void {
    if (this.isOver()) return;
    this.shared.stage = 'ended';
    for (const client of this.shared.clients.all()) this.shared.links.close(client.link);
    for (const peer of this.shared.peers) if (peer.link >= 0) this.shared.links.close(peer.link);
    this.mdmLink.client.stop(this.shared.nowUs);
    this.shared.log.event(how === 'closed' ? 'info' : 'error', 'sds.ended', { how, reason });
    this.ports.ended(how, reason);
  }
}
