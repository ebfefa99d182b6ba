// Descriptors in memory: where the blocks of a chunk are, their states and checksums. It owns the bounded cache and its
// eviction; it must never read the device itself.
//
// An entry may be used before its descriptor was read: what is not known yet is marked as unknown, what changed
// meanwhile is kept when the descriptor arrives. Changed entries, and those with blocks whose newest version is only in
// the log, stay until they are written.

import { assert } from '../../core/assert.js';
import {
  DESCRIPTOR_BYTES,
  PAGE_HEAD_BYTES,
  getDescriptorChunkIndex,
  getDescriptorVolumeKey,
  setDescriptorChunkIndex,
  setDescriptorVolumeKey,
  setDescriptorVtreeKey,
} from '../../protocol/generated/disk.js';

import type { Directory } from './directory.js';
import type { Layout } from './layout.js';

/** State of a block. `lost`: its metadata was unreadable; `unknown`: not read yet. */
export const STATE = { absent: 0, data: 1, zero: 2, lost: 3, unknown: 255 } as const;
/** Unit addresses: 0 none, otherwise 1 + unit. */
export const UNIT_NONE = 0;
export const UNIT_UNKNOWN = 0xffffffff;
const NONE = -1;
const SLOT_UNKNOWN = 2;

export class ChunkCache {
  capacity: number;
  readonly chunkBlocks: number;
  readonly unitsPerChunk: number;
  /** Row of the directory, -1: free entry. */
  rows: Int32Array;
  /** 1: everything is known. */
  loaded: Uint8Array;
  loading: Uint8Array;
  /** LSN of the first change that is not in a page on the device, 0: none. */
  dirtyLsns: Float64Array;
  /** Slot of the page that holds the newest content on the device. */
  slots: Uint8Array;
  /** Blocks whose newest version is in the log only. */
  logCounts: Int32Array;
  /** Units that a discard emptied before their addresses were known. */
  emptied: Uint32Array;
  /** Operations that wait for the descriptor, pages that are being written: the entry stays. */
  pins: Int32Array;
  states: Uint8Array;
  crcs: Uint32Array;
  /** 1 + block of the log that holds the newest version, 0: it is home. */
  places: Uint32Array;
  units: Uint32Array;
  dirtyCount = 0;
  private readonly layout: Layout;
  private readonly directory: Directory;
  private readonly free: number[] = [];
  private used = 0;
  private hand = 0;

  constructor(layout: Layout, directory: Directory, capacity: number) {
    this.layout = layout;
    this.directory = directory;
    this.chunkBlocks = layout.geometry.chunkBlocks;
    this.unitsPerChunk = layout.unitsPerChunk;
    this.capacity = capacity;
    this.rows = new Int32Array(capacity).fill(NONE);
    this.loaded = new Uint8Array(capacity);
    this.loading = new Uint8Array(capacity);
    this.dirtyLsns = new Float64Array(capacity);
    this.slots = new Uint8Array(capacity);
    this.logCounts = new Int32Array(capacity);
    this.emptied = new Uint32Array(capacity);
    this.pins = new Int32Array(capacity);
    this.states = new Uint8Array(capacity * this.chunkBlocks);
    this.crcs = new Uint32Array(capacity * this.chunkBlocks);
    this.places = new Uint32Array(capacity * this.chunkBlocks);
    this.units = new Uint32Array(capacity * this.unitsPerChunk);
  }

  private evictable(entry: number): boolean {
    return (
      this.dirtyLsns[entry] === 0 &&
      this.logCounts[entry] === 0 &&
      this.loading[entry] === 0 &&
      this.pins[entry] === 0 &&
      this.emptied[entry] === 0
    );
  }

  /** Whether `open` would find an entry. */
  hasRoom(): boolean {
    if (this.free.length > 0 || this.used < this.capacity) return true;
    return this.findVictim() !== NONE;
  }

  private findVictim(): number {
    for (let step = 0; step < this.capacity; step++) {
      const entry = this.hand;
      if (this.evictable(entry)) return entry;
      this.hand = (this.hand + 1) % this.capacity;
    }
    return NONE;
  }

  /**
   * Takes an entry for a row that has none. Every block and every unit of the row's mask is unknown.
   *
   * @returns the entry; the cache grows when nothing can be evicted
   */
  open(row: number): number {
    const entry = this.takeEntry();
    this.rows[entry] = row;
    this.directory.setCacheEntry(row, entry);
    this.loaded[entry] = 0;
    this.loading[entry] = 0;
    this.dirtyLsns[entry] = 0;
    this.slots[entry] = SLOT_UNKNOWN;
    this.logCounts[entry] = 0;
    this.emptied[entry] = 0;
    this.pins[entry] = 0;
    const first = entry * this.chunkBlocks;
    this.states.fill(STATE.unknown, first, first + this.chunkBlocks);
    this.places.fill(0, first, first + this.chunkBlocks);
    const mask = this.directory.unitMasks[row] ?? 0;
    for (let unit = 0; unit < this.unitsPerChunk; unit++) {
      const known = (mask & (1 << unit)) === 0;
      this.units[entry * this.unitsPerChunk + unit] = known ? UNIT_NONE : UNIT_UNKNOWN;
    }
    return entry;
  }

