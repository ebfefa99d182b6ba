// Reads and descriptions of chunks: from the log's memory, from home, or nothing where a block is absent or zero. It owns
// reads that wait or run; it must never change a block. What comes from the device is verified block by block (C9).

import { assert } from '../../core/assert.js';
import { addressSeed, blockChecksum } from '../../core/checksum.js';
import type { Micros, Token } from '../../core/ports.js';

import { STATE } from './chunk-cache.js';
import { IO } from './io.js';
import { LayerLookup } from './layer-lookup.js';
import type { Loader } from './loader.js';
import { homeOffset } from './parts.js';
import type { Parts } from './parts.js';
import { NOTHING, ReadOp, putU32, u32At } from './read-op.js';
import { BLOCK_STATE, IO_BLOCKS_MAX, STORE_STATUS } from './store.js';
import type { StoreHost } from './store.js';

const RANGE = 1024;
const NONE = -1;

export class Reader {
  private readonly parts: Parts;
  private readonly loader: Loader;
  private readonly ops: ReadOp[] = [];
  private readonly free: ReadOp[] = [];
  /** Ended, not told yet. */
  private ready: ReadOp[] = [];
  private told: ReadOp[] = [];
  /** Wait for a descriptor, or for a direct write. */
  private waiting: ReadOp[] = [];
  private readonly zeros: Uint8Array;
  private readonly lookup: LayerLookup;

  constructor(parts: Parts, loader: Loader) {
    this.parts = parts;
    this.loader = loader;
    this.lookup = new LayerLookup(parts, loader);
    this.zeros = new Uint8Array(parts.layout.geometry.blockBytes);
  }

  /** See `CachingStore.wasCached`. */
  wasCached = false;

  /** See `LayerStore.badLayers`. */
  readonly badLayers = new Uint32Array(IO_BLOCKS_MAX);

  get hasReady(): boolean {
    return this.ready.length > 0;
  }

  private take(token: Token): ReadOp {
    let op = this.free.pop();
    if (op === undefined) {
      op = new ReadOp();
      op.index = this.ops.push(op) - 1;
    }
    op.token = token;
    op.layers = null;
    op.sums = null;
    op.describes = false;
    op.pending = 0;
    op.status = STORE_STATUS.ok;
    op.badLow = 0;
    op.badHigh = 0;
    op.caches = false;
    op.cacheHits = 0;
    op.readsDevice = false;
    return op;
  }

  private takeRead(
    token: Token,
    vtreeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    bytes: Uint8Array,
    at: number,
  ): ReadOp {
    assert(
      blockCount > 0 && blockCount <= IO_BLOCKS_MAX,
      'a read has a length and is not too long',
    );
    const op = this.take(token);
    op.vtreeKey = vtreeKey;
    op.chunkIndex = chunkIndex;
    op.firstBlock = firstBlock;
    op.blockCount = blockCount;
    op.bytes = bytes;
    op.at = at;
    op.dataAt = at + 4 * blockCount;
    return op;
  }

  private takeDescription(token: Token, chunkIndex: number, states: Uint8Array): ReadOp {
    const op = this.take(token);
    op.describes = true;
    op.chunkIndex = chunkIndex;
    op.firstBlock = 0;
    op.blockCount = this.parts.layout.geometry.chunkBlocks;
    assert(states.length >= op.blockCount, 'a description has one byte per block');
    op.bytes = states;
    return op;
  }

  /** See `Store.read`. */
  read(
    token: Token,
    volumeKey: number,
    vtreeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    bytes: Uint8Array,
    at: number,
    caches: boolean,
  ): void {
    const op = this.takeRead(token, vtreeKey, chunkIndex, firstBlock, blockCount, bytes, at);
    if (caches && this.parts.readCache.isOn) op.useCache(IO_BLOCKS_MAX);
    this.begin(op, volumeKey);
  }

  /** See `Store.describe`. */
  describe(
    token: Token,
    volumeKey: number,
    chunkIndex: number,
    states: Uint8Array,
    sums: Uint32Array | null = null,
  ): void {
    const op = this.takeDescription(token, chunkIndex, states);
    op.sums = sums;
    this.begin(op, volumeKey);
  }

  /** See `LayerStore.readLayers`. */
  readLayers(
    token: Token,
    layers: readonly number[],
    vtreeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    bytes: Uint8Array,
    at: number,
    caches: boolean,
  ): void {
    const op = this.takeRead(token, vtreeKey, chunkIndex, firstBlock, blockCount, bytes, at);
    if (caches && this.parts.readCache.isOn) op.useCache(IO_BLOCKS_MAX);
    this.beginLayers(op, layers);
  }

  /** See `LayerStore.describeLayers`. */
  describeLayers(
    token: Token,
    layers: readonly number[],
    chunkIndex: number,
    states: Uint8Array,
  ): void {
    const op = this.takeDescription(token, chunkIndex, states);
    this.beginLayers(op, layers);
  }

  private beginLayers(op: ReadOp, layers: readonly number[]): void {
    const { chunkBlocks } = this.parts.layout.geometry;
    op.goThrough(layers, chunkBlocks);
    this.attempt(op);
  }

