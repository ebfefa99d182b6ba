// Requests of clients at the primary, from the frame to the answer. It owns the life of an operation, reads, and what
// becomes of operations when a link or a comb goes away; how changes are applied is the write path's. It must never
// acknowledge before `stability` says so (C3), nor refuse after anything was applied (C12).

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { ERR, FLAG, MSG } from '../protocol/generated/constants.js';
import { getCode, getComb } from '../protocol/generated/frame-head.js';
import { Admission } from './admission.js';
import { answer, refuse } from './answers.js';
import type { Client } from './clients.js';
import { PART } from './comb.js';
import type { Comb } from './comb.js';
import { Flushes } from './flushes.js';
import { Intake } from './intake.js';
import { OP_KIND, OP_PHASE, isShared } from './op.js';
import type { Op } from './op.js';
import { describeChunk, readBlocks } from './op-reads.js';
import { Merging } from './merging.js';
import { LOCK_STATE } from './range-lock.js';
import { Repair } from './repair.js';
import { LOAD } from './load-token.js';
import type { ServePart, Shared } from './shared.js';
import type { Stability } from './stability.js';
import { Watermarks } from './watermarks.js';
import { BLOCK_STATE, STORE_STATUS } from './store/store.js';
import { STALL_US_MAX, WritePath } from './write-path.js';

const MARKS = {
  stalled: mark('sds.serve: a link waits for room'),
  dropped: mark('sds.serve: dropped what a lost client had not begun'),
  aborted: mark('sds.serve: a demoted primary left a write to its successor'),
};

/** A read through layers is made again after what did not verify in one of them was repaired. */
const TIMES_AGAIN_MAX = 16;
const NOTHING = new Uint8Array(0);
const ENTRY_STATUSES: ReadonlySet<number> = new Set([ERR.STALE_GENERATION, ERR.NOT_PRIMARY]);

export class Serve implements ServePart {
  readonly admission: Admission;
  readonly flushes: Flushes;
  readonly repair: Repair;
  readonly watermarks: Watermarks;
  readonly merging: Merging;
  private readonly shared: Shared;
  private readonly intake: Intake;
  private readonly writePath: WritePath;
  private stalled: Client[] = [];
  private offerAtUs: Micros = Infinity;
  private freed = false;

  constructor(shared: Shared, stability: Stability) {
    this.shared = shared;
    this.admission = new Admission(shared);
    this.watermarks = new Watermarks(shared);
    this.merging = new Merging(shared);
    this.intake = new Intake(shared, this.admission);
    this.writePath = new WritePath(shared, this.admission, this.intake, {
      stall: (client) => this.stall(client),
      refuse: (client, code, view, at, status): void => {
        this.refuseWith(client, code, view, at, status);
      },
    });
    this.flushes = new Flushes(shared, stability, this.admission);
    this.repair = new Repair(shared, {
      repaired: (nowUs, op): void => {
        this.continueLoading(nowUs, op);
      },
      lost: (nowUs, op): void => {
        this.finish(nowUs, op, ERR.CHECKSUM_MISMATCH);
      },
    });
  }

  /** A frame of a client; false: not taken. */
  frame(
    nowUs: Micros,
    client: Client,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    const taken = this.take(nowUs, client, bytes, view, at, bodyBytes);
    if (taken) client.stalledSinceUs = Infinity;
    else if (client.stalledSinceUs === Infinity) client.stalledSinceUs = nowUs;
    return taken;
  }

  private take(
    nowUs: Micros,
    client: Client,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    const code = getCode(view, at);
    switch (code) {
      case MSG.READ:
      case MSG.DESCRIBE:
        return this.read(nowUs, client, code, view, at);
      case MSG.WRITE:
      case MSG.ZERO:
        return this.writePath.change(nowUs, client, code, bytes, view, at, bodyBytes);
      case MSG.FLUSH:
        return this.flushes.request(nowUs, client, view, at, bodyBytes) || this.stall(client);
      case MSG.OPS_SETTLED:
        if (!this.watermarks.told(client.run, view, at, bodyBytes))
          this.refuseWith(client, code, view, at, ERR.BAD_FRAME);
        return true;
      default:
        this.refuseWith(client, code, view, at, ERR.BAD_FRAME);
        return true;
    }
  }

