// The simulated network: who can reach whom, how long a packet takes, which connection breaks and who notices when. It
// owns hosts' reachability and the ends of all connections; handshakes are abstracted: it gives both sides an
// authenticated peer. It must never lose or reorder a frame of a connection that stays up: that is what TCP promises.

import { assert } from '../core/assert.js';
import type { LinkId, Links, LinkTarget, Peer } from '../core/ports.js';
import { FEATURE, VERSION_MAX } from '../protocol/generated/constants.js';

import type { EventTarget } from './event-queue.js';
import type { SimHost } from './host.js';
import { END_WHAT, LinkEnd } from './link-end.js';
import type { EndNetwork, EndOwner } from './link-end.js';
import { SimLinks } from './links.js';
import type { Simulation } from './simulation.js';
import { TRACE } from './trace.js';

/** As the shells: silence that ends a link, and what a connection attempt may take. */
const DEAD_US = 2_000_000;
const CONNECT_TIMEOUT_US = 2_000_000;
const OWN_FEATURES = Object.values(FEATURE).reduce((all, mask) => all + mask, 0);
const RETRY_PAUSED_US = 100_000;

export interface NetworkOptions {
  readonly delayUsMin: number;
  readonly delayUsMax: number;
  /** Of a hundred closed connections, how many leave frames behind that arrive late. */
  readonly lingerPercent: number;
  readonly lingerUsMax: number;
  /** Feature bits that all programs name; those of this version when left out. */
  readonly features?: number;
}

interface Attempt {
  readonly end: LinkEnd;
  readonly target: LinkTarget;
  address: number;
  startedUs: number;
}

/** Sees every frame that is handed to the network. */
export type FrameWatcher = (
  from: LinkEnd,
  to: LinkEnd | null,
  view: DataView,
  at: number,
  bytes: Uint8Array,
) => void;

export class SimNetwork implements EndNetwork, EventTarget {
  readonly sim: Simulation;
  readonly hosts: SimHost[] = [];
  watcher: FrameWatcher | null = null;
  /** As `watcher`, for whoever lies in wait for a frame. */
  spy: FrameWatcher | null = null;
  private readonly options: NetworkOptions;
  private readonly features: number;
  private readonly ends: LinkEnd[] = [];
  private readonly processes: EndOwner[] = [];
  private readonly attempts = new Map<number, Attempt>();
  private nextAttempt = 1;
  /** cut[from * hosts + to] counts the reasons why packets do not pass. */
  private readonly cuts = new Map<number, number>();
  /** Extra delay per host, of a slow network card. */
  private readonly slowUs = new Map<number, number>();
  private readonly mute = new Set<number>();

  constructor(sim: Simulation, options: NetworkOptions) {
    this.sim = sim;
    this.options = options;
    this.features = options.features ?? OWN_FEATURES;
  }

  addHost(host: SimHost): void {
    assert(host.index === this.hosts.length, 'hosts are numbered in order');
    this.hosts.push(host);
  }

  /** The door for one process. */
  linksOf(process: EndOwner): Links {
    this.processes.push(process);
    return new SimLinks(this, process);
  }

  delayUs(end: LinkEnd): number {
    const base = this.sim.prng.between(this.options.delayUsMin, this.options.delayUsMax);
    const from = this.slowUs.get(end.process.host.index) ?? 0;
    const to = end.other === null ? 0 : (this.slowUs.get(end.other.process.host.index) ?? 0);
    const slow = from + to;
    return slow === 0 ? base : base + this.sim.prng.below(slow + 1);
  }

  private pair(from: SimHost, to: SimHost): number {
    return from.index * 64 + to.index;
  }

  private passes(from: SimHost, to: SimHost): boolean {
    return from === to || (this.cuts.get(this.pair(from, to)) ?? 0) === 0;
  }

  private isMute(end: LinkEnd, other: LinkEnd): boolean {
    return this.mute.has(end.process.host.index) || this.mute.has(other.process.host.index);
  }

  /** Whether two hosts could talk now. */
  connects(one: SimHost, other: SimHost): boolean {
    return this.passes(one, other) && this.passes(other, one) && one.powered && other.powered;
  }

  /** Whether a packet from this end reaches the other one now. */
  flows(end: LinkEnd): boolean {
    const other = end.other;
    if (other === null) return true;
    if (end.stalledUntilUs > this.sim.nowUs) return false;
    if (end.cameUpMute && this.isMute(end, other)) return false;
    return this.passes(end.process.host, other.process.host) && other.process.host.powered;
  }

