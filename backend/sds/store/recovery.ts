// Opens a device: finds the superblock, loads the tables, judges the log, applies it, copies home what is not there, and
// makes a new incarnation durable. It owns the order; nothing is written before the device is known to be acceptable, and
// no home is touched before the log that replaces it is durable and said to be.

import type { Disk, Micros, Token } from '../../core/ports.js';

import { Appender } from './appender.js';
import { ChunkCache } from './chunk-cache.js';
import { Directory } from './directory.js';
import { EntryTable } from './entry-table.js';
import { IO } from './io.js';
import type { DiskQueue } from './io.js';
import { segmentOf } from './layout.js';
import type { Layout } from './layout.js';
import { Loader } from './loader.js';
import { Log } from './log.js';
import { OpRing } from './op-ring.js';
import { tablesOf } from './page-writer.js';
import type { Table } from './page-writer.js';
import type { Parts } from './parts.js';
import type { StoreOptions } from './store-options.js';
import { ReplayApply, rowsToLoad } from './replay-apply.js';
import { ReadCache } from './read-cache.js';
import { ReplayHome } from './replay-home.js';
import { ReplayScan } from './replay-scan.js';
import { ReplayTables } from './replay-tables.js';
import type { Geometry, StoreIdentity } from './store.js';
import { SuperblockWriter } from './superblock-writer.js';
import { decodeSuperblock } from './superblock.js';
import type { DecodedSuperblock, Superblock } from './superblock.js';
import { UnitMap } from './unit-map.js';

const LOADS_MAX = 32;

const PHASE = {
  superblocks: 1,
  tables: 2,
  scan: 3,
  firstFlush: 4,
  load: 5,
  superblock: 6,
  home: 7,
  done: 8,
} as const;

/** What an opened device consists of. */
export interface Opened {
  readonly parts: Parts;
  readonly loader: Loader;
  readonly appender: Appender;
  readonly tables: readonly Table[];
  readonly writer: SuperblockWriter;
  readonly superblock: Superblock;
  readonly identity: StoreIdentity;
}

export interface RecoveryHost {
  recovered(nowUs: Micros, opened: Opened): void;
  refused(nowUs: Micros, reason: string): void;
  /** A write or a flush failed. */
  failed(nowUs: Micros, reason: string): void;
}

export class Recovery {
  private readonly disk: Disk;
  private readonly queue: DiskQueue;
  private readonly geometry: Geometry;
  private readonly options: StoreOptions;
  private readonly host: RecoveryHost;
  private readonly bootId: string;
  private phase: number = PHASE.superblocks;
  private bytes: Uint8Array;
  private faults: string[] = [];
  private found: DecodedSuperblock | null = null;
  private foundCopy = 0;
  private tailWasCut = false;
  private opened: Opened | null = null;
  private scan: ReplayScan | null = null;
  private tables: ReplayTables | null = null;
  private ticket = 0;
  private rows: number[] = [];
  private nextRow = 0;
  private home: ReplayHome | null = null;

  constructor(
    disk: Disk,
    queue: DiskQueue,
    geometry: Geometry,
    options: StoreOptions,
    host: RecoveryHost,
    bootId: string,
  ) {
    this.disk = disk;
    this.queue = queue;
    this.geometry = geometry;
    this.options = options;
    this.host = host;
    this.bootId = bootId;
    this.bytes = options.allocate(Math.max(geometry.blockBytes, 512));
  }

  private get superblockBytes(): number {
    return Math.ceil(256 / this.geometry.blockBytes) * this.geometry.blockBytes;
  }

  private secondSuperblockAt(): number {
    const blocks = Math.floor(this.disk.sizeBytes / this.geometry.blockBytes);
    return blocks * this.geometry.blockBytes - this.superblockBytes;
  }

  begin(nowUs: Micros): void {
    if (this.disk.sizeBytes < 4 * this.superblockBytes) {
      this.host.refused(nowUs, `the device has only ${this.disk.sizeBytes} bytes`);
      return;
    }
    this.readSuperblock(0);
  }

  private readSuperblock(copy: number): void {
    const offset = copy === 0 ? 0 : this.secondSuperblockAt();
    this.queue.read(IO.scan, copy, offset, offset, this.bytes, 0, this.superblockBytes);
  }

  /** A completion; the token was taken from the queue by the caller. */
  done(nowUs: Micros, kind: number, argA: number, argB: number, ok: boolean, token: Token): void {
    if (!ok && kind !== IO.scan && kind !== IO.load && kind !== IO.read) {
      this.host.failed(nowUs, `the device failed a write during recovery (operation ${token})`);
      return;
    }
    switch (this.phase) {
      case PHASE.superblocks:
        this.superblockRead(nowUs, argA, argB, ok);
        break;
      case PHASE.tables:
        this.tableRead(nowUs, ok);
        break;
      case PHASE.scan:
        this.scanRead(nowUs, ok);
        break;
      default:
        this.later(nowUs, kind, argA, argB, ok);
    }
  }

