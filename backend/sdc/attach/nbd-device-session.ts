// The kernel's nbd driver at the other end of a socket, after the handshake that it does not make: turns its requests into
// requests of the volume. It owns the replies; it must never hold content that was acknowledged, and it believes no length.

import type { Micros } from '../../core/ports.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import { ERRNO, IO } from '../block-front.js';
import type { IoKind } from '../block-front.js';
import {
  BLOCK_SIZE_MIN,
  COMMAND,
  COMMAND_FLAG,
  NBD,
  NBD_ERROR,
  REQUEST_BYTES,
  TRANSMISSION_FLAG,
} from '../nbd/constants.js';
import { Output } from '../nbd/output.js';
import type { Slots } from '../nbd/slots.js';
import { PAYLOAD_AT } from './volume-client.js';
import type { Request, RequestOwner, VolumeClient } from './volume-client.js';

const REPLY_BYTES = 16;
/** More replies than this are not prepared for a kernel that does not take them. */
const OUTPUT_BYTES_MAX = 4 * 1048576;

/** The volume as the kernel knows it; grows. */
export interface DeviceShape {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
}

/** What the kernel is told that the device can do. Without FUA it flushes after such a write, which is the same here. */
export function deviceFlags(readOnly: boolean): number {
  return (
    TRANSMISSION_FLAG.hasFlags |
    TRANSMISSION_FLAG.sendFlush |
    TRANSMISSION_FLAG.sendTrim |
    TRANSMISSION_FLAG.sendWriteZeroes |
    (readOnly ? TRANSMISSION_FLAG.readOnly : 0)
  );
}

export class NbdDeviceSession implements RequestOwner {
  writeSlots = 0;
  otherSlots = 0;
  readonly out = new Output();
  /** Bytes that the socket has not taken yet, kept by the shell. */
  unsentBytes = 0;
  closed = false;
  /** There was no room: the shell offers the rest again later. */
  blocked = false;
  /** The kernel said that the device is gone. */
  isReleased = false;
  readonly #shape: DeviceShape;
  readonly #volume: VolumeClient;
  readonly #slots: Slots<RequestOwner>;
  readonly #header = new Uint8Array(REQUEST_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerHave = 0;
  /** A write whose payload is arriving. */
  #filling: Request | null = null;
  /** Payload of a refused write that is still to be thrown away. */
  #skipBytes = 0;

  constructor(shape: DeviceShape, volume: VolumeClient, slots: Slots<RequestOwner>) {
    this.#shape = shape;
    this.#volume = volume;
    this.#slots = slots;
  }

  /** Takes bytes from the kernel; returns how many were used. Fewer than given: blocked or closed. */
  receive(_nowUs: Micros, bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    this.blocked = false;
    for (;;) {
      if (this.closed) return to - from;
      if (this.#headerHave === REQUEST_BYTES && this.#filling === null && this.#skipBytes === 0) {
        if (!this.#request()) {
          this.blocked = true;
          return at - from;
        }
        continue;
      }
      if (at === to) return at - from;
      at += this.#take(bytes, at, to);
    }
  }

