// Requests of all NBD connections that are under way, and the memory that they use. It owns the bound on both; it must
// never know what a request is for. Nothing is allocated per request once the pools are warm.

import { assert } from '../../core/assert.js';

const SIZE_CLASSES = [4096, 65536, 262144, 1048576] as const;
/** Memory of one class that is kept for the next request, so that an idle process shrinks. */
const KEPT_BYTES_PER_CLASS = 8 * 1048576;
const NOTHING = new Uint8Array(0);

/** One request under way. `owner` is the connection that waits for it. */
export class Slot<Owner> {
  readonly token: number;
  owner: Owner | null = null;
  command = 0;
  flags = 0;
  cookieHigh = 0;
  cookieLow = 0;
  offsetBytes = 0;
  lengthBytes = 0;
  /** Content of a write, place for a read. */
  bytes: Uint8Array = NOTHING;
  /** Payload bytes that have arrived. */
  filledBytes = 0;
  next: Slot<Owner> | null = null;

  constructor(token: number) {
    this.token = token;
  }
}

export class Slots<Owner> {
  readonly #all: Slot<Owner>[] = [];
  readonly #slotsMax: number;
  readonly #bytesMax: number;
  readonly #sizes: readonly number[];
  readonly #kept: Uint8Array[][] = SIZE_CLASSES.map(() => []);
  #free: Slot<Owner> | null = null;
  #usedBytes = 0;
  #used = 0;

  /** @param headroomBytes - what every buffer has beyond the usual sizes, for a header in front of the payload */
  constructor(slotsMax: number, bytesMax: number, headroomBytes = 0) {
    this.#sizes = SIZE_CLASSES.map((size) => size + headroomBytes);
    this.#slotsMax = slotsMax;
    this.#bytesMax = bytesMax;
  }

  get used(): number {
    return this.#used;
  }

  /** A slot with a buffer of at least so many bytes, or null when the bounds are reached. */
  take(owner: Owner, bufferBytes: number): Slot<Owner> | null {
    // One request may exceed the bound alone, or a large one would never be served.
    if (this.#used > 0 && this.#usedBytes + bufferBytes > this.#bytesMax) return null;
    let slot = this.#free;
    if (slot !== null) this.#free = slot.next;
    else if (this.#all.length < this.#slotsMax) {
      slot = new Slot(this.#all.length);
      this.#all.push(slot);
    } else return null;
    slot.owner = owner;
    slot.next = null;
    slot.filledBytes = 0;
    slot.bytes = bufferBytes === 0 ? NOTHING : this.#buffer(bufferBytes);
    this.#usedBytes += slot.bytes.length;
    this.#used++;
    return slot;
  }

  #buffer(lengthBytes: number): Uint8Array {
    const index = this.#sizes.findIndex((size) => size >= lengthBytes);
    if (index < 0) return new Uint8Array(lengthBytes);
    return this.#kept[index]?.pop() ?? new Uint8Array(this.#sizes[index] ?? lengthBytes);
  }

  give(slot: Slot<Owner>): void {
    assert(slot.owner !== null, 'a free slot is given back');
    this.#usedBytes -= slot.bytes.length;
    this.#used--;
    const index = this.#sizes.indexOf(slot.bytes.length);
    const kept = this.#kept[index];
    if (kept !== undefined && (kept.length + 1) * slot.bytes.length <= KEPT_BYTES_PER_CLASS)
      kept.push(slot.bytes);
    slot.bytes = NOTHING;
    slot.owner = null;
    slot.next = this.#free;
    this.#free = slot;
  }

  byToken(token: number): Slot<Owner> {
    const slot = this.#all[token];
    assert(slot !== undefined && slot.owner !== null, 'a completion names a slot in use');
    return slot;
  }
}
