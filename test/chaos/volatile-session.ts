// A file system of one file, a disk with a volatile cache: answers the kernel's requests from the medium. It owns when a flush
// or a durable write is answered, and that nothing is once the power is gone. The file is opened without the kernel's page
// cache, so that every write of a process is a write to the disk.

import {
  FUSE_ERRNO,
  FUSE_MAJOR,
  FUSE_MINOR,
  IN,
  INIT_FLAG,
  OPCODE,
  OPEN_FLAG,
  OUT,
  PAGE_BYTES,
  S_IFREG,
} from '../../backend/sdc/attach/fuse-wire.js';
import { FUSE_IO_BYTES_MAX } from '../../backend/sdc/attach/fuse-session.js';
import type { FuseClient } from '../../backend/runtime/fuse-mount.js';
import type { Prng } from '../../backend/core/prng.js';
import type { VolatileMedium } from './volatile-medium.js';

/** Of a write, the flags with which its file was opened. */
const WRITE_FLAGS_AT = 72;
const O_DSYNC = 0o10000;
const SECTOR_BYTES = 512;
/** A flush takes up to so long: writes that come meanwhile are not covered by it. */
const FLUSH_MS_MAX = 3;
const QUEUE_MAX = 128;

type Power = 'on' | 'failing' | 'off';
/** The next flush fails and takes what it should have covered with it, and later ones go well; or every read fails. */
export type DiskFault = 'flush' | 'read';

export class VolatileSession implements FuseClient {
  readonly #medium: VolatileMedium;
  readonly #random: Prng;
  readonly #reply: (bytes: Uint8Array) => void;
  #power: Power = 'on';
  /** Flushes take so many times as long as usual, and reads and writes so many milliseconds. */
  #slowness = 1;
  #fault: DiskFault | null = null;
  /** Requests without an answer: their numbers. */
  #waiting: bigint[] = [];

  /** @param reply - gives one reply to the kernel */
  constructor(medium: VolatileMedium, random: Prng, reply: (bytes: Uint8Array) => void) {
    this.#medium = medium;
    this.#random = random;
    this.#reply = reply;
  }

  /** The power goes: from now on nothing reaches the disk, and nobody is answered. */
  fail(): void {
    this.#power = 'failing';
  }

  /** Whoever still waits is told of an error, so that a killed process can end. */
  release(): void {
    this.#power = 'off';
    this.#refuseWaiting();
  }

  #refuseWaiting(): void {
    for (const unique of this.#waiting.splice(0)) this.#answer(unique, FUSE_ERRNO.EIO, 0);
  }

  /** @param fault - null: the disk is good again */
  spoil(fault: DiskFault | null): void {
    this.#fault = fault;
  }

