// A volume in the memory of the test, so that the NBD server is judged alone. It answers in a later turn and out of order,
// as the real machine does.

import type { BlockBack, BlockVolume, IoKind } from '../../backend/sdc/block-front.js';
import { BLOCK_STATE, ERRNO, IO } from '../../backend/sdc/block-front.js';
import type { NbdFront } from '../../backend/sdc/nbd/front.js';
import type { Loop } from '../../backend/runtime/loop.js';

const ROOM = 48;
const BLOCK_BYTES = 4096;
const ZEROES = new Uint8Array(BLOCK_BYTES);

export class MemoryBack implements BlockBack {
  readonly content: Uint8Array;
  flushes = 0;
  readonly #volume: BlockVolume;
  readonly #front: NbdFront;
  readonly #loop: Loop;
  #waiting: (() => void)[] = [];
  #scheduled = false;
  #refused = false;

  constructor(volume: BlockVolume, front: NbdFront, loop: Loop) {
    this.content = new Uint8Array(volume.sizeBytes);
    this.#volume = volume;
    this.#front = front;
    this.#loop = loop;
  }

  volumes(): Iterable<BlockVolume> {
    return [this.#volume];
  }

  submit(
    _nowUs: number,
    _volumeKey: number,
    kind: IoKind,
    offsetBytes: number,
    lengthBytes: number,
    _fua: boolean,
    bytes: Uint8Array,
    at: number,
    token: number,
  ): boolean {
    if (this.#waiting.length >= ROOM) {
      this.#refused = true;
      return false;
    }
    this.#waiting.push(() => {
      const end = offsetBytes + lengthBytes;
      if (kind === IO.read) bytes.set(this.content.subarray(offsetBytes, end), at);
      else if (kind === IO.write)
        this.content.set(bytes.subarray(at, at + lengthBytes), offsetBytes);
      else if (kind === IO.flush) this.flushes++;
      else if (kind === IO.describe) this.#describe(offsetBytes, lengthBytes, bytes);
      else this.content.fill(0, offsetBytes, end);
      this.#front.ioDone(this.#loop.nowUs, token, ERRNO.ok);
    });
    if (!this.#scheduled)
      setImmediate(() => {
        this.#run();
      });
    this.#scheduled = true;
    return true;
  }

  /** A block that is all zero was never written here. */
  #describe(offsetBytes: number, lengthBytes: number, states: Uint8Array): void {
    for (let at = 0; at < lengthBytes; at += BLOCK_BYTES) {
      const block = this.content.subarray(offsetBytes + at, offsetBytes + at + BLOCK_BYTES);
      const isZero = Buffer.compare(block, ZEROES) === 0;
      states[at / BLOCK_BYTES] = isZero ? BLOCK_STATE.absent : BLOCK_STATE.data;
    }
  }

  abandon(): void {
    // Everything ends soon here.
  }

  #run(): void {
    this.#scheduled = false;
    this.#loop.begin();
    const batch = this.#waiting;
    this.#waiting = [];
    // Two interleaved halves: replies leave in another order than the requests came in.
    for (const [index, action] of batch.entries()) if (index % 2 === 1) action();
    for (const [index, action] of batch.entries()) if (index % 2 === 0) action();
    if (this.#refused) {
      this.#refused = false;
      this.#front.roomAgain(this.#loop.nowUs);
    }
    this.#loop.end();
  }
}
