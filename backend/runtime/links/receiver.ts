// Cuts the bytes of one connection into frames. It owns the memory of frames that are not complete or not taken yet;
// it must never copy or allocate for a frame that arrived whole and was taken, nor trust a length before the header
// that carries it was found right.
//
// All connections of a process read into one shared buffer: reading is synchronous, so its content is used up before the
// next connection reads. Only what is left over, a piece of a frame or frames that the machine does not take, is moved to
// a slab of the connection's own; a frame that began in the slab is read straight into it.

import { HEADER_BYTES } from '../../protocol/frames.js';
import { getBodyBytes } from '../../protocol/generated/frame-head.js';
import type { BufferPool, Slab } from './buffer-pool.js';

const SHARED_BYTES = 320 * 1024;
/** A left-over up to this long is moved to the front of its slab without thinking. */
const MOVE_BYTES = 8 * 1024;

export const TAKEN = 0;
/** Keep the frame and everything behind it until `resume`. */
export const LATER = 1;
/** The connection is over; forget everything. */
export const STOP = 2;

/** Who judges and takes frames. */
export interface FrameSink {
  /** Judges a header as soon as it is there: TAKEN to go on, STOP to forget everything. */
  header(view: DataView, at: number): number;
  /** Takes a whole frame: TAKEN, LATER or STOP. The memory is valid during the call only. */
  frame(bytes: Uint8Array, view: DataView, at: number, bodyBytes: number): number;
}

/** Plain, so that `slice` copies for whoever calls it. */
const SHARED = new Uint8Array(SHARED_BYTES);
const SHARED_VIEW = new DataView(SHARED.buffer);

export class Receiver {
  /** Smallest slab for a left-over; small while the other end is a stranger. */
  slabBytesMin = 4 * 1024;
  private readonly pool: BufferPool;
  private readonly sink: FrameSink;
  private held: Slab | null = null;
  private heldStart = 0;
  private heldEnd = 0;
  /** Whether the header at the front of what is left over was judged already. */
  private judged = false;
  /** Bytes that the frame at the front needs. */
  private needBytes: number = HEADER_BYTES;
  private givenHeld = false;
  private waiting = false;
  private stopped = false;
  private parsing = false;

  constructor(pool: BufferPool, sink: FrameSink) {
    this.pool = pool;
    this.sink = sink;
  }

  /** Frames were not taken; nothing may be read until `resume`. */
  get paused(): boolean {
    return this.waiting;
  }

  /** Where the next bytes of the connection go. */
  nextBuffer(): Uint8Array {
    this.givenHeld = this.held !== null && !this.waiting;
    if (!this.givenHeld) return SHARED;
    const slab = this.makeRoom(0);
    return slab.bytes.subarray(this.heldEnd);
  }

  /**
   * Bytes arrived in the buffer given last.
   *
   * @returns whether to go on reading
   */
  received(count: number): boolean {
    if (this.stopped) return false;
    if (this.held === null) return this.parseShared(count);
    if (this.givenHeld) this.heldEnd += count;
    else this.append(count);
    return this.parseHeld();
  }

  /**
   * Bytes arrived in a buffer that the runtime chose.
   *
   * @returns whether to go on reading
   */
  receivedCopy(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length && !this.stopped; at += SHARED_BYTES) {
      const piece = chunk.subarray(at, at + SHARED_BYTES);
      SHARED.set(piece);
      this.givenHeld = false;
      if (this.held === null) this.parseShared(piece.length);
      else {
        this.append(piece.length);
        if (!this.waiting) this.parseHeld();
      }
    }
    return !this.waiting && !this.stopped;
  }

  /**
   * Offers again what was not taken.
   *
   * @returns whether to go on reading
   */
  resume(): boolean {
    if (!this.waiting) return !this.stopped;
    this.waiting = false;
    return this.held === null ? !this.stopped : this.parseHeld();
  }

  /** Nothing more is handed over. Memory goes back, but not before the frame at hand was dealt with. */
  stop(): void {
    this.stopped = true;
    if (!this.parsing) this.drop();
  }

  private drop(): void {
    if (this.held !== null) this.pool.give(this.held);
    this.held = null;
    this.heldStart = 0;
    this.heldEnd = 0;
  }

  private parseShared(count: number): boolean {
    this.parsing = true;
    const at = this.parse(SHARED, SHARED_VIEW, 0, count);
    this.parsing = false;
    if (this.stopped) return false;
    const left = count - at;
    if (left > 0) {
      const slab = this.pool.take(Math.max(left, this.needBytes, this.slabBytesMin));
      slab.bytes.set(SHARED.subarray(at, count), 0);
      this.held = slab;
      this.heldStart = 0;
      this.heldEnd = left;
    }
    return !this.waiting;
  }

  private parseHeld(): boolean {
    const slab = this.held;
    if (slab === null) return true;
    this.parsing = true;
    this.heldStart = this.parse(slab.bytes, slab.view, this.heldStart, this.heldEnd);
    this.parsing = false;
    if (this.stopped || this.heldStart === this.heldEnd) this.drop();
    return !this.waiting && !this.stopped;
  }

  /** Hands over whole frames from `start` on; returns where the rest begins. */
  private parse(bytes: Uint8Array, view: DataView, start: number, end: number): number {
    let at = start;
    while (end - at >= HEADER_BYTES) {
      if (!this.judged) {
        if (this.sink.header(view, at) === STOP) {
          this.stopped = true;
          return at;
        }
        this.judged = true;
      }
      const bodyBytes = getBodyBytes(view, at);
      this.needBytes = HEADER_BYTES + bodyBytes;
      if (end - at < this.needBytes) return at;
      const outcome = this.sink.frame(bytes, view, at, bodyBytes);
      if (outcome === LATER) {
        this.waiting = true;
        return at;
      }
      if (outcome === STOP || this.stopped) {
        this.stopped = true;
        return at;
      }
      at += this.needBytes;
      this.judged = false;
      this.needBytes = HEADER_BYTES;
    }
    return at;
  }

  private append(count: number): void {
    const slab = this.makeRoom(count);
    slab.bytes.set(SHARED.subarray(0, count), this.heldEnd);
    this.heldEnd += count;
  }

  /** Room behind what is held: for the rest of its first frame, for `extra` bytes, and never none. */
  private makeRoom(extra: number): Slab {
    const slab = this.held ?? this.pool.take(this.needBytes);
    const left = this.heldEnd - this.heldStart;
    const want = Math.max(this.needBytes, left + Math.max(extra, 1));
    const fits = this.heldStart + want <= slab.bytes.length;
    if (fits && (this.heldStart === 0 || left > MOVE_BYTES)) return slab;
    let target = slab;
    if (want > slab.bytes.length) {
      target = this.pool.take(want);
      target.bytes.set(slab.bytes.subarray(this.heldStart, this.heldEnd), 0);
      this.pool.give(slab);
    } else {
      slab.bytes.copyWithin(0, this.heldStart, this.heldEnd);
    }
    this.held = target;
    this.heldStart = 0;
    this.heldEnd = left;
    return target;
  }
}
