// One end of links for tests: a real loop and real sockets under a machine that notes what it hears.

import type { LinkId, LinkTarget, Peer, Role } from '../../../backend/core/ports.js';
import { getCode } from '../../../backend/protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../../../backend/protocol/frames.js';
import { handshakeRules } from '../../../backend/runtime/links/authentication.js';
import { TcpLinks } from '../../../backend/runtime/links/tcp-links.js';
import type { TcpLinksOptions } from '../../../backend/runtime/links/tcp-links.js';
import { Loop } from '../../../backend/runtime/loop.js';

export const SECRET = Buffer.alloc(32, 7);
const WAIT_MS_MAX = 20_000;

export interface Heard {
  readonly link: LinkId;
  readonly code: number;
  /** Header and body. */
  readonly frame: Uint8Array;
}

export class Endpoint {
  readonly loop = new Loop();
  readonly links: TcpLinks;
  readonly ups: { readonly link: LinkId; readonly peer: Peer }[] = [];
  readonly downs: { readonly link: LinkId; readonly reason: string }[] = [];
  readonly heard: Heard[] = [];
  readonly logged: string[] = [];
  /** Whether the machine takes frames. */
  takes = true;
  /** What the machine does with a frame that it takes. */
  onFrame: (heard: Heard) => void = () => undefined;

  constructor(
    role: Role,
    accepts: readonly Role[],
    options: Partial<TcpLinksOptions> = {},
    secret: Uint8Array = SECRET,
  ) {
    this.links = new TcpLinks({
      loop: this.loop,
      rules: handshakeRules(role, accepts, secret),
      identity: { key: 0, incarnation: 1, run: 0, systemId: '' },
      log: {
        event: (_level, name, fields) => {
          this.logged.push(`${name} ${JSON.stringify(fields)}`);
        },
      },
      connectTimeoutMs: 5000,
      handshakeTimeoutMs: 5000,
      pingIdleMs: 5000,
      pingDeadMs: 20000,
      ...options,
    });
    this.links.attach(this);
    this.loop.attach(this);
  }

  linkUp(_nowUs: number, link: LinkId, peer: Peer): void {
    this.ups.push({ link, peer });
  }

  linkDown(_nowUs: number, link: LinkId, reason: string): void {
    this.downs.push({ link, reason });
  }

  frame(
    _nowUs: number,
    link: LinkId,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    if (!this.takes) return false;
    const frame = bytes.slice(at, at + HEADER_BYTES + bodyBytes);
    const heard = { link, code: getCode(view, at), frame };
    this.heard.push(heard);
    this.onFrame(heard);
    return true;
  }

  tick(): void {
    // This machine sets no deadline.
  }

  nextDeadlineUs(): number {
    return Infinity;
  }

  /** One input from outside. */
  input(act: () => void): void {
    this.loop.begin();
    act();
    this.loop.end();
  }

  connect(port: number, target: Partial<LinkTarget> = {}): LinkId {
    const link = this.links.newLink();
    this.input(() => {
      this.links.connect(link, {
        role: 'mdm',
        key: 0,
        addresses: [{ host: '127.0.0.1', port }],
        link: 0,
        linkEpoch: 1,
        ...target,
      });
    });
    return link;
  }

  /** Sends raw bytes as one frame's worth. */
  send(link: LinkId, frame: Uint8Array): void {
    this.input(() => {
      const region = this.links.reserve(link, frame.length);
      region.bytes.set(frame, region.at);
    });
  }

  stop(): void {
    this.links.stop();
    this.loop.stop();
  }
}

/** Waits until something is so; fails with its name after a generous bound. */
export async function until(name: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + WAIT_MS_MAX;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`never happened: ${name}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
