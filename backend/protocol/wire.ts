// Reading and writing of the field kinds of the protocol tables, with every bound checked. It owns the byte layout of
// each kind and the one error for values that do not fit; it must never know a message or a structure. Generated
// codecs are its only callers; the data path uses the fixed accessors instead.

import { LIMITS } from './tables/limits.js';

/** A value or a sequence of bytes that the protocol tables do not allow. It names the place and what would be right. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  /** Where: structure, then field path, such as `REGISTER_SDS.addresses[2].host`. */
  readonly path: string;
  /** What would be right. */
  readonly expected: string;

  constructor(path: string, expected: string) {
    super(`${path}: ${expected}`);
    this.path = path;
    this.expected = expected;
  }
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const LONE_SURROGATE = /\p{Cs}/u;
const TWO_32 = 0x100000000;
const GROW_FROM_BYTES = 1024;
/** Below this a loop beats the calls into the encoder and the decoder. */
const SHORT_CHARACTERS = 64;

/** Path to the value at hand, for error messages: names of fields and numbers of list items. */
class Path {
  private readonly root: string;
  private readonly names: string[] = [];
  private readonly indexes: number[] = [];

  constructor(root: string) {
    this.root = root;
  }

  enter(name: string): void {
    this.names.push(name);
    this.indexes.push(-1);
  }

  item(index: number): void {
    this.indexes[this.indexes.length - 1] = index;
  }

  leave(): void {
    this.names.pop();
    this.indexes.pop();
  }

  fail(name: string, expected: string): never {
    let path = this.root;
    this.names.forEach((entered, depth) => {
      const index = this.indexes[depth] ?? -1;
      path += `.${entered}${index < 0 ? '' : `[${index}]`}`;
    });
    throw new ProtocolError(name === '' ? path : `${path}.${name}`, expected);
  }
}

function integerRange(min: number, max: number): string {
  return `must be an integer from ${min} to ${max}`;
}

interface Memory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

