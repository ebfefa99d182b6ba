// Merges of layers that the map asks for: chunk by chunk at the primary, under the lock of the whole chunk in all layers, and
// on to every member as any change. It owns which chunks are left and whether this device holds nothing of a layer any more;
// it must never merge while a member is being filled, for what a copy of half a chunk merges is wrong.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { ERR, FLAG } from '../protocol/generated/constants.js';
import type { Merge } from '../protocol/generated/types.js';
import { CATCH_UP, PART } from './comb.js';
import type { Comb } from './comb.js';
import { LOAD, loadToken } from './load-token.js';
import { OP_KIND, OP_PHASE } from './op.js';
import type { Op } from './op.js';
import type { Shared } from './shared.js';
import { MERGE_DOUBTFUL, ROOM, makeContext } from './store/store.js';

const MARKS = {
  merged: mark('sds.merging: a chunk of a layer was merged into its child'),
  written: mark('sds.merging: blocks had to be written to the child before a merge'),
  waited: mark('sds.merging: a merge waits for room or for a descriptor'),
  done: mark('sds.merging: nothing of a layer is left here'),
  doubtful: mark('sds.merging: a chunk is not merged here, because a descriptor is lost'),
};

/** Merges under way together. */
const RUNNING_MAX = 4;
/** Chunks that are looked at in one go. */
const LOOKS_MAX = 64;
const AGAIN_US_MIN = 200 * MICROS_PER_MS;
const AGAIN_US_MAX = 30_000 * MICROS_PER_MS;

/** A layer that goes, as this device sees it. */
interface Job {
  readonly merge: Merge;
  /** Chunks to look at, from `next` on; null: to be listed anew. */
  todo: readonly number[] | null;
  next: number;
  /** Chunks of this turn that were not merged yet. */
  left: number;
  againUs: Micros;
  pauseUs: Micros;
  /** Nothing is left, as of this position of the log; 0: something is. */
  doneLsn: number;
  readonly emptied: Set<number>;
}

export class Merging {
  private readonly shared: Shared;
  private readonly jobs = new Map<number, Job>();
  /** Jobs of which something may be left here. */
  private readonly open = new Set<Job>();
  /** How many layers are being merged into a layer. */
  private readonly intoChild = new Map<number, number>();
  private running: number[] = [];
  /** Operations that hold their lock and wait for the store. */
  private waiting: number[] = [];
  private readonly context = makeContext();
  private readonly marked: Uint8Array;

  constructor(shared: Shared) {
    this.shared = shared;
    this.marked = new Uint8Array(shared.geometry.chunkBlocks);
  }

  /** The map may ask for other merges. */
  mapChanged(): void {
    const { map, poolKey } = this.shared;
    for (const [key, job] of this.jobs)
      if (map.merges.get(key)?.childKey !== job.merge.childKey) this.forget(key, job);
    for (const [key, merge] of map.merges) {
      if (merge.poolKey !== poolKey || this.jobs.has(key)) continue;
      const job: Job = {
        ...{ merge, todo: null, next: 0, left: 0, againUs: 0, pauseUs: AGAIN_US_MIN, doneLsn: 0 },
        emptied: new Set(),
      };
      this.jobs.set(key, job);
      this.open.add(job);
      this.intoChild.set(merge.childKey, (this.intoChild.get(merge.childKey) ?? 0) + 1);
    }
    // Combs may have come or gone.
    for (const job of this.open) job.againUs = 0;
  }

  private forget(key: number, job: Job): void {
    const { childKey } = job.merge;
    this.jobs.delete(key);
    this.open.delete(job);
    const others = (this.intoChild.get(childKey) ?? 0) - 1;
    if (others > 0) this.intoChild.set(childKey, others);
    else this.intoChild.delete(childKey);
  }

  /** Whether this device holds nothing of a layer any more, for good. */
  isMerged(layerKey: number): boolean {
    const job = this.jobs.get(layerKey);
    if (job === undefined || job.doneLsn === 0 || this.isBlocked(job)) return false;
    return job.doneLsn <= this.shared.store.durableLsn;
  }

  /** Something was copied to a chunk of a layer. */
  changed(layerKey: number, chunkIndex: number): void {
    const job = this.jobs.get(layerKey);
    if (job === undefined) return;
    job.emptied.delete(chunkIndex);
    this.lookAgain(job, 0);
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    // The end of one of them is an input.
    if (this.running.length >= RUNNING_MAX) return next;
    for (const job of this.open)
      if (job.todo === null && !this.isBlocked(job)) next = Math.min(next, job.againUs);
    return next;
  }

