// One wish to connect: the addresses of a target in order, until one answers. It owns the reasons why the others did
// not; it must never start over.

import type { LinkId, LinkTarget } from '../../core/ports.js';
import type { Connection } from './connection.js';

export type DialAddress = LinkTarget['addresses'][number];

export class Dial {
  readonly link: LinkId;
  private readonly addresses: readonly DialAddress[];
  private readonly start: (address: DialAddress) => Connection;
  private readonly reasons: string[] = [];
  private tried = 0;
  private current: Connection | null = null;

  constructor(link: LinkId, target: LinkTarget, start: (address: DialAddress) => Connection) {
    this.link = link;
    this.addresses = target.addresses;
    this.start = start;
  }

  get neverTried(): boolean {
    return this.tried === 0;
  }

  /** Why no address answered. */
  get reason(): string {
    return this.reasons.length === 0 ? 'the target has no address' : this.reasons.join('; ');
  }

  /** Tries the next address; false when there is none left. */
  next(): boolean {
    const address = this.addresses[this.tried];
    if (address === undefined) return false;
    this.tried++;
    this.current = this.start(address);
    return true;
  }

  /** The address tried last did not answer as wanted. */
  failed(reason: string): void {
    const address = this.addresses[this.tried - 1];
    const place = address === undefined ? '' : `${address.host}:${address.port}: `;
    this.reasons.push(place + reason);
    this.current = null;
  }

  stop(): void {
    this.current?.close();
    this.current = null;
  }
}