  private superblockRead(nowUs: Micros, copy: number, offset: number, ok: boolean): void {
    const decoded = ok ? decodeSuperblock(this.bytes, offset) : 'it cannot be read';
    if (typeof decoded === 'string') this.faults.push(decoded);
    else if (this.found === null || decoded.superblock.sequence > this.found.superblock.sequence) {
      this.found = decoded;
      this.foundCopy = copy;
    }
    if (copy === 0) {
      this.readSuperblock(1);
      return;
    }
    const reason = this.refusal();
    if (reason !== null || this.found === null) {
      this.host.refused(nowUs, reason ?? 'no superblock');
      return;
    }
    this.build(this.found);
    this.phase = PHASE.tables;
    this.readTables(nowUs);
  }

  private refusal(): string | null {
    const { found, options, geometry } = this;
    if (found === null) return this.faults.join('; ');
    const { layout, superblock } = found;
    const same =
      layout.geometry.blockBytes === geometry.blockBytes &&
      layout.geometry.sectorBytes === geometry.sectorBytes &&
      layout.geometry.chunkBlocks === geometry.chunkBlocks &&
      layout.geometry.unitBlocks === geometry.unitBlocks;
    if (!same) return 'the device was formatted with another geometry';
    if (layout.sizeBytes > this.disk.sizeBytes)
      return `the device has ${this.disk.sizeBytes} bytes, at format it had ${layout.sizeBytes}`;
    const { expected } = options;
    if (expected === undefined) return null;
    if (superblock.systemId !== expected.systemId)
      return `the device belongs to system ${superblock.systemId}, not ${expected.systemId}`;
    if (superblock.deviceKey !== expected.deviceKey)
      return `the device is number ${superblock.deviceKey}, not ${expected.deviceKey}`;
    return null;
  }

  private build(found: DecodedSuperblock): void {
    const { queue, options } = this;
    const { layout, superblock } = found;
    const { allocate } = options;
    const directory = new Directory(layout);
    const cache = new ChunkCache(layout, directory, options.cacheChunks);
    const parts: Parts = {
      layout,
      options,
      queue,
      log: new Log(layout, queue, superblock, options),
      ring: new OpRing(options.ringRecords),
      directory,
      units: new UnitMap(layout),
      cache,
      readCache: new ReadCache(options.cacheMemory ?? null, layout.geometry.blockBytes),
      entries: new EntryTable(layout),
      dying: new Set(),
      mode: {
        ...{ volatile: superblock.volatile, lsn: 0 },
        ...{ format: superblock.format, wantedFormat: superblock.format },
      },
    };
    parts.ring.tailLsn = superblock.tailLsn;
    const loader = new Loader(layout, queue, directory, cache, superblock, allocate);
    this.opened = {
      parts,
      loader,
      appender: new Appender(parts, loader),
      tables: tablesOf(parts),
      writer: new SuperblockWriter(layout, queue, parts.log, allocate),
      superblock,
      identity: {
        systemId: superblock.systemId,
        deviceKey: superblock.deviceKey,
        poolKey: superblock.poolKey,
        incarnation: Math.max(superblock.incarnation + 1, options.incarnationFloor ?? 0),
        dataIncarnation: superblock.incarnation,
        rolledBack: false,
      },
    };
    this.opened.writer.readFrom(this.foundCopy);
    this.tables = new ReplayTables(parts, this.opened.tables, superblock);
    // Segments of the log, which are copied home from here.
    this.bytes = allocate(layout.segmentBlocks * layout.geometry.blockBytes);
  }

  private readTables(nowUs: Micros): void {
    const { opened, tables } = this;
    if (opened === null || tables === null || tables.read()) return;
    if (tables.reason === null) this.beginScan(opened.parts.layout, opened.superblock);
    else this.host.refused(nowUs, tables.reason);
  }

  private tableRead(nowUs: Micros, ok: boolean): void {
    const { tables } = this;
    if (tables === null) return;
    if (tables.done(ok)) this.readTables(nowUs);
    else this.host.refused(nowUs, tables.reason ?? 'the tables cannot be read');
  }

  private beginScan(layout: Layout, superblock: Superblock): void {
    this.phase = PHASE.scan;
    this.scan = new ReplayScan(layout, this.queue, superblock, this.options.allocate);
    this.scan.begin();
  }