  /** Takes a run of bytes for whatever is incomplete. */
  #take(bytes: Uint8Array, at: number, to: number): number {
    if (this.#skipBytes > 0) {
      const skipped = Math.min(this.#skipBytes, to - at);
      this.#skipBytes -= skipped;
      return skipped;
    }
    const slot = this.#filling;
    if (slot !== null) {
      const length = Math.min(slot.lengthBytes - slot.filledBytes, to - at);
      slot.bytes.set(bytes.subarray(at, at + length), PAYLOAD_AT + slot.filledBytes);
      slot.filledBytes += length;
      if (slot.filledBytes === slot.lengthBytes) {
        this.#filling = null;
        this.#volume.submit(slot);
      }
      return length;
    }
    const length = Math.min(REQUEST_BYTES - this.#headerHave, to - at);
    for (let i = 0; i < length; i++) this.#header[this.#headerHave + i] = bytes[at + i] ?? 0;
    this.#headerHave += length;
    return length;
  }

  /** Handles the request in the header; false when there is no room for it now. */
  #request(): boolean {
    const view = this.#headerView;
    const command = view.getUint16(6);
    if (view.getUint32(0) !== NBD.requestMagic || command === COMMAND.disconnect) {
      this.isReleased = view.getUint32(0) === NBD.requestMagic;
      this.closed = true;
      return true;
    }
    const kind = kindOf(command, view.getUint16(4));
    const flushes = kind === IO.flush;
    const lengthBytes = flushes ? 0 : view.getUint32(24);
    const offsetBytes = flushes ? 0 : view.getUint32(16) * 2 ** 32 + view.getUint32(20);
    const errno = this.#fault(kind, offsetBytes, lengthBytes);
    if (errno !== ERRNO.ok) {
      if (command === COMMAND.write) this.#skipBytes = lengthBytes;
      this.#headerHave = 0;
      this.#reply(view.getUint32(8), view.getUint32(12), errno);
      return true;
    }
    if (this.out.length + this.unsentBytes > OUTPUT_BYTES_MAX) return false;
    const carries = kind === IO.read || kind === IO.write;
    const slot = this.#slots.take(this, carries ? PAYLOAD_AT + lengthBytes : 0, kind === IO.write);
    if (slot === null) return false;
    slot.command = kind ?? 0;
    slot.cookieHigh = view.getUint32(8);
    slot.cookieLow = view.getUint32(12);
    slot.offsetBytes = offsetBytes;
    slot.lengthBytes = lengthBytes;
    this.#headerHave = 0;
    if (kind === IO.write) this.#filling = slot;
    else this.#volume.submit(slot);
    return true;
  }

  /** Why a request is refused, 0: it is not. */
  #fault(kind: IoKind | null, offsetBytes: number, lengthBytes: number): number {
    const { sizeBytes, readOnly } = this.#shape;
    if (kind === null) return NBD_ERROR.EINVAL;
    if (kind === IO.flush) return ERRNO.ok;
    if (readOnly && kind !== IO.read) return NBD_ERROR.EPERM;
    if (lengthBytes === 0 || (lengthBytes | (offsetBytes % 2 ** 31)) % BLOCK_SIZE_MIN !== 0)
      return NBD_ERROR.EINVAL;
    if (offsetBytes + lengthBytes > sizeBytes) return NBD_ERROR.EIO;
    const carries = kind === IO.read || kind === IO.write;
    return carries && lengthBytes > LIMIT.nbdRequestBytesMax ? NBD_ERROR.EINVAL : ERRNO.ok;
  }

  done(slot: Request, errno: number): void {
    if (!this.closed) {
      if (slot.command === IO.read && errno === ERRNO.ok) {
        putReplyHeader(slot.bytes, slot.cookieHigh, slot.cookieLow);
        this.out.append(slot.bytes, 0, PAYLOAD_AT + slot.lengthBytes);
      } else this.#reply(slot.cookieHigh, slot.cookieLow, errno);
    }
    this.#slots.give(slot);
  }

  /** The connection is gone. What the volume was asked for is done and answered to nobody. */
  abandon(): void {
    this.closed = true;
    const slot = this.#filling;
    this.#filling = null;
    if (slot !== null) this.#slots.give(slot);
  }

  #reply(cookieHigh: number, cookieLow: number, errno: number): void {
    const { out } = this;
    const at = out.reserve(REPLY_BYTES);
    out.u32(at, NBD.simpleReplyMagic);
    out.u32(at + 4, errno);
    out.u32(at + 8, cookieHigh);
    out.u32(at + 12, cookieLow);
  }
}

/** The header of a good reply in front of the payload, byte by byte: no view on the buffer is kept. */
function putReplyHeader(bytes: Uint8Array, cookieHigh: number, cookieLow: number): void {
  const at = PAYLOAD_AT - REPLY_BYTES;
  putU32(bytes, at, NBD.simpleReplyMagic);
  putU32(bytes, at + 4, ERRNO.ok);
  putU32(bytes, at + 8, cookieHigh);
  putU32(bytes, at + 12, cookieLow);
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = (value >>> 16) & 0xff;
  bytes[at + 2] = (value >>> 8) & 0xff;
  bytes[at + 3] = value & 0xff;
}

function kindOf(command: number, flags: number): IoKind | null {
  if (command === COMMAND.read) return IO.read;
  if (command === COMMAND.write) return IO.write;
  if (command === COMMAND.flush) return IO.flush;
  if (command === COMMAND.trim) return IO.discard;
  if (command !== COMMAND.writeZeroes) return null;
  return (flags & COMMAND_FLAG.noHole) !== 0 ? IO.zero : IO.discard;
}
