// The data machine: everything that the process of one device decides. It owns the order of its inputs; each of its parts
// (data-parts.ts) owns a topic. It must never do I/O, nor know how a device is laid out.

import { ClusterMap } from '../cluster-map/cluster-map.js';
import { mark } from '../core/marks.js';
import type { LinkId, Links, Log, Machine, Micros, Peer, Token } from '../core/ports.js';
import type { Client } from './clients.js';
import { CopyTask } from './copy-task.js';
import { DataParts } from './data-parts.js';
import {
  COPY_TOKENS,
  PEER_READ_TOKENS,
  SCAN_ANSWER_TOKENS,
  SCAN_TOKENS,
  tokenPart,
  tokenSlot,
} from './load-token.js';
import { Op } from './op.js';
import type { DataIdentity, DataOptions } from './options.js';
import { ScanTask } from './scan-task.js';
import { Shared } from './shared.js';
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
  private readonly parts: DataParts;
  /** Memory that the read cache may have, and that it was said to have settled at. */
  private cacheBytes = 0;
  private cacheSettledBytes = 0;

  constructor(ports: DataPorts, identity: DataIdentity, options: DataOptions) {
    this.ports = ports;
    const store = ports.openStore(this);
    const shared = new Shared(ports.links, ports.log, store, identity, options, ClusterMap.EMPTY);
    this.store = store;
    this.shared = shared;
    this.parts = new DataParts(shared);
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
    this.parts.mdmLink.client.stop(nowUs);
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
    if (this.parts.mdmLink.client.owns(link)) this.parts.mdmLink.client.linkUp(nowUs, link, peer);
    else if (stage !== 'waiting' && stage !== 'serving') this.shared.links.close(link);
    else if (peer.role === 'sdsData') this.parts.peerLinks.linkUp(nowUs, link, peer);
    else if (peer.role === 'sdc') this.clientUp(nowUs, link, peer);
    else this.shared.links.close(link);
    this.drainGranted(nowUs);
  }

  linkDown(nowUs: Micros, link: LinkId, reason: string): void {
    this.shared.nowUs = nowUs;
    const client = this.shared.clients.find(link);
    const peer = this.shared.findPeer(link);
    if (client !== undefined) this.forgetClient(nowUs, client);
    else if (peer !== undefined) this.parts.peerLinks.linkDown(nowUs, peer, reason);
    else this.parts.mdmLink.client.linkDown(nowUs, link, reason);
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
    if (client !== undefined)
      taken = this.parts.serve.frame(nowUs, client, bytes, view, at, bodyBytes);
    else {
      const peer = shared.findPeer(link);
      if (peer !== undefined)
        taken = this.parts.peerLinks.frame(nowUs, peer, bytes, view, at, bodyBytes);
      else taken = this.parts.mdmLink.client.frame(nowUs, link, bytes, view, at);
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
    this.parts.tick(nowUs);
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
      this.parts.resync.pump();
      this.parts.serve.merging.pump(nowUs);
      this.parts.cuts.pump();
      this.parts.scanner.repairs.checks.pump();
      this.parts.changes.tick(nowUs);
      this.parts.leases.tick(nowUs);
      this.parts.settling.tick(nowUs);
      // What was appended since the store's own end of the batch still belongs to it.
      this.store.endBatch(nowUs);
      this.drainGranted(nowUs);
      this.parts.memberIo.acknowledge();
      this.parts.mdmLink.applyIfDrained(nowUs);
    }
    this.parts.serve.resumeStalled();
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
    return Math.min(this.store.nextDeadlineUs(), this.parts.nextDeadlineUs());
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
    this.parts.membership.load(nowUs);
    shared.log.event('info', 'sds.opened', {
      device: identity.deviceKey,
      incarnation: identity.incarnation,
      rolledBack: identity.rolledBack,
    });
    this.ports.opened?.();
    this.parts.mdmLink.client.start(nowUs);
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
    this.parts.stability.storeProgress(nowUs);
    this.parts.serve.flushes.progress(nowUs);
    this.parts.settling.progress();
    this.parts.leftovers.progress();
    this.parts.peering.progress(nowUs);
    this.parts.memberIo.resumeStalled();
    this.parts.serve.storeProgress(nowUs);
  }

  storeRead(
    nowUs: Micros,
    token: Token,
    status: StoreStatus,
    badMaskLow: number,
    badMaskHigh: number,
  ): void {
    if (this.isOver() || this.shared.stage === 'closing') return;
    if (token >= SCAN_TOKENS) this.parts.scanner.storeRead(token, status, badMaskLow, badMaskHigh);
    else if (token >= PEER_READ_TOKENS) this.parts.peerReads.done(token - PEER_READ_TOKENS, status);
    else if (token >= COPY_TOKENS)
      this.parts.resync.copier.storeRead(token, status, badMaskLow, badMaskHigh);
    else {
      const op = this.shared.ops.at(tokenSlot(token));
      if (op === undefined || op.loads === 0) return;
      this.parts.serve.storeRead(nowUs, op, tokenPart(token), status, badMaskLow, badMaskHigh);
    }
  }

  storeDescribed(nowUs: Micros, token: Token, status: StoreStatus): void {
    if (this.isOver() || this.shared.stage === 'closing') return;
    if (token >= SCAN_ANSWER_TOKENS)
      this.parts.scanAnswers.described(token - SCAN_ANSWER_TOKENS, status);
    else if (token >= SCAN_TOKENS) this.parts.scanner.storeDescribed(token, status);
    else if (token >= COPY_TOKENS) this.parts.resync.copier.storeDescribed(token, status);
    else {
      const op = this.shared.ops.at(tokenSlot(token));
      if (op !== undefined && op.loads > 0) this.parts.serve.storeDescribed(nowUs, op, status);
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
    this.parts.serve.clientGone(nowUs, client);
  }

  /** Goes on with whatever got its lock. */
  private drainGranted(nowUs: Micros): void {
    while (this.shared.stage === 'serving') {
      const granted = this.shared.lock.takeGranted();
      if (granted === null) return;
      if (granted instanceof Op) this.parts.serve.granted(nowUs, granted);
      else if (granted instanceof CopyTask) this.parts.resync.copier.granted(granted);
      else if (granted instanceof ScanTask) this.parts.scanner.repairs.checks.granted(granted);
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
    this.parts.mdmLink.client.stop(this.shared.nowUs);
    this.shared.log.event(how === 'closed' ? 'info' : 'error', 'sds.ended', { how, reason });
    this.ports.ended(how, reason);
  }
}
