// What runs while a device is open. It owns the parts, which completion belongs to which of them, and the order in which
// they go on; what they do is theirs (appender, reader, homing, checkpoint, reaper).

import type { Micros } from '../../core/ports.js';

import type { Appender } from './appender.js';
import { Checkpoint } from './checkpoint.js';
import { CombReaper } from './comb-reaper.js';
import { Homing } from './homing.js';
import { IO } from './io.js';
import type { DiskQueue } from './io.js';
import type { Loader } from './loader.js';
import { Merger } from './merger.js';
import { PageWriter } from './page-writer.js';
import { homeOffset } from './parts.js';
import type { Parts } from './parts.js';
import { ReadWatch } from './read-watch.js';
import { Reader } from './reader.js';
import { Reaper } from './reaper.js';
import type { Opened } from './recovery.js';
import { Rooms } from './rooms.js';
import { ROOM } from './store.js';
import type { Room, StoreHost } from './store.js';
import type { SuperblockWriter } from './superblock-writer.js';
import { Trimming } from './trimming.js';

export class OpenStore {
  readonly parts: Parts;
  readonly appender: Appender;
  readonly reader: Reader;
  readonly rooms: Rooms;
  readonly merger: Merger;
  private readonly queue: DiskQueue;
  private readonly host: StoreHost;
  private readonly loader: Loader;
  private readonly writer: SuperblockWriter;
  private readonly reads: ReadWatch;
  private readonly homing: Homing;
  private readonly pages: PageWriter;
  private readonly trimming: Trimming;
  private readonly reaper: Reaper;
  readonly combReaper: CombReaper;
  /** Somebody was told to wait for room. */
  private roomWanted = false;
  /** The host has to hear that something is written, durable, or free. */
  private progress = false;
  /** The reaper did not finish: there is more to do at once. */
  private again = false;
  /** Something happened since the parts last had their turn. */
  private stirred = true;

  constructor(opened: Opened, queue: DiskQueue, host: StoreHost, nowUs: Micros) {
    const { parts, loader, appender, tables, writer, superblock } = opened;
    this.parts = parts;
    this.queue = queue;
    queue.useCache(parts.readCache, parts.layout.geometry.blockBytes);
    this.host = host;
    this.loader = loader;
    this.appender = appender;
    this.writer = writer;
    this.homing = new Homing(parts);
    this.homing.begin(parts.log.headPosition);
    this.pages = new PageWriter(parts, tables, superblock);
    this.reads = new ReadWatch(parts, writer);
    const checkpoint = new Checkpoint(
      parts,
      this.homing,
      appender.records,
      this.pages,
      writer,
      superblock,
      this.reads,
      host,
    );
    this.reader = new Reader(parts, loader);
    this.rooms = new Rooms(parts, appender);
    this.merger = new Merger(parts, loader, appender);
    this.trimming = new Trimming(parts, this.homing, checkpoint, nowUs);
    this.reaper = new Reaper(parts, loader, appender);
    this.combReaper = new CombReaper(parts, loader, appender);
  }

  /** The device was closed by `close`. */
  get closed(): boolean {
    return this.trimming.closed;
  }

  /** The parts have something to do. */
  stir(): void {
    this.stirred = true;
  }

  /** The owner changes something that the log has to keep. */
  changing(): void {
    this.stirred = true;
    this.trimming.changes++;
  }

  /** See `Store.room`. */
  room(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    forwarded: boolean,
  ): Room {
    const room = this.rooms.judge(volumeKey, chunkIndex, firstBlock, blockCount, forwarded);
    if (room === ROOM.wait) this.wantRoom();
    return room;
  }

  /** See `Store.roomForNotes`. */
  roomForNotes(count: number): boolean {
    const fits = this.rooms.takesNotes(count);
    if (!fits) this.wantRoom();
    return fits;
  }

  /** See `LayerStore.maskRoom`. */
  maskRoom(layerKey: number, chunkIndex: number, forwarded: boolean): Room {
    const room = this.rooms.judgeMask(layerKey, chunkIndex, forwarded);
    if (room === ROOM.wait) this.wantRoom();
    return room;
  }

  /** See `LayerStore.mergeRoom`. */
  mergeRoom(childKey: number, parentKey: number, chunkIndex: number, forwarded: boolean): Room {
    const { directory } = this.parts;
    const parentRow = directory.find(parentKey, chunkIndex);
    if (parentRow < 0) return ROOM.ok;
    const row = directory.find(childKey, chunkIndex);
    const room = this.rooms.judgeMerge(row, parentRow, forwarded);
    if (room === ROOM.wait) this.wantRoom();
    if (room !== ROOM.ok) return room;
    const isHere = this.merger.isHere(parentRow);
    return (row < 0 || this.merger.isHere(row)) && isHere ? ROOM.ok : ROOM.wait;
  }

