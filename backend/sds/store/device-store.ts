// The device store: the machine behind the contract of store.ts. It owns the life of the device, from recovery to its end or
// failure; what runs while it is open is open-store.ts. The format on the device is described in
// backend/docs/device-format.md.

import { assert } from '../../core/assert.js';
import type { DiskTimes } from '../../core/disk-meter.js';
import type { Disk, Micros, Token } from '../../core/ports.js';

import { DISK_FORMAT_MAX } from '../../protocol/tables/disk.js';
import type { CacheCounts } from './cache-counts.js';
import { DiskQueue } from './io.js';
import { RING_COPIES } from './notes.js';
import { OpenStore } from './open-store.js';
import type { StoreOptions } from './store-options.js';
import { Recovery } from './recovery.js';
import type { Opened, RecoveryHost } from './recovery.js';
import { ROOM } from './store.js';
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
} from './store.js';

export class DeviceStore implements Store, RecoveryHost {
  readonly geometry: Geometry;
  private readonly disk: Disk;
  private readonly host: StoreHost;
  private readonly options: StoreOptions;
  private readonly queue: DiskQueue;
  private recovery: Recovery | null = null;
  private running: OpenStore | null = null;
  private broken = false;
  private keptBytes = 0;
  private cacheBytes = 0;

  constructor(disk: Disk, geometry: Geometry, options: StoreOptions, host: StoreHost) {
    this.disk = disk;
    this.geometry = geometry;
    this.options = options;
    this.host = host;
    this.queue = new DiskQueue(disk);
  }

  get closed(): boolean {
    return this.running?.closed ?? false;
  }

  get writtenLsn(): number {
    return this.running?.parts.log.groups.writtenLsn ?? 0;
  }

  get durableLsn(): number {
    return this.running?.parts.log.flusher.durableLsn ?? 0;
  }

  get settledLsn(): number {
    return this.running?.parts.log.settledLsn ?? 0;
  }

  get lastLsn(): number {
    return this.running?.parts.log.lastLsn ?? 0;
  }

  start(nowUs: Micros, bootId: string): void {
    assert(this.recovery === null && this.running === null, 'a store is started once');
    const { disk, queue, geometry, options } = this;
    this.recovery = new Recovery(disk, queue, geometry, options, this, bootId);
    this.recovery.begin(nowUs);
  }

  recovered(nowUs: Micros, opened: Opened): void {
    this.recovery = null;
    this.running = new OpenStore(opened, this.queue, this.host, nowUs);
    opened.parts.readCache.setSize(this.cacheBytes);
    this.host.storeOpened(nowUs, opened.identity);
  }

  refused(nowUs: Micros, reason: string): void {
    this.recovery = null;
    this.broken = true;
    this.host.storeRefused(nowUs, reason);
  }

  /** A write or flush failed: the device is lost for good (C14). */
  failed(nowUs: Micros, reason: string): void {
    if (this.broken) return;
    this.broken = true;
    this.running = null;
    this.recovery = null;
    this.host.storeFailed(nowUs, reason);
  }

  diskDone(nowUs: Micros, token: Token, ok: boolean): void {
    const { queue } = this;
    const kind = queue.kindOf(token);
    const argA = queue.argA(token);
    const argB = queue.argB(token);
    queue.done(token);
    if (this.broken) return;
    if (this.recovery !== null) {
      this.recovery.done(nowUs, kind, argA, argB, ok, token);
      return;
    }
    const fault = this.running?.diskDone(kind, argA, argB, ok) ?? null;
    if (fault !== null) this.failed(nowUs, fault);
  }

  endBatch(nowUs: Micros): void {
    this.running?.advance(nowUs);
  }

  tick(nowUs: Micros): void {
    this.running?.tick(nowUs);
  }

  nextDeadlineUs(): Micros {
    return this.running?.nextDeadlineUs() ?? Infinity;
  }

  close(nowUs: Micros): void {
    this.running?.close(nowUs);
  }

  private need(): OpenStore {
    const { running } = this;
    assert(running !== null, 'the store is open');
    return running;
  }

