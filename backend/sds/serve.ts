// Requests of clients at the primary: READ, WRITE, ZERO and OPS_SETTLED, from the frame to the answer. It owns the life of
// an operation: lock, load, append and forward, answer. It must never acknowledge before `stability` says so (C3), nor
// refuse after anything was applied (C12).

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { ERR, FLAG, MSG } from '../protocol/generated/constants.js';
import {
  getAuthority,
  getChunkIndex,
  getCode,
  getComb,
  getFlags,
  getLengthSectors,
  getOffsetSectors,
  getOpHigh,
  getOpLow,
  getTag,
} from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import { Admission } from './admission.js';
import { answer, confirm, refuse } from './answers.js';
import type { PayloadBuffer } from './buffers.js';
import type { Client } from './clients.js';
import { PART } from './comb.js';
import type { Comb } from './comb.js';
import { Edges } from './edges.js';
import { Flushes } from './flushes.js';
import { OP_KIND, OP_PHASE } from './op.js';
import type { Op, OpKind } from './op.js';
import { MutableExtent, verifies } from './payload.js';
import { LOCK_STATE } from './range-lock.js';
import { Repair } from './repair.js';
import { LOAD, loadToken } from './load-token.js';
import { makeContext } from './shared.js';
import type { ServePart, Shared } from './shared.js';
import type { Stability } from './stability.js';
import { ROOM } from './store/store.js';
import type { WriteContext } from './store/store.js';
import { Watermarks } from './watermarks.js';

const MARKS = {
  stalled: mark('sds.serve: a link waits for room'),
  behind: mark('sds.serve: a change waits for an overlapping operation'),
  joined: mark('sds.serve: a retry joined a running operation'),
  known: mark('sds.serve: a retry was done before'),
  full: mark('sds.serve: no space'),
  noCredit: mark('sds.serve: a member has no room'),
  dropped: mark('sds.serve: dropped what a lost client had not begun'),
  overtaken: mark('sds.serve: the comb changed while an operation waited'),
  aborted: mark('sds.serve: a demoted primary left a write to its successor'),
  badPayload: mark('sds.serve: a payload did not match its checksums'),
};

const NOTHING = new Uint8Array(0);
const ENTRY_STATUSES: ReadonlySet<number> = new Set([ERR.STALE_GENERATION, ERR.NOT_PRIMARY]);

export class Serve implements ServePart {
  readonly admission: Admission;
  readonly flushes: Flushes;
  readonly repair: Repair;
  readonly watermarks: Watermarks;
  private readonly shared: Shared;
  private readonly edges: Edges;
  private readonly context: WriteContext = makeContext();
  private readonly extent = new MutableExtent();
  /** Handles of operations that hold their lock and wait for room in the store. */
  private roomWaiters: number[] = [];
  private stalled: Client[] = [];
  private freed = false;

  constructor(shared: Shared, stability: Stability) {
    this.shared = shared;
    this.admission = new Admission(shared);
    this.watermarks = new Watermarks(shared);
    this.edges = new Edges(shared);
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
    const code = getCode(view, at);
    switch (code) {
      case MSG.READ:
        return this.read(nowUs, client, view, at);
      case MSG.WRITE:
      case MSG.ZERO:
        return this.change(nowUs, client, code, bytes, view, at, bodyBytes);
      case MSG.FLUSH:
        return this.flushes.request(nowUs, client, view, at, bodyBytes) || this.stall(client);
      case MSG.OPS_SETTLED:
        this.watermarks.told(client.run, getOpLow(view, at), getOpHigh(view, at));
        return true;
      default:
        this.refuseWith(client, code, view, at, ERR.BAD_FRAME);
        return true;
    }
  }

