// Changes of clients at the primary: WRITE and ZERO, from the frame to the log and to the other members. It owns the order:
// payload verified, room and credit found, lock held, edges merged, appended, forwarded. It must never append what could
// still be refused (C12), nor acknowledge.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { ERR, FLAG, MSG } from '../protocol/generated/constants.js';
import { getFlags, getOpHigh, getOpLow, getTag } from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import type { Admission } from './admission.js';
import { confirm } from './answers.js';
import type { PayloadBuffer } from './buffers.js';
import type { Client } from './clients.js';
import type { Comb } from './comb.js';
import { Edges } from './edges.js';
import type { Intake } from './intake.js';
import { OP_KIND, OP_PHASE } from './op.js';
import type { Op } from './op.js';
import { mustMask } from './op-reads.js';
import { verifies } from './payload.js';
import type { Shared } from './shared.js';
import { ROOM, makeContext } from './store/store.js';
import type { Volume } from './volumes.js';

/**
 * A frame that finds no room keeps its link waiting no longer than this: what makes room, such as the notice of settled
 * operations, may stand behind it. Then the client is told to ask again.
 */
export const STALL_US_MAX = 500_000;
/** Beside ROOM: a member may have room, which it has to grant first. */
const NO_CREDIT_YET = -1;

const MARKS = {
  behind: mark('sds.serve: a change waits for an overlapping operation'),
  joined: mark('sds.serve: a retry joined a running operation'),
  unconfirmed: mark('sds.write: a retry at a lone copy waits for what it holds in volatile memory'),
  known: mark('sds.serve: a retry was done before'),
  full: mark('sds.serve: no space'),
  noCredit: mark('sds.serve: a member has no room'),
  kept: mark('sds.serve: what is left is kept for copies and thick volumes'),
  held: mark('sds.serve: a change waits for a group snapshot'),
  stalledLong: mark('sds.serve: a change that found no room for long was sent back'),
  badPayload: mark('sds.serve: a payload did not match its checksums'),
};

/** What the path asks of whoever owns the links of clients. */
export interface WritePathOwner {
  /** The frame stays with the link until something is free; always false. */
  stall(client: Client): false;
  refuse(client: Client, code: number, view: DataView, at: number, status: number): void;
}

export class WritePath {
  private readonly shared: Shared;
  private readonly admission: Admission;
  private readonly intake: Intake;
  private readonly owner: WritePathOwner;
  private readonly edges: Edges;
  private readonly context = makeContext();
  /** Handles of operations that hold their lock and wait for room in the store. */
  private roomWaiters: number[] = [];

  constructor(shared: Shared, admission: Admission, intake: Intake, owner: WritePathOwner) {
    this.shared = shared;
    this.admission = admission;
    this.intake = intake;
    this.owner = owner;
    this.edges = new Edges(shared);
  }

