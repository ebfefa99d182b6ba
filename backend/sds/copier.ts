// Copies ranges of a chunk from this device to a member: describe, read, forward, under a shared lock, so that whatever
// is written to the range afterwards follows the copy on the same link. It owns the tasks and their buffers; which ranges
// are copied, and what follows, is decided by resync.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import { FLAG } from '../protocol/generated/constants.js';
import { getStatus } from '../protocol/generated/frame-head.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import type { CopyRange } from './block-ranges.js';
import { PART } from './comb.js';
import type { Comb, Member } from './comb.js';
import type { CopyLimits } from './copy-limits.js';
import type { CopyKind } from './copy-work.js';
import { COPY_TOKENS } from './load-token.js';
import { MutableExtent, verifies } from './payload.js';
import { CopyTask, PASS, PHASE, isBadBlock } from './copy-task.js';
import { askBlocks, copyTag, copyTask } from './peer-read.js';
import { LOCK_STATE } from './range-lock.js';
import type { Shared } from './shared.js';
import { BLOCK_STATE, ROOM, STORE_STATUS, makeContext } from './store/store.js';
import { tagDistance } from './tag-ring.js';

const MARKS = {
  mended: mark('sds.copier: a block of the source was repaired from the member'),
};

export const COPY_RESULT = { done: 0, abandoned: 1, corrupt: 2 } as const;

/** Copies of all kinds under way together: each may hold a buffer. */
const COPIES_MAX = 64;

/** Forwarded frames of copies that the member has not taken in yet, per link. */
const OUTSTANDING_MAX = 32;
/** Bytes that may wait for the network before copies pause. */
const PENDING_BYTES_MAX = 2 * 1024 * 1024;

export class Copier {
  private readonly shared: Shared;
  private readonly limits: CopyLimits;
  private readonly onEnd: (task: CopyTask, result: number) => void;
  private readonly tasks: CopyTask[] = [];
  private readonly context = makeContext();
  private readonly extent = new MutableExtent();
  private busy = 0;
  private attempts = 0;

  constructor(shared: Shared, limits: CopyLimits, onEnd: (task: CopyTask, result: number) => void) {
    this.shared = shared;
    this.limits = limits;
    this.onEnd = onEnd;
  }

  hasRoom(): boolean {
    return this.busy < COPIES_MAX;
  }

  /** @param handle - of an operation that is sent again and holds the lock itself; 0: a copy of content */
  start(comb: Comb, member: Member, range: CopyRange, kind: CopyKind, handle = 0): void {
    const task = this.freeTask();
    this.busy++;
    task.kind = kind;
    this.shared.copies.of(kind).running++;
    task.phase = PHASE.locking;
    task.comb = comb;
    task.member = member;
    task.session = member.session;
    task.handle = handle;
    task.cover(range, this.shared.geometry.chunkBlocks);
    if (handle !== 0 || this.shared.lock.acquire(task)) this.granted(task);
  }

  granted(task: CopyTask): void {
    if (this.abandonIfOver(task)) return;
    this.describe(task);
  }

  private describe(task: CopyTask): void {
    task.phase = PHASE.describing;
    const token = COPY_TOKENS + task.index;
    this.shared.store.describe(token, task.volumeKey, task.chunkIndex, task.states);
  }

  storeDescribed(token: number, status: number): void {
    const task = this.taskOf(token);
    if (this.abandonIfOver(task)) return;
    if (status !== STORE_STATUS.ok && status !== STORE_STATUS.zero) {
      this.finish(task, COPY_RESULT.corrupt);
      return;
    }
    if (status === STORE_STATUS.zero) task.states.fill(BLOCK_STATE.absent);
    this.proceed(task);
  }

  storeRead(token: number, status: number, badLow: number, badHigh: number): void {
    const task = this.taskOf(token);
    if (this.abandonIfOver(task)) return;
    if (status === STORE_STATUS.corrupt) {
      task.badLow = badLow;
      task.badHigh = badHigh;
      this.askMember(task);
    } else if (status === STORE_STATUS.failed) this.finish(task, COPY_RESULT.corrupt);
    else this.forwardRead(task, status === STORE_STATUS.zero);
  }

  /** A PEER_READ_REPLY for a copy. */
  reply(tag: number, bytes: Uint8Array, view: DataView, at: number, bodyBytes: number): void {
    const task = this.tasks[copyTask(tag)];
    if (task?.phase !== PHASE.mending || task.mendTag !== tag || this.abandonIfOver(task)) return;
    const good = getStatus(view, at) === 0 && bodyBytes > 0;
    if (good && this.mend(task, bytes, view, at + HEADER_BYTES, bodyBytes)) {
      MARKS.mended.hits++;
      this.forwardRead(task, false);
    } else this.finish(task, COPY_RESULT.corrupt);
  }

