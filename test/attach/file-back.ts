// A volume in a file, so that a server of it may be killed and started again without losing what it acknowledged. It
// answers in a later turn, so that requests are under way when it dies.

import { fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import type { BlockBack, BlockVolume, IoKind } from '../../backend/sdc/block-front.js';
import { BLOCK_STATE, ERRNO, IO } from '../../backend/sdc/block-front.js';
import type { NbdFront } from '../../backend/sdc/nbd/front.js';
import type { Loop } from '../../backend/runtime/loop.js';

const ZEROES = new Uint8Array(1048576);

export class FileBack implements BlockBack {
  readonly #fd: number;
  readonly #volume: BlockVolume;
  readonly #front: NbdFront;
  readonly #loop: Loop;
  #waiting: (() => void)[] = [];
  #scheduled = false;
  /** Requests by kind. */
  readonly counts: Record<number, number> = {};

  constructor(path: string, volume: BlockVolume, front: NbdFront, loop: Loop) {
    this.#fd = openSync(path, 'a+');
    ftruncateSync(this.#fd, volume.sizeBytes);
    this.#fd = openSync(path, 'r+');
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
    this.#waiting.push(() => {
      this.counts[kind] = (this.counts[kind] ?? 0) + 1;
      if (kind === IO.read) readSync(this.#fd, bytes, at, lengthBytes, offsetBytes);
      else if (kind === IO.write) writeSync(this.#fd, bytes, at, lengthBytes, offsetBytes);
      else if (kind === IO.flush) fsyncSync(this.#fd);
      else if (kind === IO.describe) bytes.fill(BLOCK_STATE.data);
      else this.#zero(offsetBytes, lengthBytes);
      this.#front.ioDone(this.#loop.nowUs, token, ERRNO.ok);
    });
    if (!this.#scheduled)
      setImmediate(() => {
        this.#run();
      });
    this.#scheduled = true;
    return true;
  }

  abandon(): void {
    // Everything ends soon here.
  }

  #zero(offsetBytes: number, lengthBytes: number): void {
    for (let done = 0; done < lengthBytes; done += ZEROES.length)
      writeSync(
        this.#fd,
        ZEROES,
        0,
        Math.min(ZEROES.length, lengthBytes - done),
        offsetBytes + done,
      );
  }

  #run(): void {
    this.#scheduled = false;
    this.#loop.begin();
    for (const action of this.#waiting.splice(0)) action();
    this.#loop.end();
  }
}
