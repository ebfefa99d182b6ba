// Bytes on their way to one NBD client: one staging buffer that the shell writes to the socket once per batch. It owns
// the order of replies; it must never interpret them.

const START_BYTES = 65536;
/** Memory beyond this is not kept for the next batch. */
const SPARE_BYTES_MAX = 8 * 1048576;
const NOTHING = new Uint8Array(0);

/** A growing buffer that is emptied whole. */
export class Output {
  bytes: Uint8Array;
  view: DataView;
  length = 0;
  /** Memory that came back while other memory was being filled. */
  #spare: Uint8Array = NOTHING;

  constructor() {
    this.bytes = new Uint8Array(0);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Room for so many bytes at the end; returns where. The caller fills all of it. */
  reserve(lengthBytes: number): number {
    const at = this.length;
    const need = at + lengthBytes;
    if (need > this.bytes.length) this.#grow(need);
    this.length = need;
    return at;
  }

  #grow(needBytes: number): void {
    const spare = this.#spare;
    const reuse = spare.length >= needBytes;
    const grown = reuse
      ? spare
      : new Uint8Array(Math.max(START_BYTES, this.bytes.length * 2, needBytes));
    if (reuse) this.#spare = NOTHING;
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
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

  /** Gives the content away; the shell calls `giveBack` when the socket has taken it. */
  take(): Uint8Array {
    const content = this.bytes.subarray(0, this.length);
    this.bytes = new Uint8Array(0);
    this.view = new DataView(this.bytes.buffer);
    this.length = 0;
    return content;
  }

  /** Returns memory that `take` gave away, for the next batch. */
  giveBack(content: Uint8Array): void {
    const { buffer } = content;
    if (this.bytes.length === 0) {
      this.bytes = new Uint8Array(buffer);
      this.view = new DataView(buffer);
    } else if (buffer.byteLength > this.#spare.length && buffer.byteLength <= SPARE_BYTES_MAX)
      this.#spare = new Uint8Array(buffer);
  }
}
