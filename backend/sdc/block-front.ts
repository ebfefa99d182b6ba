// Between the client machine and whatever offers its volumes as block devices on this host. It owns the words of that
// conversation; it must never know a transport such as NBD.
//
// A front end gives a buffer with each read and write and leaves it alone until `ioDone`. Nothing of the conversation
// allocates per I/O. `ioDone` and the volume calls never come from inside a call of `BlockBack`; they come from inside
// the machine's inputs or its `endBatch`, so a front end may submit again from inside `ioDone`.

import type { Micros, Token } from '../core/ports.js';

/** Kinds of I/O. */
export const IO = { read: 1, write: 2, zero: 3, discard: 4, flush: 5, describe: 6 } as const;

/** What a description says of a block: nothing is there and it reads as zero, data, zeroes that were written. */
export const BLOCK_STATE = { absent: 0, data: 1, zero: 2 } as const;
export type IoKind = (typeof IO)[keyof typeof IO];

/** What `ioDone` reports, in numbers of Linux as NBD sends them. */
export const ERRNO = {
  ok: 0,
  EPERM: 1,
  EIO: 5,
  EINVAL: 22,
  ENOSPC: 28,
  ESHUTDOWN: 108,
} as const;
export type Errno = (typeof ERRNO)[keyof typeof ERRNO];

/** A volume that is mapped to this host. A new object whenever something changes. */
export interface BlockVolume {
  readonly key: number;
  readonly name: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Whether a completed write may be lost by a power failure until it is flushed: false in the mode `media`. */
  readonly volatileCache: boolean;
}

/** What a front end offers the machine. */
export interface BlockFront {
  volumeAdded(nowUs: Micros, volume: BlockVolume): void;
  /** Size, name, access or durability changed. */
  volumeChanged(nowUs: Micros, volume: BlockVolume): void;
  /** The mapping was taken away; all its I/O has been answered. */
  volumeRemoved(nowUs: Micros, volumeKey: number): void;
  /** An I/O ended; its buffer belongs to the front end again. */
  ioDone(nowUs: Micros, token: Token, errno: Errno): void;
  /** A `submit` was not taken before; now there is room. */
  roomAgain(nowUs: Micros): void;
  /** Whether all volumes that it was told of can be used where their users look for them; left out: always. */
  isReady?(): boolean;
}

/** What the machine offers front ends. */
export interface BlockBack {
  /** Volumes that are mapped now, in ascending order of key. */
  volumes(): Iterable<BlockVolume>;
  /**
   * Starts an I/O. A description covers whole blocks and says "data" where it cannot find out soon. Wrong ranges, unknown volumes and writes to read-only volumes are answered by `ioDone`.
   *
   * @param offsetBytes - multiple of the sector size
   * @param lengthBytes - multiple of the sector size; 0 for a flush
   * @param fua - a write, zero or discard is answered only from media
   * @param bytes - content of a write; place for a read, or for the states of a description's blocks, one byte each;
   *   ignored otherwise
   * @param at - where in `bytes`
   * @param token - returned by `ioDone`
   * @returns false when there is no room: nothing was started, `roomAgain` follows
   */
  submit(
    nowUs: Micros,
    volumeKey: number,
    kind: IoKind,
    offsetBytes: number,
    lengthBytes: number,
    fua: boolean,
    bytes: Uint8Array,
    at: number,
    token: Token,
  ): boolean;
  /**
   * Nobody awaits these I/Os any more, because whoever asked is gone. What was not begun never happens. `ioDone` is said of
   * each all the same, soon or, for a write whose outcome is unknown, when it is known.
   */
  abandon(nowUs: Micros, isGone: (token: Token) => boolean): void;
}
