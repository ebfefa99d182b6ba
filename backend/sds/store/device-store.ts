// The device store: the machine behind the contract of store.ts. It owns the routing of completions and the order in which
// its parts go on; what they do is theirs (appender, reader, homing, checkpoint, reaper, recovery). The format on the
// device is described in backend/docs/device-format.md.

import { assert } from '../../core/assert.js';
import type { Disk, Micros, Token } from '../../core/ports.js';

import { LOG_HEAD_BYTES, RECORD_BYTES } from '../../protocol/generated/disk.js';

import type { Appender } from './appender.js';
import { Checkpoint } from './checkpoint.js';
import { bitCount } from './directory.js';
import { Homing } from './homing.js';
import { DiskQueue, IO } from './io.js';
import type { Layout } from './layout.js';
import type { Loader } from './loader.js';
import { PageWriter } from './page-writer.js';
import { homeOffset, touchedUnits } from './parts.js';
import type { ChunkCache } from './chunk-cache.js';
import type { Parts } from './parts.js';
import type { StoreOptions } from './store-options.js';
import { Reader } from './reader.js';
import { Reaper } from './reaper.js';
import { Recovery } from './recovery.js';
import type { Opened, RecoveryHost } from './recovery.js';
import { ROOM } from './store.js';
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
} from './store.js';

/** Segments that writes leave to records which may not be refused. */
const RESERVED_SEGMENTS = 3;
/** A checkpoint that gained too little is tried again after this time, or when something was settled. */
const RETRY_US = 100_000;

/** Blocks of the log that it takes to note so many records again. */
function notesBlocks(layout: Layout, records: number): number {
  const perHeader = Math.floor((layout.headerBytes - LOG_HEAD_BYTES) / (RECORD_BYTES + 8));
  return Math.ceil(records / perHeader) * layout.headerBlocks;
}

/** Reads need entries too; so writes leave some that can be had. */
function isCrowded(cache: ChunkCache): boolean {
  return cache.dirtyCount * 4 > cache.capacity * 3 || !cache.hasRoom();
}

/** Everything that exists once the device is open. */
interface Running {
  readonly parts: Parts;
  readonly loader: Loader;
  readonly appender: Appender;
  readonly reader: Reader;
  readonly homing: Homing;
  readonly pages: PageWriter;
  readonly checkpoint: Checkpoint;
  readonly reaper: Reaper;
  readonly superblockDone: () => void;
}

export class DeviceStore implements Store, RecoveryHost {
  readonly geometry: Geometry;
  /** The device was closed by `close`. */
  closed = false;
  private readonly disk: Disk;
  private readonly host: StoreHost;
  private readonly options: StoreOptions;
  private readonly queue: DiskQueue;
  private recovery: Recovery | null = null;
  private running: Running | null = null;
  private broken = false;
  private closing = false;
  /** Somebody was told to wait for room. */
  private roomWanted = false;
  /** For lack of an entry in the cache. */
  private cacheWanted = false;
  private progress = false;
  private again = false;
  /** Something happened since the parts last had their turn. */
  private stirred = false;
  private lastChangeUs = 0;
  /** Changes of the owner since the last checkpoint began. */
  private changes = 0;
  /** Where the log stood when it was last trimmed. */
  private trimmedLsn = 0;
  private trimmedPosition = 0;
  private settledAtTrim = 0;
  private retryAtUs = Infinity;
  private retry = false;

  constructor(disk: Disk, geometry: Geometry, options: StoreOptions, host: StoreHost) {
    this.disk = disk;
    this.geometry = geometry;
    this.options = options;
    this.host = host;
    this.queue = new DiskQueue(disk);
  }

  get writtenLsn(): number {
    return this.running?.parts.log.writtenLsn ?? 0;
  }

  get durableLsn(): number {
    return this.running?.parts.log.durableLsn ?? 0;
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
    const { parts, loader, appender, tables, writer, superblock, identity } = opened;
    this.recovery = null;
    const homing = new Homing(parts);
    homing.begin(parts.log.headPosition);
    const pages = new PageWriter(parts, tables, superblock);
    const { host } = this;
    this.running = {
      parts,
      loader,
      appender,
      reader: new Reader(parts, loader),
      homing,
      pages,
      checkpoint: new Checkpoint(parts, homing, appender, pages, writer, superblock, host),
      reaper: new Reaper(parts, loader, appender),
      superblockDone: () => {
        writer.writeDone();
      },
    };
    this.lastChangeUs = nowUs;
    // What was replayed is trimmed when the device is idle.
    this.changes = parts.log.usedBlocks > 0 ? 1 : 0;
    this.host.storeOpened(nowUs, identity);
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
    this.stirred = true;
    if (this.recovery !== null) {
      this.recovery.done(nowUs, kind, argA, argB, ok, token);
      return;
    }
    const { running } = this;
    if (running === null) return;
    if (!ok && kind !== IO.read && kind !== IO.load) {
      this.failed(nowUs, kind === IO.flush ? 'a flush of the device failed' : 'a write failed');
      return;
    }
    this.route(running, kind, argA, argB, ok);
  }

