// Which operations clients may still ask for again (C10), told from data process to data process: a client says it to those
// it has links to, but every copy keeps operation ids. It owns the relaying; what is remembered, `clients` keeps.

import { HEADER_BYTES } from '../protocol/frames.js';
import { MSG } from '../protocol/generated/constants.js';
import {
  getAuthority,
  getOpHigh,
  getOpLow,
  setAuthority,
  setOpHigh,
  setOpLow,
} from '../protocol/generated/frame-head.js';
import {
  OPEN_OPS_SINCE,
  openOpsBytes,
  opHighOf,
  opLowOf,
  putOpenOps,
  readSettledOps,
  withoutOpen,
} from '../protocol/settled-ops.js';
import type { SettledOps } from '../protocol/settled-ops.js';
import { closeFrame, openFrame } from './data-frame.js';
import type { PeerDevice } from './peer.js';
import type { Shared } from './shared.js';

function settledOf(view: DataView, at: number, bodyBytes: number): SettledOps | null {
  return readSettledOps(
    getOpLow(view, at),
    getOpHigh(view, at),
    view,
    at + HEADER_BYTES,
    bodyBytes,
  );
}

export class Watermarks {
  private readonly shared: Shared;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  /** A client said it: what they do not know goes on to all peers. @returns false: the frame is malformed */
  told(run: number, view: DataView, at: number, bodyBytes: number): boolean {
    const settled = settledOf(view, at, bodyBytes);
    if (settled === null) return false;
    const { clients, nowUs, peers } = this.shared;
    clients.settled(nowUs, run, settled);
    const relayed = clients.toRelay(run);
    if (relayed !== null) for (const peer of peers) if (peer.up) this.send(peer, run, relayed);
    return true;
  }

  /** A peer said it. @returns false: the frame is malformed */
  relayed(view: DataView, at: number, bodyBytes: number): boolean {
    const settled = settledOf(view, at, bodyBytes);
    if (settled === null) return false;
    this.shared.clients.settled(this.shared.nowUs, getAuthority(view, at), settled);
    return true;
  }

  /** A link came up: the peer may have missed something, or everything. */
  linkUp(peer: PeerDevice): void {
    for (const { run, settled } of this.shared.clients.watermarks()) this.send(peer, run, settled);
  }

  private send(peer: PeerDevice, run: number, settled: SettledOps): void {
    const { links } = this.shared;
    const said = peer.version < OPEN_OPS_SINCE ? withoutOpen(settled) : settled;
    const bodyBytes = openOpsBytes(said);
    const region = openFrame(links, peer.link, peer.version, MSG.OPS_SETTLED, 0, 0, bodyBytes);
    const { view, at } = region;
    setAuthority(view, at, run);
    setOpLow(view, at, opLowOf(said.belowId));
    setOpHigh(view, at, opHighOf(said.belowId));
    putOpenOps(said, view, at + HEADER_BYTES);
    closeFrame(region, bodyBytes);
  }
}
