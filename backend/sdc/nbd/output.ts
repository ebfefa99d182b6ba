// Bytes on their way to one NBD client: one staging buffer that the shell writes to the socket once per batch. It owns
// the order of replies; it must never interpret them.

const START_BYTES = 65536;
/** Memory beyond this is not kept for the next batch: room for what a deep sequential reader gets at once. */
const SPARE_BYTES_MAX = 16 * 1048576;

/** A piece of memory with the view on it, made once. */
class Memory {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(lengthBytes: number) {
    this.bytes = new Uint8Array(lengthBytes);
    this.view = new DataView(this.bytes.buffer);
  }
}

const NOTHING = new Memory(0);

/** A growing buffer that is emptied whole. */
export class Output {
  bytes = NOTHING.bytes;
  view = NOTHING.view;
  length = 0;
  /** Told when there is something to write again. */
  onDirty: () => void = () => undefined;
  #memory = NOTHING;
  /** Memory that came back while other memory was being filled. */
  #spare = NOTHING;
  /** What the shell writes now. */
  #taken = NOTHING;

  /** Room for so many bytes at the end; returns where. The caller fills all of it. */
  reserve(lengthBytes: number): number {
    const at = this.length;
    const need = at + lengthBytes;
    if (need > this.bytes.length) this.#grow(need);
    this.length = need;
    if (at === 0) this.onDirty();
    return at;
  }

  #grow(needBytes: number): void {
    const spare = this.#spare;
    const reuse = spare.bytes.length >= needBytes;
    const grown = reuse
      ? spare
      : new Memory(Math.max(START_BYTES, 2 ** Math.ceil(Math.log2(needBytes))));
    if (reuse) this.#spare = NOTHING;
    if (this.length > 0) grown.bytes.set(this.bytes.subarray(0, this.length));
    const outgrown = this.#memory;
    this.#use(grown);
    this.#keep(outgrown);
  }

  #use(memory: Memory): void {
    this.#memory = memory;
    this.bytes = memory.bytes;
    this.view = memory.view;
  }

  u16(at: number, value: number): void {
    this.view.setUint16(at, value);
  }

  u32(at: number, value: number): void {
    this.view.setUint32(at, value);
  }

  /** A number below 2^53 as eight bytes. */
  u64(at: number, value: number): void {
    this.view.setUint32(at, Math.floor(value / 2 ** 32));
    this.view.setUint32(at + 4, value >>> 0);
  }

  /** Appends bytes. */
  append(bytes: Uint8Array, from: number, lengthBytes: number): void {
    const at = this.reserve(lengthBytes);
    this.bytes.set(bytes.subarray(from, from + lengthBytes), at);
  }

  /** Gives the content away; the shell calls `giveBack` when the socket has taken it, before it takes more. */
  take(): Uint8Array {
    const content = this.bytes.subarray(0, this.length);
    this.#taken = this.#memory;
    this.#use(NOTHING);
    this.length = 0;
    return content;
  }

  /** The memory that `take` gave away is free for the next batch. */
  giveBack(): void {
    const taken = this.#taken;
    this.#taken = NOTHING;
    if (this.bytes.length === 0 && taken.bytes.length <= SPARE_BYTES_MAX) this.#use(taken);
    else this.#keep(taken);
  }

  #keep(memory: Memory): void {
    const { length } = memory.bytes;
    if (length > this.#spare.bytes.length && length <= SPARE_BYTES_MAX) this.#spare = memory;
  }
}