  private route(running: Running, kind: number, argA: number, argB: number, ok: boolean): void {
    const { log } = running.parts;
    switch (kind) {
      case IO.log:
        if (log.writeDone(argA)) this.progress = true;
        break;
      case IO.direct:
        running.appender.directDone(argB);
        if (log.writeDone(argA)) this.progress = true;
        running.reader.directDone();
        break;
      case IO.home:
        running.homing.copyDone(argA, argB);
        break;
      case IO.read:
        running.reader.runDone(argA, argB, ok);
        break;
      case IO.load:
        this.loaded(running, argA, argB, ok);
        break;
      case IO.page:
        running.pages.pageDone(argA);
        break;
      case IO.superblock:
        running.superblockDone();
        break;
      case IO.flush:
        if (log.flushDone(argA)) this.progress = true;
        break;
    }
  }

  private loaded(running: Running, entry: number, buffer: number, ok: boolean): void {
    const { loader, appender, reader } = running;
    if (loader.done(entry, buffer, ok)) appender.reclaim(entry);
    else appender.replaceLost(entry);
    reader.loaded(entry);
  }

  endBatch(nowUs: Micros): void {
    if (this.running !== null) this.advance(nowUs);
  }

  tick(nowUs: Micros): void {
    if (this.running === null) return;
    this.stirred = true;
    if (nowUs >= this.retryAtUs) {
      this.retryAtUs = Infinity;
      this.retry = true;
    }
    const idle = nowUs >= this.lastChangeUs + this.options.idleUs;
    if (idle && this.changes > 0 && !this.running.checkpoint.running)
      this.beginCheckpoint(this.running, true);
    this.advance(nowUs);
  }

  nextDeadlineUs(): Micros {
    const { running } = this;
    if (running === null) return Infinity;
    if (this.again || running.reader.hasReady) return 0;
    const idle = this.changes > 0 && !running.checkpoint.running;
    const idleAtUs = idle ? this.lastChangeUs + this.options.idleUs : Infinity;
    return Math.min(this.retryAtUs, idleAtUs, running.homing.dueUs);
  }

  /** Lets every part go on, and tells the host what came of it. */
  private advance(nowUs: Micros): void {
    for (;;) {
      const { running } = this;
      if (running === null) return;
      if (this.stirred) this.work(nowUs, running);
      let told = this.stirred;
      if (this.progress) {
        this.progress = false;
        told = true;
        this.host.storeProgress(nowUs);
      }
      if (this.running?.reader.deliver(nowUs, this.host) === true) told = true;
      // What the host appended meanwhile belongs to this batch.
      if (!told) return;
    }
  }

  private work(nowUs: Micros, running: Running): void {
    const { parts, homing, checkpoint, reaper } = running;
    const { log, options } = parts;
    this.stirred = false;
    if (!log.quiet) this.lastChangeUs = nowUs;
    if (!log.crowded) log.submitOrCollect();
    this.again = reaper.pump(this.reservedBlocks(parts));
    this.relieve(nowUs, running);
    homing.pump(nowUs, this.closing || log.windowSegments * 4 > options.windowSegments * 3);
    if (checkpoint.pump()) this.trimmed(running);
    if (log.releaseBefore(homing.position)) this.madeRoom();
    const { units } = parts;
    if (units.blockedCount > 0 && units.confirm(log.confirmedLsn, this.unitBusy)) this.madeRoom();
    if (this.cacheWanted && !isCrowded(parts.cache)) {
      this.cacheWanted = false;
      this.madeRoom();
    }
    log.pumpConfirm();
    if (!log.crowded) log.submitOrCollect();
    log.pumpFlush();
  }

  private readonly unitBusy = (unit: number): boolean => {
    const layout = this.running?.parts.layout;
    if (layout === undefined) return true;
    const { unitBlocks, blockBytes } = layout.geometry;
    return this.queue.overlaps(homeOffset(layout, unit + 1, 0), unitBlocks * blockBytes);
  };

  private madeRoom(): void {
    if (!this.roomWanted) return;
    this.roomWanted = false;
    this.progress = true;
  }

  private reservedBlocks(parts: Parts): number {
    return RESERVED_SEGMENTS * parts.layout.segmentBlocks;
  }