  /** As `need`, for what the log has to keep. */
  private change(): OpenStore {
    const running = this.need();
    running.changing();
    return running;
  }

  room(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    forwarded = false,
  ): Room {
    return (
      this.running?.room(volumeKey, chunkIndex, firstBlock, blockCount, forwarded) ?? ROOM.wait
    );
  }

  get copyRecordsMax(): number {
    return Math.floor(this.options.ringRecords * RING_COPIES);
  }

  roomForNotes(count: number): boolean {
    return this.need().roomForNotes(count);
  }

  takesSpace(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): boolean {
    const rooms = this.running?.rooms;
    return rooms?.takesSpace(volumeKey, chunkIndex, firstBlock, blockCount) ?? true;
  }

  freeBlocks(): number {
    return this.need().rooms.freeBlocks();
  }

  keepFree(bytes: number): void {
    this.keptBytes = bytes;
  }

  thinBlocks(): number {
    return this.need().rooms.thinBlocks(this.keptBytes);
  }

  write(context: WriteContext, bytes: Uint8Array, crcsAt: number, dataAt: number): number {
    return this.change().appender.write(context, bytes, crcsAt, dataAt);
  }

  zero(context: WriteContext, discard: boolean): number {
    return this.change().appender.zero(context, discard);
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
    caches = false,
  ): void {
    const { reader } = this.need();
    reader.read(token, volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount, bytes, at, caches);
  }

  describe(token: Token, volumeKey: number, chunkIndex: number, states: Uint8Array): void {
    this.need().reader.describe(token, volumeKey, chunkIndex, states);
  }

  describeSums(
    token: Token,
    volumeKey: number,
    chunkIndex: number,
    states: Uint8Array,
    sums: Uint32Array,
  ): void {
    this.need().reader.describe(token, volumeKey, chunkIndex, states, sums);
  }

  chunkFrom(place: number): ChunkPlace | null {
    return this.need().parts.directory.chunkFrom(place);
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
    caches = false,
  ): void {
    const { reader } = this.need();
    reader.readLayers(
      token,
      layers,
      vtreeKey,
      chunkIndex,
      firstBlock,
      blockCount,
      bytes,
      at,
      caches,
    );
  }

  describeLayers(
    token: Token,
    layers: readonly number[],
    chunkIndex: number,
    states: Uint8Array,
  ): void {
    this.need().reader.describeLayers(token, layers, chunkIndex, states);
  }

  get wasCached(): boolean {
    return this.need().reader.wasCached;
  }

  setCacheSize(bytes: number): void {
    this.cacheBytes = bytes;
    this.running?.parts.readCache.setSize(bytes);
  }

  get cachesReads(): boolean {
    return this.running?.parts.readCache.isOn ?? false;
  }

  cacheCounts(): CacheCounts | null {
    return this.running?.parts.readCache.counts() ?? null;
  }

  get badLayers(): Uint32Array {
    return this.need().reader.badLayers;
  }

  hasChunk(layerKey: number, chunkIndex: number): boolean {
    return this.need().parts.directory.find(layerKey, chunkIndex) >= 0;
  }

  maskRoom(layerKey: number, chunkIndex: number, forwarded: boolean): Room {
    return this.running?.maskRoom(layerKey, chunkIndex, forwarded) ?? ROOM.wait;
  }

  chunksOf(layerKey: number): Iterable<ChunkInfo> {
    return this.need().parts.directory.chunksOf(layerKey);
  }

  isEmptied(layerKey: number, chunkIndex: number): boolean | null {
    const running = this.need();
    running.stir();
    return running.isEmptied(layerKey, chunkIndex);
  }

  mergeRoom(childKey: number, parentKey: number, chunkIndex: number, forwarded: boolean): Room {
    return this.running?.mergeRoom(childKey, parentKey, chunkIndex, forwarded) ?? ROOM.wait;
  }

  mergeConflicts(
    childKey: number,
    parentKey: number,
    chunkIndex: number,
    blocks: Uint8Array,
  ): number {
    const { parts, merger } = this.need();
    const { directory } = parts;
    const row = directory.find(childKey, chunkIndex);
    return merger.conflicts(row, directory.find(parentKey, chunkIndex), blocks);
  }

