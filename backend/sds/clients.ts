// Links of clients: which run of which client is at the other end, and up to where it knows the outcome of its
// operations (C10). It owns the order of links and runs; it must never know an operation.

import type { LinkId, Peer } from '../core/ports.js';

export class Client {
  readonly link: LinkId;
  readonly sdcKey: number;
  readonly run: number;
  readonly number: number;
  readonly epoch: number;
  readonly version: number;
  /** A frame of this link was not taken. */
  stalled = false;

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
interface Watermark {
  opLow: number;
  opHigh: number;
}

/** Runs whose watermark is remembered; the oldest go first. */
const RUNS_MAX = 8192;

export class Clients {
  private readonly byLink = new Map<LinkId, Client>();
  /** Newest run of each client that was seen. */
  private readonly runs = new Map<number, number>();
  /** Runs that were replaced by a newer one of the same client. */
  private readonly gone = new Set<number>();
  private readonly watermarks = new Map<number, Watermark>();

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
  add(link: LinkId, peer: Peer): readonly Client[] | null {
    const newest = this.runs.get(peer.key) ?? 0;
    if (peer.run < newest) return null;
    const replaced: Client[] = [];
    for (const client of this.byLink.values()) {
      if (client.sdcKey !== peer.key) continue;
      if (client.run === peer.run && client.number !== peer.link) continue;
      if (client.run === peer.run && client.epoch > peer.linkEpoch) return null;
      replaced.push(client);
    }
    if (newest !== 0 && newest !== peer.run) this.forgetRun(newest);
    this.runs.set(peer.key, peer.run);
    this.byLink.set(link, new Client(link, peer));
    return replaced;
  }

  remove(link: LinkId): void {
    this.byLink.delete(link);
  }

  /** The client awaits nothing below this operation. */
  settled(run: number, opLow: number, opHigh: number): void {
    this.watermarks.delete(run);
    this.watermarks.set(run, { opLow, opHigh });
    if (this.watermarks.size <= RUNS_MAX) return;
    for (const oldest of this.watermarks.keys()) {
      this.watermarks.delete(oldest);
      break;
    }
  }

  /** Whether a client may still ask for this operation again. */
  mayRetry(run: number, opLow: number, opHigh: number): boolean {
    if (this.gone.has(run)) return false;
    const mark = this.watermarks.get(run);
    if (mark === undefined) return true;
    return opHigh !== mark.opHigh ? opHigh > mark.opHigh : opLow >= mark.opLow;
  }

  private forgetRun(run: number): void {
    this.watermarks.delete(run);
    this.gone.add(run);
    if (this.gone.size <= RUNS_MAX) return;
    for (const oldest of this.gone) {
      this.gone.delete(oldest);
      break;
    }
  }
}
