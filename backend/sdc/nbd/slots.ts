// Requests of all NBD connections that are under way, and the memory that they use. It owns the bound on both, and of that
// bound the share of writes: writes that wait for space must leave room for everything else. It must never know what a
// request is for. Nothing is allocated per request once the pools are warm.

import { assert } from '../../core/assert.js';

const SIZE_CLASSES = [4096, 65536, 262144, 1048576] as const;
/** Memory of one class that is kept for the next request, so that an idle process shrinks. */
const KEPT_BYTES_PER_CLASS = 8 * 1048576;
const NOTHING = new Uint8Array(0);

/** Whoever takes slots, and how many of each kind it has: kept by `Slots`. */
export interface SlotOwner {
  writeSlots: number;
  otherSlots: number;
}

/** Of eight parts of the slots and of the memory, so many may be taken by writes. */
const WRITES_OF_EIGHT = 6;

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
  /** Of a question about allocation: what was asked, from so many bytes behind the start of the range. */
  headBytes = 0;
  askedBytes = 0;
  /** Content of a write, place for a read or for states of blocks. */
  bytes: Uint8Array = NOTHING;
  /** Payload bytes that have arrived. */
  filledBytes = 0;
  isWrite = false;
  next: Slot<Owner> | null = null;

  constructor(token: number) {
    this.token = token;
  }
}

export class Slots<Owner extends SlotOwner> {
  readonly #all: Slot<Owner>[] = [];
  readonly #slotsMax: number;
  readonly #bytesMax: number;
  readonly #sizes: readonly number[];
  readonly #kept: Uint8Array[][] = SIZE_CLASSES.map(() => []);
  #free: Slot<Owner> | null = null;
  #usedBytes = 0;
  #used = 0;
  #writeBytes = 0;
  #writes = 0;

  /** @param headroomBytes - what every buffer has beyond the usual sizes, for a header in front of the payload */
  constructor(slotsMax: number, bytesMax: number, headroomBytes = 0) {
    this.#sizes = SIZE_CLASSES.map((size) => size + headroomBytes);
    this.#slotsMax = slotsMax;
    this.#bytesMax = bytesMax;
  }

  get used(): number {
    return this.#used;
  }

  /**
   * A slot with a buffer of at least so many bytes, or null when the bounds are reached. Every owner always gets one write
   * and one of everything else, whatever others have taken.
   */
  take(owner: Owner, bufferBytes: number, isWrite: boolean): Slot<Owner> | null {
    const isFirst = (isWrite ? owner.writeSlots : owner.otherSlots) === 0;
    if (!isFirst && !this.#fits(bufferBytes, isWrite)) return null;
    let slot = this.#free;
    if (slot !== null) this.#free = slot.next;
    else {
      slot = new Slot(this.#all.length);
      this.#all.push(slot);
    }
    slot.owner = owner;
    slot.isWrite = isWrite;
    slot.next = null;
    slot.filledBytes = 0;
    slot.bytes = bufferBytes === 0 ? NOTHING : this.#buffer(bufferBytes);
    this.#usedBytes += slot.bytes.length;
    this.#used++;
    if (isWrite) {
      owner.writeSlots++;
      this.#writes++;
      this.#writeBytes += slot.bytes.length;
    } else owner.otherSlots++;
    return slot;
  }

  #fits(bufferBytes: number, isWrite: boolean): boolean {
    if (this.#used >= this.#slotsMax || this.#usedBytes + bufferBytes > this.#bytesMax)
      return false;
    return (
      !isWrite ||
      (this.#writes * 8 < this.#slotsMax * WRITES_OF_EIGHT &&
        (this.#writeBytes + bufferBytes) * 8 <= this.#bytesMax * WRITES_OF_EIGHT)
    );
  }

  #buffer(lengthBytes: number): Uint8Array {
    const index = this.#sizes.findIndex((size) => size >= lengthBytes);
    if (index < 0) return new Uint8Array(lengthBytes);
    return this.#kept[index]?.pop() ?? new Uint8Array(this.#sizes[index] ?? lengthBytes);
  }

  give(slot: Slot<Owner>): void {
    const { owner } = slot;
    assert(owner !== null, 'a free slot is given back');
    this.#usedBytes -= slot.bytes.length;
    this.#used--;
    if (slot.isWrite) {
      owner.writeSlots--;
      this.#writes--;
      this.#writeBytes -= slot.bytes.length;
    } else owner.otherSlots--;
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