  /** Starts copying home and trimming when memory, log, or cache run short. */
  private relieve(nowUs: Micros, running: Running): void {
    const { parts, homing, checkpoint } = running;
    const { log, layout, options, ring, cache } = parts;
    if (log.windowSegments * 2 > options.windowSegments) {
      const keep = Math.floor(options.windowSegments / 4) * layout.segmentBlocks;
      homing.want(Math.max(homing.wanted, log.headPosition - keep));
    }
    if (checkpoint.running) return;
    const logShort = log.usedBlocks * 2 > layout.logBlocks;
    const ringShort = (log.lastLsn - ring.tailLsn) * 4 > ring.capacity;
    const cacheShort = cache.dirtyCount * 2 > cache.capacity;
    if (!logShort && !ringShort && !cacheShort) return;
    // Notes that had to be made again are no reason to trim again: only what came after the last checkpoint is.
    const gained =
      (log.lastLsn - this.trimmedLsn) * 16 > ring.capacity ||
      (log.headPosition - this.trimmedPosition) * 8 > layout.logBlocks ||
      (log.settledLsn > this.settledAtTrim && this.changes > 0);
    const retry = this.retry;
    this.retry = false;
    if (gained || retry || cacheShort) this.beginCheckpoint(running, cacheShort && !logShort);
    else if (this.retryAtUs === Infinity && (this.roomWanted || this.changes > 0))
      this.retryAtUs = nowUs + RETRY_US;
  }

  private beginCheckpoint(running: Running, all: boolean): void {
    const { checkpoint } = running;
    this.changes = 0;
    this.retryAtUs = Infinity;
    if (all) checkpoint.beginAll(this.closing);
    else checkpoint.beginHalf();
  }

  private trimmed(running: Running): void {
    this.madeRoom();
    this.stirred = true;
    const { log } = running.parts;
    this.trimmedLsn = log.lastLsn;
    this.trimmedPosition = log.headPosition;
    this.settledAtTrim = log.settledLsn;
    if (this.changes === 0) log.shrink();
    if (!this.closing) return;
    // Only a checkpoint that began after the last change, and said so in the superblock, closes the device.
    if (this.changes > 0 || !running.checkpoint.isClosing || log.durableLsn < log.lastLsn)
      this.beginCheckpoint(running, true);
    else {
      this.closed = true;
      this.progress = true;
    }
  }

  close(nowUs: Micros): void {
    const { running } = this;
    if (running === null || this.closing) return;
    this.closing = true;
    this.stirred = true;
    if (!running.checkpoint.running) this.beginCheckpoint(running, true);
    this.advance(nowUs);
  }

  private need(): Running {
    const { running } = this;
    assert(running !== null, 'the store is open');
    return running;
  }

  /** As `need`, for what gives the parts something to do. */
  private stir(): Running {
    this.stirred = true;
    return this.need();
  }

  /** As `stir`, for what the log has to keep. */
  private change(): Running {
    this.changes++;
    return this.stir();
  }

  room(volumeKey: number, chunkIndex: number, firstBlock: number, blockCount: number): Room {
    const { running } = this;
    if (running === null) return ROOM.wait;
    const space =
      blockCount > 0
        ? this.spaceFor(running, volumeKey, chunkIndex, firstBlock, blockCount)
        : ROOM.ok;
    if (space === ROOM.full) return space;
    if (space === ROOM.ok && this.logTakes(running, blockCount)) return ROOM.ok;
    this.roomWanted = true;
    this.stirred = true;
    return ROOM.wait;
  }

  private spaceFor(
    running: Running,
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): Room {
    const { directory, cache, units, log } = running.parts;
    const row = directory.find(volumeKey, chunkIndex);
    if (row < 0 && directory.freeRows === 0) return ROOM.full;
    const entry = row < 0 ? -1 : directory.cacheEntryOf(row);
    if (entry < 0 && isCrowded(cache)) {
      this.cacheWanted = true;
      return ROOM.wait;
    }
    const needed = bitCount(this.missingUnits(running, row, entry, firstBlock, blockCount));
    if (needed <= units.freeCount) return ROOM.ok;
    if (needed > units.freeCount + units.blockedCount) return ROOM.full;
    log.wantConfirmed(log.headPosition);
    return ROOM.wait;
  }

  /** Units of a chunk that a write to these blocks would allocate. */
  private missingUnits(
    running: Running,
    row: number,
    entry: number,
    firstBlock: number,
    blockCount: number,
  ): number {
    const { layout, directory } = running.parts;
    const touched = touchedUnits(layout, firstBlock, blockCount);
    if (row < 0) return touched >>> 0;
    if (entry >= 0) return running.appender.missing(entry, touched) >>> 0;
    return (touched & ~(directory.unitMasks[row] ?? 0)) >>> 0;
  }

  takesSpace(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): boolean {
    const { running } = this;
    if (running === null) return true;
    const { directory } = running.parts;
    const row = directory.find(volumeKey, chunkIndex);
    const entry = row < 0 ? -1 : directory.cacheEntryOf(row);
    return this.missingUnits(running, row, entry, firstBlock, blockCount) !== 0;
  }

