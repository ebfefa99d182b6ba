// Reads and descriptions of chunks. It owns those that wait or run, and the order in which they are told; what is in them comes
// from read-filling.ts. It must never change a block.

import { assert } from '../../core/assert.js';
import type { Micros, Token } from '../../core/ports.js';

import { STATE } from './chunk-cache.js';
import { LayerLookup } from './layer-lookup.js';
import type { Loader } from './loader.js';
import type { Parts } from './parts.js';
import { ReadFilling } from './read-filling.js';
import { NOTHING, ReadOp } from './read-op.js';
import { BLOCK_STATE, IO_BLOCKS_MAX, STORE_STATUS } from './store.js';
import type { StoreHost } from './store.js';

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
  private readonly filling: ReadFilling;
  private readonly lookup: LayerLookup;

  constructor(parts: Parts, loader: Loader) {
    this.parts = parts;
    this.loader = loader;
    this.lookup = new LayerLookup(parts, loader);
    this.filling = new ReadFilling(parts, (op) => {
      this.ready.push(op);
    });
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
    if (op.describes) this.filling.describe(op);
    else if (!any) {
      op.status = STORE_STATUS.zero;
      this.ready.push(op);
    } else if (this.filling.mustWait(op)) this.waiting.push(op);
    else this.filling.fill(op);
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
    if (op.describes) this.filling.describe(op);
    else if (!any) {
      op.status = STORE_STATUS.zero;
      this.ready.push(op);
    } else if (this.filling.mustWait(op)) {
      this.lookup.hold(op, op.entry);
      this.waiting.push(op);
    } else this.filling.fill(op);
  }

  /** A run arrived; a failed read is as bad as a wrong checksum. */
  runDone(opIndex: number, range: number, ok: boolean): void {
    const op = this.ops[opIndex];
    assert(op !== undefined, 'a read has its operation');
    this.filling.arrived(op, range, ok);
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
