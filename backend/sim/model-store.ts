// The store's contract without a device format: appends to a list of records. It owns the timing of writes, flushes and
// reads; what the records amount to is model-content.ts. It stands in for the device format in most scenarios, so that they are
// many; it must promise exactly what sds/store/store.ts says, and no more.

import { DISK_KIND, DiskMeter } from '../core/disk-meter.js';
import type { DiskTimes } from '../core/disk-meter.js';
import type { Micros, Token } from '../core/ports.js';
import type { Prng } from '../core/prng.js';
import { DISK_FORMAT_MAX } from '../protocol/tables/disk.js';
import { BLOCK_STATE, IO_BLOCKS_MAX, ROOM, STORE_STATUS } from '../sds/store/store.js';
import type {
  ChunkInfo,
  Geometry,
  OpRef,
  Room,
  SavedEntry,
  Store,
  StoreHost,
  UnsettledRange,
  WriteContext,
} from '../sds/store/store.js';

import type { EventTarget } from './event-queue.js';
import { ModelContent } from './model-content.js';
import { describeLayers, isEmptied, mergeConflicts, readLayers } from './model-layers.js';
import type { ModelRead } from './model-content.js';
import { writeRecord } from './model-medium.js';
import type { ModelMedium, ModelRecord } from './model-medium.js';
import type { SimProcess } from './process.js';

interface PendingRead extends ModelRead {
  readonly beganUs: number;
  readonly token: Token;
  readonly describe: boolean;
  /** Through a chain: the layer of each block. */
  readonly foundIn?: Uint32Array;
}

const WHAT = { opened: 1, written: 2, flushed: 3, read: 4 } as const;
const WRITE_US = 30;
const FLUSH_US = 200;
const READ_US = 60;
/** A device of which so many reads failed is dead: here they all fail or none does. */
const FAILED_READS_MAX = 4;
/** Blocks that are kept free so that a member can always complete what it granted. */
const RESERVE_BLOCKS = 4;

export class ModelStore implements Store, EventTarget {
  readonly geometry: Geometry;
  private readonly medium: ModelMedium;
  private readonly process: SimProcess;
  private readonly host: StoreHost;
  private readonly prng: Prng;
  readonly content: ModelContent;
  private readonly reads: PendingRead[] = [];
  private writing = false;
  private batchLsn = 0;
  private submittedLsn = 0;
  private flushingLsn = 0;
  private flushingSettled = 0;
  private wantedLsn = 0;
  private failed = false;
  private failedReads = 0;
  private keptBlocks = 0;
  private closing = false;
  private bootId = '';
  private readonly meter = new DiskMeter();
  private writeBeganUs = 0;
  private flushBeganUs = 0;

  constructor(medium: ModelMedium, process: SimProcess, host: StoreHost, geometry: Geometry) {
    this.medium = medium;
    this.process = process;
    this.host = host;
    this.geometry = geometry;
    this.content = new ModelContent(medium, geometry);
    this.prng = process.sim.prng.fork();
  }

  get lastLsn(): number {
    return this.medium.lastLsn;
  }
  get writtenLsn(): number {
    return this.medium.writtenLsn;
  }
  get durableLsn(): number {
    return this.medium.durableLsn;
  }
  get closed(): boolean {
    return this.closing && this.medium.durableLsn === this.medium.lastLsn;
  }
  get settledLsn(): number {
    return this.medium.settledLsn;
  }

  private in(baseUs: number, what: number): void {
    const us = (baseUs + this.prng.below(baseUs)) * this.medium.faults.slowFactor;
    const { sim } = this.process;
    sim.queue.push(sim.nowUs + us, this, what, 0);
  }

  fire(_timeUs: number, what: number): void {
    if (!this.process.alive || this.failed) return;
    this.process.input((nowUs) => {
      if (this.failed) return;
      if (what === WHAT.opened) this.opened(nowUs);
      else if (what === WHAT.written) this.written(nowUs);
      else if (what === WHAT.flushed) this.flushed(nowUs);
      else this.answerRead(nowUs);
    });
  }

  start(_nowUs: Micros, bootId: string): void {
    this.bootId = bootId;
    this.in(500, WHAT.opened);
  }

