// A file system of one file, the volume: answers the kernel's FUSE requests, turns reads and writes into requests of the
// volume. It owns the replies; it must never hold content that was acknowledged, and it believes no length.

import { IO } from '../block-front.js';
import type { Slots } from '../nbd/slots.js';
import {
  FALLOCATE_MODE,
  FUSE_ERRNO,
  FUSE_MAJOR,
  FUSE_MINOR,
  FUSE_MINOR_MIN,
  IN,
  INIT_FLAG,
  OPCODE,
  OPEN_FLAG,
  OUT,
  PAGE_BYTES,
  S_IFREG,
} from './fuse-wire.js';
import { PAYLOAD_AT } from './volume-client.js';
import type { Request, RequestOwner, VolumeClient } from './volume-client.js';

/** Longest read or write that the kernel sends. */
export const FUSE_IO_BYTES_MAX = 1048576;
/** A buffer for requests must have so many bytes. */
export const FUSE_REQUEST_BYTES_MAX = FUSE_IO_BYTES_MAX + PAGE_BYTES;
/** I/O that the kernel keeps in flight per volume; more waits in its queues. */
const BACKGROUND_MAX = 128;
const CONGESTION = 96;
const SECTOR_BYTES = 512;
/** A trim or zeroing goes to the server in pieces: NBD counts lengths in 32 bits. */
const RANGE_BYTES_MAX = 2 ** 30;
const REPLY_BYTES = 128;

export interface FuseHost {
  /** Gives one reply to the kernel; the bytes are used before this returns. */
  reply(bytes: Uint8Array, at: number, lengthBytes: number): void;
  /** The kernel keeps the file open no more. */
  released(): void;
}

/** A trim or zeroing that takes several requests, or a request that is one. */
interface Ranged {
  readonly uniqueHigh: number;
  readonly uniqueLow: number;
  readonly kind: number;
  offsetBytes: number;
  leftBytes: number;
}

export class FuseSession implements RequestOwner {
  writeSlots = 0;
  otherSlots = 0;
  sizeBytes: number;
  readonly #readOnly: boolean;
  readonly #volume: VolumeClient;
  readonly #slots: Slots<RequestOwner>;
  readonly #host: FuseHost;
  readonly #reply = new Uint8Array(REPLY_BYTES);
  readonly #view = new DataView(this.#reply.buffer);
  readonly #ranged: Ranged[] = [];
  #opens = 0;
  /** Somebody read, wrote or trimmed through this file. */
  #isTouched = false;

  constructor(
    sizeBytes: number,
    readOnly: boolean,
    volume: VolumeClient,
    slots: Slots<RequestOwner>,
    host: FuseHost,
  ) {
    this.sizeBytes = sizeBytes;
    this.#readOnly = readOnly;
    this.#volume = volume;
    this.#slots = slots;
    this.#host = host;
  }

  /**
   * Takes one request of the kernel.
   *
   * @param bytes - one request from the start
   * @returns false: there is no room for it now; offer it again when a request has ended
   */
  receive(bytes: Uint8Array, view: DataView, lengthBytes: number): boolean {
    if (lengthBytes < IN.body) return true;
    const opcode = view.getUint32(IN.opcode, true);
    switch (opcode) {
      case OPCODE.read:
      case OPCODE.write:
        this.#isTouched = true;
        return this.#io(opcode, bytes, view, lengthBytes);
      case OPCODE.fsync:
        return this.#flush(view);
      case OPCODE.fallocate:
        this.#isTouched = true;
        return this.#fallocate(view, lengthBytes);
      case OPCODE.forget:
      case OPCODE.batchForget:
        // These have no reply.
        return true;
      default:
        this.#simple(opcode, view, lengthBytes);
        return true;
    }
  }

  /** Requests that need no I/O. */
  #simple(opcode: number, view: DataView, lengthBytes: number): void {
    const body = this.#begin();
    switch (opcode) {
      case OPCODE.init:
        this.#init(view, lengthBytes);
        return;
      case OPCODE.getattr:
      case OPCODE.setattr:
        // The size belongs to the volume: cutting the file is ignored, like any other change of its attributes.
        this.#attributes();
        this.#answer(view, 0, OUT.attr);
        return;
      case OPCODE.open:
        this.#opens += 1;
        body.setUint32(OUT.body + 8, OPEN_FLAG.directIo | OPEN_FLAG.parallelDirectWrites, true);
        this.#answer(view, 0, OUT.open);
        return;
      case OPCODE.release:
        this.#opens -= 1;
        this.#answer(view, 0, 0);
        if (this.#opens === 0) this.#host.released();
        return;
      case OPCODE.statfs:
        this.#statfs();
        this.#answer(view, 0, OUT.statfs);
        return;
      case OPCODE.flush:
      case OPCODE.destroy:
        this.#answer(view, 0, 0);
        return;
      default:
        this.#answer(view, FUSE_ERRNO.ENOSYS, 0);
    }
  }

