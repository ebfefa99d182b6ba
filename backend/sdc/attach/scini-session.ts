// /dev/scini as programs of the original see it: a device that is only ever asked two things by ioctl, the GUID of this
// host and a scan for volumes. It owns the answers to the kernel; it must never do I/O, and it believes no length.
//
// As a character device (CUSE) it answers the GUID. As a file (FUSE) it cannot: the numbers of these ioctls carry no
// size, so the kernel hands no memory over, and whoever asks keeps the zeroes that it brought.

import {
  CUSE_UNRESTRICTED_IOCTL,
  FUSE_ERRNO,
  FUSE_MAJOR,
  FUSE_MINOR,
  FUSE_MINOR_MIN,
  IN,
  IOCTL_RETRY,
  IOCTL_UNRESTRICTED,
  OPCODE,
  OPEN_FLAG,
  OUT,
  PAGE_BYTES,
  S_IFREG,
} from './fuse-wire.js';

/** The original's numbers: _IO('a', 14) and _IO('a', 10). */
export const SCINI_IOCTL = { guid: 0x610e, rescan: 0x610a } as const;
/** A buffer for requests must have so many bytes. */
export const SCINI_REQUEST_BYTES_MAX = 2 * PAGE_BYTES;
/** A return code of 8 bytes, which nobody reads, and the GUID. */
const GUID_REPLY_BYTES = 24;
const GUID_AT = 8;
const IOVEC_BYTES = 16;
const REPLY_BYTES = 256;

export interface SciniHost {
  /** Gives one reply to the kernel; the bytes are used before this returns. */
  reply(bytes: Uint8Array, at: number, lengthBytes: number): void;
  /** A program asks for a scan: its `ticket` goes to `rescanned` when that is over. */
  rescan(ticket: SciniTicket): void;
}

/** A request that waits for its answer. */
export interface SciniTicket {
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
}

export class SciniSession {
  readonly #name: string;
  readonly #guid: Uint8Array;
  readonly #host: SciniHost;
  readonly #reply = new Uint8Array(REPLY_BYTES);
  readonly #view = new DataView(this.#reply.buffer);

  /**
   * @param name - of the character device below /dev
   * @param guid - of this host, 8-4-4-4-12
   */
  constructor(name: string, guid: string, host: SciniHost) {
    this.#name = name;
    this.#guid = bytesOfGuid(guid);
    this.#host = host;
  }

  /** Takes one request of the kernel; there is always room. */
  receive(_bytes: Uint8Array, view: DataView, lengthBytes: number): true {
    if (lengthBytes < IN.body) return true;
    this.#reply.fill(0);
    switch (view.getUint32(IN.opcode, true)) {
      case OPCODE.forget:
      case OPCODE.batchForget:
      case OPCODE.interrupt:
        // The first two have no reply; an interrupted ioctl is answered like any other.
        break;
      case OPCODE.init:
        this.#init(view, lengthBytes);
        break;
      case OPCODE.cuseInit:
        this.#cuseInit(view, lengthBytes);
        break;
      case OPCODE.getattr:
      case OPCODE.setattr:
        this.#attributes();
        this.#answer(view, 0, OUT.attr);
        break;
      case OPCODE.open:
        this.#view.setUint32(OUT.body + 8, OPEN_FLAG.directIo, true);
        this.#answer(view, 0, OUT.open);
        break;
      case OPCODE.read:
      case OPCODE.release:
      case OPCODE.flush:
      case OPCODE.destroy:
        // A read finds nothing.
        this.#answer(view, 0, 0);
        break;
      case OPCODE.statfs:
        this.#view.setUint32(OUT.body + 40, PAGE_BYTES, true);
        this.#answer(view, 0, OUT.statfs);
        break;
      case OPCODE.ioctl:
        this.#ioctl(view, lengthBytes);
        break;
      case OPCODE.write:
        this.#answer(view, FUSE_ERRNO.EINVAL, 0);
        break;
      default:
        this.#answer(view, FUSE_ERRNO.ENOSYS, 0);
    }
    return true;
  }

  /** A scan is over. @param done - false: no answer came, the program gets an error */
  rescanned({ uniqueLow, uniqueHigh }: SciniTicket, done: boolean): void {
    this.#reply.fill(0);
    this.#answerTo(uniqueLow, uniqueHigh, done ? 0 : FUSE_ERRNO.EIO, OUT.ioctl);
  }

