// Links of clients: which run of which client is at the other end, and up to where it knows the outcome of its
// operations (C10). It owns the order of links and runs; it must never know an operation.

import type { LinkId, Micros, Peer } from '../core/ports.js';
import { isNews, isSettled, opIdOf } from '../protocol/settled-ops.js';
import type { SettledOps } from '../protocol/settled-ops.js';

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

/** For what a client awaits no answer any more. */
export interface Watermark {
  readonly run: number;
  readonly settled: SettledOps;
}

interface Run {
  settled: SettledOps;
  /** What was passed on of that. */
  relayed: SettledOps;
  /** When something was heard of it last. */
  heardUs: Micros;
}

/** Runs that are remembered; the one that was silent for longest goes first. */
const RUNS_MAX = 8192;
const NOTHING: SettledOps = { belowId: 0, open: [] };
/** Everything of a run that is over. */
const ALL: SettledOps = { belowId: opIdOf(0xffffffff, 0xffff), open: [] };

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
    if (newest !== 0 && newest !== peer.run) this.settled(nowUs, newest, ALL);
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
   * A client says which answers it awaits no more. Returns whether that is news. What is none is no sign of life either:
   * data processes tell each other about dead clients whenever a link comes up.
   */
  settled(nowUs: Micros, run: number, settled: SettledOps): boolean {
    const before = this.runs.get(run);
    if (before !== undefined && !isNews(settled, before.settled)) return false;
    const known = this.heard(nowUs, run);
    if (!isNews(settled, known.settled)) return false;
    known.settled = settled;
    return true;
  }

  /**
   * What a client said itself goes on to those near this data process, also where one of them had said it before: the others have
   * heard nothing of it (seed 160028095).
   *
   * @returns what to pass on, or null: that was done
   */
  toRelay(run: number): SettledOps | null {
    const known = this.runs.get(run);
    if (known === undefined || !isNews(known.settled, known.relayed)) return null;
    known.relayed = known.settled;
    return known.settled;
  }

  /** Whether a client may still ask for this operation again. */
  mayRetry(nowUs: Micros, run: number, opLow: number, opHigh: number): boolean {
    const known = this.runs.get(run);
    if (known === undefined) return nowUs < this.silenceUs + this.startedUs;
    if (nowUs > known.heardUs + this.silenceUs && !this.isConnected(run)) return false;
    return !isSettled(known.settled, opIdOf(opLow, opHigh));
  }

  /** What is known of all runs, for other data processes. */
  *watermarks(): Iterable<Watermark> {
    for (const [run, { settled }] of this.runs) yield { run, settled };
  }

  private heard(nowUs: Micros, run: number): Run {
    const known = this.runs.get(run) ?? { settled: NOTHING, relayed: NOTHING, heardUs: nowUs };
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