  granted(nowUs: Micros, op: Op): void {
    if (op.client === null && op.kind === OP_KIND.read) {
      this.finish(nowUs, op, ERR.LINK_SUPERSEDED);
      return;
    }
    const { comb } = op;
    assert(comb !== null, 'an operation in use has its comb');
    if (comb.part !== PART.primary || !comb.active) {
      MARKS.overtaken.hits++;
      this.finish(nowUs, op, comb.part === PART.primary ? ERR.NOT_READY : ERR.STALE_GENERATION);
      return;
    }
    if (op.kind === OP_KIND.read) {
      const lease = comb.members.every(
        (member) => !member.required || member.peer.leaseUntilUs > nowUs,
      );
      if (lease) this.load(op);
      else this.finish(nowUs, op, ERR.NO_LEASE);
      return;
    }
    if (op.partial) this.loadEdges(op);
    else this.applyWaiting(nowUs, op);
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
    this.repair.note(op, part, status, badLow, badHigh);
    this.continueLoading(nowUs, op);
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
    if (this.roomWaiters.length === 0) return;
    const waiting = this.roomWaiters;
    this.roomWaiters = [];
    // An operation may have ended meanwhile, and its slot may have been taken again.
    for (const handle of waiting) {
      const op = this.shared.ops.find(handle);
      if (op !== null) this.granted(nowUs, op);
    }
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

  private read(nowUs: Micros, client: Client, view: DataView, at: number): boolean {
    const status = this.admission.judge(nowUs, client, MSG.READ, view, at);
    this.setExtent(view, at);
    if (status !== 0 || this.extent.blockCount > this.shared.ioBlocksMax) {
      this.refuseWith(client, MSG.READ, view, at, status === 0 ? ERR.BAD_FRAME : status);
      return true;
    }
    const buffer = this.shared.buffers.take(this.wholeBytes(this.extent.blockCount));
    if (buffer === null) return this.stall(client);
    const op = this.shared.ops.take();
    if (op === null) {
      this.shared.buffers.give(buffer);
      return this.stall(client);
    }
    this.fill(nowUs, op, OP_KIND.read, client, view, at);
    op.buffer = buffer;
    if (this.shared.lock.acquire(op)) this.load(op);
    return true;
  }

  private load(op: Op): void {
    const { buffer, volume } = op;
    assert(buffer !== null && volume !== null, 'a read has a buffer and a volume');
    op.phase = OP_PHASE.loading;
    op.loads = 1;
    this.shared.store.read(
      loadToken(op.slot, LOAD.range),
      volume.key,
      volume.vtreeKey,
      op.chunkIndex,
      op.firstBlock,
      op.blockCount,
      buffer.bytes,
      0,
    );
  }

  private continueLoading(nowUs: Micros, op: Op): void {
    if (op.loads > 0) return;
    if (op.badParts !== 0) {
      op.phase = OP_PHASE.repairing;
      this.repair.next(nowUs, op);
      return;
    }
    if (op.kind === OP_KIND.read) {
      this.finish(nowUs, op, op.comb?.part === PART.primary ? 0 : ERR.STALE_GENERATION);
      return;
    }
    op.phase = OP_PHASE.locking;
    if (op.revoked) {
      this.finish(nowUs, op, ERR.MAPPING_REVOKED);
      return;
    }
    const { comb } = op;
    if (comb?.part !== PART.primary || !comb.active) {
      this.finish(nowUs, op, comb?.part === PART.primary ? ERR.NOT_READY : ERR.STALE_GENERATION);
      return;
    }
    this.edges.merge(op);
    this.applyWaiting(nowUs, op);
  }

  // Changing.

  private change(
    nowUs: Micros,
    client: Client,
    code: number,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    let status = this.admission.judge(nowUs, client, code, view, at);
    this.setExtent(view, at);
    if (status === 0) status = this.judgePayload(code, bytes, view, at, bodyBytes);
    if (status !== 0) {
      this.refuseWith(client, code, view, at, status);
      return true;
    }
    if ((getFlags(view, at) & FLAG.retry) !== 0 && this.joinEarlier(client, view, at)) return true;
    const isZero = code === MSG.ZERO;
    const partial =
      this.extent.headBytes !== 0 || this.extent.lengthBytes % this.extent.blockBytes !== 0;
    const room = this.judgeRoom(this.extent.firstBlock, isZero ? 0 : this.extent.blockCount);
    if (room === ROOM.wait) return this.stall(client);
    if (room === ROOM.full) {
      this.refuseWith(client, code, view, at, this.fullStatus());
      return true;
    }
    const op = this.shared.ops.take();
    if (op === null) return this.stall(client);
    this.fill(nowUs, op, isZero ? OP_KIND.zero : OP_KIND.write, client, view, at);
    op.partial = partial;
    const held = this.shared.lock.acquire(op);
    if (held && !partial) {
      if (isZero) this.applyZero(op);
      else this.applyWrite(op, bytes, view, at + HEADER_BYTES);
      return true;
    }
    if (!held) MARKS.behind.hits++;
    if (!this.keepPayload(op, bytes, at, bodyBytes)) {
      this.shared.lock.release(op);
      this.shared.ops.give(op);
      return this.stall(client);
    }
    if (held) this.loadEdges(op);
    return true;
  }

  private judgePayload(
    code: number,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): number {
    if (code === MSG.ZERO) return bodyBytes === 0 ? 0 : ERR.BAD_FRAME;
    const { extent } = this;
    if (
      extent.blockCount > this.shared.ioBlocksMax ||
      bodyBytes !== 4 * extent.blockCount + extent.lengthBytes
    )
      return ERR.BAD_FRAME;
    const crcsAt = at + HEADER_BYTES;
    if (verifies(extent, bytes, view, crcsAt, crcsAt + 4 * extent.blockCount)) return 0;
    MARKS.badPayload.hits++;
    return ERR.BAD_FRAME;
  }

  /** C10: the same operation may be running, or be done. */
  private joinEarlier(client: Client, view: DataView, at: number): boolean {
    const { run } = client;
    const opLow = getOpLow(view, at);
    const opHigh = getOpHigh(view, at);
    for (const op of this.shared.ops.inUse()) {
      if (op.run !== run || op.opLow !== opLow || op.opHigh !== opHigh) continue;
      if (op.kind !== OP_KIND.write && op.kind !== OP_KIND.zero) continue;
      MARKS.joined.hits++;
      op.client = client;
      op.tag = getTag(view, at);
      return true;
    }
    if (!this.shared.store.knowsOp(run, opLow, opHigh)) return false;
    const { comb } = this.admission;
    assert(comb !== null, 'the request was judged');
    MARKS.known.hits++;
    confirm(this.shared, client, getTag(view, at), comb);
    return true;
  }

  /** Room here and credit at every required member, for the comb and volume judged last (C12). */
  private judgeRoom(firstBlock: number, blockCount: number): number {
    const { comb, volume } = this.admission;
    assert(comb !== null && volume !== null, 'the request was judged');
    return this.roomFor(comb, volume.key, this.extent.chunkIndex, firstBlock, blockCount);
  }

  private roomFor(
    comb: Comb,
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): number {
    const { store } = this.shared;
    const room = store.room(volumeKey, chunkIndex, firstBlock, blockCount);
    if (room === ROOM.full) MARKS.full.hits++;
    if (room !== ROOM.ok || blockCount === 0) return room;
    for (const member of comb.forward) {
      // Where this device is full itself, what it has room for overwrites: that takes no room at a copy either.
      if (!member.required || member.peer.out.creditLeft() >= blockCount) continue;
      if (store.freeBlocks() < blockCount) continue;
      MARKS.noCredit.hits++;
      return ROOM.full;
    }
    return ROOM.ok;
  }

  private fullStatus(): number {
    return this.shared.pool?.pool.fullPolicy === 'error' ? ERR.NO_SPACE : ERR.BUSY;
  }

  /** Copies the payload of a change that cannot be applied at once; false: there is no buffer. */
  private keepPayload(op: Op, bytes: Uint8Array, at: number, bodyBytes: number): boolean {
    if (op.partial) return this.edges.keep(op, bytes, at + HEADER_BYTES);
    if (op.kind === OP_KIND.zero) return true;
    const buffer: PayloadBuffer | null = this.shared.buffers.take(bodyBytes);
    if (buffer === null) return false;
    op.buffer = buffer;
    buffer.bytes.set(bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + bodyBytes));
    return true;
  }

