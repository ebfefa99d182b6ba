// Trims the log: what lies before the cut is brought home, changed pages are written, what must outlive the cut is noted
// again, and only then the superblock says that the log starts later. It owns the order of these steps; it must never
// stop appends while it runs.
//
// 1 data of the records before the cut is home (or superseded)
// 2 operations that may still be asked for and ranges that are not settled are noted at the head of the log
// 3 changed pages are written, each after the records that it reflects are durable
// 4 a flush makes copies, pages, notes, and all that superseded a record before the cut durable
// 5 both superblocks say where the log starts now

import type { Homing } from './homing.js';
import { notesFit } from './notes.js';
import { segmentOf } from './layout.js';
import type { PageWriter } from './page-writer.js';
import type { Parts } from './parts.js';
import type { ReadWatch } from './read-watch.js';
import type { Records } from './records.js';
import { makeContext } from './store.js';
import type { StoreHost } from './store.js';
import type { SuperblockWriter } from './superblock-writer.js';
import type { Superblock } from './superblock.js';

const PHASE = { idle: 0, homing: 1, pages: 2, flushing: 3, superblock: 4 } as const;

export class Checkpoint {
  private readonly parts: Parts;
  private readonly homing: Homing;
  private readonly records: Records;
  private readonly pages: PageWriter;
  private readonly writer: SuperblockWriter;
  private readonly superblock: Superblock;
  private readonly reads: ReadWatch;
  private readonly host: StoreHost;
  private phase: number = PHASE.idle;
  private cutPosition = 0;
  private cutLsn = 0;
  private cutChain = 0;
  private endLsn = 0;
  private ticket = 0;
  private closing = false;
  /** Nothing was cut: what still counts finds no room to be noted again. */
  isStuck = false;
  private confirmLsn = 0;
  private confirmPosition = 0;
  private readonly context = makeContext();

  constructor(
    parts: Parts,
    homing: Homing,
    records: Records,
    pages: PageWriter,
    writer: SuperblockWriter,
    superblock: Superblock,
    reads: ReadWatch,
    host: StoreHost,
  ) {
    this.parts = parts;
    this.homing = homing;
    this.records = records;
    this.pages = pages;
    this.writer = writer;
    this.superblock = superblock;
    this.reads = reads;
    this.host = host;
  }

  /** Whether the running or last checkpoint is one that closes the device. */
  get isClosing(): boolean {
    return this.closing;
  }

  get running(): boolean {
    return this.phase !== PHASE.idle;
  }

  /** Starts with everything that was appended so far. */
  beginAll(closing: boolean): void {
    const { log } = this.parts;
    log.submit();
    if (log.usedBlocks * 2 > this.parts.layout.logBlocks) {
      // What must be noted again might not fit; the older half first.
      this.beginHalf();
      return;
    }
    this.closing = closing;
    this.begin(log.headPosition, log.lastLsn + 1, log.chain);
  }

  /** Starts with the older half of the log, in whole segments. */
  beginHalf(): void {
    const { log, layout } = this.parts;
    log.submit();
    const middle = log.tailPosition + Math.floor(log.usedBlocks / 2);
    const segment = segmentOf(layout, middle);
    const cut = segment * layout.segmentBlocks;
    if (cut <= log.tailPosition) {
      this.closing = false;
      this.begin(log.headPosition, log.lastLsn + 1, log.chain);
      return;
    }
    const place = segment % layout.segments;
    this.closing = false;
    this.begin(cut, log.segmentLsns[place] ?? 0, log.segmentChains[place] ?? 0);
  }

  private begin(position: number, lsn: number, chain: number): void {
    this.cutPosition = position;
    this.cutLsn = lsn;
    this.cutChain = chain;
    this.isStuck = false;
    this.phase = PHASE.homing;
    this.homing.want(position);
  }