  private takeEntry(): number {
    const free = this.free.pop();
    if (free !== undefined) return free;
    if (this.used < this.capacity) return this.used++;
    const victim = this.findVictim();
    if (victim === NONE) {
      this.grow();
      return this.used++;
    }
    this.hand = (this.hand + 1) % this.capacity;
    this.directory.setCacheEntry(this.rows[victim] ?? 0, NONE);
    return victim;
  }

  /** A new chunk: nothing is on the device that counts. */
  reset(entry: number): void {
    const first = entry * this.chunkBlocks;
    for (let block = first; block < first + this.chunkBlocks; block++) {
      this.states[block] = STATE.absent;
      this.places[block] = 0;
    }
    this.units.fill(
      UNIT_NONE,
      entry * this.unitsPerChunk,
      entry * this.unitsPerChunk + this.unitsPerChunk,
    );
    this.logCounts[entry] = 0;
    this.emptied[entry] = 0;
    this.loaded[entry] = 1;
  }

  /** Forgets an entry with its row. */
  drop(entry: number): void {
    assert(this.pins[entry] === 0 && this.loading[entry] === 0, 'nobody waits for the entry');
    const row = this.rows[entry] ?? 0;
    this.directory.setCacheEntry(row, NONE);
    this.clean(entry);
    this.rows[entry] = NONE;
    this.logCounts[entry] = 0;
    this.emptied[entry] = 0;
    const first = entry * this.chunkBlocks;
    this.places.fill(0, first, first + this.chunkBlocks);
    this.free.push(entry);
  }

  touch(entry: number, lsn: number): void {
    if (this.dirtyLsns[entry] !== 0) return;
    this.dirtyLsns[entry] = lsn;
    this.dirtyCount++;
  }

  clean(entry: number): void {
    if (this.dirtyLsns[entry] === 0) return;
    this.dirtyLsns[entry] = 0;
    this.dirtyCount--;
  }

  /** Sets a block that lies at home or nowhere. */
  setHome(entry: number, block: number, state: number, crc: number): void {
    const index = entry * this.chunkBlocks + block;
    if (this.places[index] !== 0) {
      this.places[index] = 0;
      this.logCounts[entry] = (this.logCounts[entry] ?? 0) - 1;
    }
    this.states[index] = state;
    this.crcs[index] = crc;
  }

  /** Sets a block whose newest version is in the log. */
  setInLog(entry: number, block: number, crc: number, logBlock: number): void {
    const index = entry * this.chunkBlocks + block;
    if (this.places[index] === 0) this.logCounts[entry] = (this.logCounts[entry] ?? 0) + 1;
    this.places[index] = logBlock + 1;
    this.states[index] = STATE.data;
    this.crcs[index] = crc;
  }

  /**
   * Gives a block of one chunk to another one, with its place in the log if its newest version is only there.
   *
   * @param state - and `crc`: what the record of that says
   * @returns the block of the log, -1: it is home or nowhere
   */
  takeBlock(entry: number, from: number, block: number, state: number, crc: number): number {
    const place = this.places[from * this.chunkBlocks + block] ?? 0;
    this.setHome(from, block, STATE.absent, 0);
    if (state !== STATE.data || place === 0) {
      this.setHome(entry, block, state, crc);
      return NONE;
    }
    this.setInLog(entry, block, crc, place - 1);
    return place - 1;
  }

  /** Whether no block is anything but absent. All of it is known. */
  isEmptied(entry: number): boolean {
    const first = entry * this.chunkBlocks;
    for (let index = first; index < first + this.chunkBlocks; index++)
      if (this.states[index] !== STATE.absent) return false;
    return true;
  }

  /** Whether every block of a unit is known and holds no data. */
  unitIsEmpty(entry: number, unit: number): boolean {
    const per = this.chunkBlocks / this.unitsPerChunk;
    const first = entry * this.chunkBlocks + unit * per;
    for (let index = first; index < first + per; index++) {
      const state = this.states[index];
      if (state !== STATE.absent && state !== STATE.zero) return false;
    }
    return true;
  }