  private loadEdges(op: Op): void {
    op.phase = OP_PHASE.loading;
    this.edges.load(op);
  }

  /** Applies a change whose payload lies in its buffer, as soon as there is room. */
  private applyWaiting(nowUs: Micros, op: Op): void {
    const { comb, volume, buffer } = op;
    assert(comb !== null && volume !== null, 'an operation in use has comb and volume');
    const needs = op.kind === OP_KIND.zero && !op.partial ? 0 : op.blockCount;
    const room = this.roomFor(comb, volume.key, op.chunkIndex, op.firstBlock, needs);
    if (room === ROOM.wait) {
      // The edges were merged already: the payload is whole blocks now.
      if (op.partial && op.kind === OP_KIND.write) op.partial = false;
      this.roomWaiters.push(this.shared.ops.handleOf(op));
      return;
    }
    if (room === ROOM.full && needs > 0) {
      this.finish(nowUs, op, this.fullStatus());
      return;
    }
    if (op.kind === OP_KIND.zero) {
      if (op.partial) this.applyZeroWithEdges(op);
      else this.applyZero(op);
      return;
    }
    assert(buffer !== null, 'a waiting write has a buffer');
    this.applyWrite(op, buffer.bytes, buffer.view, 0);
    this.shared.buffers.give(buffer);
    op.buffer = null;
  }

