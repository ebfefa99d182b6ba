// Links to the data process of one device: when to dial, when to try again, what is in flight on which. It owns the state
// of the links and their epochs (C10); what becomes of operations of a lost link is the engine's business.

import type { LinkId, Links, Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { MapDevice } from '../protocol/generated/types.js';

import { OpList } from './op.js';
import { SpaceWaiters } from './space-waiters.js';

const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 1000;

export class DeviceLink {
  readonly device: DeviceLinks;
  /** Number of this link between the two. */
  readonly number: number;
  id: LinkId = -1;
  state: 'down' | 'connecting' | 'up' = 'down';
  readonly inFlight = new OpList();
  /**
   * Changes that were in flight on an earlier connection of this link. Their frames may still lie at the other end, until a
   * connection of a newer epoch makes it drop them: before, they must not be sent on another link to it (C10).
   */
  readonly fenced = new OpList();
  /** Last epoch used: the next connection gets the next one. */
  epoch = 0;
  /** Protocol version of the link that is up. */
  version = 1;
  /** Feature bits that both ends use. */
  features = 0;
  failures = 0;
  retryAtUs: Micros = 0;

  constructor(device: DeviceLinks, number: number) {
    this.device = device;
    this.number = number;
  }

  /** The link is gone; its operations are the caller's to take care of. */
  down(nowUs: Micros): void {
    const pauseMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.failures, 10));
    this.failures += 1;
    this.state = 'down';
    this.id = -1;
    this.retryAtUs = nowUs + pauseMs * MICROS_PER_MS;
  }
}

export class DeviceLinks {
  readonly key: number;
  readonly links: readonly DeviceLink[];
  /** Operations for which no link is up or has room. */
  readonly waiting = new OpList();
  /** Operations that it refused for want of space. */
  readonly space = new SpaceWaiters();

  constructor(key: number, count: number) {
    this.key = key;
    this.links = Array.from({ length: count }, (_, number) => new DeviceLink(this, number));
  }

  /** Whether operations wait for a link. */
  get isWanted(): boolean {
    return this.waiting.length > 0 || this.links.some(({ fenced }) => fenced.length > 0);
  }

  /** The link that is up and has the fewest operations in flight, or null when none has room. */
  choose(inFlightMax: number): DeviceLink | null {
    let best: DeviceLink | null = null;
    for (const link of this.links) {
      if (link.state !== 'up' || link.inFlight.length >= inFlightMax) continue;
      if (best === null || link.inFlight.length < best.inFlight.length) best = link;
    }
    return best;
  }

  /**
   * Dials links that are down and whose pause is over.
   *
   * @param started - called with each link that was dialled
   */
  dial(nowUs: Micros, links: Links, device: MapDevice, started: (link: DeviceLink) => void): void {
    for (const link of this.links) {
      if (link.state !== 'down' || link.retryAtUs > nowUs) continue;
      link.epoch += 1;
      link.state = 'connecting';
      link.id = links.newLink();
      started(link);
      links.connect(link.id, {
        role: 'sdsData',
        key: this.key,
        addresses: clientAddresses(device).map((host) => ({ host, port: device.port })),
        link: link.number,
        linkEpoch: link.epoch,
      });
    }
  }

  /** When a link that is down may be dialled, where operations wait for one; else Infinity. */
  nextDialUs(): Micros {
    if (!this.isWanted) return Infinity;
    let next = Infinity;
    for (const link of this.links) if (link.state === 'down') next = Math.min(next, link.retryAtUs);
    return next;
  }
}

/** Addresses that serve clients, in order of preference. */
function clientAddresses(device: MapDevice): string[] {
  return device.addresses
    .filter(({ role }) => role === 'all' || role === 'sdcOnly')
    .map(({ host }) => host);
}
