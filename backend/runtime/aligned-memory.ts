// Memory that starts at a multiple of the page size, as direct access to devices needs it. Node tells no addresses, and
// its buffers start anywhere; but the memory of a WebAssembly instance is mapped in pages. It owns such memory and gives
// parts of it out; pages that nobody touches cost nothing.

import { assert } from '../core/assert.js';

export const PAGE_BYTES = 4096;
const WASM_PAGE_BYTES = 65_536;
/** Address space of one piece; only what is touched becomes memory. */
const PIECE_BYTES = 64 * 2 ** 20;

/** The little of WebAssembly that is needed; its types come with those of browsers only. */
type MemoryConstructor = new (limits: { initial: number; maximum: number }) => {
  readonly buffer: ArrayBuffer;
};

function mapPages(lengthBytes: number): ArrayBuffer {
  const { WebAssembly: wasm } = globalThis as unknown as {
    WebAssembly: { Memory: MemoryConstructor };
  };
  const pages = Math.ceil(lengthBytes / WASM_PAGE_BYTES);
  return new wasm.Memory({ initial: pages, maximum: pages }).buffer;
}

export class AlignedMemory {
  private readonly pieces = new Set<ArrayBufferLike>();
  private readonly released: Uint8Array[] = [];
  private piece: ArrayBuffer | null = null;
  private used = 0;

  /** Zeroed or used memory of exactly that length, at the start of a page. */
  allocate(lengthBytes: number): Uint8Array {
    assert(lengthBytes > 0, 'memory has a length');
    const place = this.released.findIndex((bytes) => bytes.length === lengthBytes);
    const [again] = place < 0 ? [] : this.released.splice(place, 1);
    if (again !== undefined) return again;
    if (this.piece === null || this.used + lengthBytes > this.piece.byteLength) {
      this.piece = mapPages(Math.max(PIECE_BYTES, lengthBytes));
      this.pieces.add(this.piece);
      this.used = 0;
    }
    const bytes = new Uint8Array(this.piece, this.used, lengthBytes);
    this.used += Math.ceil(lengthBytes / PAGE_BYTES) * PAGE_BYTES;
    return bytes;
  }

  /** Takes memory back that `allocate` gave out. */
  release(bytes: Uint8Array): void {
    assert(this.pieces.has(bytes.buffer), 'the memory came from here');
    this.released.push(bytes);
  }

  /** Whether `bytes[at ..]` starts at a page. */
  isAligned(bytes: Uint8Array, at: number): boolean {
    return (bytes.byteOffset + at) % PAGE_BYTES === 0 && this.pieces.has(bytes.buffer);
  }
}