  private applyWrite(op: Op, bytes: Uint8Array, _view: DataView, crcsAt: number): void {
    this.begin(op);
    this.setContext(op, op.firstBlock, op.blockCount, true);
    const lsn = this.appendWrite(op, bytes, crcsAt, true);
    this.shared.parts.stability.applied(op, lsn);
  }

  private applyZero(op: Op): void {
    this.begin(op);
    this.setContext(op, op.firstBlock, op.blockCount, true);
    const lsn = this.appendZero(op, true);
    this.shared.parts.stability.applied(op, lsn);
  }

  /** Partial blocks at the ends are written, whole ones between them zeroed; the last record carries the id (C10). */
  private applyZeroWithEdges(op: Op): void {
    this.begin(op);
    const { buffer } = op;
    assert(buffer !== null, 'edges lie in a buffer');
    const plan = this.edges.zeroPlan(op);
    let lsn = 0;
    plan.forEach((piece, index) => {
      const last = index === plan.length - 1;
      this.setContext(op, piece.firstBlock, piece.blockCount, last);
      lsn =
        piece.at < 0
          ? this.appendZero(op, last)
          : this.appendWrite(op, buffer.bytes, piece.at, last);
    });
    this.shared.parts.stability.applied(op, lsn);
    this.shared.buffers.give(buffer);
    op.buffer = null;
  }

  private begin(op: Op): void {
    const { comb } = op;
    assert(comb !== null, 'an operation in use has its comb');
    op.needMedia = this.shared.mediaMode || comb.alone || (op.flags & FLAG.fua) !== 0;
  }

  private appendWrite(op: Op, bytes: Uint8Array, crcsAt: number, last: boolean): number {
    const { comb } = op;
    assert(comb !== null, 'an operation in use has its comb');
    const { context, shared } = this;
    const dataAt = crcsAt + 4 * context.blockCount;
    const lsn = shared.store.write(context, bytes, crcsAt, dataAt);
    shared.parts.settling.appended(context.blockCount);
    const handle = shared.ops.handleOf(op);
    for (const member of comb.forward) {
      const waits = member.required && last;
      const flags = (op.needMedia && member.required ? FLAG.fua : 0) | (last ? 0 : FLAG.copied);
      const tag = shared.parts.forward.write(
        member,
        comb,
        context,
        flags,
        waits ? handle : 0,
        bytes,
        crcsAt,
      );
      if (waits) op.waitFor(member.peer.index, tag);
    }
    return lsn;
  }