  private logTakes(running: Running, blockCount: number): boolean {
    const { layout, options, log, ring } = running.parts;
    if (log.crowded) return false;
    // A record may begin a batch in the next segment and leave the rest of this one unused.
    const blocks = blockCount + layout.headerBlocks + layout.segmentBlocks;
    const records = log.lastLsn + 1 - ring.tailLsn;
    const reserved = this.reservedBlocks(running.parts) + notesBlocks(layout, records);
    if (log.freeBlocks() < blocks + reserved) return false;
    if (records * 2 > ring.capacity) return false;
    return log.windowSegments < options.windowSegments;
  }

  roomForNotes(count: number): boolean {
    const { parts } = this.need();
    const { layout, log, ring } = parts;
    const records = log.lastLsn + 1 - ring.tailLsn + count;
    const blocks =
      notesBlocks(layout, count) +
      notesBlocks(layout, records) +
      layout.segmentBlocks +
      this.reservedBlocks(parts);
    const fits = !log.crowded && log.freeBlocks() >= blocks && records * 2 <= ring.capacity;
    if (!fits) {
      this.roomWanted = true;
      this.stirred = true;
    }
    return fits;
  }

  freeBlocks(): number {
    const { parts } = this.need();
    return Math.max(0, Math.min(parts.units.freeCount, parts.directory.freeRows));
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
  ): void {
    const { reader } = this.need();
    reader.read(token, volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount, bytes, at);
  }

  describe(token: Token, volumeKey: number, chunkIndex: number, states: Uint8Array): void {
    this.need().reader.describe(token, volumeKey, chunkIndex, states);
  }

  wantDurable(lsn: number): void {
    this.stir().parts.log.wantDurable(lsn);
  }

  settle(lsn: number): void {
    const { log } = this.stir().parts;
    if (lsn > log.settledLsn) log.settledLsn = Math.min(lsn, log.lastLsn);
  }

  setVolatile(volatileMode: boolean): number {
    return this.change().appender.setVolatile(volatileMode);
  }

  saveEntries(entries: readonly SavedEntry[]): number {
    return this.change().appender.saveEntries(entries);
  }

  entries(): Iterable<SavedEntry> {
    return this.need().parts.entries.all();
  }

  *chunksStampedAfter(comb: number, epoch: number, number: number): Generator<ChunkInfo> {
    const { directory } = this.need().parts;
    for (const row of directory.rowsOfComb(comb)) {
      const stampEpoch = directory.stampEpochs[row] ?? 0;
      const stampNumber = directory.stampNumbers[row] ?? 0;
      const after = stampEpoch > epoch || (stampEpoch === epoch && stampNumber > number);
      // The row may have gone while the caller was busy with others.
      if (!after || directory.volumeKeys[row] === 0 || directory.combs[row] !== comb) continue;
      yield {
        volumeKey: directory.volumeKeys[row] ?? 0,
        vtreeKey: directory.vtreeKeys[row] ?? 0,
        chunkIndex: directory.chunkIndexes[row] ?? 0,
        stampEpoch,
        stampNumber,
      };
    }
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
    return appender.restamp([...rows], comb, epoch, number);
  }

  knowsOp(run: number, opLow: number, opHigh: number): boolean {
    return this.need().parts.ring.knows(run, opLow, opHigh);
  }

  knownOps(comb: number): Iterable<OpRef> {
    const { ring, log } = this.need().parts;
    return ring.ops(comb, log.lastLsn);
  }

  forgetOps(comb: number): number {
    return this.change().appender.forgetOps(comb);
  }

  noteOp(context: WriteContext): number {
    return this.change().appender.note(context, 0);
  }

  freeVolume(volumeKey: number): void {
    const { parts, appender } = this.need();
    if (parts.dying.has(volumeKey)) return;
    if (!parts.directory.volumeUnits().has(volumeKey)) return;
    this.change();
    parts.dying.add(volumeKey);
    appender.freeVolume(volumeKey);
  }

  *volumes(): Generator<{ readonly volumeKey: number; readonly usedBytes: number }> {
    const { directory, layout } = this.need().parts;
    const unitBytes = layout.geometry.unitBlocks * layout.geometry.blockBytes;
    for (const [volumeKey, { units }] of directory.volumeUnits())
      yield { volumeKey, usedBytes: units * unitBytes };
  }

  usage(): { readonly capacityBytes: number; readonly usedBytes: number } {
    const { layout, units } = this.need().parts;
    const unitBytes = layout.geometry.unitBlocks * layout.geometry.blockBytes;
    return { capacityBytes: layout.units * unitBytes, usedBytes: units.usedCount * unitBytes };
  }
}