  /** Goes on with what can go on. Called at the end of each batch of inputs. */
  pump(nowUs: Micros): void {
    if (this.jobs.size === 0) return;
    this.running = this.running.filter((handle) => this.shared.ops.find(handle) !== null);
    // A thousand jobs after the removal of a group: whoever finds all places taken has his turn when one is free again.
    for (const job of this.open) {
      if (this.running.length >= RUNNING_MAX) return;
      if (this.isBlocked(job)) continue;
      if (job.todo === null) {
        if (nowUs < job.againUs) continue;
        const chunks = [...this.shared.store.chunksOf(job.merge.parentKey)];
        job.todo = chunks.map((chunk) => chunk.chunkIndex).filter((at) => !job.emptied.has(at));
        job.next = 0;
        job.left = 0;
      }
      this.look(nowUs, job, job.todo);
    }
  }

  /** A layer that takes over another one is not taken over meanwhile: what it got late would stay behind. */
  private isBlocked({ merge }: Job): boolean {
    return this.intoChild.has(merge.parentKey);
  }

  private look(nowUs: Micros, job: Job, todo: readonly number[]): void {
    const { store } = this.shared;
    const { parentKey } = job.merge;
    for (let looks = 0; looks < LOOKS_MAX && job.next < todo.length; looks++) {
      if (this.running.length >= RUNNING_MAX) return;
      const chunkIndex = todo[job.next] ?? 0;
      const emptied = store.isEmptied(parentKey, chunkIndex);
      if (emptied === null) return;
      job.next++;
      if (emptied) job.emptied.add(chunkIndex);
      else if (!this.begin(nowUs, job, chunkIndex)) job.left++;
    }
    if (job.next < todo.length) {
      // The rest has its turn after whatever else there is.
      job.todo = todo.slice(job.next);
      job.next = 0;
      return;
    }
    if (todo.length > 0) {
      this.lookAgain(job, nowUs + job.pauseUs);
      job.pauseUs =
        job.left === todo.length ? Math.min(2 * job.pauseUs, AGAIN_US_MAX) : AGAIN_US_MIN;
      return;
    }
    MARKS.done.hits++;
    job.doneLsn = Math.max(1, store.lastLsn);
    this.open.delete(job);
    job.todo = null;
    store.wantDurable(job.doneLsn);
  }

  private lookAgain(job: Job, againUs: Micros): void {
    job.todo = null;
    job.doneLsn = 0;
    this.open.add(job);
    job.againUs = againUs;
  }

  private mayMerge(comb: Comb): boolean {
    if (comb.part !== PART.primary || !comb.active) return false;
    return comb.members.every(({ catchUp }) => catchUp < CATCH_UP.copying);
  }

  private begin(nowUs: Micros, { merge }: Job, chunkIndex: number): boolean {
    const { shared } = this;
    const { pool, ops, lock, geometry } = shared;
    const comb = pool === null ? undefined : shared.comb(pool.combOf(merge.vtreeKey, chunkIndex));
    if (comb === undefined || !this.mayMerge(comb)) return false;
    const op = ops.take();
    if (op === null) return false;
    op.kind = OP_KIND.merge;
    op.client = null;
    op.volume = null;
    op.comb = comb;
    op.vtreeKey = merge.vtreeKey;
    op.layerKey = merge.childKey;
    op.parentKey = merge.parentKey;
    op.layers = [merge.childKey, merge.parentKey];
    op.chunkIndex = chunkIndex;
    op.firstBlock = 0;
    op.blockCount = geometry.chunkBlocks;
    op.run = 0;
    op.flags = 0;
    op.partial = false;
    op.startedUs = nowUs;
    op.lockVtree = merge.vtreeKey;
    op.lockChunk = chunkIndex;
    op.lockFirst = 0;
    op.lockEnd = geometry.chunkBlocks;
    op.lockExclusive = true;
    this.running.push(ops.handleOf(op));
    if (lock.acquire(op)) this.proceed(nowUs, op);
    return true;
  }

