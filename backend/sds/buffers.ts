// Memory for payloads that outlive their input: reads on their way from the store, writes that wait. It owns a bounded
// number of buffers in two sizes, made when first needed and kept. It must never grow beyond its bounds: whoever gets
// none waits.

export class PayloadBuffer {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly large: boolean;

  constructor(lengthBytes: number, large: boolean) {
    this.bytes = new Uint8Array(lengthBytes);
    this.view = new DataView(this.bytes.buffer);
    this.large = large;
  }
}

/** Blocks of a small buffer: most requests of hosts are not longer. */
const SMALL_BLOCKS = 4;

export class BufferPool {
  private readonly small: PayloadBuffer[] = [];
  private readonly large: PayloadBuffer[] = [];
  private readonly smallBytes: number;
  private readonly largeBytes: number;
  private smallLeft: number;
  private largeLeft: number;

  /**
   * @param blockBytes - bytes of a block; each takes four more for its CRC
   * @param largeBlocks - blocks of a large buffer
   * @param smallMax - number of small buffers
   * @param largeMax - number of large buffers
   */
  constructor(blockBytes: number, largeBlocks: number, smallMax: number, largeMax: number) {
    this.smallBytes = SMALL_BLOCKS * (blockBytes + 4);
    this.largeBytes = largeBlocks * (blockBytes + 4);
    this.smallLeft = smallMax;
    this.largeLeft = largeMax;
  }

  /** A buffer of at least so many bytes, content undefined, or null when all are in use. */
  take(lengthBytes: number): PayloadBuffer | null {
    if (lengthBytes <= this.smallBytes) {
      const kept = this.small.pop();
      if (kept !== undefined) return kept;
      if (this.smallLeft > 0) {
        this.smallLeft--;
        return new PayloadBuffer(this.smallBytes, false);
      }
    }
    const kept = this.large.pop();
    if (kept !== undefined) return kept;
    if (this.largeLeft === 0) return null;
    this.largeLeft--;
    return new PayloadBuffer(this.largeBytes, true);
  }

  give(buffer: PayloadBuffer): void {
    if (buffer.large) this.large.push(buffer);
    else this.small.push(buffer);
  }
}
