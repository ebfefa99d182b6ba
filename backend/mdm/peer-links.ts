// Who is connected to a machine that lends its links to another one. It owns the peers; a link that either of the two closes
// is forgotten at once. It must never read a frame.

import type { LinkId, Links, Peer } from '../core/ports.js';

export class PeerLinks {
  /** For the other machine: what it closes is forgotten here. */
  readonly lent: Links;
  private readonly links: Links;
  private readonly peers = new Map<LinkId, Peer>();

  constructor(links: Links) {
    this.links = links;
    this.lent = {
      identify: (identity) => {
        links.identify(identity);
      },
      connect: (link, target) => {
        links.connect(link, target);
      },
      newLink: () => links.newLink(),
      close: (link) => {
        this.peers.delete(link);
        links.close(link);
      },
      reserve: (link, frameBytes) => links.reserve(link, frameBytes),
      resume: (link) => {
        links.resume(link);
      },
      pendingBytes: (link) => links.pendingBytes(link),
    };
  }

  up(link: LinkId, peer: Peer): void {
    this.peers.set(link, peer);
  }

  /** @returns whether it was connected */
  down(link: LinkId): boolean {
    return this.peers.delete(link);
  }

  of(link: LinkId): Peer | undefined {
    return this.peers.get(link);
  }

  /** Everybody who is connected now. */
  all(): readonly (readonly [LinkId, Peer])[] {
    return [...this.peers];
  }

  /** Whoever is connected has to come anew. */
  closeAll(): void {
    for (const link of this.peers.keys()) this.links.close(link);
    this.peers.clear();
  }
}
