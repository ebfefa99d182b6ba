// The device store: the machine behind the contract of store.ts. It owns the routing of completions and the order in which
// its parts go on; what they do is theirs (appender, reader, homing, checkpoint, reaper, recovery). The format on the
// device is described in backend/docs/device-format.md.

import { assert } from '../../core/assert.js';
import type { Disk, Micros, Token } from '../../core/ports.js';

import type { Appender } from './appender.js';
import { Checkpoint } from './checkpoint.js';
import { Homing } from './homing.js';
import { DiskQueue, IO } from './io.js';
import type { Loader } from './loader.js';
import { PageWriter } from './page-writer.js';
import { homeOffset } from './parts.js';
import type { Parts } from './parts.js';
import type { StoreOptions } from './store-options.js';
import { ReadWatch } from './read-watch.js';
import { Reader } from './reader.js';
import { Reaper } from './reaper.js';
import { Recovery } from './recovery.js';
import type { Opened, RecoveryHost } from './recovery.js';
import { Rooms } from './rooms.js';
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
import { Trimming } from './trimming.js';

/** Everything that exists once the device is open. */
interface Running {
  readonly parts: Parts;
  readonly loader: Loader;
  readonly appender: Appender;
  readonly reader: Reader;
  readonly reads: ReadWatch;
  readonly homing: Homing;
  readonly pages: PageWriter;
  readonly rooms: Rooms;
  readonly trimming: Trimming;
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
  /** Somebody was told to wait for room. */
  private roomWanted = false;
  private progress = false;
  private again = false;
  /** Something happened since the parts last had their turn. */
  private stirred = false;

  constructor(disk: Disk, geometry: Geometry, options: StoreOptions, host: StoreHost) {
    this.disk = disk;
    this.geometry = geometry;
    this.options = options;
    this.host = host;
    this.queue = new DiskQueue(disk);
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
    const { parts, loader, appender, tables, writer, superblock, identity } = opened;
    this.recovery = null;
    const homing = new Homing(parts);
    homing.begin(parts.log.headPosition);
    const pages = new PageWriter(parts, tables, superblock);
    const { host } = this;
    const reads = new ReadWatch(parts, writer);
    const checkpoint = new Checkpoint(
      parts,
      homing,
      appender.records,
      pages,
      writer,
      superblock,
      reads,
      host,
    );
    this.running = {
      parts,
      loader,
      appender,
      reader: new Reader(parts, loader),
      reads,
      homing,
      pages,
      rooms: new Rooms(parts, appender),
      trimming: new Trimming(parts, homing, checkpoint, nowUs),
      reaper: new Reaper(parts, loader, appender),
      superblockDone: () => {
        writer.writeDone();
      },
    };
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
    if (kind === IO.probe) {
      if (running.reads.probed(ok)) this.failed(nowUs, 'nothing can be read from the device');
      return;
    }
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
        if (log.groups.writeDone(argA)) this.progress = true;
        break;
      case IO.direct:
        running.appender.direct.done(argB);
        if (log.groups.writeDone(argA)) this.progress = true;
        running.reader.directDone();
        break;
      case IO.home:
        running.homing.copyDone(argA, argB);
        break;
      case IO.read:
        running.reads.note(ok);
        running.reader.runDone(argA, argB, ok);
        break;
      case IO.load:
        running.reads.note(ok);
        this.loaded(running, argA, argB, ok);
        break;
      case IO.page:
        running.pages.pageDone(argA);
        break;
      case IO.superblock:
        running.superblockDone();
        break;
      case IO.flush:
        if (log.flusher.partDone(argA)) this.progress = true;
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
    this.running.trimming.tick(nowUs);
    this.advance(nowUs);
  }

  nextDeadlineUs(): Micros {
    const { running } = this;
    if (running === null) return Infinity;
    if (this.again || running.reader.hasReady) return 0;
    return Math.min(running.trimming.nextDeadlineUs(), running.homing.dueUs);
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
    const { parts, rooms, homing, trimming, reaper, reads } = running;
    const { log } = parts;
    this.stirred = false;
    reads.pump();
    trimming.noteChanges(nowUs);
    if (!log.groups.crowded) log.submitOrCollect();
    this.again = reaper.pump(rooms.reservedBlocks);
    trimming.relieve(nowUs, this.roomWanted);
    homing.pump(nowUs, trimming.urgent);
    if (trimming.pump()) this.trimmed(trimming);
    if (log.releaseBefore(homing.position)) this.madeRoom();
    const { units } = parts;
    if (units.blockedCount > 0 && units.confirm(log.flusher.confirmedLsn, this.unitBusy))
      this.madeRoom();
    if (rooms.cacheFreed()) this.madeRoom();
    log.pumpConfirm();
    if (!log.groups.crowded) log.submitOrCollect();
    log.flusher.pump();
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

  private trimmed(trimming: Trimming): void {
    this.madeRoom();
    this.stirred = true;
    if (!trimming.closed) return;
    this.closed = true;
    this.progress = true;
  }

  close(nowUs: Micros): void {
    const { running } = this;
    if (running === null || running.trimming.closing) return;
    this.stirred = true;
    running.trimming.close();
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
    const running = this.stir();
    running.trimming.changes++;
    return running;
  }

  room(volumeKey: number, chunkIndex: number, firstBlock: number, blockCount: number): Room {
    const { running } = this;
    if (running === null) return ROOM.wait;
    const room = running.rooms.judge(volumeKey, chunkIndex, firstBlock, blockCount);
    if (room === ROOM.wait) this.wantRoom();
    return room;
  }

  roomForNotes(count: number): boolean {
    const fits = this.need().rooms.takesNotes(count);
    if (!fits) this.wantRoom();
    return fits;
  }

  private wantRoom(): void {
    this.roomWanted = true;
    this.stirred = true;
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
    return this.change().appender.records.setVolatile(volatileMode);
  }

  saveEntries(entries: readonly SavedEntry[]): number {
    return this.change().appender.records.saveEntries(entries);
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
