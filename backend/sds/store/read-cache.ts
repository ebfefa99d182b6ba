// Blocks of the data area of one device in memory. It owns that memory; it must never hold for a place of the device anything
// but what was last given to the device for that place, or last read from there.
//
// Why nothing stale can come out of it. An entry belongs to a place of the device, not to a block of a volume: which place a
// block has is looked up in the directory for every read, whether there is a cache or not. So snapshots, reverts, merges,
// discards, removals and the reuse of space concern the directory only, and the question left is whether the entry is what lies
// at that place. Three rules make it so:
//  1. Everything that is written to the data area goes through one door (`DiskQueue.write`), and that door drops the entries of
//     the places before the write is given to the disk. Whoever wants the new content in here puts it in behind that.
//  2. What was read from the device is put in when the read ended. No write to the same place can have been begun meanwhile: a
//     write in flight overlaps no other operation in flight, which is the rule of the disk.
//  3. A place that is being written is not read at all: copies of the log are read from the log's memory until they are home,
//     and a read of a place that is written directly waits.
// A hit is verified as a read of the device is, by the checksum that the directory has for that block at that place (C9). It
// costs what it costs there, it finds what went wrong in this memory, and it stands in for the three rules should one of them
// be broken one day. Whether this device may answer at all (leases, generations, failover) is decided before anything is read,
// so a cache cannot change it; it is empty whenever a process begins.
//
// A place may lie in one of eight entries, its set; within a set the clock decides who goes: an entry that was hit since the
// hand passed stays. So there is no list, no free space to keep, and nothing is allocated while blocks come and go.

import { assert } from '../../core/assert.js';
import { mark } from '../../core/marks.js';
import type { CacheMemory, Micros } from '../../core/ports.js';

import type { CacheCounts } from './cache-counts.js';

const MARKS = {
  hit: mark('sds.store: a block came from the read cache'),
  evicted: mark('sds.store: a block made room for another one in the read cache'),
  dropped: mark('sds.store: a block of the read cache was about to be written'),
  rejected: mark('sds.store: a block of the read cache did not verify'),
  noMemory: mark('sds.store: the memory of a read cache could not be had'),
  given: mark('sds.store: a read cache gave its memory back'),
};

const WAYS_MAX = 8;
/** Entries whose content lies in one piece of memory: giving back one such piece does not hold up the process. */
const SLAB_ENTRIES = 4096;
/** Place, mark and share of the hand of an entry. */
const TABLE_BYTES = 10;
/** Memory that could not be had is asked for again after this long. */
const RETRY_US = 30_000_000;
const NONE = -1;

const NO_BYTES: Uint8Array = new Uint8Array(0);
const NO_TAGS: Float64Array = new Float64Array(0);

export class ReadCache {
  private readonly memory: CacheMemory | null;
  private readonly blockBytes: number;
  private wantedBytes = 0;
  /** What `slabs` and tables were made for. */
  private heldBytes = 0;
  private failed = false;
  private retryUs: Micros = Infinity;
  private entries = 0;
  private ways = 0;
  private sets = 0;
  /** 1 + place of an entry, 0: empty. */
  private tags = NO_TAGS;
  /** 1: it was hit since the hand passed. */
  private marks = NO_BYTES;
  private hands = NO_BYTES;
  private slabs: Uint8Array[] = [];
  private table = NO_BYTES;
  private usedEntries = 0;
  private hits = 0;
  private misses = 0;
  private inserts = 0;
  private evictions = 0;
  private rejects = 0;

  /** @param memory - null: there is none, whatever is wanted */
  constructor(memory: CacheMemory | null, blockBytes: number) {
    this.memory = memory;
    this.blockBytes = blockBytes;
  }

  /** Blocks can be found here, or put in. */
  get isOn(): boolean {
    return this.entries > 0;
  }

  /** Memory that is held now, at most. */
  get sizeBytes(): number {
    return this.heldBytes;
  }

  /** From now on it may take so much; what it has is given back first, bit by bit, and it begins empty. */
  setSize(bytes: number): void {
    if (bytes === this.wantedBytes) return;
    this.wantedBytes = bytes;
    this.failed = false;
    this.retryUs = Infinity;
    this.clear();
  }

  /** When it has something to do, 0: at once. */
  nextDeadlineUs(): Micros {
    if (this.heldBytes !== 0 && this.entries === 0) return 0;
    if (this.heldBytes === 0 && this.wantedBytes > 0 && !this.failed) return 0;
    return this.retryUs;
  }

  /** Gives back a piece of memory, or takes what is wanted. */
  step(nowUs: Micros): void {
    const { memory } = this;
    if (memory === null || this.entries > 0) return;
    if (this.heldBytes > 0) {
      this.giveOne(memory);
      return;
    }
    if (this.wantedBytes === 0 || (this.failed && nowUs < this.retryUs)) return;
    this.failed = !this.begin(memory);
    if (this.failed) MARKS.noMemory.hits++;
    this.retryUs = this.failed ? nowUs + RETRY_US : Infinity;
  }

  private clear(): void {
    this.entries = 0;
    this.usedEntries = 0;
    this.tags = NO_TAGS;
    this.marks = NO_BYTES;
    this.hands = NO_BYTES;
  }