  merge(context: WriteContext, parentKey: number): number {
    const { parts, merger } = this.change();
    const parentRow = parts.directory.find(parentKey, context.chunkIndex);
    return merger.merge(context, parentRow, parentKey);
  }

  wantDurable(lsn: number): void {
    const running = this.need();
    running.stir();
    running.parts.log.wantDurable(lsn);
  }

  settle(lsn: number): void {
    const running = this.need();
    running.stir();
    const { log } = running.parts;
    if (lsn > log.settledLsn) log.settledLsn = Math.min(lsn, log.lastLsn);
  }

  setVolatile(volatileMode: boolean): number {
    return this.change().appender.records.setVolatile(volatileMode);
  }

  get format(): number {
    return this.running?.parts.mode.format ?? 1;
  }

  raiseFormat(format: number): void {
    const { mode } = this.need().parts;
    const wanted = Math.min(format, DISK_FORMAT_MAX);
    if (wanted <= mode.wantedFormat) return;
    // A change as any other: the device does not stay idle without a checkpoint that says it.
    this.change();
    mode.wantedFormat = wanted;
  }

  saveEntries(entries: readonly SavedEntry[]): number {
    return this.change().appender.records.saveEntries(entries);
  }

  entries(): Iterable<SavedEntry> {
    return this.need().parts.entries.all();
  }

  chunksStampedAfter(comb: number, epoch: number, number: number): Iterable<ChunkInfo> {
    return this.need().parts.directory.stampedAfter(comb, epoch, number);
  }

  unsettledRanges(comb: number): Iterable<UnsettledRange> {
    const { ring, log } = this.need().parts;
    return ring.unsettled(comb, log.settledLsn, log.lastLsn);
  }

  restampUnsettled(comb: number, epoch: number, number: number): number {
    const { parts, appender } = this.change();
    const { ring, log, directory } = parts;
    const rows = new Set<number>();
    for (const range of ring.unsettled(comb, log.settledLsn, log.lastLsn)) {
      const row = directory.find(range.volumeKey, range.chunkIndex);
      if (row >= 0) rows.add(row);
    }
    return appender.records.restamp([...rows], comb, epoch, number);
  }

  knowsOp(run: number, opLow: number, opHigh: number): boolean {
    return this.need().parts.ring.knows(run, opLow, opHigh);
  }

  knownOps(comb: number): Iterable<OpRef> {
    const { ring, log } = this.need().parts;
    return ring.ops(comb, log.lastLsn);
  }

  forgetOps(comb: number): number {
    return this.change().appender.records.forgetOps(comb);
  }

  noteOp(context: WriteContext): number {
    return this.change().appender.records.note(context, 0);
  }

  freeVolume(volumeKey: number): void {
    const { parts, appender } = this.need();
    if (parts.dying.has(volumeKey)) return;
    if (!parts.directory.volumeUnits().has(volumeKey)) return;
    this.change();
    parts.dying.add(volumeKey);
    appender.records.freeVolume(volumeKey);
  }

  dropComb(comb: number): void {
    const running = this.need();
    const [row] = running.parts.directory.rowsOfComb(comb);
    if (row === undefined) return;
    this.change();
    running.combReaper.drop(comb);
  }

  keepComb(comb: number): void {
    this.need().combReaper.keep(comb);
  }

  *volumes(): Generator<{ readonly volumeKey: number; readonly usedBytes: number }> {
    const { directory, layout } = this.need().parts;
    const unitBytes = layout.geometry.unitBlocks * layout.geometry.blockBytes;
    for (const [volumeKey, { units }] of directory.volumeUnits())
      yield { volumeKey, usedBytes: units * unitBytes };
  }

  times(): DiskTimes {
    return this.disk.times();
  }

  usage(): { readonly capacityBytes: number; readonly usedBytes: number } {
    const { layout, units } = this.need().parts;
    const unitBytes = layout.geometry.unitBlocks * layout.geometry.blockBytes;
    return { capacityBytes: layout.units * unitBytes, usedBytes: units.usedCount * unitBytes };
  }
}
