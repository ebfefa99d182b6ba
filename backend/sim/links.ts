// A process's door to the simulated network: the Links port over the ends that belong to it. It must never decide when
// anything arrives: that is the network's business.

import type { LinkId, Links, LinkTarget, OwnIdentity, Region } from '../core/ports.js';

import type { EndNetwork, EndOwner, LinkEnd } from './link-end.js';

/** What a door needs of the network. */
interface LinkNetwork extends EndNetwork {
  connect(process: EndOwner, link: LinkId, target: LinkTarget): void;
  close(end: LinkEnd): void;
}

export class SimLinks implements Links {
  private readonly network: LinkNetwork;
  private readonly process: EndOwner;
  private readonly region: { bytes: Uint8Array; view: DataView; at: number } = {
    bytes: new Uint8Array(0),
    view: new DataView(new ArrayBuffer(0)),
    at: 0,
  };

  constructor(network: LinkNetwork, process: EndOwner) {
    this.network = network;
    this.process = process;
  }

  identify(identity: OwnIdentity): void {
    const mine = this.process.identity;
    mine.key = identity.key;
    mine.incarnation = identity.incarnation;
    mine.run = identity.run;
  }

  connect(link: LinkId, target: LinkTarget): void {
    this.network.connect(this.process, link, target);
  }

  newLink(): LinkId {
    return this.process.takeLinkId();
  }

  close(link: LinkId): void {
    const end = this.find(link);
    if (end !== undefined) this.network.close(end);
  }

  reserve(link: LinkId, frameBytes: number): Region {
    const end = this.find(link);
    const { arena } = this.network.sim;
    const address = end === undefined ? arena.take(frameBytes) : end.reserve(frameBytes);
    this.region.bytes = arena.bytesOf(address);
    this.region.view = arena.viewOf(address);
    this.region.at = arena.offsetOf(address);
    return this.region;
  }

  resume(link: LinkId): void {
    const end = this.find(link);
    if (end?.refused === true) this.process.markResumed(end);
  }

  pendingBytes(link: LinkId): number {
    return this.find(link)?.pendingBytes() ?? 0;
  }

  private find(link: LinkId): LinkEnd | undefined {
    // For every frame: no closure.
    for (const end of this.process.ends) if (end.id === link) return end;
    return undefined;
  }
}
