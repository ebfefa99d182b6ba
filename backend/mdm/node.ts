// An MDM process as others reach it, whatever it is at the moment: without a system, the only MDM, or part of a cluster. It
// owns the links and what is asked of the node itself; everything else goes to the machine of the moment. It must never
// decide what the node becomes.

import type { LinkId, Links, Machine, Micros, Peer } from '../core/ports.js';
import {
  bodyOf,
  decodeBody,
  encodeBadFrame,
  encodeControl,
  encodeRefusal,
} from '../protocol/control.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import { getCode, getTag } from '../protocol/generated/frame-head.js';
import type {
  ErrorDetail,
  MdmCreateBody,
  MdmNodeReplyBody,
  MdmNodeTaskBody,
} from '../protocol/generated/types.js';
import { sendFrame } from '../protocol/send.js';
import { ProtocolError } from '../protocol/wire.js';
import { PeerLinks } from './peer-links.js';

/** Who asked, until he is answered. */
export interface NodeAsker {
  readonly link: LinkId;
  readonly tag: number;
}

/** What the node itself is asked. Completion: `answered`. */
export interface NodeHost {
  report(): MdmNodeReplyBody;
  task(asker: NodeAsker, task: MdmNodeTaskBody): void;
  create(asker: NodeAsker, system: MdmCreateBody): void;
}

const OWN: ReadonlySet<number> = new Set([MSG.MDM_NODE_QUERY, MSG.MDM_NODE_TASK, MSG.MDM_CREATE]);

export class NodeMachine implements Machine {
  /** For the machine of the moment. */
  readonly links: Links;
  private readonly outer: Links;
  private readonly host: NodeHost;
  private readonly peers: PeerLinks;
  private inner: Machine | null = null;

  constructor(links: Links, host: NodeHost) {
    this.outer = links;
    this.host = host;
    this.peers = new PeerLinks(links);
    this.links = this.peers.lent;
  }

  /** Another machine from now on, or none; whoever was connected to the one before comes anew. */
  become(nowUs: Micros, inner: Machine | null): void {
    if (this.inner !== null) {
      this.inner = null;
      this.peers.closeAll();
    }
    this.inner = inner;
    for (const [link, peer] of this.peers.all()) this.inner?.linkUp(nowUs, link, peer);
  }

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    this.peers.up(link, peer);
    this.inner?.linkUp(nowUs, link, peer);
  }

  linkDown(nowUs: Micros, link: LinkId, reason: string): void {
    if (!this.peers.down(link)) return;
    this.inner?.linkDown(nowUs, link, reason);
  }

  frame(
    nowUs: Micros,
    link: LinkId,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    const peer = this.peers.of(link);
    if (peer === undefined) return true;
    if (OWN.has(getCode(view, at))) {
      this.own(link, peer, bytes, view, at);
      return true;
    }
    if (this.inner !== null) return this.inner.frame(nowUs, link, bytes, view, at, bodyBytes);
    this.refuse(link, peer, getTag(view, at), ERR.NOT_MASTER, []);
    return true;
  }

  tick(nowUs: Micros): void {
    this.inner?.tick(nowUs);
  }

  nextDeadlineUs(): Micros {
    return this.inner?.nextDeadlineUs() ?? Infinity;
  }

  /** What came of a task or a creation; status 0: it is done. */
  answered({ link, tag }: NodeAsker, status: number, details: readonly ErrorDetail[]): void {
    const peer = this.peers.of(link);
    if (peer === undefined) return;
    if (status !== 0) this.refuse(link, peer, tag, status, details);
    else
      sendFrame(this.outer, link, encodeControl(MSG.MDM_NODE_TASK_REPLY, tag, 0, {}, peer.version));
  }

  private own(link: LinkId, peer: Peer, bytes: Uint8Array, view: DataView, at: number): void {
    const tag = getTag(view, at);
    if (peer.role !== 'admin') {
      this.refuse(link, peer, tag, ERR.PERMISSION_DENIED, []);
      return;
    }
    const body = bodyOf(bytes, view, at);
    try {
      switch (getCode(view, at)) {
        case MSG.MDM_NODE_QUERY: {
          const reply = encodeControl(MSG.MDM_NODE_REPLY, tag, 0, this.host.report(), peer.version);
          sendFrame(this.outer, link, reply);
          return;
        }
        case MSG.MDM_NODE_TASK:
          this.host.task({ link, tag }, decodeBody(MSG.MDM_NODE_TASK, body, peer.version));
          return;
        default:
          this.host.create({ link, tag }, decodeBody(MSG.MDM_CREATE, body, peer.version));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      sendFrame(this.outer, link, encodeBadFrame(tag, error, peer.version));
    }
  }

  private refuse(
    link: LinkId,
    { version }: Peer,
    tag: number,
    status: number,
    details: readonly ErrorDetail[],
  ): void {
    if (tag !== 0) sendFrame(this.outer, link, encodeRefusal(tag, status, details, version));
  }
}