function makeMemory(lengthBytes: number): Memory {
  const bytes = new Uint8Array(lengthBytes);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** What the last writer used, for the next one: most are done before another begins. */
let spare: Memory | null = null;
/** Larger memory is not kept. */
const SPARE_BYTES_MAX = 64 * 1024;

/** Appends values to a growing buffer. After `finish`, or an error, the writer must be thrown away. */
export class Writer {
  private readonly path: Path;
  private readonly bytesMax: number;
  private memory: Memory;
  private bytes: Uint8Array;
  private view: DataView;
  private length: number;

  /**
   * @param root - name of what is written, for error messages
   * @param startBytes - bytes left free at the front, zero
   * @param bytesMax - bound on the whole length
   */
  constructor(
    root: string,
    startBytes = 0,
    bytesMax: number = startBytes + LIMITS.frameBodyBytesMax.value,
  ) {
    this.path = new Path(root);
    this.bytesMax = bytesMax;
    this.memory = spare ?? makeMemory(startBytes + GROW_FROM_BYTES);
    spare = null;
    this.bytes = this.memory.bytes;
    this.view = this.memory.view;
    this.bytes.fill(0, 0, startBytes);
    this.length = startBytes;
  }

  enter(name: string): void {
    this.path.enter(name);
  }

  item(index: number): void {
    this.path.item(index);
  }

  leave(): void {
    this.path.leave();
  }

  /**
   * Everything written, in memory of its own.
   *
   * @param complete - fills in what depends on the whole, such as checksums, before it is copied
   */
  finish(
    complete: ((bytes: Uint8Array, view: DataView, lengthBytes: number) => void) | null = null,
  ): Uint8Array {
    complete?.(this.bytes, this.view, this.length);
    const written = this.bytes.slice(0, this.length);
    if (this.bytes.length <= SPARE_BYTES_MAX) spare = this.memory;
    return written;
  }

  u8(name: string, value: number, min: number, max: number): void {
    this.integer(name, value, min, max);
    const at = this.room(name, 1);
    this.view.setUint8(at, value);
  }

  u16(name: string, value: number, min: number, max: number): void {
    this.integer(name, value, min, max);
    const at = this.room(name, 2);
    this.view.setUint16(at, value, true);
  }

  u32(name: string, value: number, min: number, max: number): void {
    this.integer(name, value, min, max);
    const at = this.room(name, 4);
    this.view.setUint32(at, value, true);
  }

  u53(name: string, value: number, min: number, max: number): void {
    this.integer(name, value, min, max);
    const at = this.room(name, 8);
    this.view.setUint32(at, value % TWO_32, true);
    this.view.setUint32(at + 4, Math.floor(value / TWO_32), true);
  }

  bool(name: string, value: boolean): void {
    if (typeof value !== 'boolean') this.path.fail(name, 'must be true or false');
    const at = this.room(name, 1);
    this.view.setUint8(at, value ? 1 : 0);
  }

  str(name: string, value: string, maxBytes: number): void {
    const expected = `must be a string of at most ${maxBytes} bytes of UTF-8`;
    if (typeof value !== 'string' || value.length > maxBytes || LONE_SURROGATE.test(value))
      this.path.fail(name, expected);
    if (value.length <= SHORT_CHARACTERS && this.ascii(name, value)) return;
    const encoded = ENCODER.encode(value);
    if (encoded.length > maxBytes) this.path.fail(name, expected);
    this.content(name, encoded);
  }

  /** A string of plain letters is written without the encoder; false: it has others, and nothing was written. */
  private ascii(name: string, value: string): boolean {
    for (let index = 0; index < value.length; index++)
      if (value.charCodeAt(index) >= 0x80) return false;
    const at = this.room(name, 4 + value.length);
    this.view.setUint32(at, value.length, true);
    for (let index = 0; index < value.length; index++)
      this.bytes[at + 4 + index] = value.charCodeAt(index);
    return true;
  }

  bytesField(name: string, value: Uint8Array, maxBytes: number): void {
    if (!(value instanceof Uint8Array) || value.length > maxBytes)
      this.path.fail(name, `must be at most ${maxBytes} bytes`);
    this.content(name, value);
  }

  choice(name: string, value: string, codes: ReadonlyMap<string, number>): void {
    const code = codes.get(value);
    if (code === undefined) this.path.fail(name, `must be one of ${[...codes.keys()].join(', ')}`);
    const at = this.room(name, 1);
    this.view.setUint8(at, code);
  }

  /** Length of a list; the items follow. */
  count(name: string, value: readonly unknown[], maxItems: number): void {
    if (!Array.isArray(value) || value.length > maxItems)
      this.path.fail(name, `must be a list of at most ${maxItems} items`);
    const at = this.room(name, 4);
    this.view.setUint32(at, value.length, true);
  }

  private integer(name: string, value: number, min: number, max: number): void {
    if (!Number.isInteger(value) || value < min || value > max)
      this.path.fail(name, integerRange(min, max));
  }

  private content(name: string, content: Uint8Array): void {
    const at = this.room(name, 4 + content.length);
    this.view.setUint32(at, content.length, true);
    this.bytes.set(content, at + 4);
  }

  private room(name: string, bytes: number): number {
    const at = this.length;
    const end = at + bytes;
    if (end > this.bytesMax)
      this.path.fail(name, `must fit: the whole is limited to ${this.bytesMax} bytes`);
    if (end > this.bytes.length) {
      const grown = makeMemory(Math.min(this.bytesMax, Math.max(end, this.bytes.length * 2)));
      grown.bytes.set(this.bytes.subarray(0, at));
      this.memory = grown;
      this.bytes = grown.bytes;
      this.view = grown.view;
    }
    this.length = end;
    return at;
  }
}

/** Takes values from bytes that nobody vouches for. Every length is checked before anything is allocated by it. */
export class Reader {
  private readonly path: Path;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at: number;

  /**
   * @param root - name of what is read, for error messages
   * @param bytes - what is read; copied out, never kept
   */
  constructor(root: string, bytes: Uint8Array) {
    this.path = new Path(root);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  enter(name: string): void {
    this.path.enter(name);
  }

  item(index: number): void {
    this.path.item(index);
  }

  leave(): void {
    this.path.leave();
  }

  /** Everything must have been read. */
  end(): void {
    const trailing = this.bytes.length - this.at;
    if (trailing !== 0) this.path.fail('', `must end here, ${trailing} bytes follow`);
  }

  u8(name: string, min: number, max: number): number {
    const value = this.view.getUint8(this.take(name, 1));
    return this.integer(name, value, min, max);
  }

  u16(name: string, min: number, max: number): number {
    const value = this.view.getUint16(this.take(name, 2), true);
    return this.integer(name, value, min, max);
  }

  u32(name: string, min: number, max: number): number {
    const value = this.view.getUint32(this.take(name, 4), true);
    return this.integer(name, value, min, max);
  }

  u53(name: string, min: number, max: number): number {
    const at = this.take(name, 8);
    const value = this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * TWO_32;
    return this.integer(name, value, min, max);
  }

  bool(name: string): boolean {
    const value = this.view.getUint8(this.take(name, 1));
    if (value > 1) this.path.fail(name, `must be 0 or 1, is ${value}`);
    return value === 1;
  }

  str(name: string, maxBytes: number): string {
    const content = this.content(name, maxBytes);
    try {
      return DECODER.decode(content);
    } catch {
      // The decoder's own error names neither the field nor what would be right.
      return this.path.fail(name, 'must be UTF-8');
    }
  }

  bytesField(name: string, maxBytes: number): Uint8Array {
    // Not slice(): on a Buffer that would be a view on memory which the sender of the next frame fills.
    return new Uint8Array(this.content(name, maxBytes));
  }

  choice<T extends string>(name: string, words: ReadonlyMap<number, T>): T {
    const code = this.view.getUint8(this.take(name, 1));
    const word = words.get(code);
    if (word === undefined)
      this.path.fail(name, `must be one of ${[...words.keys()].join(', ')}, is ${code}`);
    return word;
  }

  /** Length of a list whose items take at least `itemBytesMin` bytes each. */
  count(name: string, maxItems: number, itemBytesMin: number): number {
    const count = this.view.getUint32(this.take(name, 4), true);
    if (count > maxItems)
      this.path.fail(name, `must have at most ${maxItems} items, claims ${count}`);
    const left = this.bytes.length - this.at;
    if (count * itemBytesMin > left)
      this.path.fail(name, `claims ${count} items, but only ${left} bytes follow`);
    return count;
  }

  private integer(name: string, value: number, min: number, max: number): number {
    if (value < min || value > max) this.path.fail(name, `${integerRange(min, max)}, is ${value}`);
    return value;
  }

  private content(name: string, maxBytes: number): Uint8Array {
    const length = this.view.getUint32(this.take(name, 4), true);
    if (length > maxBytes)
      this.path.fail(name, `must be at most ${maxBytes} bytes, claims ${length}`);
    const at = this.take(name, length);
    return this.bytes.subarray(at, at + length);
  }

  private take(name: string, bytes: number): number {
    const at = this.at;
    if (at + bytes > this.bytes.length)
      this.path.fail(name, `needs ${bytes} bytes, ${this.bytes.length - at} are left`);
    this.at = at + bytes;
    return at;
  }
}