  private opened(nowUs: Micros): void {
    const { medium } = this;
    if (medium.format === null) {
      this.host.storeRefused(nowUs, 'the device carries no signature');
      return;
    }
    let isVolatile = false;
    for (const record of medium.records) {
      this.content.fold(record);
      if (record.kind === 'mode') isVolatile = record.isVolatile;
    }
    const rolledBack = medium.dirtyBoot !== '' && medium.dirtyBoot !== this.bootId && isVolatile;
    const dataIncarnation = medium.incarnation;
    medium.incarnation += 1;
    medium.dirtyBoot = this.bootId;
    this.batchLsn = medium.lastLsn;
    this.submittedLsn = medium.lastLsn;
    this.host.storeOpened(nowUs, {
      ...medium.format,
      incarnation: medium.incarnation,
      dataIncarnation,
      rolledBack,
    });
  }

  // Appending.

  private append(make: (lsn: number) => ModelRecord): number {
    const lsn = this.medium.lastLsn + 1;
    const record = make(lsn);
    this.medium.lastLsn = lsn;
    this.medium.records.push(record);
    this.content.fold(record);
    return lsn;
  }

  write(context: WriteContext, bytes: Uint8Array, crcsAt: number, dataAt: number): number {
    const { blockBytes } = this.geometry;
    const { blockCount } = context;
    const content = new Uint8Array(blockCount * (4 + blockBytes));
    content.set(bytes.subarray(crcsAt, crcsAt + 4 * blockCount));
    content.set(bytes.subarray(dataAt, dataAt + blockBytes * blockCount), 4 * blockCount);
    return this.append((lsn) => writeRecord(context, lsn, content));
  }

  zero(context: WriteContext, discard: boolean): number {
    const absent = discard && !context.masks;
    return this.append((lsn) => writeRecord(context, lsn, null, absent));
  }

  merge(context: WriteContext, parentKey: number): number {
    if (this.isEmptied(parentKey, context.chunkIndex)) return this.lastLsn;
    const whole = { ...context, firstBlock: 0, blockCount: this.geometry.chunkBlocks, run: 0 };
    return this.append((lsn) => ({
      ...{ kind: 'merge', lsn, parentKey },
      child: writeRecord(whole, lsn, null),
    }));
  }

  endBatch(): void {
    if (this.failed) return;
    if (this.medium.lastLsn > this.submittedLsn && !this.writing) this.submit();
  }

  private submit(): void {
    this.writing = true;
    this.batchLsn = this.medium.lastLsn;
    this.submittedLsn = this.batchLsn;
    this.writeBeganUs = this.process.sim.nowUs;
    this.meter.begin(DISK_KIND.write, this.writeBeganUs);
    this.in(WRITE_US, WHAT.written);
  }

  private written(nowUs: Micros): void {
    this.meter.end(DISK_KIND.write, this.writeBeganUs, this.process.sim.nowUs);
    if (this.medium.faults.failWrites) {
      this.fail(nowUs, 'a write failed');
      return;
    }
    this.writing = false;
    this.medium.writtenLsn = this.batchLsn;
    if (this.medium.lastLsn > this.submittedLsn) this.submit();
    this.flushIfWanted();
    this.host.storeProgress(nowUs);
  }

  wantDurable(lsn: number): void {
    this.wantedLsn = Math.max(this.wantedLsn, Math.min(lsn, this.medium.lastLsn));
    this.flushIfWanted();
  }

  private flushIfWanted(): void {
    const { medium } = this;
    if (this.flushingLsn !== 0 || this.wantedLsn <= medium.durableLsn) return;
    if (medium.writtenLsn <= medium.durableLsn) return;
    this.flushingLsn = medium.writtenLsn;
    this.flushingSettled = medium.settledLsn;
    this.flushBeganUs = this.process.sim.nowUs;
    this.meter.begin(DISK_KIND.flush, this.flushBeganUs);
    this.in(FLUSH_US, WHAT.flushed);
  }

  private flushed(nowUs: Micros): void {
    this.meter.end(DISK_KIND.flush, this.flushBeganUs, this.process.sim.nowUs);
    if (this.medium.faults.failFlushes) {
      this.fail(nowUs, 'a flush failed');
      return;
    }
    this.medium.durableLsn = Math.max(this.medium.durableLsn, this.flushingLsn);
    this.medium.settledDurableLsn = this.flushingSettled;
    this.flushingLsn = 0;
    this.flushIfWanted();
    if (this.closing && this.medium.durableLsn === this.medium.lastLsn) this.medium.dirtyBoot = '';
    this.host.storeProgress(nowUs);
  }

  private fail(nowUs: Micros, reason: string): void {
    this.failed = true;
    this.host.storeFailed(nowUs, reason);
  }

  diskDone(): void {
    // Completions are events of the model itself.
  }

