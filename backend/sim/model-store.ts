// The store's contract without a device format: appends to a list of records. It owns the timing of writes, flushes and
// reads; what the records amount to is model-content.ts. It stands in for the device format in most scenarios, so that they are
// many; it must promise exactly what sds/store/store.ts says, and no more.

import { DISK_KIND, DiskMeter } from '../core/disk-meter.js';
import type { DiskTimes } from '../core/disk-meter.js';
import type { Micros } from '../core/ports.js';
import type { Prng } from '../core/prng.js';
import { DISK_FORMAT_MAX } from '../protocol/tables/disk.js';
import { ROOM } from '../sds/store/store.js';
import type {
  ChunkInfo,
  ChunkPlace,
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
import { isEmptied } from './model-layers.js';
import { ModelReads } from './model-reads.js';
import { writeRecord } from './model-medium.js';
import type { ModelMedium, ModelRecord } from './model-medium.js';
import { ModelSpace } from './model-space.js';
import type { SimProcess } from './process.js';

const WHAT = { opened: 1, written: 2, flushed: 3, read: 4 } as const;
const WRITE_US = 30;
const FLUSH_US = 200;
const READ_US = 60;

export class ModelStore implements Store, EventTarget {
  readonly geometry: Geometry;
  private readonly medium: ModelMedium;
  private readonly process: SimProcess;
  private readonly host: StoreHost;
  private readonly prng: Prng;
  readonly content: ModelContent;
  private readonly reads: ModelReads;
  private writing = false;
  private batchLsn = 0;
  private submittedLsn = 0;
  private flushingLsn = 0;
  private flushingSettled = 0;
  private wantedLsn = 0;
  private failed = false;
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
    const { content, meter } = this;
    this.reads = new ModelReads({ medium, process, host, geometry, content, meter }, () => {
      this.in(READ_US, WHAT.read);
    });
    ({
      read: this.read,
      readLayers: this.readLayers,
      describe: this.describe,
      describeSums: this.describeSums,
      describeLayers: this.describeLayers,
    } = this.reads);
    ({
      room: this.room,
      takesSpace: this.takesSpace,
      freeBlocks: this.freeBlocks,
      keepFree: this.keepFree,
      thinBlocks: this.thinBlocks,
      mergeConflicts: this.mergeConflicts,
      usage: this.usage,
    } = new ModelSpace(medium, content, geometry));
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
      else if (!this.reads.answer(nowUs)) this.fail(nowUs, 'nothing can be read from the device');
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

  // Space: model-space.ts.

  readonly room: Store['room'];
  readonly takesSpace: Store['takesSpace'];
  readonly freeBlocks: Store['freeBlocks'];
  readonly keepFree: Store['keepFree'];
  readonly thinBlocks: Store['thinBlocks'];
  readonly mergeConflicts: Store['mergeConflicts'];
  readonly usage: Store['usage'];

  maskRoom(): Room {
    return ROOM.ok;
  }

  mergeRoom(): Room {
    return ROOM.ok;
  }

  // Reading: model-reads.ts.

  /** The model has no read cache. */
  readonly cachesReads = false;
  readonly wasCached = false;
  setCacheSize(): void {
    // There is none.
  }
  cacheCounts(): null {
    return null;
  }

  get badLayers(): Uint32Array {
    return this.reads.badLayers;
  }
  readonly read: Store['read'];
  readonly readLayers: Store['readLayers'];
  readonly describe: Store['describe'];
  readonly describeSums: Store['describeSums'];
  readonly describeLayers: Store['describeLayers'];

  hasChunk(layerKey: number, chunkIndex: number): boolean {
    return this.content.chunks.has(this.content.keyOf(layerKey, chunkIndex));
  }

  isEmptied(layerKey: number, chunkIndex: number): boolean {
    return isEmptied(this.content, layerKey, chunkIndex);
  }

  chunkFrom(place: number): ChunkPlace | null {
    const chunk = [...this.content.chunks.values()][place];
    return chunk === undefined ? null : { place, chunk };
  }

  *chunksOf(layerKey: number): Iterable<ChunkInfo> {
    for (const chunk of [...this.content.chunks.values()])
      if (chunk.volumeKey === layerKey) yield chunk;
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

  readonly copyRecordsMax = 64;

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

  close(): void {
    this.closing = true;
    this.wantDurable(this.medium.lastLsn);
    if (this.medium.durableLsn === this.medium.lastLsn) this.medium.dirtyBoot = '';
  }
}
