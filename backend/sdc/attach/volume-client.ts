// I/O of one attached volume that outlives the client process which serves it: every request is kept until it was
// answered, and sent again through the next connection. It owns the order: of two requests that overlap, and of which one
// changes something, the younger is sent when the outcome of the older is known. So a repeated write never comes after a
// younger one, and consumers see a pause where the server was killed, never an error or an old content.

import { ERRNO, IO } from '../block-front.js';
import { NBD_ERROR } from '../nbd/constants.js';
import type { Slot, SlotOwner } from '../nbd/slots.js';
import { NbdLink } from './nbd-link.js';

/** Whoever waits for a request. */
export interface RequestOwner extends SlotOwner {
  /** @param errno - in numbers of Linux, 0: well */
  done(slot: Request, errno: number): void;
}

/** `command` is a kind of IO, `flags` its state here. */
export type Request = Slot<RequestOwner>;

/** Bytes in front of the payload of every buffer, for whoever answers with header and payload in one piece. */
export const PAYLOAD_AT = 16;

const STATE = {
  /** An older request that overlaps has not been answered. */
  behind: 0,
  /** May be sent. */
  ready: 1,
  sent: 2,
} as const;

export class VolumeClient {
  /** Told when the server knows a new size. */
  onSize: (sizeBytes: number) => void = () => undefined;
  /** Requests that were sent more than once. */
  repeated = 0;
  /** All requests that were not answered, in the order in which they came. */
  readonly #open: Request[] = [];
  #behind = 0;
  #link: NbdLink<RequestOwner> | null = null;
  #revoked = false;

  /** Requests that were not answered. */
  get openCount(): number {
    return this.#open.length;
  }

  /** The mapping was taken away. */
  get isRevoked(): boolean {
    return this.#revoked;
  }

  /** A connection serves requests now. */
  get isConnected(): boolean {
    return this.#link?.isReady ?? false;
  }

  /** A new connection was made; it negotiates first. */
  connected(): NbdLink<RequestOwner> {
    const link = new NbdLink<RequestOwner>(
      {
        ready: (sizeBytes) => {
          this.#ready(sizeBytes);
        },
        requestOf: (token) => this.#sent(token),
        answered: (slot, errno) => {
          this.#settle(slot, errno);
        },
      },
      PAYLOAD_AT,
    );
    this.#link = link;
    return link;
  }

  /** The connection is gone: the outcome of what was sent is unknown. */
  disconnected(): void {
    this.#link = null;
    for (const slot of this.#open)
      if (slot.flags === STATE.sent) {
        slot.flags = STATE.ready;
        this.repeated += 1;
      }
  }

  /** Starts a request; its owner hears of its end, possibly before this returns. */
  submit(slot: Request): void {
    if (this.#revoked) {
      slot.owner?.done(slot, ERRNO.EIO);
      return;
    }
    const behind = this.#overlapsOlder(slot, this.#open.length);
    slot.flags = behind ? STATE.behind : STATE.ready;
    this.#open.push(slot);
    if (behind) this.#behind += 1;
    else this.#send(slot);
  }

  /** The mapping was taken away: everything ends with an error, now and from now on. */
  revoke(): void {
    this.#revoked = true;
    this.#link = null;
    this.#behind = 0;
    for (const slot of this.#open.splice(0)) slot.owner?.done(slot, ERRNO.EIO);
  }

  #ready(sizeBytes: number): void {
    this.onSize(sizeBytes);
    for (const slot of this.#open) if (slot.flags === STATE.ready) this.#send(slot);
  }

  #send(slot: Request): void {
    const link = this.#link;
    if (link?.isReady !== true) return;
    slot.flags = STATE.sent;
    link.send(slot);
  }

  #sent(token: number): Request | null {
    for (const slot of this.#open)
      if (slot.token === token) return slot.flags === STATE.sent ? slot : null;
    return null;
  }

  #settle(slot: Request, errno: number): void {
    const index = this.#open.indexOf(slot);
    this.#open.splice(index, 1);
    if (this.#behind > 0) this.#release(index);
    // That the server shuts an export down is an error like any other for whoever reads and writes.
    slot.owner?.done(slot, errno === NBD_ERROR.ESHUTDOWN ? ERRNO.EIO : errno);
  }

  /** Sends what waited for a request that stood at this place. */
  #release(from: number): void {
    for (let index = from; index < this.#open.length; index++) {
      const slot = this.#open[index];
      if (slot?.flags !== STATE.behind || this.#overlapsOlder(slot, index)) continue;
      slot.flags = STATE.ready;
      this.#behind -= 1;
      this.#send(slot);
    }
  }

  #overlapsOlder(slot: Request, olderCount: number): boolean {
    if (slot.command === IO.flush) return false;
    const end = slot.offsetBytes + slot.lengthBytes;
    const reads = slot.command === IO.read;
    for (let index = 0; index < olderCount; index++) {
      const older = this.#open[index];
      if (older === undefined || older.command === IO.flush) continue;
      if (reads && older.command === IO.read) continue;
      if (older.offsetBytes < end && slot.offsetBytes < older.offsetBytes + older.lengthBytes)
        return true;
    }
    return false;
  }
}