  tick(): void {
    // Nothing is timed.
  }

  nextDeadlineUs(): Micros {
    return Infinity;
  }

  // Space.

  room(volumeKey: number, chunkIndex: number, firstBlock: number, blockCount: number): Room {
    const fresh = this.content.freshBlocks(volumeKey, chunkIndex, firstBlock, blockCount);
    return fresh === 0 || this.content.usedBlocks + fresh <= this.medium.capacityBlocks
      ? ROOM.ok
      : ROOM.full;
  }

  takesSpace(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): boolean {
    return this.content.freshBlocks(volumeKey, chunkIndex, firstBlock, blockCount) > 0;
  }

  freeBlocks(): number {
    return Math.max(0, this.medium.capacityBlocks - this.content.usedBlocks - RESERVE_BLOCKS);
  }

  keepFree(bytes: number): void {
    this.keptBlocks = Math.ceil(bytes / this.geometry.blockBytes);
  }

  thinBlocks(): number {
    return Math.max(0, this.freeBlocks() - this.keptBlocks);
  }

  maskRoom(): Room {
    return ROOM.ok;
  }

  mergeRoom(): Room {
    return ROOM.ok;
  }

  mergeConflicts(
    childKey: number,
    parentKey: number,
    chunkIndex: number,
    blocks: Uint8Array,
  ): number {
    const { content, geometry, medium } = this;
    const { unitBlocks } = geometry;
    const count = mergeConflicts(content, childKey, parentKey, chunkIndex, unitBlocks, blocks);
    // Units are not modelled: what a real device does without a new one must not fail here.
    if (content.usedBlocks + count <= medium.capacityBlocks) return count;
    blocks.fill(0);
    return 0;
  }

  // Reading.

  readonly badLayers: Uint32Array = new Uint32Array(IO_BLOCKS_MAX);

  hasChunk(layerKey: number, chunkIndex: number): boolean {
    return this.content.chunks.has(this.content.keyOf(layerKey, chunkIndex));
  }

  isEmptied(layerKey: number, chunkIndex: number): boolean {
    return isEmptied(this.content, layerKey, chunkIndex);
  }

  *chunksOf(layerKey: number): Iterable<ChunkInfo> {
    for (const chunk of [...this.content.chunks.values()])
      if (chunk.volumeKey === layerKey) yield chunk;
  }

  readLayers(
    token: Token,
    layers: readonly number[],
    vtreeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    bytes: Uint8Array,
    at: number,
  ): void {
    const range = { vtreeKey, chunkIndex, firstBlock, blockCount };
    const foundIn = new Uint32Array(blockCount);
    const { blockBytes } = this.geometry;
    const read = readLayers(this.content, layers, range, bytes, at, blockBytes, foundIn);
    const { badLow, badHigh } = read;
    const status = this.medium.faults.failReads ? STORE_STATUS.failed : read.status;
    this.push({ token, status, badLow, badHigh, describe: false, foundIn });
  }

