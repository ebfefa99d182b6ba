// Asks every MDM of a simulated cluster again and again how far it is, and finds answers of those that are no master any more:
// whoever answers must know everything that was committed, and told to somebody, before it was asked. It must never change
// anything.

import type { LinkId, Links, Machine, Micros } from '../core/ports.js';
import { mark } from '../core/marks.js';
import { bodyOf, decodeBody, encodeControl } from '../protocol/control.js';
import { MSG, VERSION_MAX } from '../protocol/generated/constants.js';
import { getStatus, getTag, getVersion } from '../protocol/generated/frame-head.js';
import { sendFrame } from '../protocol/send.js';

import type { SimEtcds } from './shared-store.js';
import type { Simulation } from './simulation.js';

const MARKS = {
  answered: mark('sim: a master said how far it is'),
  redirected: mark('sim: a standby said that it is not the master'),
};

const EVERY_US = 100_000;
const RETRY_US = 200_000;

interface Place {
  readonly host: string;
  readonly port: number;
}

/** One MDM as the watch sees it. */
interface Watched {
  readonly place: Place;
  link: LinkId;
  isUp: boolean;
  /** When it is asked, or connected to, next. */
  dueUs: Micros;
}

export class MasterWatch implements Machine {
  private readonly sim: Simulation;
  private readonly links: Links;
  private readonly etcd: SimEtcds;
  private readonly watched: readonly Watched[];
  /** By tag: what was committed and told when the question was asked. */
  private readonly asked = new Map<number, number>();
  private lastTag = 0;

  constructor(sim: Simulation, links: Links, etcd: SimEtcds, places: readonly Place[]) {
    this.sim = sim;
    this.links = links;
    this.etcd = etcd;
    this.watched = places.map((place) => ({ place, link: -1, isUp: false, dueUs: 0 }));
  }

  linkUp(nowUs: Micros, link: LinkId): void {
    const watched = this.of(link);
    if (watched === undefined) return;
    watched.isUp = true;
    watched.dueUs = nowUs;
  }

  linkDown(nowUs: Micros, link: LinkId): void {
    const watched = this.of(link);
    if (watched === undefined) return;
    Object.assign(watched, { link: -1, isUp: false, dueUs: nowUs + RETRY_US });
  }

  frame(_nowUs: Micros, _link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    const known = this.asked.get(getTag(view, at));
    if (known === undefined) return true;
    this.asked.delete(getTag(view, at));
    if (getStatus(view, at) !== 0) {
      MARKS.redirected.hits++;
      return true;
    }
    MARKS.answered.hits++;
    const reply = decodeBody(
      MSG.CLUSTER_QUERY_REPLY,
      bodyOf(bytes, view, at),
      getVersion(view, at),
    );
    if (reply.sequence < known)
      this.sim.fail(
        `the MDM of term ${reply.term} answered with sequence ${reply.sequence}, but ${known} was committed before it was asked`,
      );
    return true;
  }

  tick(nowUs: Micros): void {
    for (const watched of this.watched) {
      if (nowUs < watched.dueUs) continue;
      if (watched.isUp) this.ask(nowUs, watched);
      else this.connect(watched);
    }
  }

  nextDeadlineUs(): Micros {
    return Math.min(...this.watched.map(({ dueUs }) => dueUs));
  }

  private of(link: LinkId): Watched | undefined {
    return this.watched.find((watched) => watched.link === link);
  }

  private connect(watched: Watched): void {
    watched.link = this.links.newLink();
    watched.dueUs = Infinity;
    const addresses = [watched.place];
    this.links.connect(watched.link, { role: 'mdm', key: 0, addresses, link: 0, linkEpoch: 1 });
  }

  private ask(nowUs: Micros, watched: Watched): void {
    watched.dueUs = nowUs + EVERY_US;
    const tag = ++this.lastTag;
    this.asked.set(tag, this.etcd.toldSequence);
    sendFrame(this.links, watched.link, encodeControl(MSG.CLUSTER_QUERY, tag, 0, {}, VERSION_MAX));
  }
}