  /** What kernels do: whoever flushes is told once, and what was not written is forgotten. */
  #failFlush(unique: bigint): void {
    this.#fault = null;
    this.#medium.lose();
    // A flush that is under way covers some of it.
    this.#refuseWaiting();
    this.#answer(unique, FUSE_ERRNO.EIO, 0);
  }

  /** @param factor - 1: as fast as usual */
  slow(factor: number): void {
    this.#slowness = factor;
  }

  /** The power is back. */
  restore(): void {
    this.#medium.cut();
    this.#power = 'on';
  }

  receive(bytes: Uint8Array, view: DataView, lengthBytes: number): boolean {
    if (lengthBytes < IN.body) return true;
    const opcode = view.getUint32(IN.opcode, true);
    const unique = view.getBigUint64(IN.unique, true);
    switch (opcode) {
      case OPCODE.read:
      case OPCODE.write:
      case OPCODE.fsync:
        if (this.#power === 'failing') this.#waiting.push(unique);
        else if (this.#power === 'off') this.#answer(unique, FUSE_ERRNO.EIO, 0);
        else this.#io(opcode, unique, bytes, view);
        return true;
      case OPCODE.forget:
      case OPCODE.batchForget:
      case OPCODE.interrupt:
        return true;
      default:
        this.#simple(opcode, unique);
        return true;
    }
  }

  #io(opcode: number, unique: bigint, bytes: Uint8Array, view: DataView): void {
    const offset = Number(view.getBigUint64(IN.ioOffset, true));
    if (opcode === OPCODE.read && this.#fault === 'read') {
      this.#answer(unique, FUSE_ERRNO.EIO, 0);
      return;
    }
    if (opcode === OPCODE.fsync) {
      if (this.#fault === 'flush') {
        this.#failFlush(unique);
        return;
      }
      const serial = this.#medium.beginFlush();
      this.#later(unique, 0, () => {
        this.#medium.endFlush(serial);
      });
      return;
    }
    const asked = view.getUint32(IN.ioSize, true);
    const length = Math.max(0, Math.min(asked, this.#medium.sizeBytes - offset));
    if (opcode === OPCODE.read) {
      const reply = new Uint8Array(OUT.header + length);
      this.#medium.read(reply, OUT.header, length, offset);
      if (this.#slowness === 1) this.#send(reply, unique, 0);
      else
        setTimeout(() => {
          this.#send(reply, unique, 0);
        }, this.#slowness);
      return;
    }
    if (length < asked) {
      this.#answer(unique, FUSE_ERRNO.EIO, 0);
      return;
    }
    const content = bytes.slice(IN.writeData, IN.writeData + length);
    if ((view.getUint32(WRITE_FLAGS_AT, true) & O_DSYNC) !== 0) {
      if (this.#fault === 'flush') {
        this.#failFlush(unique);
        return;
      }
      this.#later(unique, length, this.#medium.writeDurable(offset, content).done);
      return;
    }
    this.#medium.write(offset, content);
    this.#wrote(unique, length);
  }

  /** Does what makes something durable a moment later, unless the power goes before. */
  #later(unique: bigint, wroteBytes: number, act: () => void): void {
    this.#waiting.push(unique);
    const end = (): void => {
      if (this.#power !== 'on' || !this.#waiting.includes(unique)) return;
      this.#waiting = this.#waiting.filter((one) => one !== unique);
      act();
      if (wroteBytes > 0) this.#wrote(unique, wroteBytes);
      else this.#answer(unique, 0, 0);
    };
    const delayMs = this.#random.below(FLUSH_MS_MAX + 1) * this.#slowness;
    if (delayMs === 0) setImmediate(end);
    else setTimeout(end, delayMs);
  }

  #simple(opcode: number, unique: bigint): void {
    switch (opcode) {
      case OPCODE.init:
        this.#init(unique);
        return;
      case OPCODE.getattr:
      case OPCODE.setattr:
        this.#attributes(unique);
        return;
      case OPCODE.open:
        this.#answer(unique, 0, OUT.open, (body) => {
          body.setUint32(8, OPEN_FLAG.directIo | OPEN_FLAG.parallelDirectWrites, true);
        });
        return;
      case OPCODE.statfs:
        this.#answer(unique, 0, OUT.statfs, (body) => {
          body.setBigUint64(0, BigInt(this.#medium.sizeBytes / PAGE_BYTES), true);
          for (const [at, value] of [
            [40, PAGE_BYTES],
            [44, 255],
            [48, PAGE_BYTES],
          ] as const)
            body.setUint32(at, value, true);
        });
        return;
      case OPCODE.release:
      case OPCODE.flush:
      case OPCODE.destroy:
        this.#answer(unique, 0, 0);
        return;
      default:
        this.#answer(unique, FUSE_ERRNO.ENOSYS, 0);
    }
  }

  #init(unique: bigint): void {
    this.#answer(unique, 0, OUT.init, (body) => {
      const flags =
        INIT_FLAG.asyncRead | INIT_FLAG.bigWrites | INIT_FLAG.asyncDio | INIT_FLAG.maxPages;
      body.setUint32(0, FUSE_MAJOR, true);
      body.setUint32(4, FUSE_MINOR, true);
      body.setUint32(8, FUSE_IO_BYTES_MAX, true);
      body.setUint32(12, flags, true);
      body.setUint16(16, QUEUE_MAX, true);
      body.setUint16(18, QUEUE_MAX, true);
      body.setUint32(20, FUSE_IO_BYTES_MAX, true);
      body.setUint32(24, 1, true);
      body.setUint16(28, FUSE_IO_BYTES_MAX / PAGE_BYTES, true);
    });
  }

  #attributes(unique: bigint): void {
    this.#answer(unique, 0, OUT.attr, (body) => {
      const { sizeBytes } = this.#medium;
      body.setBigUint64(16, 1n, true);
      body.setBigUint64(24, BigInt(sizeBytes), true);
      body.setBigUint64(32, BigInt(sizeBytes / SECTOR_BYTES), true);
      body.setUint32(76, S_IFREG | 0o600, true);
      body.setUint32(80, 1, true);
      body.setUint32(96, PAGE_BYTES, true);
    });
  }

  #wrote(unique: bigint, lengthBytes: number): void {
    this.#answer(unique, 0, OUT.write, (body) => {
      body.setUint32(0, lengthBytes, true);
    });
  }

  #answer(
    unique: bigint,
    errno: number,
    bodyBytes: number,
    fill: (body: DataView) => void = () => undefined,
  ): void {
    const reply = new Uint8Array(OUT.header + bodyBytes);
    fill(new DataView(reply.buffer, OUT.body));
    this.#send(reply, unique, errno);
  }

  #send(reply: Uint8Array, unique: bigint, errno: number): void {
    const view = new DataView(reply.buffer);
    view.setUint32(0, reply.length, true);
    view.setInt32(4, -errno, true);
    view.setBigUint64(8, unique, true);
    this.#reply(reply);
  }
}