  /** The entry that holds a block of an operation, by its place in it; -1: none. */
  private entryAt(op: ReadOp, index: number): number {
    return op.layers === null ? op.entry : (op.sources[index] ?? NONE);
  }

  /** As `attempt`, through a chain. */
  private attemptLayers(op: ReadOp, layers: readonly number[]): void {
    const { cache } = this.parts;
    if (!this.lookup.resolve(op, layers)) {
      // What was looked at stays until all of it can be looked at again: a deep chain must not push itself out.
      this.waiting.push(op);
      return;
    }
    this.lookup.letGo(op);
    let any = false;
    for (let index = 0; index < op.blockCount; index++) {
      const entry = op.sources[index] ?? NONE;
      if (entry < 0) continue;
      const state = cache.states[entry * cache.chunkBlocks + op.firstBlock + index];
      if (state === STATE.data || state === STATE.lost) any = true;
    }
    if (op.describes) this.fillStates(op);
    else if (!any) {
      op.status = STORE_STATUS.zero;
      this.ready.push(op);
    } else if (this.mustWait(op)) this.waiting.push(op);
    else this.fill(op);
  }

  private begin(op: ReadOp, volumeKey: number): void {
    const row = this.parts.directory.find(volumeKey, op.chunkIndex);
    if (row < 0) {
      if (op.describes) {
        op.bytes.fill(BLOCK_STATE.absent, 0, op.blockCount);
        op.sums?.fill(0);
      } else op.status = STORE_STATUS.zero;
      this.ready.push(op);
      return;
    }
    op.entry = this.loader.entryOf(row);
    this.attempt(op);
  }

  private attempt(op: ReadOp): void {
    const { cache } = this.parts;
    if (op.layers !== null) {
      this.attemptLayers(op, op.layers);
      return;
    }
    const first = op.entry * cache.chunkBlocks + op.firstBlock;
    let any = false;
    for (let index = first; index < first + op.blockCount; index++) {
      const state = cache.states[index];
      if (state === STATE.unknown) {
        this.waiting.push(op);
        return;
      }
      if (state === STATE.data || state === STATE.lost) any = true;
    }
    if (op.describes) this.fillStates(op);
    else if (!any) {
      op.status = STORE_STATUS.zero;
      this.ready.push(op);
    } else if (this.mustWait(op)) {
      this.lookup.hold(op, op.entry);
      this.waiting.push(op);
    } else this.fill(op);
  }

  private fillStates(op: ReadOp): void {
    const { cache } = this.parts;
    for (let block = 0; block < op.blockCount; block++) {
      const entry = this.entryAt(op, block);
      const at = entry * cache.chunkBlocks + block;
      const state = entry < 0 ? STATE.absent : cache.states[at];
      if (op.sums !== null) {
        op.sums[block] = state === STATE.data ? (cache.crcs[at] ?? 0) : 0;
        op.bytes[block] = state ?? STATE.lost;
        continue;
      }
      op.bytes[block] =
        state === STATE.absent
          ? BLOCK_STATE.absent
          : state === STATE.zero
            ? BLOCK_STATE.zero
            : BLOCK_STATE.data;
    }
    this.ready.push(op);
  }

  private offsetOf(entry: number, block: number): number {
    const { cache, layout } = this.parts;
    const { unitBlocks } = layout.geometry;
    const unit = Math.floor(block / unitBlocks);
    const address = cache.units[entry * cache.unitsPerChunk + unit] ?? 0;
    return homeOffset(layout, address, block % unitBlocks);
  }

  /** Whether a block at home is being written directly right now. */
  private mustWait(op: ReadOp): boolean {
    const { cache, queue, layout } = this.parts;
    for (let index = 0; index < op.blockCount; index++) {
      const entry = this.entryAt(op, index);
      if (entry < 0) continue;
      const block = op.firstBlock + index;
      const at = entry * cache.chunkBlocks + block;
      if (cache.states[at] !== STATE.data || cache.places[at] !== 0) continue;
      if (queue.overlapsWrite(this.offsetOf(entry, block), layout.geometry.blockBytes)) return true;
    }
    return false;
  }

