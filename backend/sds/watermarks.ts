// Which operations clients may still ask for again (C10), told from data process to data process: a client says it to those
// it has links to, but every copy keeps operation ids. It owns the relaying; what is remembered, `clients` keeps.

import { MSG } from '../protocol/generated/constants.js';
import { setAuthority, setOpHigh, setOpLow } from '../protocol/generated/frame-head.js';
import { closeFrame, openFrame } from './data-frame.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';

export class Watermarks {
  private readonly shared: Shared;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  /** A client said it: news goes on to all peers. */
  told(run: number, opLow: number, opHigh: number): void {
    if (!this.shared.clients.settled(this.shared.nowUs, run, opLow, opHigh)) return;
    for (const peer of this.shared.peers) if (peer.up) this.send(peer, run, opLow, opHigh);
  }

  /** A peer said it. */
  relayed(run: number, opLow: number, opHigh: number): void {
    this.shared.clients.settled(this.shared.nowUs, run, opLow, opHigh);
  }

  /** A link came up: the peer may have missed something, or everything. */
  linkUp(peer: PeerDevice): void {
    for (const { run, opLow, opHigh } of this.shared.clients.watermarks())
      this.send(peer, run, opLow, opHigh);
  }

  private send(peer: PeerDevice, run: number, opLow: number, opHigh: number): void {
    const { links } = this.shared;
    const region = openFrame(links, peer.link, peer.version, MSG.OPS_SETTLED, 0, 0, 0);
    setAuthority(region.view, region.at, run);
    setOpLow(region.view, region.at, opLow);
    setOpHigh(region.view, region.at, opHigh);
    closeFrame(region, 0);
  }
}
