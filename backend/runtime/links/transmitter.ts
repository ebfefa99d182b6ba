// Collects the frames of one connection and hands them to the network: one write per flush, whatever the number of
// frames. It owns the memory of frames until the network accepted them; it must never write while an earlier write is
// not accepted: what piles up meanwhile goes out in one piece.

import type { Socket } from 'node:net';

import type { BufferPool, Slab } from './buffer-pool.js';
import { writeNow } from './write-now.js';

/** Usual size of a batch; more than fits goes to further slabs. */
const BATCH_BYTES = 64 * 1024;
/** Slabs of a connection that lags behind, so that there are few of them. */
const BACKLOG_BYTES = 320 * 1024;

interface Chunk {
  readonly slab: Slab;
  readonly fill: number;
}

export class Transmitter {
  /** Where the frame reserved last goes. */
  slab: Slab | null = null;
  private readonly pool: BufferPool;
  private readonly socket: Socket;
  private fill = 0;
  private full: Chunk[] = [];
  private fullBytes = 0;
  private inFlight: Slab[] = [];
  private stopped = false;
  /** One function for all writes: a closure per write would be garbage per batch. */
  private readonly onWritten = (): void => {
    // A write that was accepted at once is reported here late, when the next may be under way already.
    if (this.inFlight.length === 0 || this.socket.writableLength > 0 || this.stopped) return;
    for (const slab of this.inFlight) this.pool.give(slab);
    this.inFlight = [];
    this.flush();
  };

  constructor(pool: BufferPool, socket: Socket) {
    this.pool = pool;
    this.socket = socket;
  }

  /** Bytes that the network has not accepted. */
  get pendingBytes(): number {
    return this.fullBytes + this.fill + this.socket.writableLength;
  }

  /** Makes room for a frame in `slab`; returns where it starts. */
  reserve(frameBytes: number): number {
    let slab = this.slab;
    if (slab !== null && slab.bytes.length - this.fill < frameBytes) {
      this.full.push({ slab, fill: this.fill });
      this.fullBytes += this.fill;
      slab = null;
    }
    if (slab === null) {
      const usual = this.full.length === 0 ? BATCH_BYTES : BACKLOG_BYTES;
      slab = this.pool.take(Math.max(usual, frameBytes));
      this.slab = slab;
      this.fill = 0;
    }
    const at = this.fill;
    this.fill += frameBytes;
    return at;
  }

  /** Writes everything that was reserved and filled, unless an earlier write is still under way. */
  flush(): void {
    if (this.inFlight.length === 0) this.write();
  }

  /** Writes everything that is left, behind what is under way, and nothing ever after. */
  finish(): void {
    this.write();
    this.stop();
  }

  /** Nothing more is written. What is under way belongs to the socket, so its memory is left to the collector. */
  stop(): void {
    this.stopped = true;
    for (const chunk of this.full) this.pool.give(chunk.slab);
    if (this.slab !== null) this.pool.give(this.slab);
    this.slab = null;
    this.full = [];
    this.fullBytes = 0;
    this.fill = 0;
    this.inFlight = [];
  }

  private write(): void {
    const slab = this.slab;
    if (slab === null || this.stopped) return;
    const { socket, full, fill } = this;
    this.slab = null;
    this.fill = 0;
    if (full.length === 0) {
      const done = writeNow(socket, slab.bytes, 0, fill);
      if (done < fill) socket.write(slab.buffer.subarray(done, fill), this.onWritten);
    } else {
      this.full = [];
      this.fullBytes = 0;
      socket.cork();
      for (const chunk of full) socket.write(chunk.slab.buffer.subarray(0, chunk.fill));
      socket.write(slab.buffer.subarray(0, fill), this.onWritten);
      socket.uncork();
    }
    if (socket.writableLength === 0) {
      for (const chunk of full) this.pool.give(chunk.slab);
      this.pool.give(slab);
    } else {
      for (const chunk of full) this.inFlight.push(chunk.slab);
      this.inFlight.push(slab);
    }
  }
}
