// Writes of whole units straight to where they stay. It owns the buffers that such a write keeps until it is done, for the
// caller's bytes are its own again at once; it must never choose what is written this way (appender.ts).

import { assert } from '../../core/assert.js';

import { IO } from './io.js';
import { homeOffset } from './parts.js';
import type { Parts } from './parts.js';
import { IO_BLOCKS_MAX } from './store.js';

export class DirectWrites {
  /** Bytes in flight. */
  private bytesInFlight = 0;
  private readonly parts: Parts;
  private readonly bufferBlocks: number;
  private readonly buffers: Uint8Array[] = [];
  private readonly freeBuffers: number[] = [];
  private readonly bufferLengths: number[] = [];

  constructor(parts: Parts) {
    const { unitBlocks, chunkBlocks } = parts.layout.geometry;
    this.parts = parts;
    this.bufferBlocks = Math.max(unitBlocks, Math.min(chunkBlocks, IO_BLOCKS_MAX));
  }

  /** Whether so many bytes more may be in flight. */
  fits(lengthBytes: number): boolean {
    return this.bytesInFlight + lengthBytes <= this.parts.options.directBytesMax;
  }

  /**
   * Writes whole units of a chunk, as part of the log's group that is being filled.
   *
   * @param entry - of the chunk in the cache, with the units' addresses
   * @param start - first block in the chunk
   * @param end - behind the last one
   * @param dataAt - where the first block's content begins in `bytes`
   * @param caches - it goes to the read cache too
   */
  write(
    entry: number,
    start: number,
    end: number,
    bytes: Uint8Array,
    dataAt: number,
    caches: boolean,
  ): void {
    const { layout, cache } = this.parts;
    const { unitBlocks, blockBytes } = layout.geometry;
    const base = entry * cache.unitsPerChunk;
    for (let block = start; block < end;) {
      const address = cache.units[base + block / unitBlocks] ?? 0;
      let units = 1;
      while (
        block + units * unitBlocks < end &&
        (units + 1) * unitBlocks <= this.bufferBlocks &&
        cache.units[base + block / unitBlocks + units] === address + units
      )
        units++;
      const lengthBytes = units * unitBlocks * blockBytes;
      const from = dataAt + (block - start) * blockBytes;
      this.submit(homeOffset(layout, address, 0), bytes, from, lengthBytes, caches);
      block += units * unitBlocks;
    }
  }

  private submit(
    offset: number,
    bytes: Uint8Array,
    from: number,
    lengthBytes: number,
    caches: boolean,
  ): void {
    const { queue, log, layout, options, readCache } = this.parts;
    const { blockBytes } = layout.geometry;
    let index = this.freeBuffers.pop();
    if (index === undefined) {
      const size = this.bufferBlocks * blockBytes;
      index = this.buffers.push(options.allocate(size)) - 1;
    }
    const buffer = this.buffers[index];
    assert(buffer !== undefined, 'a direct write has a buffer');
    buffer.set(bytes.subarray(from, from + lengthBytes));
    this.bufferLengths[index] = lengthBytes;
    this.bytesInFlight += lengthBytes;
    queue.write(IO.direct, log.groups.joinDirect(), index, offset, buffer, 0, lengthBytes);
    if (caches)
      for (let at = 0; at < lengthBytes; at += blockBytes)
        readCache.put((offset + at) / blockBytes, buffer, at);
  }

  /** The write from a buffer is done. */
  done(bufferIndex: number): void {
    this.bytesInFlight -= this.bufferLengths[bufferIndex] ?? 0;
    this.freeBuffers.push(bufferIndex);
  }
}