  private giveOne(memory: CacheMemory): void {
    const slab = this.slabs.pop();
    if (slab !== undefined) {
      memory.give(slab);
      return;
    }
    if (this.table.length > 0) memory.give(this.table);
    this.table = NO_BYTES;
    this.heldBytes = 0;
    MARKS.given.hits++;
  }

  /** Takes all that is wanted; false: it cannot be had, and nothing is kept. */
  private begin(memory: CacheMemory): boolean {
    const { blockBytes, wantedBytes } = this;
    const room = Math.floor(wantedBytes / (blockBytes + TABLE_BYTES));
    const ways = Math.min(WAYS_MAX, room);
    if (ways === 0 || !memory.hasRoom(wantedBytes)) return false;
    const sets = Math.floor(room / ways);
    const entries = sets * ways;
    this.heldBytes = wantedBytes;
    const table = memory.take(entries * 9 + sets);
    if (table === null) {
      this.heldBytes = 0;
      return false;
    }
    this.table = table;
    for (let first = 0; first < entries; first += SLAB_ENTRIES) {
      const slab = memory.take(Math.min(SLAB_ENTRIES, entries - first) * blockBytes);
      // Given back by the next steps.
      if (slab === null) return false;
      this.slabs.push(slab);
    }
    const { buffer, byteOffset } = table;
    this.tags = new Float64Array(buffer, byteOffset, entries);
    this.marks = new Uint8Array(buffer, byteOffset + entries * 8, entries);
    this.hands = new Uint8Array(buffer, byteOffset + entries * 9, sets);
    this.entries = entries;
    this.ways = ways;
    this.sets = sets;
    return true;
  }

  /** First entry of the set of a place. */
  private setOf(place: number): number {
    // Places follow each other in a volume that is read in order: those of one unit shall not meet in one set.
    let mix = Math.imul((place % 0x100000000) ^ Math.floor(place / 0x100000000), 0x9e3779b1);
    mix = Math.imul(mix ^ (mix >>> 15), 0x85ebca6b);
    const unit = ((mix ^ (mix >>> 13)) >>> 0) / 0x100000000;
    return Math.floor(unit * this.sets) * this.ways;
  }

  private find(place: number): number {
    const first = this.setOf(place);
    const end = first + this.ways;
    for (let entry = first; entry < end; entry++) if (this.tags[entry] === place + 1) return entry;
    return NONE;
  }

  /** Copies a block to `bytes[at ..]`; false: it is not here. The caller verifies it. */
  get(place: number, bytes: Uint8Array, at: number): boolean {
    const entry = this.entries === 0 ? NONE : this.find(place);
    if (entry === NONE) {
      this.misses++;
      return false;
    }
    this.marks[entry] = 1;
    this.hits++;
    MARKS.hit.hits++;
    const { blockBytes } = this;
    const from = (entry % SLAB_ENTRIES) * blockBytes;
    bytes.set(this.slabOf(entry).subarray(from, from + blockBytes), at);
    return true;
  }

  /** What `get` gave did not verify: it was no hit. */
  reject(place: number): void {
    this.hits--;
    this.misses++;
    this.rejects++;
    MARKS.rejected.hits++;
    this.drop(place);
  }

  /** Takes a block in. */
  put(place: number, bytes: Uint8Array, at: number): void {
    if (this.entries === 0) return;
    const known = this.find(place);
    const entry = known === NONE ? this.room(place) : known;
    this.tags[entry] = place + 1;
    this.inserts++;
    const { blockBytes } = this;
    const to = (entry % SLAB_ENTRIES) * blockBytes;
    this.slabOf(entry).set(bytes.subarray(at, at + blockBytes), to);
  }

  /** Forgets these places: they are about to be written. */
  dropRange(firstPlace: number, count: number): void {
    if (this.usedEntries === 0) return;
    for (let place = firstPlace; place < firstPlace + count; place++)
      if (this.drop(place)) MARKS.dropped.hits++;
  }

  private drop(place: number): boolean {
    const entry = this.find(place);
    if (entry === NONE) return false;
    this.tags[entry] = 0;
    this.marks[entry] = 0;
    this.usedEntries--;
    return true;
  }

  private slabOf(entry: number): Uint8Array {
    const slab = this.slabs[Math.floor(entry / SLAB_ENTRIES)];
    assert(slab !== undefined, 'an entry has its memory');
    return slab;
  }

  /** An entry for a place that has none: an empty one, or the first that was not hit since the hand passed. */
  private room(place: number): number {
    const first = this.setOf(place);
    const end = first + this.ways;
    for (let entry = first; entry < end; entry++)
      if (this.tags[entry] === 0) {
        this.usedEntries++;
        return entry;
      }
    const set = first / this.ways;
    let hand = this.hands[set] ?? 0;
    while (this.marks[first + hand] === 1) {
      this.marks[first + hand] = 0;
      hand = (hand + 1) % this.ways;
    }
    this.hands[set] = (hand + 1) % this.ways;
    this.evictions++;
    MARKS.evicted.hits++;
    return first + hand;
  }

  counts(): CacheCounts {
    const { heldBytes, entries, usedEntries, hits, misses, inserts, evictions } = this;
    const { rejects, failed } = this;
    return {
      ...{ sizeBytes: heldBytes, entries, usedEntries, hits, misses, inserts, evictions },
      ...{ rejects, failed },
    };
  }
}