  /** The operation holds its lock. */
  proceed(nowUs: Micros, op: Op): void {
    const { store } = this.shared;
    const { comb } = op;
    if (comb === null || !this.mayMerge(comb)) {
      this.shared.parts.serve.finish(nowUs, op, ERR.NOT_READY);
      return;
    }
    const room = store.mergeRoom(op.layerKey, op.parentKey, op.chunkIndex, false);
    if (room === ROOM.wait) {
      this.wait(op);
      return;
    }
    if (room === ROOM.full) {
      this.shared.parts.serve.finish(nowUs, op, ERR.NO_SPACE);
      return;
    }
    const { marked } = this;
    const conflicts = store.mergeConflicts(op.layerKey, op.parentKey, op.chunkIndex, marked);
    if (conflicts === MERGE_DOUBTFUL) {
      MARKS.doubtful.hits++;
      this.shared.parts.serve.finish(nowUs, op, ERR.CHECKSUM_MISMATCH);
      return;
    }
    if (conflicts > 0) {
      op.firstBlock = marked.indexOf(1);
      let end = op.firstBlock + 1;
      while (end - op.firstBlock < this.shared.ioBlocksMax && marked[end] === 1) end++;
      op.blockCount = end - op.firstBlock;
      this.load(op);
      return;
    }
    this.apply(nowUs, op, comb);
  }

  /** Reads the blocks that have to be written first. */
  load(op: Op): void {
    const { store, buffers, geometry } = this.shared;
    op.buffer ??= buffers.take(op.blockCount * (4 + geometry.blockBytes));
    if (op.buffer === null) {
      this.wait(op);
      return;
    }
    op.phase = OP_PHASE.loading;
    op.loads = 1;
    const token = loadToken(op.slot, LOAD.range);
    const { parentKey, vtreeKey, chunkIndex, firstBlock, blockCount } = op;
    store.read(token, parentKey, vtreeKey, chunkIndex, firstBlock, blockCount, op.buffer.bytes, 0);
  }

  /** They were read: as a change of the child they go to all copies. */
  loaded(nowUs: Micros, op: Op): void {
    const { store, parts, buffers } = this.shared;
    const { comb, buffer } = op;
    op.phase = OP_PHASE.locking;
    assert(buffer !== null, 'a merge that read has a buffer');
    const room = store.room(op.layerKey, op.chunkIndex, op.firstBlock, op.blockCount);
    if (comb !== null && this.mayMerge(comb) && room === ROOM.ok) {
      MARKS.written.hits++;
      this.setContext(op, comb);
      store.write(this.context, buffer.bytes, 0, 4 * op.blockCount);
      parts.settling.appended(op.blockCount);
      const flags = FLAG.copied;
      for (const member of comb.forward)
        parts.forward.write(member, comb, this.context, flags, 0, buffer.bytes, 0);
    }
    buffers.give(buffer);
    op.buffer = null;
    if (room === ROOM.ok) this.proceed(nowUs, op);
    else if (room === ROOM.wait) this.wait(op);
    else parts.serve.finish(nowUs, op, ERR.NO_SPACE);
  }

  /** The store made progress. */
  storeProgress(nowUs: Micros): void {
    if (this.waiting.length === 0) return;
    const waiting = this.waiting;
    this.waiting = [];
    for (const handle of waiting) {
      const op = this.shared.ops.find(handle);
      if (op?.phase === OP_PHASE.locking) this.proceed(nowUs, op);
    }
  }

  private wait(op: Op): void {
    MARKS.waited.hits++;
    this.waiting.push(this.shared.ops.handleOf(op));
  }

  private apply(nowUs: Micros, op: Op, comb: Comb): void {
    const { store, parts, ops, mediaMode, geometry } = this.shared;
    op.firstBlock = 0;
    op.blockCount = geometry.chunkBlocks;
    op.needMedia = mediaMode || comb.alone;
    this.setContext(op, comb);
    const before = store.lastLsn;
    const lsn = store.merge(this.context, op.parentKey);
    if (lsn === before) {
      parts.serve.finish(nowUs, op, 0);
      return;
    }
    MARKS.merged.hits++;
    parts.settling.appended(0);
    for (const member of comb.forward) {
      const flags = op.needMedia && member.required ? FLAG.fua : 0;
      const handle = member.required ? ops.handleOf(op) : 0;
      const tag = parts.forward.merge(member, comb, this.context, flags, handle, op.parentKey);
      if (member.required) op.waitFor(member.peer.index, tag);
    }
    parts.stability.applied(op, lsn);
  }

  private setContext(op: Op, comb: Comb): void {
    const { context } = this;
    context.comb = comb.index;
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    context.volumeKey = op.layerKey;
    context.vtreeKey = op.vtreeKey;
    context.volumeEpoch = 0;
    context.chunkIndex = op.chunkIndex;
    context.firstBlock = op.firstBlock;
    context.blockCount = op.blockCount;
    context.run = 0;
    context.opLow = 0;
    context.opHigh = 0;
    context.masks = true;
  }
}
