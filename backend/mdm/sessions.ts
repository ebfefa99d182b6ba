// Links to this MDM and who is at their other ends. It owns what is sent on them; it must never decide what to send.

import type { LinkId, Links, Micros, Peer } from '../core/ports.js';
import { encodeControl, encodeRefusal } from '../protocol/control.js';
import type { ControlCode } from '../protocol/control.js';
import type { ControlBodies, ErrorDetail } from '../protocol/generated/types.js';
import { sendFrame } from '../protocol/send.js';

/** What the other end registered as. */
export type Registered =
  | { readonly kind: 'none' }
  | { readonly kind: 'sds'; readonly guid: string }
  | { readonly kind: 'device'; readonly deviceKey: number; readonly poolKey: number }
  | {
      readonly kind: 'sdc';
      readonly sdcKey: number;
      /** Pools that it was told of on this link, and hears of from then on. */
      readonly poolKeys: Set<number>;
    };

export interface Session {
  readonly link: LinkId;
  readonly peer: Peer;
  registered: Registered;
  /** It got everything once and hears of changes since. */
  subscribed: boolean;
  /** Commit up to which it was told everything that concerns it. */
  toldSequence: number;
}

export class Sessions {
  private readonly links: Links;
  private readonly sessions = new Map<LinkId, Session>();
  private readonly closed: (nowUs: Micros, session: Session) => void;

  /** @param closed - hears of every session that ended, whoever ended it */
  constructor(links: Links, closed: (nowUs: Micros, session: Session) => void) {
    this.links = links;
    this.closed = closed;
  }

  open(link: LinkId, peer: Peer): void {
    this.sessions.set(link, {
      ...{ link, peer, registered: { kind: 'none' }, subscribed: false },
      toldSequence: 0,
    });
  }

  get(link: LinkId): Session | undefined {
    return this.sessions.get(link);
  }

  all(): Iterable<Session> {
    return this.sessions.values();
  }

  /** The link went down by itself. */
  ended(nowUs: Micros, link: LinkId): void {
    const session = this.sessions.get(link);
    if (session === undefined) return;
    this.sessions.delete(link);
    this.closed(nowUs, session);
  }

  /** Ends a link. */
  drop(nowUs: Micros, link: LinkId): void {
    if (!this.sessions.has(link)) return;
    this.links.close(link);
    this.ended(nowUs, link);
  }

  /** Sends a message, or an answer with the tag of its request; nothing when the link is gone. */
  send<C extends ControlCode>(link: LinkId, code: C, tag: number, body: ControlBodies[C]): void {
    const session = this.sessions.get(link);
    if (session === undefined) return;
    sendFrame(this.links, link, encodeControl(code, tag, 0, body, session.peer.version));
  }

  /** Sends a frame that is encoded already for the version of the link. */
  sendEncoded(link: LinkId, frame: Uint8Array): void {
    if (this.sessions.has(link)) sendFrame(this.links, link, frame);
  }

  refuse(link: LinkId, tag: number, status: number, details: readonly ErrorDetail[] = []): void {
    const session = this.sessions.get(link);
    if (session === undefined) return;
    sendFrame(this.links, link, encodeRefusal(tag, status, details, session.peer.version));
  }

  /** Bytes that the other end has not accepted yet. */
  pendingBytes(link: LinkId): number {
    return this.links.pendingBytes(link);
  }
}
