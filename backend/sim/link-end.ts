// One end of a simulated connection: frames on their way from it and frames that wait at it. It owns their order; when
// they arrive is the network's business.

import type { LinkId, Peer, Role } from '../core/ports.js';

import { AddressQueue } from './address-queue.js';
import type { EventTarget } from './event-queue.js';
import type { SimHost } from './host.js';
import type { Simulation } from './simulation.js';
import { TRACE } from './trace.js';

/** What the process says of itself when it opens or accepts links; the owner of the process keeps it current. */
export interface Identity {
  readonly role: Role;
  key: number;
  incarnation: number;
  run: number;
}

/** The process that an end belongs to. */
export interface EndOwner {
  readonly host: SimHost;
  readonly name: string;
  readonly node: number;
  readonly port: number;
  readonly identity: Identity;
  readonly ends: LinkEnd[];
  readonly alive: boolean;
  readonly paused: boolean;
  takeLinkId(): LinkId;
  markDirty(end: LinkEnd): void;
  markResumed(end: LinkEnd): void;
  receive(end: LinkEnd): void;
  linkUp(end: LinkEnd, peer: Peer): void;
  linkDown(end: LinkEnd, reason: string): void;
}

/** The network that an end belongs to. */
export interface EndNetwork {
  readonly sim: Simulation;
  delayUs(end: LinkEnd): number;
  flows(end: LinkEnd): boolean;
  sent(end: LinkEnd, address: number): void;
  checkDeaf(end: LinkEnd, sinceUs: number): void;
  established(end: LinkEnd): void;
  forget(end: LinkEnd): void;
}

export const END_WHAT = { arrive: 1, retransmit: 2, peerGone: 3, deaf: 4, up: 5 } as const;

export class LinkEnd implements EventTarget {
  readonly network: EndNetwork;
  readonly process: EndOwner;
  readonly id: LinkId;
  other: LinkEnd | null = null;
  /** The machine may still hear of it. */
  open = true;
  /** The machine was told that it is up. */
  up = false;
  /** The machine did not take the frame in front. */
  refused = false;
  dirty = false;
  /** Nothing can arrive from the other end since then. */
  deafSinceUs = Infinity;
  /** Nothing flows in either direction until then, although no host is cut off. */
  stalledUntilUs = 0;
  /** It came up while connections of one of its hosts carried nothing. */
  cameUpMute = false;
  /** Frames that arrived and were not taken: addresses in the arena. */
  private readonly incoming = new AddressQueue();
  /** Frames that were sent and have not arrived. */
  private readonly outgoing = new AddressQueue();
  private reservedCount = 0;
  private reservedBytes = 0;
  private stuckCount = 0;
  private lastArrivalUs = 0;

  constructor(network: EndNetwork, process: EndOwner, id: LinkId) {
    this.network = network;
    this.process = process;
    this.id = id;
    process.ends.push(this);
  }

  isOpen(): boolean {
    return this.open;
  }

  waiting(): number {
    return this.incoming.length;
  }

  peekAddress(): number {
    return this.incoming.at(0);
  }

  drop(): void {
    this.incoming.shift();
  }

  reserve(frameBytes: number): number {
    const address = this.network.sim.arena.take(frameBytes);
    if (!this.open) return address;
    this.outgoing.push(address);
    this.reservedCount += 1;
    this.reservedBytes += frameBytes;
    this.process.markDirty(this);
    return address;
  }

  pendingBytes(): number {
    return this.reservedBytes;
  }

  /** Hands what was reserved to the network, as one packet. */
  flush(): void {
    this.dirty = false;
    const count = this.reservedCount;
    if (count === 0) return;
    this.reservedCount = 0;
    if (!this.open) return;
    const sim = this.network.sim;
    for (let index = this.outgoing.length - count; index < this.outgoing.length; index++) {
      const address = this.outgoing.at(index);
      sim.trace.mix(TRACE.frameOut, sim.nowUs, this.process.node, this.id);
      this.network.sent(this, address);
    }
    const arrivalUs = Math.max(this.lastArrivalUs, sim.nowUs + this.network.delayUs(this));
    this.lastArrivalUs = arrivalUs;
    sim.queue.push(arrivalUs, this, END_WHAT.arrive, count);
  }

  fire(_timeUs: number, what: number, argument: number): void {
    if (what === END_WHAT.arrive) this.arrive(argument);
    else if (what === END_WHAT.retransmit) this.retransmit();
    else if (what === END_WHAT.peerGone) this.process.linkDown(this, 'closed by the other end');
    else if (what === END_WHAT.deaf) this.network.checkDeaf(this, argument);
    else this.network.established(this);
  }

  private arrive(count: number): void {
    if (this.stuckCount > 0 || !this.network.flows(this)) {
      this.stuckCount += count;
      return;
    }
    this.moveToOther(count);
  }

  /** The way is free again: what got stuck is sent once more. */
  unstick(delayUs: number): void {
    if (this.stuckCount > 0)
      this.network.sim.queue.push(this.network.sim.nowUs + delayUs, this, END_WHAT.retransmit, 0);
  }

  private retransmit(): void {
    if (this.stuckCount === 0 || !this.network.flows(this)) return;
    const count = this.stuckCount;
    this.stuckCount = 0;
    this.moveToOther(count);
  }

  private moveToOther(count: number): void {
    const other = this.other;
    // What was lost with its process does not arrive.
    const left = Math.min(count, this.outgoing.length);
    for (let index = 0; index < left; index++) {
      const address = this.outgoing.shift();
      if (other?.open === true) other.incoming.push(address);
    }
    if (this.outgoing.length === 0) this.reservedBytes = 0;
    if (other?.open === true && other.up) other.process.receive(other);
  }

  /** When everything that was sent will have arrived, for the end-of-stream that follows it. */
  drainedUs(): number {
    return this.lastArrivalUs;
  }

  /** No input comes from it any more. What it sent is on its way still. */
  discard(): void {
    this.open = false;
    this.up = false;
    this.incoming.clear();
    const place = this.process.ends.indexOf(this);
    if (place >= 0) this.process.ends.splice(place, 1);
    this.network.forget(this);
  }

  /** What is on its way is lost. */
  loseOutgoing(): void {
    this.outgoing.clear();
    this.stuckCount = 0;
  }
}