  /** Cuts or restores the way from one host to another. */
  cut(from: SimHost, to: SimHost, on: boolean): void {
    const pair = this.pair(from, to);
    this.cuts.set(pair, (this.cuts.get(pair) ?? 0) + (on ? 1 : -1));
    this.reachabilityChanged();
  }

  /** Connections to and from a host that come up from now on carry nothing while this lasts. */
  setMute(host: SimHost, on: boolean): void {
    if (on) this.mute.add(host.index);
    else this.mute.delete(host.index);
    this.reachabilityChanged();
  }

  setSlow(host: SimHost, slowUs: number): void {
    this.slowUs.set(host.index, slowUs);
  }

  /** Nothing flows on one connection for a while. */
  stall(end: LinkEnd, untilUs: number): void {
    end.stalledUntilUs = untilUs;
    if (end.other !== null) end.other.stalledUntilUs = untilUs;
    this.sim.queue.push(untilUs, this, 0, 0);
    this.reachabilityChanged();
  }

  /** All ends that are up, for nemeses and checks. */
  upEnds(): readonly LinkEnd[] {
    return this.ends.filter((end) => end.up);
  }

  fire(_timeUs: number, what: number, argument: number): void {
    if (what === 0) this.reachabilityChanged();
    else this.tryNext(argument);
  }

  /** Something about who hears whom changed: stuck packets may flow, silence may begin or end. */
  reachabilityChanged(): void {
    for (const end of [...this.ends]) {
      const other = end.other;
      if (other === null || !end.open) continue;
      if (this.flows(end)) end.unstick(this.sim.prng.below(200_000));
      const deaf = !this.flows(other) || other.process.paused || !other.process.alive;
      if (!deaf) end.deafSinceUs = Infinity;
      else if (end.deafSinceUs === Infinity) {
        end.deafSinceUs = this.sim.nowUs;
        const checkUs = this.sim.nowUs + DEAD_US + this.sim.prng.below(500_000);
        this.sim.queue.push(checkUs, end, END_WHAT.deaf, this.sim.nowUs);
      }
    }
  }

  checkDeaf(end: LinkEnd, sinceUs: number): void {
    if (!end.open || end.deafSinceUs !== sinceUs) return;
    const other = end.other;
    end.process.linkDown(end, 'nothing heard for too long');
    if (other !== null) this.tellClosed(end, other);
  }

  /** Starts to connect. */
  connect(process: EndOwner, link: LinkId, target: LinkTarget): void {
    const end = new LinkEnd(this, process, link);
    this.ends.push(end);
    this.sim.trace.mix(TRACE.connect, this.sim.nowUs, process.node, link);
    const number = this.nextAttempt++;
    this.attempts.set(number, { end, target, address: 0, startedUs: this.sim.nowUs });
    this.schedule(number, this.roundTripUs());
  }

  private roundTripUs(): number {
    return 2 * this.sim.prng.between(this.options.delayUsMin, this.options.delayUsMax);
  }

  private schedule(attempt: number, inUs: number): void {
    this.sim.queue.push(this.sim.nowUs + inUs, this, 1, attempt);
  }

  private tryNext(number: number): void {
    const attempt = this.attempts.get(number);
    if (attempt === undefined) return;
    const { end, target } = attempt;
    if (!end.open || !end.process.alive) {
      this.attempts.delete(number);
      return;
    }
    const address = target.addresses[attempt.address];
    if (address === undefined) {
      this.attempts.delete(number);
      end.process.linkDown(end, 'no address answers');
      return;
    }
    const host = this.hosts.find((candidate) => candidate.address === address.host);
    const reachable =
      host?.powered === true &&
      this.passes(end.process.host, host) &&
      this.passes(host, end.process.host);
    const process = this.processes.find(
      (candidate) => candidate.host === host && candidate.port === address.port,
    );
    const waits = !reachable || process?.paused === true;
    if (waits && this.sim.nowUs - attempt.startedUs < CONNECT_TIMEOUT_US) {
      this.schedule(number, RETRY_PAUSED_US);
    } else if (waits || process === undefined || !this.answers(process, target)) {
      attempt.address += 1;
      attempt.startedUs = this.sim.nowUs;
      this.schedule(number, this.roundTripUs());
    } else {
      this.attempts.delete(number);
      this.accept(end, target, process);
    }
  }

  private answers(process: EndOwner, target: LinkTarget): boolean {
    if (process.identity.role !== target.role) return false;
    return target.key === 0 || target.key === process.identity.key;
  }