  private forwardRead(task: CopyTask, isZero: boolean): void {
    const { member, comb, buffer } = task;
    assert(member !== null && comb !== null && buffer !== null, 'a reading task has a buffer');
    const count = task.reading;
    if (isZero) this.forwardZero(task, count, 0);
    else {
      const flags = this.prepare(task, count);
      const handle = this.handleFor(task, count);
      const { forward } = this.shared.parts;
      const tag = forward.write(member, comb, this.context, flags, handle, buffer.bytes, 0);
      this.noteTag(task, handle, tag);
      this.limits.copied(this.shared.nowUs, task.kind, count * this.shared.geometry.blockBytes);
    }
    task.next += count;
    this.giveBuffer(task);
    this.proceed(task);
  }

  /** The member may still hold what does not verify here: the checksum that is kept here tells whether it is the same. */
  private askMember(task: CopyTask): void {
    const { member, comb } = task;
    assert(member !== null && comb !== null, 'a running task has its comb');
    task.phase = PHASE.mending;
    task.mendTag = copyTag(task.index, ++this.attempts);
    askBlocks(this.shared, member.peer, comb, task.mendTag, {
      volumeKey: task.volumeKey,
      vtreeKey: task.vtreeKey,
      chunkIndex: task.chunkIndex,
      firstBlock: task.next,
      blockCount: task.reading,
    });
  }

  private mend(
    task: CopyTask,
    bytes: Uint8Array,
    view: DataView,
    bodyAt: number,
    bodyBytes: number,
  ): boolean {
    const { buffer, reading, vtreeKey, chunkIndex } = task;
    const { blockBytes } = this.shared.geometry;
    if (buffer === null || bodyBytes !== reading * (4 + blockBytes)) return false;
    const one = this.extent;
    for (let index = 0; index < reading; index++) {
      if (!isBadBlock(task, index)) continue;
      const block = task.next + index;
      const expected = buffer.view.getUint32(4 * index, true);
      const from = bodyAt + 4 * reading + index * blockBytes;
      const to = 4 * reading + index * blockBytes;
      one.setBlocks(vtreeKey, chunkIndex, block, 1, blockBytes);
      // A block whose checksum is lost may stand as zero: that proves nothing.
      if (view.getUint32(bodyAt + 4 * index, true) !== expected) return false;
      if (!verifies(one, bytes, view, bodyAt + 4 * index, from)) return false;
      if (bytes.subarray(from, from + blockBytes).every((byte) => byte === 0)) return false;
      buffer.bytes.set(bytes.subarray(from, from + blockBytes), to);
      this.writeBack(task, block, 4 * index, to);
    }
    return true;
  }

  private writeBack(task: CopyTask, block: number, crcAt: number, dataAt: number): void {
    const { store, parts } = this.shared;
    const { buffer } = task;
    if (buffer === null || store.room(task.volumeKey, task.chunkIndex, block, 1) !== ROOM.ok)
      return;
    this.prepare(task, 0);
    this.context.firstBlock = block;
    this.context.blockCount = 1;
    this.context.run = 0;
    store.write(this.context, buffer.bytes, crcAt, dataAt);
    parts.settling.appended(1);
  }

  /** Goes on with tasks that paused for the network, the member or memory. */
  pump(): void {
    if (this.busy === 0) return;
    for (const task of this.tasks)
      if (task.phase === PHASE.mending) this.abandonIfOver(task);
      else if (task.phase === PHASE.paused && !this.abandonIfOver(task)) this.proceed(task);
  }

  private proceed(task: CopyTask): void {
    for (;;) {
      if (task.next >= task.end) {
        if (task.nextLayer()) {
          this.describe(task);
          return;
        }
        if (task.pass === PASS.absent) this.endMerge(task);
        this.finish(task, COPY_RESULT.done);
        return;
      }
      const state = task.states[task.next] ?? BLOCK_STATE.absent;
      const run = this.runLength(task, state);
      const isTurn = (state === BLOCK_STATE.absent) === (task.pass === PASS.absent);
      if (task.pass !== PASS.both && !isTurn) {
        task.next += run;
        continue;
      }
      if (!this.mayForward(task, state === BLOCK_STATE.data ? run : 0)) {
        task.phase = PHASE.paused;
        return;
      }
      if (state === BLOCK_STATE.data) {
        this.read(task, run);
        return;
      }
      this.forwardZero(task, run, state === BLOCK_STATE.absent ? FLAG.discard : 0);
      task.next += run;
    }
  }

  /** A merge that is sent again ends with itself: what it changed is there already, so that it only says so. */
  private endMerge(task: CopyTask): void {
    const { comb, member, handle } = task;
    const op = handle === 0 ? null : this.shared.ops.find(handle);
    if (op === null || comb === null || member === null) return;
    this.prepare(task, 0);
    this.context.volumeKey = op.layerKey;
    const flags = op.needMedia ? FLAG.fua : 0;
    const { forward } = this.shared.parts;
    this.noteTag(
      task,
      handle,
      forward.merge(member, comb, this.context, flags, handle, op.parentKey),
    );
  }

