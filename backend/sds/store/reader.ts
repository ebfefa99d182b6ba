// Reads and descriptions of chunks: from the log's memory, from home, or nothing where a block is absent or zero. It owns
// reads that wait or run; it must never change a block. What comes from the device is verified block by block (C9).

import { assert } from '../../core/assert.js';
import { addressSeed, blockChecksum } from '../../core/checksum.js';
import type { Micros, Token } from '../../core/ports.js';

import { STATE } from './chunk-cache.js';
import { IO } from './io.js';
import type { Loader } from './loader.js';
import { homeOffset } from './parts.js';
import type { Parts } from './parts.js';
import { BLOCK_STATE, IO_BLOCKS_MAX, STORE_STATUS } from './store.js';
import type { StoreHost, StoreStatus } from './store.js';

const RANGE = 1024;
const NOTHING = new Uint8Array(0);

class ReadOp {
  index = 0;
  token: Token = 0;
  describes = false;
  /** Waits for a direct write; its entry stays until then. */
  pinned = false;
  entry = 0;
  vtreeKey = 0;
  chunkIndex = 0;
  firstBlock = 0;
  blockCount = 0;
  bytes: Uint8Array = NOTHING;
  at = 0;
  dataAt = 0;
  pending = 0;
  status: StoreStatus = STORE_STATUS.ok;
  badLow = 0;
  badHigh = 0;
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function u32At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}

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

  constructor(parts: Parts, loader: Loader) {
    this.parts = parts;
    this.loader = loader;
    this.zeros = new Uint8Array(parts.layout.geometry.blockBytes);
  }

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
    op.describes = false;
    op.pending = 0;
    op.status = STORE_STATUS.ok;
    op.badLow = 0;
    op.badHigh = 0;
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
  ): void {
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
    this.begin(op, volumeKey);
  }

  /** See `Store.describe`. */
  describe(token: Token, volumeKey: number, chunkIndex: number, states: Uint8Array): void {
    const op = this.take(token);
    op.describes = true;
    op.chunkIndex = chunkIndex;
    op.firstBlock = 0;
    op.blockCount = this.parts.layout.geometry.chunkBlocks;
    assert(states.length >= op.blockCount, 'a description has one byte per block');
    op.bytes = states;
    this.begin(op, volumeKey);
  }

  private begin(op: ReadOp, volumeKey: number): void {
    const row = this.parts.directory.find(volumeKey, op.chunkIndex);
    if (row < 0) {
      if (op.describes) op.bytes.fill(BLOCK_STATE.absent, 0, op.blockCount);
      else op.status = STORE_STATUS.zero;
      this.ready.push(op);
      return;
    }
    op.entry = this.loader.entryOf(row);
    this.attempt(op);
  }

  private attempt(op: ReadOp): void {
    const { cache } = this.parts;
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
      cache.pins[op.entry] = (cache.pins[op.entry] ?? 0) + 1;
      op.pinned = true;
      this.waiting.push(op);
    } else this.fill(op);
  }

  private fillStates(op: ReadOp): void {
    const { cache } = this.parts;
    const first = op.entry * cache.chunkBlocks;
    for (let block = 0; block < op.blockCount; block++) {
      const state = cache.states[first + block];
      op.bytes[block] =
        state === STATE.absent
          ? BLOCK_STATE.absent
          : state === STATE.zero
            ? BLOCK_STATE.zero
            : BLOCK_STATE.data;
    }
    this.ready.push(op);
  }

  private offsetOf(op: ReadOp, block: number): number {
    const { cache, layout } = this.parts;
    const { unitBlocks } = layout.geometry;
    const unit = Math.floor(block / unitBlocks);
    const address = cache.units[op.entry * cache.unitsPerChunk + unit] ?? 0;
    return homeOffset(layout, address, block % unitBlocks);
  }

  /** Whether a block at home is being written directly right now. */
  private mustWait(op: ReadOp): boolean {
    const { cache, queue, layout } = this.parts;
    const first = op.entry * cache.chunkBlocks;
    for (let block = op.firstBlock; block < op.firstBlock + op.blockCount; block++) {
      if (cache.states[first + block] !== STATE.data || cache.places[first + block] !== 0) continue;
      if (queue.overlapsWrite(this.offsetOf(op, block), layout.geometry.blockBytes)) return true;
    }
    return false;
  }

  private fill(op: ReadOp): void {
    const { cache, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    const first = op.entry * cache.chunkBlocks;
    op.pending = 1;
    let runStart = -1;
    let runOffset = 0;
    let runEnd = 0;
    for (let index = 0; index < op.blockCount; index++) {
      const block = op.firstBlock + index;
      const state = cache.states[first + block] ?? 0;
      if (state !== STATE.data || cache.places[first + block] !== 0) {
        this.fillFromMemory(op, index, state, cache.places[first + block] ?? 0);
        continue;
      }
      putU32(op.bytes, op.at + 4 * index, cache.crcs[first + block] ?? 0);
      const offset = this.offsetOf(op, block);
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

  private fillFromMemory(op: ReadOp, index: number, state: number, place: number): void {
    const { cache, layout, log } = this.parts;
    const { blockBytes } = layout.geometry;
    const block = op.firstBlock + index;
    const to = op.dataAt + index * blockBytes;
    if (state === STATE.data) {
      const memory = log.window.memoryOf(place - 1);
      const from = ((place - 1) % layout.segmentBlocks) * blockBytes;
      op.bytes.set(memory.subarray(from, from + blockBytes), to);
      putU32(op.bytes, op.at + 4 * index, cache.crcs[op.entry * cache.chunkBlocks + block] ?? 0);
      return;
    }
    op.bytes.fill(0, to, to + blockBytes);
    if (state === STATE.lost) this.bad(op, index);
    const seed = addressSeed(op.vtreeKey, op.chunkIndex, block);
    putU32(op.bytes, op.at + 4 * index, blockChecksum(this.zeros, seed));
  }

  private readRun(op: ReadOp, start: number, end: number, offsetBytes: number): void {
    const { queue, layout } = this.parts;
    const { blockBytes } = layout.geometry;
    const to = op.dataAt + start * blockBytes;
    op.pending++;
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

  /** A run arrived from the device; a failed read is as bad as a wrong checksum. */
  runDone(opIndex: number, range: number, ok: boolean): void {
    const op = this.ops[opIndex];
    assert(op !== undefined, 'a read has its operation');
    const { blockBytes } = this.parts.layout.geometry;
    const start = Math.floor(range / RANGE);
    const end = start + (range % RANGE);
    for (let index = start; index < end; index++) {
      if (!ok) {
        this.bad(op, index);
        continue;
      }
      const seed = addressSeed(op.vtreeKey, op.chunkIndex, op.firstBlock + index);
      const at = op.dataAt + index * blockBytes;
      const crc = blockChecksum(op.bytes.subarray(at, at + blockBytes), seed);
      if (crc !== u32At(op.bytes, op.at + 4 * index)) this.bad(op, index);
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
    this.retry((op) => op.entry === entry);
  }

  /** A direct write is done. */
  directDone(): void {
    if (this.waiting.length > 0) this.retry(() => true);
  }

  private retry(which: (op: ReadOp) => boolean): void {
    const { cache } = this.parts;
    const all = this.waiting;
    if (all.length === 0) return;
    this.waiting = [];
    for (const op of all) {
      if (!which(op)) {
        this.waiting.push(op);
        continue;
      }
      if (op.pinned) cache.pins[op.entry] = (cache.pins[op.entry] ?? 0) - 1;
      op.pinned = false;
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
      else host.storeRead(nowUs, token, status, badLow, badHigh);
    }
    batch.length = 0;
    return true;
  }
}