  private fill(op: ReadOp): void {
    const { cache, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    op.pending = 1;
    let runStart = -1;
    let runOffset = 0;
    let runEnd = 0;
    for (let index = 0; index < op.blockCount; index++) {
      const block = op.firstBlock + index;
      const entry = this.entryAt(op, index);
      const at = entry * cache.chunkBlocks + block;
      const state = entry < 0 ? STATE.absent : (cache.states[at] ?? 0);
      if (state !== STATE.data || cache.places[at] !== 0) {
        this.fillFromMemory(op, index, state, at);
        continue;
      }
      putU32(op.bytes, op.at + 4 * index, cache.crcs[at] ?? 0);
      const offset = this.offsetOf(entry, block);
      if (op.caches && this.fillFromCache(op, index, offset)) continue;
      if (
        runStart >= 0 &&
        runEnd === index &&
        offset === runOffset + (index - runStart) * blockBytes
      )
        runEnd = index + 1;
      else {
        if (runStart >= 0) this.readRun(op, runStart, runEnd, runOffset);
        runStart = index;
        runEnd = index + 1;
        runOffset = offset;
      }
    }
    if (runStart >= 0) this.readRun(op, runStart, runEnd, runOffset);
    this.part(op);
  }

  /** @param cached - index of the block in the cache, where it is data */
  private fillFromMemory(op: ReadOp, index: number, state: number, cached: number): void {
    const { cache, layout, log } = this.parts;
    const { blockBytes } = layout.geometry;
    const block = op.firstBlock + index;
    const to = op.dataAt + index * blockBytes;
    if (state === STATE.data) {
      const place = cache.places[cached] ?? 0;
      const memory = log.window.memoryOf(place - 1);
      const from = ((place - 1) % layout.segmentBlocks) * blockBytes;
      op.bytes.set(memory.subarray(from, from + blockBytes), to);
      putU32(op.bytes, op.at + 4 * index, cache.crcs[cached] ?? 0);
      return;
    }
    op.bytes.fill(0, to, to + blockBytes);
    if (state === STATE.lost) {
      this.bad(op, index);
      // Whether it was there at all is lost too.
      if (op.layers !== null) op.sourceLayers[index] = 0;
    }
    const seed = addressSeed(op.vtreeKey, op.chunkIndex, block);
    putU32(op.bytes, op.at + 4 * index, blockChecksum(this.zeros, seed));
  }

  /** false: the block has to be read from the device. */
  private fillFromCache(op: ReadOp, index: number, offsetBytes: number): boolean {
    const { readCache, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    const place = offsetBytes / blockBytes;
    op.places[index] = place;
    if (!readCache.get(place, op.bytes, op.dataAt + index * blockBytes)) return false;
    if (this.verifies(op, index)) {
      op.cacheHits++;
      return true;
    }
    readCache.reject(place);
    return false;
  }

  /** Whether the content of a block is what its checksum says. */
  private verifies(op: ReadOp, index: number): boolean {
    const { blockBytes } = this.parts.layout.geometry;
    const seed = addressSeed(op.vtreeKey, op.chunkIndex, op.firstBlock + index);
    const at = op.dataAt + index * blockBytes;
    const crc = blockChecksum(op.bytes.subarray(at, at + blockBytes), seed);
    return crc === u32At(op.bytes, op.at + 4 * index);
  }

  private readRun(op: ReadOp, start: number, end: number, offsetBytes: number): void {
    const { queue, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    const to = op.dataAt + start * blockBytes;
    op.pending++;
    op.readsDevice = true;
    queue.read(
      IO.read,
      op.index,
      start * RANGE + (end - start),
      offsetBytes,
      op.bytes,
      to,
      (end - start) * blockBytes,
    );
  }

  /** A run arrived; a failed read is as bad as a wrong checksum. */
  runDone(opIndex: number, range: number, ok: boolean): void {
    const op = this.ops[opIndex];
    assert(op !== undefined, 'a read has its operation');
    const { readCache, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    const start = Math.floor(range / RANGE);
    const end = start + (range % RANGE);
    for (let index = start; index < end; index++) {
      if (!ok || !this.verifies(op, index)) this.bad(op, index);
      else if (op.caches)
        readCache.put(op.places[index] ?? 0, op.bytes, op.dataAt + index * blockBytes);
    }
    this.part(op);
  }

  private bad(op: ReadOp, index: number): void {
    op.status = STORE_STATUS.corrupt;
    if (index < 32) op.badLow = (op.badLow | (1 << index)) >>> 0;
    else op.badHigh = (op.badHigh | (1 << (index - 32))) >>> 0;
  }

  private part(op: ReadOp): void {
    if (--op.pending === 0) this.ready.push(op);
  }

  /** A descriptor arrived. */
  loaded(entry: number): void {
    this.retry((op) => (op.layers === null ? op.entry === entry : op.held.includes(entry)));
  }

  /** A direct write is done. */
  directDone(): void {
    if (this.waiting.length > 0) this.retry(() => true);
  }

  private retry(which: (op: ReadOp) => boolean): void {
    const all = this.waiting;
    this.waiting = [];
    for (const op of all) {
      if (!which(op)) {
        this.waiting.push(op);
        continue;
      }
      this.lookup.letGo(op);
      this.attempt(op);
    }
  }

  /** Tells the host what ended. Returns whether anything did. */
  deliver(nowUs: Micros, host: StoreHost): boolean {
    if (this.ready.length === 0) return false;
    const batch = this.ready;
    this.ready = this.told;
    this.told = batch;
    for (const op of batch) {
      const { token, describes, status, badLow, badHigh } = op;
      op.bytes = NOTHING;
      this.free.push(op);
      if (describes) host.storeDescribed(nowUs, token, status);
      else {
        this.wasCached = op.cacheHits > 0 && !op.readsDevice;
        if (status === STORE_STATUS.corrupt && op.layers !== null)
          this.badLayers.set(op.sourceLayers.subarray(0, Math.min(op.blockCount, IO_BLOCKS_MAX)));
        host.storeRead(nowUs, token, status, badLow, badHigh);
      }
    }
    batch.length = 0;
    return true;
  }
}