  private accept(end: LinkEnd, target: LinkTarget, process: EndOwner): void {
    const accepted = new LinkEnd(this, process, process.takeLinkId());
    this.ends.push(accepted);
    accepted.other = end;
    end.other = accepted;
    const mine = end.process.identity;
    process.linkUp(accepted, peerOf(mine, target.link, target.linkEpoch, this.features));
    this.sim.queue.push(this.sim.nowUs + this.delayUs(accepted), end, END_WHAT.up, 0);
  }

  /** The connecting side hears that the handshake is done. */
  established(end: LinkEnd): void {
    const other = end.other;
    if (!end.open || other === null) return;
    if (!this.flows(other)) {
      end.process.linkDown(end, 'the handshake took too long');
      this.tellClosed(end, other);
      return;
    }
    end.process.linkUp(end, peerOf(other.process.identity, 0, 0, this.features));
    if (!this.isMute(end, other)) return;
    end.cameUpMute = true;
    other.cameUpMute = true;
    this.reachabilityChanged();
  }

  /** A connection breaks: both sides hear of it, each in its own time. */
  breakLink(end: LinkEnd): void {
    const { other } = end;
    if (other !== null) this.tellClosed(end, other);
    end.process.linkDown(end, 'connection reset');
  }

  /** The machine ends a link. */
  close(end: LinkEnd): void {
    this.sim.trace.mix(TRACE.close, this.sim.nowUs, end.process.node, end.id);
    const other = end.other;
    end.discard();
    if (other !== null) this.tellClosed(end, other);
  }

  /** The other side hears of the end after everything that was sent before, sometimes much later. */
  private tellClosed(end: LinkEnd, other: LinkEnd): void {
    const linger = this.sim.prng.chance(this.options.lingerPercent, 100);
    const lateUs = linger ? this.sim.prng.below(this.options.lingerUsMax) : 0;
    if (linger) {
      // What was sent before the break hangs in the network and arrives while a newer connection is in use.
      end.stalledUntilUs = this.sim.nowUs + lateUs;
      this.sim.queue.push(end.stalledUntilUs, new Late(end), 0, 0);
    }
    const goneUs = Math.max(end.drainedUs(), this.sim.nowUs + lateUs + this.delayUs(end)) + 1;
    this.sim.queue.push(goneUs + (linger ? 250_000 : 0), other, END_WHAT.peerGone, 0);
  }

  /**
   * A process ended. Its host, where it has power, resets the connections; without power nobody hears of it until the
   * silence is noticed.
   */
  processEnded(process: EndOwner, resets: boolean): void {
    const place = this.processes.indexOf(process);
    if (place >= 0) this.processes.splice(place, 1);
    for (const end of [...process.ends]) {
      const other = end.other;
      end.discard();
      if (this.sim.prng.chance(1, 2)) end.loseOutgoing();
      if (other === null) continue;
      if (resets) this.tellClosed(end, other);
    }
    this.reachabilityChanged();
  }

  /** The power of a host is back: its kernel resets connections that it does not know. */
  hostBack(host: SimHost): void {
    for (const end of [...this.ends]) {
      if (end.other?.process.host !== host || end.other.process.alive) continue;
      this.sim.queue.push(this.sim.nowUs + this.delayUs(end), end, END_WHAT.peerGone, 0);
    }
  }

  forget(end: LinkEnd): void {
    const place = this.ends.indexOf(end);
    if (place >= 0) this.ends.splice(place, 1);
  }

  /** A frame is handed over. */
  sent(end: LinkEnd, address: number): void {
    const { arena, trace } = this.sim;
    const view = arena.viewOf(address);
    const at = arena.offsetOf(address);
    trace.header(view, at);
    const bytes = arena.bytesOf(address);
    if (this.watcher !== null) this.watcher(end, end.other, view, at, bytes);
    if (this.spy !== null) this.spy(end, end.other, view, at, bytes);
  }
}

function peerOf(
  identity: EndOwner['identity'],
  link: number,
  linkEpoch: number,
  features: number,
): Peer {
  return {
    role: identity.role,
    key: identity.key,
    incarnation: identity.incarnation,
    run: identity.run,
    link,
    linkEpoch,
    version: VERSION_MAX,
    features,
  };
}

/** Lets the late frames of a closed end arrive. */
class Late implements EventTarget {
  private readonly end: LinkEnd;

  constructor(end: LinkEnd) {
    this.end = end;
  }

  fire(): void {
    this.end.unstick(1);
  }
}
