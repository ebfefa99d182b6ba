// Memory for frames in transit. It owns slabs of a few sizes and hands them out again and again; it must never be asked
// per frame by anything that could use a slab it already has. A slab is uninitialised: it may hold old bytes of any link.

import { assert } from '../../core/assert.js';
import { FRAME_BYTES_MAX } from '../../protocol/frames.js';

const KIB = 1024;
/** Handshakes; batches of small frames; the largest data frame; the largest frame and what one read brings behind it. */
const SIZES: readonly number[] = [4 * KIB, 64 * KIB, 320 * KIB, FRAME_BYTES_MAX + 384 * KIB];
/** What lies unused beyond this goes back to the collector. */
const IDLE_BYTES_MAX = 16 * KIB * KIB;

/** A piece of memory with the view on it, made once. */
export class Slab {
  /** Plain, so that `slice` copies for whoever calls it. */
  readonly bytes: Uint8Array;
  /** The same memory for sockets. */
  readonly buffer: Buffer;
  readonly view: DataView;
  readonly sizeClass: number;

  constructor(sizeBytes: number, sizeClass: number) {
    this.buffer = Buffer.allocUnsafeSlow(sizeBytes);
    this.bytes = new Uint8Array(this.buffer.buffer, this.buffer.byteOffset, sizeBytes);
    this.view = new DataView(this.buffer.buffer, this.buffer.byteOffset, sizeBytes);
    this.sizeClass = sizeClass;
  }
}

export class BufferPool {
  private readonly idle: Slab[][] = SIZES.map(() => []);
  private idleBytes = 0;

  /** A slab of at least `bytesMin`, at most the largest frame and one read. */
  take(bytesMin: number): Slab {
    const sizeClass = SIZES.findIndex((size) => size >= bytesMin);
    const idle = this.idle[sizeClass];
    const size = SIZES[sizeClass];
    assert(idle !== undefined && size !== undefined, 'no frame is longer than the largest slab');
    const slab = idle.pop();
    if (slab === undefined) return new Slab(size, sizeClass);
    this.idleBytes -= size;
    return slab;
  }

  /** Gives a slab back; nobody may hold a part of it any more. */
  give(slab: Slab): void {
    if (this.idleBytes + slab.bytes.length > IDLE_BYTES_MAX) return;
    this.idleBytes += slab.bytes.length;
    this.idle[slab.sizeClass]?.push(slab);
  }
}