  private scanRead(nowUs: Micros, ok: boolean): void {
    const { scan, opened } = this;
    if (scan === null || opened === null) return;
    if (!ok) {
      // Without the log nobody knows what is newer: another copy does.
      this.host.refused(nowUs, 'the log cannot be read');
      return;
    }
    if (!scan.readDone()) return;
    if (scan.lastLsn < scan.durableLsn) {
      this.host.refused(
        nowUs,
        `the log ends at record ${scan.lastLsn}, but record ${scan.durableLsn} was durable`,
      );
      return;
    }
    const { log } = opened.parts;
    this.tailWasCut = scan.tailWasCut;
    log.begin(
      {
        tailPosition: opened.superblock.tailPosition,
        headPosition: scan.headPosition,
        chain: scan.chain,
        lastLsn: scan.lastLsn,
        incarnation: opened.identity.incarnation,
      },
      scan.settledLsn,
    );
    for (const [segment, start] of scan.segmentStarts) {
      const place = segment % opened.parts.layout.segments;
      if (segment > segmentOf(opened.parts.layout, scan.headPosition)) continue;
      log.segmentLsns[place] = start.lsn;
      log.segmentChains[place] = start.chain;
    }
    // Whatever the log holds that counts must be durable before anything is built on it.
    this.phase = PHASE.firstFlush;
    this.ticket = log.flusher.wantFlush();
    log.flusher.pump();
  }

  private later(nowUs: Micros, kind: number, argA: number, argB: number, ok: boolean): void {
    const { opened } = this;
    if (opened === null) return;
    const { log } = opened.parts;
    if (kind === IO.flush) log.flusher.partDone(argA);
    if (kind === IO.superblock) opened.writer.writeDone();
    if (kind === IO.load) this.descriptorLoaded(opened, argA, argB, ok);
    if (kind === IO.home) this.home?.copyDone();
    if (kind === IO.scan && !ok) {
      this.host.refused(nowUs, 'the log cannot be read');
      return;
    }
    if (kind === IO.scan) this.home?.readDone();
    if (this.phase === PHASE.firstFlush && log.flusher.flushedSerial >= this.ticket)
      this.beginLoad(opened);
    if (this.phase === PHASE.load) this.pumpLoad(opened);
    if (this.phase === PHASE.superblock && opened.writer.pump()) {
      this.phase = PHASE.home;
      this.home = new ReplayHome(opened.parts, this.bytes);
    }
    if (this.phase === PHASE.home && this.home?.pump() === true) this.finish(nowUs, opened);
    if (this.phase < PHASE.done) log.flusher.pump();
  }

  /** Makes the new incarnation durable, and that everything in the log up to here counts. */
  private beginSuperblock(opened: Opened): void {
    const { superblock, identity, parts } = opened;
    this.phase = PHASE.superblock;
    const bootChanged = superblock.bootId !== this.bootId;
    if (bootChanged && !superblock.clean && parts.mode.volatile) superblock.rolledBack = true;
    superblock.incarnation = identity.incarnation;
    superblock.dataIncarnation = identity.dataIncarnation;
    superblock.clean = false;
    superblock.volatile = parts.mode.volatile;
    superblock.durableLsn = parts.log.lastLsn;
    superblock.settledLsn = parts.log.settledLsn;
    superblock.bootId = this.bootId;
    opened.writer.begin(superblock);
  }

  private beginLoad(opened: Opened): void {
    this.phase = PHASE.load;
    this.rows = rowsToLoad(this.scan?.batches ?? []).filter(
      (row) => opened.parts.directory.volumeKeys[row] !== 0,
    );
  }

  private pumpLoad(opened: Opened): void {
    const { parts, loader } = opened;
    while (this.nextRow < this.rows.length && loader.loading < LOADS_MAX) {
      const row = this.rows[this.nextRow++] ?? 0;
      loader.load(parts.cache.open(row));
    }
    if (this.nextRow < this.rows.length || loader.loading > 0) return;
    this.applyLog(opened);
    this.beginSuperblock(opened);
  }

  private descriptorLoaded(opened: Opened, entry: number, buffer: number, ok: boolean): void {
    opened.loader.done(entry, buffer, ok);
    // What was found has to stay until the log is applied, whatever the size of the cache.
    opened.parts.cache.pins[entry] = 1;
  }

  private applyLog(opened: Opened): void {
    const { parts } = opened;
    const { cache, directory } = parts;
    const apply = new ReplayApply(parts);
    for (const batch of this.scan?.batches ?? []) apply.apply(batch);
    cache.pins.fill(0);
    directory.rebuild();
    this.scan = null;
  }

  private finish(nowUs: Micros, opened: Opened): void {
    this.phase = PHASE.done;
    // Seed 2190 of the model: the next batch may begin in another segment, and the one that never happened would stand
    // in its place in the chain.
    if (this.tailWasCut) opened.parts.log.appendMarker();
    const identity = { ...opened.identity, rolledBack: opened.superblock.rolledBack };
    this.host.recovered(nowUs, { ...opened, identity });
  }
}