  granted(nowUs: Micros, op: Op): void {
    if (op.client === null && isShared(op.kind)) {
      this.finish(nowUs, op, ERR.LINK_SUPERSEDED);
      return;
    }
    const { comb } = op;
    assert(comb !== null, 'an operation in use has its comb');
    assert(comb.part === PART.primary && comb.active, 'what waits is refused with its comb');
    if (isShared(op.kind)) {
      const lease = comb.members.every(
        (member) => !member.required || member.peer.leaseUntilUs > nowUs,
      );
      if (lease) this.load(op);
      else this.finish(nowUs, op, ERR.NO_LEASE);
      return;
    }
    if (op.kind === OP_KIND.merge) this.merging.proceed(nowUs, op);
    else this.writePath.proceed(nowUs, op);
  }

  /** A read of the store for an operation ended; the status is one of STORE_STATUS. */
  storeRead(
    nowUs: Micros,
    op: Op,
    part: number,
    status: number,
    badLow: number,
    badHigh: number,
  ): void {
    op.loads--;
    op.cached = this.shared.store.wasCached;
    this.repair.note(op, part, status, badLow, badHigh);
    this.continueLoading(nowUs, op);
  }

  /** The description of a chunk ended; the status is one of STORE_STATUS. */
  storeDescribed(nowUs: Micros, op: Op, status: number): void {
    op.loads--;
    // What cannot be described counts as data: whoever reads it hears what is wrong.
    if (status !== STORE_STATUS.ok) op.buffer?.bytes.fill(BLOCK_STATE.data);
    this.finish(nowUs, op, this.statusOfRead(op));
  }

  finish(nowUs: Micros, op: Op, status: number): void {
    const { shared } = this;
    const entry =
      ENTRY_STATUSES.has(status) && op.comb !== null
        ? this.admission.entryFor(status, op.comb.index)
        : NOTHING;
    answer(shared, op, status, entry);
    if (status === 0) this.count(nowUs, op);
    if (op.lockState !== LOCK_STATE.idle) shared.lock.release(op);
    if (op.buffer !== null) shared.buffers.give(op.buffer);
    op.buffer = null;
    shared.ops.give(op);
    this.freed = true;
  }

  interrupt(nowUs: Micros, comb: Comb): void {
    const stays = comb.part === PART.primary;
    const status = stays ? ERR.NOT_READY : ERR.STALE_GENERATION;
    this.flushes.interrupt(nowUs, comb);
    for (const op of this.shared.ops.inUse()) {
      if (op.comb !== comb || op.kind === OP_KIND.flush) continue;
      if (op.phase === OP_PHASE.locking && op.loads === 0) this.finish(nowUs, op, status);
      else if (op.phase === OP_PHASE.applied && !stays) {
        MARKS.aborted.hits++;
        this.finish(nowUs, op, status);
      }
    }
  }

  membersChanged(nowUs: Micros): void {
    this.flushes.progress(nowUs);
  }

  /** The link of a client is gone: what it asked for and has not begun never happens (C10). */
  clientGone(nowUs: Micros, client: Client): void {
    this.stalled = this.stalled.filter((other) => other !== client);
    for (const op of this.shared.ops.inUse()) {
      if (op.client !== client) continue;
      op.client = null;
      if (op.phase !== OP_PHASE.locking || op.lockState === LOCK_STATE.held) continue;
      MARKS.dropped.hits++;
      this.finish(nowUs, op, ERR.LINK_SUPERSEDED);
    }
  }

  /** The store has room again, perhaps. */
  storeProgress(nowUs: Micros): void {
    this.freed = true;
    this.writePath.storeProgress(nowUs);
    this.merging.storeProgress(nowUs);
  }

  /** Links that wait are offered their frames again: what kept them waiting is over, perhaps. */
  mayResume(): void {
    this.freed = true;
  }

  /** When stalled links are offered their frames again although nothing became free: some have waited for long enough. */
  nextDeadlineUs(): Micros {
    return this.stalled.length === 0 ? Infinity : this.offerAtUs;
  }

  tick(nowUs: Micros): void {
    if (nowUs >= this.nextDeadlineUs()) this.freed = true;
  }

  /** Offers stalled links their frames again, if anything became free. */
  resumeStalled(): void {
    if (!this.freed) return;
    this.freed = false;
    if (this.stalled.length === 0) return;
    const stalled = this.stalled;
    this.stalled = [];
    for (const client of stalled) {
      client.stalled = false;
      this.shared.links.resume(client.link);
    }
  }

  private stall(client: Client): false {
    MARKS.stalled.hits++;
    if (this.stalled.length === 0) this.offerAtUs = this.shared.nowUs + STALL_US_MAX;
    if (!client.stalled) this.stalled.push(client);
    client.stalled = true;
    return false;
  }

