// The background scanner of a device: reads whatever it holds and verifies it, slowly and for ever; what does not verify is
// repaired from another copy, and where the pool wants it copies are compared. It owns where it is and its pace; it
// must never read faster than its pool allows, nor repair anything itself: scan-repairs decides about that.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { BlockRange, ScanCounts } from '../protocol/generated/types.js';
import type { PayloadBuffer } from './buffers.js';
import { PART } from './comb.js';
import { SCAN_CHECK_TOKENS, SCAN_TOKENS } from './load-token.js';
import { ScanRepairs, runsOf } from './scan-repairs.js';
import type { ScannerParts } from './scan-repairs.js';
import type { Suspect } from './scan-suspects.js';
import type { Shared } from './shared.js';
import { BLOCK_STATE, STORE_STATUS } from './store/store.js';
import type { ChunkInfo } from './store/store.js';

const MARKS = {
  bad: mark('sds.scan: a block did not verify'),
  fixed: mark('sds.scan: a block verifies again'),
  pass: mark('sds.scan: all of a device was scanned'),
};

const SECOND_US = 1_000_000;
/** Where nothing is there to be read, or memory is short. */
const PAUSE_US = 200 * MICROS_PER_MS;
/** Between two passes through a device that holds little. */
const PASS_PAUSE_US = 1000 * MICROS_PER_MS;
/** What looking at a chunk counts for, beside its data. */
const CHUNK_BYTES = 4096;
/** Of the way through the device that each opening begins at: everything has its turn even if none lives for long. */
const GOLDEN = 0.618_033_988_749_895;

export class Scanner {
  readonly repairs: ScanRepairs;
  private readonly shared: Shared;
  private readonly states: Uint8Array;
  private readonly sums: Uint32Array;
  /** When what was read so far is paid for. */
  private dueUs: Micros = 0;
  private waiting = false;
  private buffer: PayloadBuffer | null = null;
  /** Next chunk, the one that is being read, and its next block. */
  private place = -1;
  private isWholePass = false;
  private chunk: ChunkInfo | null = null;
  private described = false;
  private nextBlock = 0;
  /** What is read now: blocks of the chunk, or of a suspect. */
  private reading: BlockRange | null = null;
  private suspect: Suspect | null = null;

  constructor(shared: Shared, parts: ScannerParts) {
    this.shared = shared;
    this.repairs = new ScanRepairs(shared, parts);
    this.states = new Uint8Array(shared.geometry.chunkBlocks);
    this.sums = new Uint32Array(shared.geometry.chunkBlocks);
  }

  /** What it found, null: the pool never had a scanner. */
  counts(): ScanCounts | null {
    return this.repairs.policy === null ? null : this.repairs.totals.asCounts();
  }

  /** The pool may want something else. */
  mapChanged(nowUs: Micros): void {
    const { repairs } = this;
    const before = repairs.policy;
    const policy = this.shared.pool?.pool.scanner ?? null;
    repairs.policy = policy;
    if (policy === null) return;
    if (before !== null && before.resets !== policy.resets) repairs.totals.reset();
    if (before === null || before.mode === 'disabled') this.dueUs = nowUs;
    // What a slower pace would have to be waited for is forgotten.
    else if (before.bandwidthKbps !== policy.bandwidthKbps)
      this.dueUs = Math.min(this.dueUs, nowUs + SECOND_US);
  }

  private isOn(): boolean {
    const { policy } = this.repairs;
    return policy !== null && policy.mode !== 'disabled' && this.shared.stage === 'serving';
  }

  tick(nowUs: Micros): void {
    this.repairs.checks.tick(nowUs);
    if (!this.isOn() || this.waiting || nowUs < this.dueUs) return;
    this.step(nowUs);
  }

  nextDeadlineUs(): Micros {
    const due = this.isOn() && !this.waiting ? this.dueUs : Infinity;
    return Math.min(due, this.repairs.checks.nextDeadlineUs());
  }

  private step(nowUs: Micros): void {
    const doubt = this.repairs.suspects.takeDoubt(nowUs);
    if (doubt !== undefined) this.repairs.compareAgain(nowUs, doubt.range);
    const suspect = this.repairs.suspects.due(nowUs);
    if (suspect !== null) {
      this.suspect = suspect;
      this.read(nowUs, suspect.range);
      return;
    }
    if (this.chunk === null && !this.nextChunk(nowUs)) return;
    if (!this.described) this.describe();
    else this.readOn(nowUs);
  }

  private nextChunk(nowUs: Micros): boolean {
    if (this.place < 0) this.place = this.firstPlace();
    const found = this.shared.store.chunkFrom(this.place);
    if (found === null) {
      if (this.isWholePass) {
        MARKS.pass.hits++;
        this.repairs.totals.passes++;
        this.shared.log.event('debug', 'sds.scan-pass', { ...this.repairs.totals.asCounts() });
      }
      this.place = 0;
      this.isWholePass = true;
      this.dueUs = nowUs + PASS_PAUSE_US;
      return false;
    }
    this.place = found.place + 1;
    const { comb, volumeKey } = found.chunk;
    const part = this.shared.comb(comb)?.part ?? PART.none;
    this.pay(nowUs, CHUNK_BYTES);
    // What goes, or is carried no more, is nobody's.
    if (part === PART.none || this.shared.volumes.isFreed(volumeKey)) return false;
    this.chunk = found.chunk;
    this.described = false;
    this.nextBlock = 0;
    return true;
  }

  private firstPlace(): number {
    const { store, geometry, incarnation } = this.shared;
    const chunks = store.usage().usedBytes / (geometry.chunkBlocks * geometry.blockBytes);
    return Math.floor(((incarnation * GOLDEN) % 1) * chunks);
  }

