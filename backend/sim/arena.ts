// Memory of the frames of one scenario: filled from the front, thrown away as a whole. It owns the segments, which stay
// allocated from one scenario to the next; it must never be told to free a single frame.

import { assert } from '../core/assert.js';

const SEGMENT_BYTES = 2 * 1024 * 1024;

interface Segment {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export class FrameArena {
  private readonly segments: Segment[] = [];
  private segment = 0;
  private at = 0;

  reset(): void {
    this.segment = 0;
    this.at = 0;
  }

  /** @returns an address for {@link bytesOf} and {@link offsetOf}; the content is left over from earlier frames */
  take(lengthBytes: number): number {
    assert(lengthBytes > 0 && lengthBytes <= SEGMENT_BYTES, 'a frame fits into a segment');
    if (this.at + lengthBytes > SEGMENT_BYTES) {
      this.segment += 1;
      this.at = 0;
    }
    if (this.segment === this.segments.length) {
      const bytes = new Uint8Array(SEGMENT_BYTES);
      this.segments.push({ bytes, view: new DataView(bytes.buffer) });
    }
    const address = this.segment * SEGMENT_BYTES + this.at;
    this.at += lengthBytes;
    return address;
  }

  bytesOf(address: number): Uint8Array {
    return this.of(address).bytes;
  }

  viewOf(address: number): DataView {
    return this.of(address).view;
  }

  offsetOf(address: number): number {
    return address % SEGMENT_BYTES;
  }

  private of(address: number): Segment {
    const segment = this.segments[Math.floor(address / SEGMENT_BYTES)];
    assert(segment !== undefined, 'the address was taken from this arena');
    return segment;
  }
}