  /** A WRITE or ZERO frame; false: not taken. */
  change(
    nowUs: Micros,
    client: Client,
    code: number,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    let status = this.admission.judge(nowUs, client, code, view, at);
    this.intake.setExtent(view, at);
    if (status === 0) status = this.judgePayload(code, bytes, view, at, bodyBytes);
    if (status !== 0) {
      this.owner.refuse(client, code, view, at, status);
      return true;
    }
    if ((getFlags(view, at) & FLAG.retry) !== 0) {
      if (!this.mayConfirm()) return this.owner.stall(client);
      if (this.joinEarlier(client, view, at)) return true;
    }
    const isZero = code === MSG.ZERO;
    const partial =
      this.intake.extent.headBytes !== 0 ||
      this.intake.extent.lengthBytes % this.intake.extent.blockBytes !== 0;
    const room = this.judgeRoom(
      this.intake.extent.firstBlock,
      isZero ? 0 : this.intake.extent.blockCount,
    );
    if (room === ROOM.wait && nowUs - client.stalledSinceUs < STALL_US_MAX)
      return this.owner.stall(client);
    if (room !== ROOM.ok) {
      if (room === ROOM.wait) MARKS.stalledLong.hits++;
      this.owner.refuse(client, code, view, at, this.statusOf(room));
      return true;
    }
    const op = this.shared.ops.take();
    if (op === null) return this.owner.stall(client);
    this.intake.fill(nowUs, op, isZero ? OP_KIND.zero : OP_KIND.write, client, view, at);
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
      return this.owner.stall(client);
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
    const { extent } = this.intake;
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

  /** C4: what was completed in volatile memory, beside a copy that is gone, is confirmed from media only. */
  private mayConfirm(): boolean {
    const { comb } = this.admission;
    assert(comb !== null, 'the request was judged');
    if (!comb.alone || comb.aloneLsn <= this.shared.store.durableLsn) return true;
    MARKS.unconfirmed.hits++;
    return false;
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

  /**
   * Room here and credit at every required member, for the comb and volume judged last (C12). Thin volumes leave free what
   * is kept. While a group snapshot is made nothing begins.
   */
  private judgeRoom(firstBlock: number, blockCount: number): number {
    const { comb, volume } = this.admission;
    assert(comb !== null && volume !== null, 'the request was judged');
    if (volume.held) {
      MARKS.held.hits++;
      return ROOM.wait;
    }
    return this.roomFor(comb, volume, this.intake.extent.chunkIndex, firstBlock, blockCount);
  }

  private roomFor(
    comb: Comb,
    { layers, layerKey, thin }: Volume,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): number {
    const { store } = this.shared;
    if (blockCount === 0 && mustMask(store, layers, chunkIndex))
      return store.maskRoom(layerKey, chunkIndex, false);
    const room = store.room(layerKey, chunkIndex, firstBlock, blockCount);
    if (room === ROOM.full) MARKS.full.hits++;
    if (room !== ROOM.ok || blockCount === 0) return room;
    if (thin && store.thinBlocks() < blockCount) {
      if (store.takesSpace(layerKey, chunkIndex, firstBlock, blockCount)) {
        MARKS.kept.hits++;
        return ROOM.full;
      }
    }
    for (const member of comb.forward) {
      const { out } = member.peer;
      const left = thin ? out.thinCreditLeft() : out.creditLeft();
      if (!member.required || left >= blockCount) continue;
      // What takes no room here takes none at a copy either.
      if (!store.takesSpace(layerKey, chunkIndex, firstBlock, blockCount)) continue;
      MARKS.noCredit.hits++;
      // While acknowledgements are to come, the member has not said its last word on its room.
      return out.blocks === out.blocksAcked ? ROOM.full : NO_CREDIT_YET;
    }
    return ROOM.ok;
  }

  /** Whether a write to a full pool waits or ends is the client's to decide, by the policy of the pool. */
  private statusOf(room: number): number {
    return room === ROOM.full ? ERR.NO_SPACE : ERR.BUSY;
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

  /** The operation holds its lock: goes on with a payload that lies in its buffer. */
  proceed(nowUs: Micros, op: Op): void {
    if (op.partial) this.loadEdges(op);
    else this.applyWaiting(nowUs, op);
  }

  /** The blocks at its ends were read. */
  loaded(nowUs: Micros, op: Op): void {
    this.edges.merge(op);
    this.applyWaiting(nowUs, op);
  }

  /** The store has room again, perhaps. */
  storeProgress(nowUs: Micros): void {
    if (this.roomWaiters.length === 0) return;
    const waiting = this.roomWaiters;
    this.roomWaiters = [];
    // An operation may have ended meanwhile, and its slot may have been taken again.
    for (const handle of waiting) {
      const op = this.shared.ops.find(handle);
      if (op !== null) this.shared.parts.serve.granted(nowUs, op);
    }
  }

  loadEdges(op: Op): void {
    op.phase = OP_PHASE.loading;
    this.edges.load(op);
  }

  /** Applies a change whose payload lies in its buffer, as soon as there is room. */
  private applyWaiting(nowUs: Micros, op: Op): void {
    const { buffer } = op;
    const room = this.roomOf(op);
    if (room === ROOM.wait) {
      // The edges were merged already: the payload is whole blocks now.
      if (op.partial && op.kind === OP_KIND.write) op.partial = false;
      this.roomWaiters.push(this.shared.ops.handleOf(op));
      return;
    }
    if (room !== ROOM.ok) {
      this.shared.parts.serve.finish(nowUs, op, this.statusOf(room));
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

  /** Room for a change whose payload lies in its buffer. Of one to zero only what is left at its ends takes any. */
  private roomOf(op: Op): number {
    const { comb, volume, chunkIndex, firstBlock } = op;
    assert(comb !== null && volume !== null, 'an operation in use has comb and volume');
    if (op.kind !== OP_KIND.zero)
      return this.roomFor(comb, volume, chunkIndex, firstBlock, op.blockCount);
    if (op.partial)
      for (const piece of this.edges.zeroPlan(op)) {
        if (piece.at < 0) continue;
        const { firstBlock: first, blockCount } = piece;
        const room = this.roomFor(comb, volume, chunkIndex, first, blockCount);
        if (room !== ROOM.ok) return room;
      }
    return this.roomFor(comb, volume, chunkIndex, firstBlock, 0);
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
    op.masks = mustMask(this.shared.store, op.layers, op.chunkIndex);
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

  private setContext(op: Op, firstBlock: number, blockCount: number, named: boolean): void {
    const { context } = this;
    const { comb, volume } = op;
    assert(comb !== null && volume !== null, 'an operation in use has comb and volume');
    context.comb = comb.index;
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    context.volumeKey = op.layerKey;
    context.vtreeKey = volume.vtreeKey;
    context.volumeEpoch = volume.epoch;
    context.chunkIndex = op.chunkIndex;
    context.firstBlock = firstBlock;
    context.blockCount = blockCount;
    context.run = named ? op.run : 0;
    context.opLow = named ? op.opLow : 0;
    context.opHigh = named ? op.opHigh : 0;
    context.masks = op.masks;
    context.caches = this.shared.caching.takesWrite(op);
  }
}