  describeLayers(
    token: Token,
    layers: readonly number[],
    chunkIndex: number,
    states: Uint8Array,
  ): void {
    describeLayers(this.content, layers, chunkIndex, states, this.geometry.chunkBlocks);
    this.push({ token, status: STORE_STATUS.ok, badLow: 0, badHigh: 0, describe: true });
  }

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
    const { content, medium } = this;
    const range = { volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount };
    const { status, badLow, badHigh } = content.read(range, bytes, at);
    const answered = medium.faults.failReads ? STORE_STATUS.failed : status;
    this.push({ token, status: answered, badLow, badHigh, describe: false });
  }

  describe(token: Token, volumeKey: number, chunkIndex: number, states: Uint8Array): void {
    const chunk = this.content.chunks.get(this.content.keyOf(volumeKey, chunkIndex));
    if (chunk === undefined) states.fill(BLOCK_STATE.absent);
    else states.set(chunk.states);
    this.push({ token, status: STORE_STATUS.ok, badLow: 0, badHigh: 0, describe: true });
  }

  private push(read: Omit<PendingRead, 'beganUs'>): void {
    const beganUs = this.process.sim.nowUs;
    this.meter.begin(DISK_KIND.read, beganUs);
    this.reads.push({ ...read, beganUs });
    this.in(READ_US, WHAT.read);
  }

  private answerRead(nowUs: Micros): void {
    const read = this.reads.shift();
    if (read === undefined) return;
    this.meter.end(DISK_KIND.read, read.beganUs, this.process.sim.nowUs);
    if (read.foundIn !== undefined) this.badLayers.set(read.foundIn);
    if (read.describe) this.host.storeDescribed(nowUs, read.token, read.status);
    else if (read.status === STORE_STATUS.failed && ++this.failedReads >= FAILED_READS_MAX)
      this.fail(nowUs, 'nothing can be read from the device');
    else this.host.storeRead(nowUs, read.token, read.status, read.badLow, read.badHigh);
  }

  // What replication keeps.

  settle(lsn: number): void {
    if (lsn <= this.settledLsn) return;
    for (const { run, opLow, opHigh, lsn: of } of this.content.unsettled)
      if (of <= lsn && run !== 0 && !this.host.opIdNeeded(run, opLow, opHigh))
        this.content.known.delete(`${run}:${opHigh}:${opLow}`);
    this.medium.settledLsn = Math.min(lsn, this.medium.lastLsn);
    this.content.unsettled = this.content.unsettled.filter((write) => write.lsn > lsn);
  }

  setVolatile(isVolatile: boolean): number {
    return this.append((lsn) => ({ kind: 'mode', lsn, isVolatile }));
  }

  get format(): number {
    return this.medium.formatVersion;
  }

  raiseFormat(format: number): void {
    const { medium } = this;
    medium.formatVersion = Math.max(medium.formatVersion, Math.min(format, DISK_FORMAT_MAX));
  }

  saveEntries(entries: readonly SavedEntry[]): number {
    const copies = entries.map(({ comb, bytes }) => ({ comb, bytes: bytes.slice() }));
    return this.append((lsn) => ({ kind: 'entries', lsn, entries: copies }));
  }

  entries(): Iterable<SavedEntry> {
    return [...this.content.saved.values()].sort((one, other) => one.comb - other.comb);
  }

  *chunksStampedAfter(comb: number, epoch: number, number: number): Iterable<ChunkInfo> {
    for (const chunk of [...this.content.chunks.values()]) {
      const after =
        chunk.stampEpoch > epoch || (chunk.stampEpoch === epoch && chunk.stampNumber > number);
      if (chunk.comb === comb && (after || (epoch === 0 && number === 0))) yield chunk;
    }
  }

  unsettledRanges(comb: number): Iterable<UnsettledRange> {
    return this.content.unsettledRanges(comb);
  }

  restampUnsettled(comb: number, epoch: number, number: number): number {
    // By name: what was unsettled now may be settled when the records are folded again after a restart.
    const list = this.content.unsettledChunks(comb);
    return this.append((lsn) => ({ kind: 'restamp', lsn, comb, epoch, number, chunks: list }));
  }

  knowsOp(run: number, opLow: number, opHigh: number): boolean {
    return this.content.known.has(`${run}:${opHigh}:${opLow}`);
  }

  knownOps(comb: number): Iterable<OpRef> {
    return [...this.content.known.values()].filter((op) => op.comb === comb).map(({ ref }) => ref);
  }

  forgetOps(comb: number): number {
    return this.append((lsn) => ({ kind: 'forget', lsn, comb }));
  }

  roomForNotes(): boolean {
    return true;
  }

  noteOp(context: WriteContext): number {
    const { comb, run, opLow, opHigh } = context;
    return this.append((lsn) => ({ kind: 'note', lsn, comb, run, opLow, opHigh }));
  }

  freeVolume(volumeKey: number): void {
    this.append((lsn) => ({ kind: 'free', lsn, volumeKey }));
  }

  dropComb(comb: number): void {
    for (const chunk of this.content.chunks.values()) {
      if (chunk.comb !== comb) continue;
      this.append((lsn) => ({ kind: 'drop', lsn, comb }));
      return;
    }
  }

  keepComb(): void {
    // Nothing is left of what was dropped.
  }

  volumes(): Iterable<{ readonly volumeKey: number; readonly usedBytes: number }> {
    return this.content.volumes();
  }

  times(): DiskTimes {
    return this.meter.times(this.process.sim.nowUs);
  }

  usage(): { readonly capacityBytes: number; readonly usedBytes: number } {
    const { blockBytes } = this.geometry;
    return {
      capacityBytes: this.medium.capacityBlocks * blockBytes,
      usedBytes: this.content.usedBlocks * blockBytes,
    };
  }

  close(): void {
    this.closing = true;
    this.wantDurable(this.medium.lastLsn);
    if (this.medium.durableLsn === this.medium.lastLsn) this.medium.dirtyBoot = '';
  }
}
