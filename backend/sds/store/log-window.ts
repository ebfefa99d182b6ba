// The memory of the log's newest segments: batches are built in it, reads are served from it, and data is copied home from
// it. It owns which segments have memory and which of it is spare; it must never look into a batch.

import { assert } from '../../core/assert.js';

import type { Layout } from './layout.js';
import type { StoreOptions } from './store-options.js';

/** Spare buffers that an idle device keeps. */
const IDLE_BUFFERS = 2;

/** Memory of one segment and the view on it. */
interface Held {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export class LogWindow {
  /** Segments whose memory is in use. */
  segments = 0;
  /** Copies home in flight from the memory of a segment, by its place. */
  readonly copies: Int32Array;
  /** Where the last batch of a segment's current lap ends, once the next segment was begun; by its place. */
  readonly ends: Float64Array;
  private readonly layout: Layout;
  private readonly options: StoreOptions;
  /** By place of the segment. */
  private readonly held: (Held | null)[];
  private readonly spare: Uint8Array[] = [];
  /** First segment (since ever) whose memory is still held. */
  private first = 0;

  constructor(layout: Layout, options: StoreOptions) {
    this.layout = layout;
    this.options = options;
    this.copies = new Int32Array(layout.segments);
    this.ends = new Float64Array(layout.segments);
    this.held = new Array<Held | null>(layout.segments).fill(null);
  }

  /** Nothing before this segment has memory. */
  begin(segment: number): void {
    const { segments, segmentBlocks } = this.layout;
    this.first = segment;
    this.ends[segment % segments] = (segment + 1) * segmentBlocks;
  }

  /** First segment whose content may still be in memory. */
  get firstSegment(): number {
    return this.first;
  }

  /** Memory of the segment at a place; made if there is none. */
  hold(place: number): Held {
    const held = this.held[place];
    if (held) return held;
    const lengthBytes = this.layout.segmentBlocks * this.layout.geometry.blockBytes;
    const bytes = this.spare.pop() ?? this.options.allocate(lengthBytes);
    assert(bytes.length >= lengthBytes, 'a buffer holds a segment');
    const made = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
    this.held[place] = made;
    this.segments++;
    return made;
  }

  /** Memory of the segment at a place, or null. */
  find(place: number): Uint8Array | null {
    return this.held[place]?.bytes ?? null;
  }

  /** Memory of the segment that holds a block of the log. */
  memoryOf(logBlock: number): Uint8Array {
    const held = this.held[Math.floor(logBlock / this.layout.segmentBlocks)];
    assert(held !== null && held !== undefined, 'the newest version of a block is in memory');
    return held.bytes;
  }

  /** Gives memory back of segments before `limit` from which nothing is being copied. Returns whether any was. */
  releaseBefore(limit: number): boolean {
    let any = false;
    for (; this.first < limit; this.first++) {
      const place = this.first % this.layout.segments;
      if ((this.copies[place] ?? 0) > 0) break;
      const held = this.held[place];
      if (!held) continue;
      this.held[place] = null;
      this.segments--;
      any = true;
      if (this.spare.length < this.options.windowSegments) this.spare.push(held.bytes);
      else this.options.release?.(held.bytes);
    }
    return any;
  }

  /** Gives spare memory back, when the device is idle. */
  shrink(): void {
    for (const bytes of this.spare.splice(IDLE_BUFFERS)) this.options.release?.(bytes);
  }
}