  private refuseWith(
    client: Client,
    code: number,
    view: DataView,
    at: number,
    status: number,
  ): void {
    const entry = this.admission.entryFor(status, getComb(view, at));
    refuse(this.shared, client, code, view, at, status, entry);
  }

  // Reading.

  /** READ or DESCRIBE. */
  private read(nowUs: Micros, client: Client, code: number, view: DataView, at: number): boolean {
    const status = this.admission.judge(nowUs, client, code, view, at);
    this.intake.setExtent(view, at);
    const { blockCount } = this.intake.extent;
    const describes = code === MSG.DESCRIBE;
    if (status !== 0 || (!describes && blockCount > this.shared.ioBlocksMax)) {
      this.refuseWith(client, code, view, at, status === 0 ? ERR.BAD_FRAME : status);
      return true;
    }
    const { chunkBlocks } = this.shared.geometry;
    const buffer = this.shared.buffers.take(describes ? chunkBlocks : this.wholeBytes(blockCount));
    if (buffer === null) return this.stall(client);
    const op = this.shared.ops.take();
    if (op === null) {
      this.shared.buffers.give(buffer);
      return this.stall(client);
    }
    this.intake.fill(nowUs, op, describes ? OP_KIND.describe : OP_KIND.read, client, view, at);
    op.buffer = buffer;
    if (this.shared.lock.acquire(op)) this.load(op);
    return true;
  }

  private load(op: Op): void {
    const { buffer, firstBlock, blockCount } = op;
    const { store, caching } = this.shared;
    assert(buffer !== null, 'a read has a buffer');
    op.phase = OP_PHASE.loading;
    op.loads = 1;
    if (op.kind === OP_KIND.describe) describeChunk(store, op, LOAD.range, buffer.bytes);
    else {
      const caches = caching.takesRead(op);
      readBlocks(store, op, LOAD.range, firstBlock, blockCount, buffer.bytes, 0, caches);
    }
  }

  /** What was read through layers that are not the volume's any more is no answer. */
  private statusOfRead({ comb, volume, layers }: Op): number {
    if (comb?.part !== PART.primary) return ERR.STALE_GENERATION;
    return volume?.layers === layers ? 0 : ERR.STALE_VOLUME_EPOCH;
  }

  private loadAgain(op: Op): void {
    op.zero = false;
    if (isShared(op.kind)) this.load(op);
    else if (op.kind === OP_KIND.merge) this.merging.load(op);
    else this.writePath.loadEdges(op);
  }

  private continueLoading(nowUs: Micros, op: Op): void {
    if (op.loads > 0) return;
    if (op.badParts !== 0) {
      op.phase = OP_PHASE.repairing;
      this.repair.next(nowUs, op);
      return;
    }
    if (op.readsAgain && op.timesAgain < TIMES_AGAIN_MAX) {
      op.readsAgain = false;
      op.timesAgain++;
      this.loadAgain(op);
      return;
    }
    if (op.kind === OP_KIND.read) {
      this.finish(nowUs, op, op.readsAgain ? ERR.CHECKSUM_MISMATCH : this.statusOfRead(op));
      return;
    }
    if (op.kind === OP_KIND.merge) {
      this.merging.loaded(nowUs, op);
      return;
    }
    op.phase = OP_PHASE.locking;
    if (op.revoked !== 0) {
      this.finish(nowUs, op, op.revoked);
      return;
    }
    const { comb } = op;
    if (comb?.part !== PART.primary || !comb.active) {
      this.finish(nowUs, op, comb?.part === PART.primary ? ERR.NOT_READY : ERR.STALE_GENERATION);
      return;
    }
    this.writePath.loaded(nowUs, op);
  }

  // Small things.

  private wholeBytes(blockCount: number): number {
    return blockCount * (4 + this.shared.geometry.blockBytes);
  }

  private count(nowUs: Micros, op: Op): void {
    const totals = op.volume?.totals;
    if (totals === undefined || op.kind === OP_KIND.describe) return;
    const lengthBytes = op.lengthSectors * this.shared.geometry.sectorBytes;
    const micros = nowUs - op.startedUs;
    if (op.kind === OP_KIND.read) {
      totals.readOps++;
      totals.readBytes += lengthBytes;
      totals.readMicros += micros;
      if (op.cached) {
        totals.cachedReadOps++;
        totals.cachedReadBytes += lengthBytes;
      }
    } else if (op.kind === OP_KIND.zero && (op.flags & FLAG.discard) !== 0) {
      totals.trimOps++;
      totals.trimBytes += lengthBytes;
    } else {
      totals.writeOps++;
      totals.writeBytes += lengthBytes;
      totals.writeMicros += micros;
    }
  }
}