  #begin(): DataView {
    this.#reply.fill(0);
    return this.#view;
  }

  #answer(request: DataView, errno: number, bodyBytes: number): void {
    const low = request.getUint32(IN.unique, true);
    this.#answerTo(request.getUint32(IN.unique + 4, true), low, errno, bodyBytes);
  }

  #answerTo(uniqueHigh: number, uniqueLow: number, errno: number, bodyBytes: number): void {
    const length = OUT.header + (errno === 0 ? bodyBytes : 0);
    putHeader(this.#view, 0, length, errno, uniqueHigh, uniqueLow);
    this.#host.reply(this.#reply, 0, length);
  }

  #init(request: DataView, lengthBytes: number): void {
    const view = this.#view;
    const major = request.getUint32(IN.initMajor, true);
    const minor = request.getUint32(IN.initMinor, true);
    if (lengthBytes < IN.initFlags + 4 || major < FUSE_MAJOR || minor < FUSE_MINOR_MIN) {
      this.#answer(request, FUSE_ERRNO.EPROTO, 0);
      return;
    }
    const at = OUT.body;
    view.setUint32(at, FUSE_MAJOR, true);
    view.setUint32(at + 4, Math.min(minor, FUSE_MINOR), true);
    const known =
      INIT_FLAG.asyncRead | INIT_FLAG.bigWrites | INIT_FLAG.asyncDio | INIT_FLAG.maxPages;
    view.setUint32(at + 8, FUSE_IO_BYTES_MAX, true);
    view.setUint32(at + 12, request.getUint32(IN.initFlags, true) & known, true);
    view.setUint16(at + 16, BACKGROUND_MAX, true);
    view.setUint16(at + 18, CONGESTION, true);
    view.setUint32(at + 20, FUSE_IO_BYTES_MAX, true);
    view.setUint32(at + 24, 1, true);
    view.setUint16(at + 28, FUSE_IO_BYTES_MAX / PAGE_BYTES, true);
    // A newer major version asks again in ours when it hears of it.
    this.#answer(request, 0, OUT.init);
  }

  #attributes(): void {
    const view = this.#view;
    // No time of validity: the size may grow, and whoever asks wants the present one.
    const at = OUT.body + 16;
    putU64(view, at, 1);
    putU64(view, at + 8, this.sizeBytes);
    putU64(view, at + 16, this.sizeBytes / SECTOR_BYTES);
    view.setUint32(at + 60, S_IFREG | (this.#readOnly ? 0o400 : 0o600), true);
    view.setUint32(at + 64, 1, true);
    view.setUint32(at + 80, PAGE_BYTES, true);
  }

  #statfs(): void {
    const view = this.#view;
    const at = OUT.body;
    putU64(view, at, Math.floor(this.sizeBytes / PAGE_BYTES));
    // The loop driver takes the unit of discards from here.
    view.setUint32(at + 40, PAGE_BYTES, true);
    view.setUint32(at + 44, 255, true);
    view.setUint32(at + 48, PAGE_BYTES, true);
  }

  /** A read or a write; false: no room. */
  #io(opcode: number, bytes: Uint8Array, view: DataView, lengthBytes: number): boolean {
    const writes = opcode === OPCODE.write;
    const offset = getU64(view, IN.ioOffset);
    const asked = lengthBytes < IN.writeData ? 0 : view.getUint32(IN.ioSize, true);
    const length = Math.max(0, Math.min(asked, this.sizeBytes - offset));
    const errno = this.#ioFault(writes, asked, length, lengthBytes);
    if (errno !== 0 || length === 0) {
      this.#answer(view, errno, 0);
      return true;
    }
    const slot = this.#slots.take(this, PAYLOAD_AT + length, writes);
    if (slot === null) return false;
    slot.command = writes ? IO.write : IO.read;
    slot.cookieLow = view.getUint32(IN.unique, true);
    slot.cookieHigh = view.getUint32(IN.unique + 4, true);
    slot.offsetBytes = offset;
    slot.lengthBytes = length;
    if (writes) slot.bytes.set(bytes.subarray(IN.writeData, IN.writeData + length), PAYLOAD_AT);
    this.#volume.submit(slot);
    return true;
  }

  #ioFault(writes: boolean, asked: number, length: number, lengthBytes: number): number {
    if (asked > FUSE_IO_BYTES_MAX) return FUSE_ERRNO.EINVAL;
    if (!writes) return 0;
    if (this.#readOnly) return FUSE_ERRNO.EROFS;
    // A write behind the end, or one that is shorter than it says.
    return length !== asked || lengthBytes < IN.writeData + asked ? FUSE_ERRNO.EIO : 0;
  }

  /**
   * The kernel flushes a file when a loop device is made of it, and keeps every other program from looking for a free loop
   * device meanwhile. So a flush of what nobody has touched is done at once: it must not wait for a server that may be away.
   */
  #flush(view: DataView): boolean {
    if (!this.#isTouched) {
      this.#begin();
      this.#answer(view, 0, 0);
      return true;
    }
    const slot = this.#slots.take(this, 0, false);
    if (slot === null) return false;
    slot.command = IO.flush;
    slot.cookieLow = view.getUint32(IN.unique, true);
    slot.cookieHigh = view.getUint32(IN.unique + 4, true);
    slot.offsetBytes = 0;
    slot.lengthBytes = 0;
    this.#volume.submit(slot);
    return true;
  }

  /** Punching a hole is a trim, zeroing a range is a write of zeroes; anything else is not supported. */
  #fallocate(view: DataView, lengthBytes: number): boolean {
    const short = lengthBytes < IN.fallocateMode + 4;
    const mode = short ? 0 : view.getUint32(IN.fallocateMode, true);
    const punches = (mode & FALLOCATE_MODE.punchHole) !== 0;
    if (!punches && (mode & FALLOCATE_MODE.zeroRange) === 0) {
      this.#answer(view, FUSE_ERRNO.EOPNOTSUPP, 0);
      return true;
    }
    const offset = getU64(view, IN.fallocateOffset);
    const left = Math.min(getU64(view, IN.fallocateLength), this.sizeBytes - offset);
    if (this.#readOnly || left <= 0) {
      this.#answer(view, this.#readOnly ? FUSE_ERRNO.EROFS : FUSE_ERRNO.EINVAL, 0);
      return true;
    }
    const ranged: Ranged = {
      uniqueLow: view.getUint32(IN.unique, true),
      uniqueHigh: view.getUint32(IN.unique + 4, true),
      kind: punches ? IO.discard : IO.zero,
      offsetBytes: offset,
      leftBytes: left,
    };
    return this.#startRange(ranged);
  }

  /** Sends the first piece of a range; false: no room. */
  #startRange(ranged: Ranged): boolean {
    const slot = this.#slots.take(this, 0, false);
    if (slot === null) return false;
    slot.command = ranged.kind;
    slot.cookieLow = ranged.uniqueLow;
    slot.cookieHigh = ranged.uniqueHigh;
    this.#submitRange(slot, ranged);
    return true;
  }

  #submitRange(slot: Request, ranged: Ranged): void {
    slot.offsetBytes = ranged.offsetBytes;
    slot.lengthBytes = Math.min(ranged.leftBytes, RANGE_BYTES_MAX);
    ranged.offsetBytes += slot.lengthBytes;
    ranged.leftBytes -= slot.lengthBytes;
    if (ranged.leftBytes > 0) this.#ranged.push(ranged);
    this.#volume.submit(slot);
  }

  done(slot: Request, errno: number): void {
    const { cookieHigh, cookieLow, lengthBytes } = slot;
    if (slot.command === IO.read && errno === 0) {
      const length = PAYLOAD_AT + lengthBytes;
      putReadHeader(slot.bytes, length, cookieHigh, cookieLow);
      this.#host.reply(slot.bytes, 0, length);
      this.#slots.give(slot);
      return;
    }
    const kind = slot.command;
    if (kind === IO.discard || kind === IO.zero) {
      const ranged = this.#takeRanged(cookieHigh, cookieLow);
      if (ranged !== null && errno === 0) {
        this.#submitRange(slot, ranged);
        return;
      }
    }
    this.#slots.give(slot);
    this.#begin();
    if (kind === IO.write) this.#view.setUint32(OUT.body, lengthBytes, true);
    this.#answerTo(cookieHigh, cookieLow, errno, kind === IO.write ? OUT.write : 0);
  }

  #takeRanged(uniqueHigh: number, uniqueLow: number): Ranged | null {
    const index = this.#ranged.findIndex(
      (ranged) => ranged.uniqueHigh === uniqueHigh && ranged.uniqueLow === uniqueLow,
    );
    return index < 0 ? null : (this.#ranged.splice(index, 1)[0] ?? null);
  }
}

function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function putHeader(
  view: DataView,
  at: number,
  lengthBytes: number,
  errno: number,
  uniqueHigh: number,
  uniqueLow: number,
): void {
  view.setUint32(at, lengthBytes, true);
  view.setInt32(at + 4, errno === 0 ? 0 : -errno, true);
  view.setUint32(at + 8, uniqueLow, true);
  view.setUint32(at + 12, uniqueHigh, true);
}

/** The header of a good reply, byte by byte: no view on the buffer is kept. */
function putReadHeader(bytes: Uint8Array, length: number, high: number, low: number): void {
  putU32Bytes(bytes, 0, length);
  putU32Bytes(bytes, 4, 0);
  putU32Bytes(bytes, 8, low);
  putU32Bytes(bytes, 12, high);
}

function putU32Bytes(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = (value >>> 8) & 0xff;
  bytes[at + 2] = (value >>> 16) & 0xff;
  bytes[at + 3] = value >>> 24;
}
