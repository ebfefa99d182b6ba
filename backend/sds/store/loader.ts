// Brings descriptors into the cache. It owns the buffers of reads in flight; it must never change a block.

import { PAGE_KIND } from '../../protocol/tables/disk.js';

import type { ChunkCache } from './chunk-cache.js';
import type { Directory } from './directory.js';
import { IO } from './io.js';
import type { DiskQueue } from './io.js';
import type { Layout } from './layout.js';
import { namedSlot, openSlots } from './pages.js';
import type { FormatId } from './pages.js';

interface Buffer {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export class Loader {
  /** Descriptors on their way. */
  loading = 0;
  private readonly layout: Layout;
  private readonly queue: DiskQueue;
  private readonly directory: Directory;
  private readonly cache: ChunkCache;
  private readonly format: FormatId;
  private readonly allocate: (lengthBytes: number) => Uint8Array;
  private readonly buffers: Buffer[] = [];
  private readonly free: number[] = [];

  constructor(
    layout: Layout,
    queue: DiskQueue,
    directory: Directory,
    cache: ChunkCache,
    format: FormatId,
    allocate: (lengthBytes: number) => Uint8Array,
  ) {
    this.layout = layout;
    this.queue = queue;
    this.directory = directory;
    this.cache = cache;
    this.format = format;
    this.allocate = allocate;
  }

  /** The cache entry of a row; reads its descriptor when it is not there. */
  entryOf(row: number): number {
    const entry = this.directory.cacheEntryOf(row);
    if (entry >= 0) return entry;
    const opened = this.cache.open(row);
    this.load(opened);
    return opened;
  }

  /** Starts to read the descriptor of an entry. */
  load(entry: number): void {
    const { layout, cache } = this;
    const pairBytes = 2 * layout.descriptorBytes;
    let index = this.free.pop();
    if (index === undefined) {
      const bytes = this.allocate(pairBytes);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      index = this.buffers.push({ bytes, view }) - 1;
    }
    const row = cache.rows[entry] ?? 0;
    const offset = layout.descriptorsAt * layout.geometry.blockBytes + row * pairBytes;
    cache.loading[entry] = 1;
    this.loading++;
    const bytes = this.buffers[index]?.bytes ?? new Uint8Array(0);
    this.queue.read(IO.load, entry, index, offset, bytes, 0, pairBytes);
  }

  /**
   * A descriptor arrived. Returns false when it is unreadable, or not the one that the directory names: the entry's
   * unknown blocks are lost.
   */
  done(entry: number, bufferIndex: number, ok: boolean): boolean {
    const { cache, layout } = this;
    const buffer = this.buffers[bufferIndex];
    this.free.push(bufferIndex);
    this.loading--;
    cache.loading[entry] = 0;
    if (ok && buffer !== undefined) {
      const row = cache.rows[entry] ?? 0;
      const slots = openSlots(
        buffer.bytes,
        buffer.view,
        0,
        layout.descriptorBytes,
        PAGE_KIND.descriptor,
        row,
        this.format,
      );
      const slot = namedSlot(slots, this.directory.descriptorSequences[row] ?? 0);
      if (slot >= 0 && cache.decode(entry, buffer.view, slot * layout.descriptorBytes, slot))
        return true;
    }
    cache.decodeLost(entry);
    return false;
  }
}