  #answer(request: DataView, errno: number, bodyBytes: number): void {
    const low = request.getUint32(IN.unique, true);
    this.#answerTo(low, request.getUint32(IN.unique + 4, true), errno, bodyBytes);
  }

  #answerTo(uniqueLow: number, uniqueHigh: number, errno: number, bodyBytes: number): void {
    const length = OUT.header + (errno === 0 ? bodyBytes : 0);
    this.#view.setUint32(0, length, true);
    this.#view.setInt32(4, errno === 0 ? 0 : -errno, true);
    this.#view.setUint32(8, uniqueLow, true);
    this.#view.setUint32(12, uniqueHigh, true);
    this.#host.reply(this.#reply, 0, length);
  }

  /** False: the kernel speaks a protocol of another shape; it has been told so. */
  #agrees(request: DataView, lengthBytes: number): boolean {
    const major = request.getUint32(IN.initMajor, true);
    const minor = request.getUint32(IN.initMinor, true);
    if (lengthBytes >= IN.initFlags + 4 && major === FUSE_MAJOR && minor >= FUSE_MINOR_MIN) {
      this.#view.setUint32(OUT.body, FUSE_MAJOR, true);
      this.#view.setUint32(OUT.body + 4, Math.min(minor, FUSE_MINOR), true);
      return true;
    }
    this.#answer(request, FUSE_ERRNO.EPROTO, 0);
    return false;
  }

  #init(request: DataView, lengthBytes: number): void {
    if (!this.#agrees(request, lengthBytes)) return;
    this.#view.setUint16(OUT.body + 16, 1, true);
    this.#view.setUint32(OUT.body + 20, PAGE_BYTES, true);
    this.#view.setUint32(OUT.body + 24, 1, true);
    this.#answer(request, 0, OUT.init);
  }

  #cuseInit(request: DataView, lengthBytes: number): void {
    if (!this.#agrees(request, lengthBytes)) return;
    const view = this.#view;
    const at = OUT.body;
    view.setUint32(at + 12, CUSE_UNRESTRICTED_IOCTL, true);
    view.setUint32(at + 16, PAGE_BYTES, true);
    view.setUint32(at + 20, PAGE_BYTES, true);
    // Device numbers of zero: the kernel takes free ones. What follows names the device.
    const information = new TextEncoder().encode(`DEVNAME=${this.#name}\0`);
    this.#reply.set(information, at + OUT.cuseInit);
    this.#answer(request, 0, OUT.cuseInit + information.length);
  }

  #attributes(): void {
    const at = OUT.body + 16;
    this.#view.setUint32(at, 1, true);
    this.#view.setUint32(at + 60, S_IFREG | 0o600, true);
    this.#view.setUint32(at + 64, 1, true);
    this.#view.setUint32(at + 80, PAGE_BYTES, true);
  }

  #ioctl(view: DataView, lengthBytes: number): void {
    if (lengthBytes < IN.ioctlEnd) {
      this.#answer(view, FUSE_ERRNO.EINVAL, 0);
      return;
    }
    switch (view.getUint32(IN.ioctlCommand, true)) {
      case SCINI_IOCTL.guid:
        this.#giveGuid(view);
        return;
      case SCINI_IOCTL.rescan: {
        const uniqueLow = view.getUint32(IN.unique, true);
        this.#host.rescan({ uniqueLow, uniqueHigh: view.getUint32(IN.unique + 4, true) });
        return;
      }
      default:
        this.#answer(view, FUSE_ERRNO.ENOTTY, 0);
    }
  }

  #giveGuid(view: DataView): void {
    const outBytes = view.getUint32(IN.ioctlOutBytes, true);
    const body = OUT.body;
    if (outBytes >= GUID_REPLY_BYTES) {
      this.#reply.set(this.#guid, body + OUT.ioctl + GUID_AT);
      this.#answer(view, 0, OUT.ioctl + GUID_REPLY_BYTES);
      return;
    }
    if ((view.getUint32(IN.ioctlFlags, true) & IOCTL_UNRESTRICTED) === 0) {
      // A file: the caller's zeroes stay.
      this.#answer(view, 0, OUT.ioctl);
      return;
    }
    this.#view.setUint32(body + 4, IOCTL_RETRY, true);
    this.#view.setUint32(body + 12, 1, true);
    const iovec = body + OUT.ioctl;
    this.#view.setUint32(iovec, view.getUint32(IN.ioctlArgument, true), true);
    this.#view.setUint32(iovec + 4, view.getUint32(IN.ioctlArgument + 4, true), true);
    this.#view.setUint32(iovec + 8, GUID_REPLY_BYTES, true);
    this.#answer(view, 0, OUT.ioctl + IOVEC_BYTES);
  }
}

function bytesOfGuid(guid: string): Uint8Array {
  const digits = guid.replaceAll('-', '');
  return Uint8Array.from({ length: 16 }, (_, index) =>
    Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16),
  );
}