  /** See `LayerStore.isEmptied`. */
  isEmptied(layerKey: number, chunkIndex: number): boolean | null {
    const { directory, cache } = this.parts;
    const row = directory.find(layerKey, chunkIndex);
    if (row < 0) return true;
    return this.merger.isHere(row) ? cache.isEmptied(directory.cacheEntryOf(row)) : null;
  }

  private wantRoom(): void {
    this.roomWanted = true;
    this.stirred = true;
  }

  /**
   * An operation of the disk is done.
   *
   * @returns why the device is lost, or null
   */
  diskDone(kind: number, argA: number, argB: number, ok: boolean): string | null {
    this.stirred = true;
    if (kind === IO.probe)
      return this.reads.probed(ok) ? 'nothing can be read from the device' : null;
    if (!ok && kind !== IO.read && kind !== IO.load)
      return kind === IO.flush ? 'a flush of the device failed' : 'a write failed';
    this.route(kind, argA, argB, ok);
    return null;
  }

  private route(kind: number, argA: number, argB: number, ok: boolean): void {
    const { log } = this.parts;
    switch (kind) {
      case IO.log:
        if (log.groups.writeDone(argA)) this.progress = true;
        break;
      case IO.direct:
        this.appender.direct.done(argB);
        if (log.groups.writeDone(argA)) this.progress = true;
        this.reader.directDone();
        break;
      case IO.home:
        this.homing.copyDone(argA, argB);
        break;
      case IO.read:
        this.reads.note(ok);
        this.reader.runDone(argA, argB, ok);
        break;
      case IO.load:
        this.reads.note(ok);
        this.loaded(argA, argB, ok);
        break;
      case IO.page:
        this.pages.pageDone(argA);
        break;
      case IO.superblock:
        this.writer.writeDone();
        break;
      case IO.flush:
        if (log.flusher.partDone(argA)) this.progress = true;
        break;
    }
  }

  private loaded(entry: number, buffer: number, ok: boolean): void {
    if (this.loader.done(entry, buffer, ok)) this.appender.reclaim(entry);
    // Where discarded units lay is lost with the descriptor: they cannot be freed.
    else this.parts.cache.emptied[entry] = 0;
    this.appender.giveHomes(entry);
    this.reader.loaded(entry);
    if (this.merger.loaded(entry)) this.progress = true;
  }

  tick(nowUs: Micros): void {
    this.stirred = true;
    this.trimming.tick(nowUs);
    this.parts.readCache.step(nowUs);
    this.advance(nowUs);
  }

  nextDeadlineUs(): Micros {
    if (this.again || this.reader.hasReady) return 0;
    return Math.min(
      this.trimming.nextDeadlineUs(),
      this.homing.dueUs,
      this.parts.readCache.nextDeadlineUs(),
    );
  }

  close(nowUs: Micros): void {
    if (this.trimming.closing) return;
    this.stirred = true;
    this.trimming.close();
    this.advance(nowUs);
  }

  /** Lets every part go on, and tells the host what came of it. */
  advance(nowUs: Micros): void {
    for (;;) {
      if (this.stirred) this.work(nowUs);
      let told = this.stirred;
      if (this.progress) {
        this.progress = false;
        told = true;
        this.host.storeProgress(nowUs);
        this.merger.told();
      }
      if (this.reader.deliver(nowUs, this.host)) told = true;
      // What the host appended meanwhile belongs to this batch.
      if (!told) return;
    }
  }

  private work(nowUs: Micros): void {
    const { rooms, homing, trimming, reaper, combReaper, reads } = this;
    const { log, units, dying } = this.parts;
    this.stirred = false;
    reads.pump();
    trimming.noteChanges(nowUs);
    if (!log.groups.crowded) log.submitOrCollect();
    this.again = reaper.pump(rooms.reservedBlocks);
    if (combReaper.pump(rooms.reservedBlocks)) this.again = true;
    trimming.relieve(nowUs, this.roomWanted || dying.size + combReaper.size > 0);
    homing.pump(nowUs, trimming.urgent);
    if (trimming.pump()) this.trimmed();
    if (log.releaseBefore(homing.position)) this.madeRoom();
    if (units.blockedCount > 0 && units.confirm(log.flusher.confirmedLsn, this.unitBusy))
      this.madeRoom();
    if (rooms.cacheFreed()) this.madeRoom();
    // Nobody asks for what peers are not granted, so it does not wait for somebody who does (seed 161116443).
    if (units.blockedCount > units.freeCount) rooms.confirmFreed();
    log.pumpConfirm();
    if (!log.groups.crowded) log.submitOrCollect();
    log.flusher.pump();
  }

  private readonly unitBusy = (unit: number): boolean => {
    const { layout } = this.parts;
    const { unitBlocks, blockBytes } = layout.geometry;
    return this.queue.overlaps(homeOffset(layout, unit + 1, 0), unitBlocks * blockBytes);
  };

  private madeRoom(): void {
    if (!this.roomWanted) return;
    this.roomWanted = false;
    this.progress = true;
  }

  private trimmed(): void {
    this.madeRoom();
    this.stirred = true;
    if (this.closed) this.progress = true;
  }
}
