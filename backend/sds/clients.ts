// Links of clients: which run of which client is at the other end, and up to where it knows the outcome of its
// operations (C10). It owns the order of links and runs; it must never know an operation.

import type { LinkId, Micros, Peer } from '../core/ports.js';

export class Client {
  readonly link: LinkId;
  readonly sdcKey: number;
  readonly run: number;
  readonly number: number;
  readonly epoch: number;
  readonly version: number;
  /** A frame of this link was not taken. */
  stalled = false;
  /** Since when the frame in front has not been taken; Infinity: it is news. */
  stalledSinceUs: Micros = Infinity;

  constructor(link: LinkId, peer: Peer) {
    this.link = link;
    this.sdcKey = peer.key;
    this.run = peer.run;
    this.number = peer.link;
    this.epoch = peer.linkEpoch;
    this.version = peer.version;
  }
}

/** Below this, the client awaits no answer any more. */
export interface Watermark {
  readonly run: number;
  readonly opLow: number;
  readonly opHigh: number;
}

interface Run {
  opLow: number;
  opHigh: number;
  /** When something was heard of it last. */
  heardUs: Micros;
}

/** Runs that are remembered; the one that was silent for longest goes first. */
const RUNS_MAX = 8192;
/** Everything of a run that is over. */
const ALL_LOW = 0xffffffff;
const ALL_HIGH = 0xffff;

function isAbove(opLow: number, opHigh: number, than: Pick<Run, 'opLow' | 'opHigh'>): boolean {
  return opHigh !== than.opHigh ? opHigh > than.opHigh : opLow > than.opLow;
}

export class Clients {
  private readonly silenceUs: Micros;
  private readonly byLink = new Map<LinkId, Client>();
  /** Newest run of each client that was seen. */
  private readonly newest = new Map<number, number>();
  private readonly runs = new Map<number, Run>();
  /** Start of this process: runs that it never heard of count as silent since then. */
  startedUs: Micros = 0;

  /** @param silenceUs - a client of which no data process near this one hears anything for so long asks for nothing again */
  constructor(silenceUs: Micros) {
    this.silenceUs = silenceUs;
  }

  find(link: LinkId): Client | undefined {
    return this.byLink.get(link);
  }

  all(): Iterable<Client> {
    return this.byLink.values();
  }

  /**
   * Takes a link in.
   *
   * @returns links that it replaces: an older epoch of the same link, or links of an older run; null: the new one is
   *   itself older than what is known
   */
  add(nowUs: Micros, link: LinkId, peer: Peer): readonly Client[] | null {
    const newest = this.newest.get(peer.key) ?? 0;
    if (peer.run < newest) return null;
    const replaced: Client[] = [];
    for (const client of this.byLink.values()) {
      if (client.sdcKey !== peer.key) continue;
      if (client.run === peer.run && client.number !== peer.link) continue;
      if (client.run === peer.run && client.epoch > peer.linkEpoch) return null;
      replaced.push(client);
    }
    if (newest !== 0 && newest !== peer.run) this.settled(nowUs, newest, ALL_LOW, ALL_HIGH);
    this.newest.set(peer.key, peer.run);
    this.heard(nowUs, peer.run);
    this.byLink.set(link, new Client(link, peer));
    return replaced;
  }

  remove(nowUs: Micros, link: LinkId): void {
    const client = this.byLink.get(link);
    if (client === undefined) return;
    this.byLink.delete(link);
    this.heard(nowUs, client.run);
  }

  /**
   * The client awaits nothing below this operation. Returns whether that is news. What is none is no sign of life either:
   * data processes tell each other about dead clients whenever a link comes up.
   */
  settled(nowUs: Micros, run: number, opLow: number, opHigh: number): boolean {
    const before = this.runs.get(run);
    if (before !== undefined && !isAbove(opLow, opHigh, before)) return false;
    const known = this.heard(nowUs, run);
    if (!isAbove(opLow, opHigh, known)) return false;
    known.opLow = opLow;
    known.opHigh = opHigh;
    return true;
  }

  /** Whether a client may still ask for this operation again. */
  mayRetry(nowUs: Micros, run: number, opLow: number, opHigh: number): boolean {
    const known = this.runs.get(run);
    if (known === undefined) return nowUs < this.silenceUs + this.startedUs;
    if (nowUs > known.heardUs + this.silenceUs && !this.isConnected(run)) return false;
    return !isAbove(known.opLow, known.opHigh, { opLow, opHigh });
  }

  /** What is known of all runs, for other data processes. */
  *watermarks(): Iterable<Watermark> {
    for (const [run, { opLow, opHigh }] of this.runs) yield { run, opLow, opHigh };
  }

  private heard(nowUs: Micros, run: number): Run {
    const known = this.runs.get(run) ?? { opLow: 0, opHigh: 0, heardUs: nowUs };
    known.heardUs = nowUs;
    this.runs.delete(run);
    this.runs.set(run, known);
    if (this.runs.size > RUNS_MAX)
      for (const silent of this.runs.keys()) {
        this.runs.delete(silent);
        break;
      }
    return known;
  }

  private isConnected(run: number): boolean {
    for (const client of this.byLink.values()) if (client.run === run) return true;
    return false;
  }
}