  /** Writes a descriptor behind its page head. */
  encode(entry: number, bytes: Uint8Array, view: DataView, at: number, lengthBytes: number): void {
    bytes.fill(0, at, at + lengthBytes);
    const row = this.rows[entry] ?? 0;
    let place = at + PAGE_HEAD_BYTES;
    setDescriptorVolumeKey(view, place, this.directory.volumeKeys[row] ?? 0);
    setDescriptorVtreeKey(view, place, this.directory.vtreeKeys[row] ?? 0);
    setDescriptorChunkIndex(view, place, this.directory.chunkIndexes[row] ?? 0);
    place += DESCRIPTOR_BYTES;
    for (let unit = 0; unit < this.unitsPerChunk; unit++, place += 4)
      view.setUint32(place, this.units[entry * this.unitsPerChunk + unit] ?? 0, true);
    const first = entry * this.chunkBlocks;
    for (let block = 0; block < this.chunkBlocks; block++, place += 4)
      view.setUint32(place, this.crcs[first + block] ?? 0, true);
    for (let block = 0; block < this.chunkBlocks; block += 4, place++) {
      const packed =
        (this.states[first + block] ?? 0) |
        ((this.states[first + block + 1] ?? 0) << 2) |
        ((this.states[first + block + 2] ?? 0) << 4) |
        ((this.states[first + block + 3] ?? 0) << 6);
      view.setUint8(place, packed);
    }
  }

  /**
   * Fills in what an entry does not know yet.
   *
   * @param at - of the valid page
   * @param slot - of the valid page
   * @returns false when the descriptor belongs to another chunk
   */
  decode(entry: number, view: DataView, at: number, slot: number): boolean {
    const row = this.rows[entry] ?? 0;
    let place = at + PAGE_HEAD_BYTES;
    const volumeKey = getDescriptorVolumeKey(view, place);
    const chunkIndex = getDescriptorChunkIndex(view, place);
    if (volumeKey !== this.directory.volumeKeys[row]) return false;
    if (chunkIndex !== this.directory.chunkIndexes[row]) return false;
    this.slots[entry] = slot;
    this.loaded[entry] = 1;
    place += DESCRIPTOR_BYTES;
    for (let unit = 0; unit < this.unitsPerChunk; unit++, place += 4) {
      const index = entry * this.unitsPerChunk + unit;
      if (this.units[index] === UNIT_UNKNOWN) this.units[index] = view.getUint32(place, true);
    }
    const statesAt = place + 4 * this.chunkBlocks;
    for (let block = 0; block < this.chunkBlocks; block++, place += 4) {
      const index = entry * this.chunkBlocks + block;
      if (this.states[index] !== STATE.unknown) continue;
      const packed = view.getUint8(statesAt + (block >>> 2));
      this.states[index] = (packed >>> ((block & 3) * 2)) & 3;
      this.crcs[index] = view.getUint32(place, true);
    }
    return true;
  }

  /**
   * The descriptor is unreadable: blocks that may have held data are lost, and so is the place where they were. The
   * units stay in the directory's mask, so that the loss is seen again until the blocks are written anew.
   *
   * Blocks without a place are absent only where nothing ever lies below: the layer that began the V-tree. In any other they
   * may be zeroes that hide what is in an older layer, which nobody may read instead (C9).
   */
  decodeLost(entry: number): void {
    const per = this.chunkBlocks / this.unitsPerChunk;
    const row = this.rows[entry] ?? 0;
    const isFirst = this.directory.volumeKeys[row] === this.directory.vtreeKeys[row];
    for (let unit = 0; unit < this.unitsPerChunk; unit++) {
      const index = entry * this.unitsPerChunk + unit;
      const lost = this.units[index] === UNIT_UNKNOWN;
      if (lost) this.units[index] = UNIT_NONE;
      for (let block = unit * per; block < (unit + 1) * per; block++) {
        const state = entry * this.chunkBlocks + block;
        if (this.states[state] === STATE.unknown)
          this.states[state] = lost || !isFirst ? STATE.lost : STATE.absent;
      }
    }
    this.loaded[entry] = 1;
  }

  /** Slot for the next write of a descriptor. */
  nextSlot(entry: number): number {
    return this.slots[entry] === 0 ? 1 : 0;
  }

  private grow(): void {
    const before = this.capacity;
    this.capacity = Math.max(8, before * 2);
    const { capacity, chunkBlocks, unitsPerChunk } = this;
    const rows = new Int32Array(capacity).fill(NONE);
    rows.set(this.rows);
    this.rows = rows;
    this.loaded = grown(new Uint8Array(capacity), this.loaded);
    this.loading = grown(new Uint8Array(capacity), this.loading);
    this.dirtyLsns = grown(new Float64Array(capacity), this.dirtyLsns);
    this.slots = grown(new Uint8Array(capacity), this.slots);
    this.logCounts = grown(new Int32Array(capacity), this.logCounts);
    this.emptied = grown(new Uint32Array(capacity), this.emptied);
    this.pins = grown(new Int32Array(capacity), this.pins);
    this.states = grown(new Uint8Array(capacity * chunkBlocks), this.states);
    this.crcs = grown(new Uint32Array(capacity * chunkBlocks), this.crcs);
    this.places = grown(new Uint32Array(capacity * chunkBlocks), this.places);
    this.units = grown(new Uint32Array(capacity * unitsPerChunk), this.units);
  }
}

function grown<T extends Uint8Array | Int32Array | Uint32Array | Float64Array>(
  larger: T,
  smaller: T,
): T {
  larger.set(smaller);
  return larger;
}