  /** Goes on as far as possible. Returns true once, when the log was trimmed. */
  pump(): boolean {
    const { log } = this.parts;
    if (this.phase === PHASE.homing && this.homing.isHome(this.cutPosition)) {
      this.fitCut();
      this.noteAgain();
      this.pages.begin(this.cutLsn, this.superblock.sequence + 1);
      this.phase = PHASE.pages;
    }
    if (this.phase === PHASE.pages && this.pages.pump()) {
      log.submit();
      this.endLsn = log.lastLsn;
      log.wantDurable(this.endLsn);
      this.ticket = log.flusher.wantFlush();
      this.phase = PHASE.flushing;
    }
    if (
      this.phase === PHASE.flushing &&
      log.flusher.flushedSerial >= this.ticket &&
      log.flusher.durableLsn >= this.endLsn &&
      !this.reads.busy
    )
      this.writeSuperblock();
    if (this.phase === PHASE.superblock && this.writer.pump()) {
      this.phase = PHASE.idle;
      log.tailPosition = this.cutPosition;
      log.flusher.confirm(this.confirmLsn, this.confirmPosition);
      this.parts.ring.trim(this.cutLsn);
      this.parts.mode.format = this.superblock.format;
      return true;
    }
    return false;
  }

  /**
   * The cut moves back, at last to where the log begins, while the notes find no room: much may have been appended since
   * the last change that could be refused (test/sim/scenarios/notes-find-no-place.json).
   */
  private fitCut(): void {
    const { ring, log, layout, dying } = this.parts;
    const needed = [...this.needed()];
    while (this.cutLsn > ring.tailLsn) {
      while ((needed.at(-1) ?? 0) >= this.cutLsn) needed.pop();
      if (notesFit(this.parts, needed.length + dying.size)) return;
      this.closing = false;
      const segment = Math.ceil(this.cutPosition / layout.segmentBlocks) - 1;
      this.cutPosition = segment * layout.segmentBlocks;
      this.cutLsn = log.segmentLsns[segment % layout.segments] ?? 0;
      this.cutChain = log.segmentChains[segment % layout.segments] ?? 0;
      if (this.cutPosition > log.tailPosition) continue;
      this.cutPosition = log.tailPosition;
      this.cutLsn = ring.tailLsn;
      this.cutChain = this.superblock.tailChain;
      this.isStuck = true;
    }
  }

  /** LSNs of records before the cut that still count. */
  private *needed(): Generator<number> {
    const { ring, log } = this.parts;
    const end = Math.min(this.cutLsn, log.lastLsn + 1);
    const newest = ring.newestNotes(log.lastLsn);
    for (let lsn = ring.tailLsn; lsn < end; lsn++) {
      const slot = ring.slotOf(lsn);
      const originLsn = ring.originLsns[slot] ?? 0;
      // A crash between the notes and the superblock leaves both in the log: one of them is enough.
      if (ring.isNotedLater(lsn, newest)) continue;
      if (originLsn > log.settledLsn || this.opNeeded(slot, ring.runs[slot] ?? 0)) yield lsn;
    }
  }

  private noteAgain(): void {
    const { ring, log, dying } = this.parts;
    if (this.isStuck) return;
    for (const lsn of this.needed()) {
      const slot = ring.slotOf(lsn);
      const originLsn = ring.originLsns[slot] ?? 0;
      ring.load(slot, this.context);
      this.records.note(this.context, originLsn > log.settledLsn ? originLsn : 0);
    }
    for (const volumeKey of dying) this.records.freeVolume(volumeKey);
  }

  private opNeeded(slot: number, run: number): boolean {
    const { ring } = this.parts;
    if (run === 0) return false;
    const opLow = ring.opLows[slot] ?? 0;
    const opHigh = ring.opHighs[slot] ?? 0;
    return ring.isNewest(slot) && this.host.opIdNeeded(run, opLow, opHigh);
  }

  private writeSuperblock(): void {
    const { log, mode } = this.parts;
    const { superblock } = this;
    superblock.tailPosition = this.cutPosition;
    superblock.tailLsn = this.cutLsn;
    superblock.tailChain = this.cutChain;
    superblock.durableLsn = log.flusher.durableLsn;
    superblock.settledLsn = log.settledLsn;
    superblock.tablesSequence = superblock.sequence + 1;
    superblock.tablesDigest = this.pages.digest;
    superblock.volatile = mode.volatile || mode.lsn > log.flusher.durableLsn;
    // The owner sets the mode once the cluster knows about this open: from then on it needs no telling again.
    if (mode.lsn > 0 && mode.lsn <= log.flusher.durableLsn) superblock.rolledBack = false;
    superblock.format = mode.wantedFormat;
    superblock.clean = this.closing;
    this.confirmLsn = log.flusher.durableLsn;
    this.confirmPosition = log.flusher.durablePosition;
    this.phase = PHASE.superblock;
    this.writer.begin(superblock);
  }
}