  private appendZero(op: Op, last: boolean): number {
    const { comb } = op;
    assert(comb !== null, 'an operation in use has its comb');
    const { context, shared } = this;
    const discard = op.flags & FLAG.discard;
    const lsn = shared.store.zero(context, discard !== 0);
    shared.parts.settling.appended(0);
    const handle = shared.ops.handleOf(op);
    for (const member of comb.forward) {
      const waits = member.required && last;
      const flags =
        (op.needMedia && member.required ? FLAG.fua : 0) | discard | (last ? 0 : FLAG.copied);
      const tag = shared.parts.forward.zero(member, comb, context, flags, waits ? handle : 0);
      if (waits) op.waitFor(member.peer.index, tag);
    }
    return lsn;
  }

  // Small things.

  private setExtent(view: DataView, at: number): void {
    const { sectorBytes, blockBytes } = this.shared.geometry;
    this.extent.setSectors(
      this.admission.volume?.vtreeKey ?? 0,
      getChunkIndex(view, at),
      getOffsetSectors(view, at) * sectorBytes,
      getLengthSectors(view, at) * sectorBytes,
      blockBytes,
    );
  }

  private wholeBytes(blockCount: number): number {
    return blockCount * (4 + this.shared.geometry.blockBytes);
  }

  /** Takes the request judged last into an operation. */
  private fill(
    nowUs: Micros,
    op: Op,
    kind: OpKind,
    client: Client,
    view: DataView,
    at: number,
  ): void {
    const { volume, comb } = this.admission;
    assert(volume !== null && comb !== null, 'the request was judged');
    op.kind = kind;
    op.client = client;
    op.tag = getTag(view, at);
    op.sdcKey = client.sdcKey;
    op.run = client.run;
    op.opLow = getOpLow(view, at);
    op.opHigh = getOpHigh(view, at);
    op.flags = getFlags(view, at);
    op.authority = getAuthority(view, at);
    op.volume = volume;
    op.comb = comb;
    op.chunkIndex = this.extent.chunkIndex;
    op.offsetSectors = getOffsetSectors(view, at);
    op.lengthSectors = getLengthSectors(view, at);
    op.firstBlock = this.extent.firstBlock;
    op.blockCount = this.extent.blockCount;
    op.startedUs = nowUs;
    op.partial = false;
    op.lockVolume = volume.key;
    op.lockChunk = op.chunkIndex;
    op.lockFirst = op.firstBlock;
    op.lockEnd = op.firstBlock + op.blockCount;
    op.lockExclusive = kind !== OP_KIND.read;
  }

  private setContext(op: Op, firstBlock: number, blockCount: number, named: boolean): void {
    const { context } = this;
    const { comb, volume } = op;
    assert(comb !== null && volume !== null, 'an operation in use has comb and volume');
    context.comb = comb.index;
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    context.volumeKey = volume.key;
    context.vtreeKey = volume.vtreeKey;
    context.volumeEpoch = volume.epoch;
    context.chunkIndex = op.chunkIndex;
    context.firstBlock = firstBlock;
    context.blockCount = blockCount;
    context.run = named ? op.run : 0;
    context.opLow = named ? op.opLow : 0;
    context.opHigh = named ? op.opHigh : 0;
  }

  private count(nowUs: Micros, op: Op): void {
    const totals = op.volume?.totals;
    if (totals === undefined) return;
    const lengthBytes = op.lengthSectors * this.shared.geometry.sectorBytes;
    const micros = nowUs - op.startedUs;
    if (op.kind === OP_KIND.read) {
      totals.readOps++;
      totals.readBytes += lengthBytes;
      totals.readMicros += micros;
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