  private describe(): void {
    const { chunk } = this;
    if (chunk === null) return;
    this.waiting = true;
    const { store } = this.shared;
    const { volumeKey, chunkIndex } = chunk;
    store.describeSums(SCAN_TOKENS, volumeKey, chunkIndex, this.states, this.sums);
  }

  /** Reads the next run of blocks that hold something, or goes on to the next chunk. */
  private readOn(nowUs: Micros): void {
    const { chunk, states, shared } = this;
    if (chunk === null) return;
    const { chunkBlocks } = shared.geometry;
    const isFull = (block: number): boolean =>
      states[block] === BLOCK_STATE.data || states[block] === BLOCK_STATE.lost;
    let first = this.nextBlock;
    while (first < chunkBlocks && !isFull(first)) first++;
    let end = first;
    while (end < chunkBlocks && end - first < shared.ioBlocksMax && isFull(end)) end++;
    if (first === chunkBlocks) {
      if (!this.endChunk(nowUs, chunk)) return;
      this.chunk = null;
      return;
    }
    this.nextBlock = end;
    const { volumeKey, vtreeKey, chunkIndex } = chunk;
    const blockCount = end - first;
    this.read(nowUs, { volumeKey, vtreeKey, chunkIndex, firstBlock: first, blockCount });
  }

  /** All of a chunk was read: it is compared. False: later, for too much is under way. */
  private endChunk(nowUs: Micros, chunk: ChunkInfo): boolean {
    const comb = this.shared.comb(chunk.comb);
    if (!this.repairs.compares() || comb === undefined) return true;
    const { volumeKey, vtreeKey, chunkIndex } = chunk;
    if (comb.part === PART.primary && comb.active) {
      if (!this.repairs.checks.hasRoom()) {
        this.dueUs = nowUs + PAUSE_US;
        return false;
      }
      this.repairs.checks.compare(comb, volumeKey, vtreeKey, chunkIndex);
    } else if (comb.part === PART.inSync) {
      const range = { volumeKey, vtreeKey, chunkIndex, firstBlock: 0, blockCount: 1 };
      this.repairs.tell(comb, range, false);
    }
    return true;
  }

  private read(nowUs: Micros, range: BlockRange): void {
    const { buffers, geometry, store } = this.shared;
    const lengthBytes = range.blockCount * (4 + geometry.blockBytes);
    this.buffer = buffers.take(lengthBytes);
    if (this.buffer === null) {
      if (this.suspect === null) this.nextBlock = range.firstBlock;
      this.suspect = null;
      this.dueUs = nowUs + PAUSE_US;
      return;
    }
    this.waiting = true;
    this.reading = range;
    const { volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount } = range;
    const { bytes } = this.buffer;
    store.read(SCAN_TOKENS, volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount, bytes, 0);
    this.pay(nowUs, blockCount * geometry.blockBytes);
  }

  private pay(nowUs: Micros, bytes: number): void {
    const kbps = this.repairs.policy?.bandwidthKbps ?? 1;
    this.dueUs = Math.max(this.dueUs, nowUs) + Math.ceil((bytes / (kbps * 1024)) * SECOND_US);
  }

  storeDescribed(token: number, status: number): void {
    if (token >= SCAN_CHECK_TOKENS) {
      this.repairs.checks.storeDescribed(token, status);
      return;
    }
    this.waiting = false;
    this.described = true;
    if (status !== STORE_STATUS.ok) this.states.fill(BLOCK_STATE.absent);
  }

  storeRead(token: number, status: number, badLow: number, badHigh: number): void {
    if (token >= SCAN_CHECK_TOKENS) {
      this.repairs.checks.storeRead(token, status, badLow, badHigh);
      return;
    }
    const { reading, suspect, buffer } = this;
    this.waiting = false;
    this.reading = null;
    this.suspect = null;
    if (buffer !== null) this.shared.buffers.give(buffer);
    this.buffer = null;
    if (reading === null) return;
    if (status !== STORE_STATUS.failed)
      this.repairs.totals.scannedBytes += reading.blockCount * this.shared.geometry.blockBytes;
    const isBad = (index: number): boolean =>
      status === STORE_STATUS.corrupt &&
      ((index < 32 ? badLow >>> index : badHigh >>> (index - 32)) & 1) === 1;
    if (suspect !== null) {
      if (status !== STORE_STATUS.failed) this.readAgain(suspect, isBad);
      return;
    }
    const isNews = (index: number): boolean =>
      isBad(index) && !this.repairs.suspects.covers(reading, reading.firstBlock + index);
    for (const run of runsOf(reading, isNews)) this.found(run);
  }

  private found(range: BlockRange): void {
    const fresh = this.repairs.suspects.add(range, this.shared.nowUs);
    MARKS.bad.hits++;
    this.repairs.totals.found(range.blockCount);
    const { volumeKey: layer, chunkIndex: chunk, firstBlock: block, blockCount: blocks } = range;
    this.shared.log.event('warn', 'sds.scan-bad', { layer, chunk, block, blocks });
    this.repairs.repair(fresh);
  }

  private readAgain(suspect: Suspect, isBad: (index: number) => boolean): void {
    const fixed = this.repairs.suspects.readAgain(suspect, isBad, this.shared.nowUs);
    if (fixed > 0) {
      MARKS.fixed.hits++;
      this.repairs.totals.fixed(fixed);
      const { volumeKey: layer, chunkIndex: chunk, firstBlock: block } = suspect.range;
      this.shared.log.event('info', 'sds.scan-fixed', { layer, chunk, block, blocks: fixed });
    }
    this.repairs.repair(suspect);
  }
}