  private runLength(task: CopyTask, state: number): number {
    const max = state === BLOCK_STATE.data ? this.shared.ioBlocksMax : task.end - task.next;
    let end = task.next + 1;
    while (end < task.end && end - task.next < max && task.states[end] === state) end++;
    return end - task.next;
  }

  private mayForward(task: CopyTask, blocks: number): boolean {
    const peer = task.member?.peer;
    if (peer === undefined) return false;
    if (task.handle !== 0) return true;
    const { out } = peer;
    // A member that is full may have these blocks already: it is asked when nothing else is on its way to it. A copy must
    // not keep its lock for as long as there is no room.
    const hasRoom = out.creditLeft() >= blocks || out.blocks === out.blocksAcked;
    return (
      hasRoom &&
      tagDistance(out.ring.last, out.writtenTag) < OUTSTANDING_MAX &&
      this.shared.links.pendingBytes(peer.link) < PENDING_BYTES_MAX &&
      this.shared.parts.settling.takesCopy(peer)
    );
  }

  private read(task: CopyTask, count: number): void {
    const lengthBytes = count * (4 + this.shared.geometry.blockBytes);
    const buffer = this.shared.buffers.take(lengthBytes);
    if (buffer === null) {
      task.phase = PHASE.paused;
      return;
    }
    task.phase = PHASE.reading;
    task.reading = count;
    task.buffer = buffer;
    this.shared.store.read(
      COPY_TOKENS + task.index,
      task.volumeKey,
      task.vtreeKey,
      task.chunkIndex,
      task.next,
      count,
      buffer.bytes,
      0,
    );
  }

  private forwardZero(task: CopyTask, count: number, discard: number): void {
    const { member, comb } = task;
    assert(member !== null && comb !== null, 'a running task has its comb');
    const flags = this.prepare(task, count) | discard;
    // Absent stays absent.
    if (discard !== 0) this.context.masks = false;
    const handle = this.handleFor(task, count);
    const tag = this.shared.parts.forward.zero(member, comb, this.context, flags, handle);
    this.noteTag(task, handle, tag);
  }

  /** Fills the context for the next `count` blocks; returns the flags. The last piece of an operation carries its id. */
  private prepare(task: CopyTask, count: number): number {
    const { context } = this;
    const { comb } = task;
    assert(comb !== null, 'a running task has its comb');
    const op = this.handleFor(task, count) !== 0 ? this.shared.ops.find(task.handle) : null;
    context.comb = comb.index;
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    context.volumeKey = task.volumeKey;
    context.vtreeKey = task.vtreeKey;
    context.volumeEpoch = this.shared.volumes.find(task.volumeKey)?.epoch ?? 0;
    context.chunkIndex = task.chunkIndex;
    context.firstBlock = task.next;
    context.blockCount = count;
    context.run = op?.run ?? 0;
    context.opLow = op?.opLow ?? 0;
    context.opHigh = op?.opHigh ?? 0;
    context.masks = this.shared.volumes.isLayered(task.volumeKey);
    if (op === null) return FLAG.copied;
    return op.needMedia ? FLAG.fua : 0;
  }

  private handleFor(task: CopyTask, count: number): number {
    return task.pass === PASS.both && task.next + count === task.end ? task.handle : 0;
  }

  private noteTag(task: CopyTask, handle: number, tag: number): void {
    if (handle === 0 || task.member === null) return;
    this.shared.ops.find(handle)?.waitAgain(task.member.peer.index, tag);
  }

  /** Stops a task whose member, comb or operation is no more; true: it stopped. */
  private abandonIfOver(task: CopyTask): boolean {
    const { member, comb } = task;
    const over =
      member === null ||
      comb === null ||
      member.session !== task.session ||
      !member.joined ||
      comb.part !== PART.primary ||
      (task.handle !== 0 && this.shared.ops.find(task.handle) === null);
    if (over) this.finish(task, COPY_RESULT.abandoned);
    return over;
  }

  private finish(task: CopyTask, result: number): void {
    this.giveBuffer(task);
    if (task.lockState !== LOCK_STATE.idle) this.shared.lock.release(task);
    task.phase = PHASE.idle;
    this.busy--;
    this.shared.copies.of(task.kind).running--;
    this.onEnd(task, result);
    task.comb = null;
    task.member = null;
  }

  private giveBuffer(task: CopyTask): void {
    if (task.buffer !== null) this.shared.buffers.give(task.buffer);
    task.buffer = null;
  }

  private freeTask(): CopyTask {
    for (const task of this.tasks) if (task.phase === PHASE.idle) return task;
    const task = new CopyTask(this.tasks.length, this.shared.geometry.chunkBlocks);
    this.tasks.push(task);
    return task;
  }

  private taskOf(token: number): CopyTask {
    const task = this.tasks[token - COPY_TOKENS];
    assert(task !== undefined && task.phase !== PHASE.idle, 'the store answers a running task');
    return task;
  }
}
