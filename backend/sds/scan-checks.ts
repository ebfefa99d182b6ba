// Checks of the background scanner at the primary, each under a shared lock of its blocks, while no change of them is under
// way anywhere: what does not verify here is taken from a copy in sync that verifies (C9), and copies in sync are compared.
// It owns the checks under way; it must never believe a copy that is not in sync, nor hold its lock for one that is silent.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MSG } from '../protocol/generated/constants.js';
import { getStatus, getTag } from '../protocol/generated/frame-head.js';
import type { BlockRange, ControlBodies } from '../protocol/generated/types.js';
import { encodeControl } from '../protocol/control.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import { sendFrame } from '../protocol/send.js';
import { PART } from './comb.js';
import type { Comb } from './comb.js';
import { SCAN_CHECK_TOKENS } from './load-token.js';
import { MutableExtent, verifies } from './payload.js';
import { askBlocks, scanTag, scanTask } from './peer-read.js';
import type { PeerDevice } from './peer.js';
import { LOCK_STATE } from './range-lock.js';
import { belowOf, differing } from './scan-compare.js';
import { SCAN_GOAL, SCAN_PHASE, ScanTask } from './scan-task.js';
import type { Shared } from './shared.js';
import { BLOCK_STATE, ROOM, STORE_STATUS, makeContext } from './store/store.js';

const MARKS = {
  mended: mark('sds.scan: a block was repaired from another copy'),
  restored: mark('sds.scan: that a block holds nothing was learned from another copy'),
  unmended: mark('sds.scan: no other copy helped'),
  compared: mark('sds.scan: a copy was compared'),
  silent: mark('sds.scan: a member did not answer in time'),
  over: mark('sds.scan: a check ended because its comb changed'),
};

/** Under way together: each holds up changes of a chunk. */
const CHECKS_MAX = 4;
/** First version that knows the messages of the scanner. */
export const SCAN_VERSION = 2;

/** Who wants to know. */
export interface ScanCheckHost {
  /** A copy was compared; `blocks`: of the range in which it differs, 1 each. */
  compared(comb: Comb, peer: PeerDevice, range: BlockRange, blocks: Uint8Array): void;
  /** Content of a layer's chunk was written here. */
  changed(layerKey: number, chunkIndex: number): void;
}

export class ScanChecks {
  private readonly shared: Shared;
  private readonly host: ScanCheckHost;
  private readonly tasks: ScanTask[] = [];
  private readonly context = makeContext();
  private readonly extent = new MutableExtent();
  private readonly zeroes: Uint8Array;
  private busy = 0;
  private attempts = 0;

  constructor(shared: Shared, host: ScanCheckHost) {
    this.shared = shared;
    this.host = host;
    this.zeroes = new Uint8Array(shared.geometry.blockBytes);
  }

  hasRoom(): boolean {
    return this.busy < CHECKS_MAX;
  }

  /** Makes blocks right that do not verify here. */
  mend(comb: Comb, range: BlockRange): void {
    this.start(SCAN_GOAL.mend, comb, range);
  }

  /** Compares a chunk of a layer with what members in sync hold. */
  compare(comb: Comb, layerKey: number, vtreeKey: number, chunkIndex: number): void {
    const blockCount = this.shared.geometry.chunkBlocks;
    const range = { volumeKey: layerKey, vtreeKey, chunkIndex, firstBlock: 0, blockCount };
    this.start(SCAN_GOAL.compare, comb, range);
  }

  private start(goal: number, comb: Comb, range: BlockRange): void {
    const task = this.freeTask();
    this.busy++;
    task.goal = goal;
    task.comb = comb;
    task.phase = SCAN_PHASE.locking;
    const { volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount } = range;
    task.cover(volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount);
    if (this.shared.lock.acquire(task)) this.granted(task);
  }

  granted(task: ScanTask): void {
    if (this.endIfOver(task)) return;
    const { store, buffers, volumes, geometry } = this.shared;
    const { layerKey, vtreeKey, chunkIndex, firstBlock, blockCount, states, sums } = task;
    const token = SCAN_CHECK_TOKENS + task.index;
    if (task.goal === SCAN_GOAL.compare) {
      task.below = belowOf(volumes, layerKey, vtreeKey);
      task.phase = SCAN_PHASE.describing;
      store.describeSums(token, layerKey, chunkIndex, states, sums);
      return;
    }
    task.buffer = buffers.take(blockCount * (4 + geometry.blockBytes));
    if (task.buffer === null) {
      this.finish(task);
      return;
    }
    task.phase = SCAN_PHASE.looking;
    const { bytes } = task.buffer;
    store.read(token, layerKey, vtreeKey, chunkIndex, firstBlock, blockCount, bytes, 0);
  }

  /** The store read what a mend is about. */
  storeRead(token: number, status: number, badLow: number, badHigh: number): void {
    const task = this.tasks[token - SCAN_CHECK_TOKENS];
    if (task?.phase !== SCAN_PHASE.looking || this.endIfOver(task)) return;
    if (status !== STORE_STATUS.corrupt) {
      this.finish(task);
      return;
    }
    for (let index = 0; index < task.blockCount; index++)
      task.bad[index] = (index < 32 ? badLow >>> index : badHigh >>> (index - 32)) & 1;
    this.nextMember(task);
  }

  /** The store described what a comparison is about. */
  storeDescribed(token: number, status: number): void {
    const task = this.tasks[token - SCAN_CHECK_TOKENS];
    if (task === undefined || this.endIfOver(task)) return;
    if (status !== STORE_STATUS.ok) {
      this.finish(task);
      return;
    }
    const { below, chunkIndex, belowStates } = task;
    if (task.phase === SCAN_PHASE.describing && below !== null && below.length > 0) {
      task.phase = SCAN_PHASE.lookingBelow;
      this.shared.store.describeLayers(token, below, chunkIndex, belowStates);
      return;
    }
    if (below?.length === 0) belowStates.fill(BLOCK_STATE.absent);
    this.nextMember(task);
  }

  /** SCAN_SUMS. */
  told(
    peer: PeerDevice,
    tag: number,
    status: number,
    body: ControlBodies[typeof MSG.SCAN_SUMS],
  ): void {
    const task = this.tasks[scanTask(tag)];
    if (task?.phase !== SCAN_PHASE.asking || task.tag !== tag || task.member?.peer !== peer) return;
    if (this.endIfOver(task)) return;
    const { states, sums, freed } = body;
    const isWhole = states.length === task.blockCount && sums.length === 4 * task.blockCount;
    if (status !== 0 || freed || !isWhole) {
      this.nextMember(task);
      return;
    }
    task.memberStates = states;
    task.memberSums = new DataView(sums.buffer, sums.byteOffset, sums.byteLength);
    if (task.goal === SCAN_GOAL.compare) this.judge(task, peer);
    else {
      task.fetched = -1;
      this.nextBlock(task);
    }
  }

  private judge(task: ScanTask, peer: PeerDevice): void {
    MARKS.compared.hits++;
    const comb = task.itsComb();
    const { layerKey: volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount } = task;
    const range = { volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount };
    const blocks = differing(task, this.zeroes);
    this.host.compared(comb, peer, range, blocks);
    this.nextMember(task);
  }

  /** A PEER_READ_REPLY for a check. */
  reply(bytes: Uint8Array, view: DataView, at: number, bodyBytes: number): void {
    const tag = getTag(view, at);
    const task = this.tasks[scanTask(tag)];
    if (task?.phase !== SCAN_PHASE.fetching || task.tag !== tag || this.endIfOver(task)) return;
    if (getStatus(view, at) === 0) this.take(task, bytes, view, at + HEADER_BYTES, bodyBytes);
    this.nextBlock(task);
  }

  /** Goes on with the next bad block; what the member says holds nothing needs no asking. */
  private nextBlock(task: ScanTask): void {
    for (let index = task.fetched + 1; index < task.blockCount; index++) {
      if (task.bad[index] !== 1) continue;
      const state = task.memberStates[index];
      if (state === BLOCK_STATE.data) {
        this.fetch(task, index);
        return;
      }
      if (state === BLOCK_STATE.absent || state === BLOCK_STATE.zero)
        this.writeNothing(task, index, state === BLOCK_STATE.absent);
    }
    if (task.bad.subarray(0, task.blockCount).includes(1)) this.nextMember(task);
    else this.finish(task);
  }

  private fetch(task: ScanTask, index: number): void {
    const { member } = task;
    if (member === null) return;
    task.phase = SCAN_PHASE.fetching;
    task.fetched = index;
    task.tag = scanTag(task.index, ++this.attempts);
    task.askedUs = this.shared.nowUs;
    askBlocks(this.shared, member.peer, task.itsComb(), task.tag, {
      volumeKey: task.layerKey,
      vtreeKey: task.vtreeKey,
      chunkIndex: task.chunkIndex,
      firstBlock: task.firstBlock + index,
      blockCount: 1,
    });
  }

  /** Takes a block whose checksum is the one that the member told, and that verifies. */
  private take(
    task: ScanTask,
    bytes: Uint8Array,
    view: DataView,
    bodyAt: number,
    bodyBytes: number,
  ): void {
    const { store, parts, geometry } = this.shared;
    const { fetched, layerKey, vtreeKey, chunkIndex, buffer } = task;
    const { blockBytes } = geometry;
    if (bodyBytes !== 4 + blockBytes || buffer === null) return;
    const block = task.firstBlock + fetched;
    const one = this.extent.setBlocks(vtreeKey, chunkIndex, block, 1, blockBytes);
    if (view.getUint32(bodyAt, true) !== task.memberSums.getUint32(4 * fetched, true)) return;
    if (!verifies(one, bytes, view, bodyAt, bodyAt + 4)) return;
    if (store.room(layerKey, chunkIndex, block, 1) !== ROOM.ok) return;
    MARKS.mended.hits++;
    this.setContext(task, block);
    buffer.bytes.set(bytes.subarray(bodyAt, bodyAt + bodyBytes), 0);
    store.write(this.context, buffer.bytes, 0, 4);
    parts.settling.appended(1);
    this.written(task, fetched);
  }

  private writeNothing(task: ScanTask, index: number, isAbsent: boolean): void {
    const { store, parts } = this.shared;
    const { layerKey, chunkIndex } = task;
    const block = task.firstBlock + index;
    this.setContext(task, block);
    // Absent stays absent.
    if (isAbsent) this.context.masks = false;
    const room = this.context.masks
      ? store.maskRoom(layerKey, chunkIndex, false)
      : store.room(layerKey, chunkIndex, block, 0);
    if (room !== ROOM.ok) return;
    MARKS.restored.hits++;
    store.zero(this.context, isAbsent);
    parts.settling.appended(1);
    this.written(task, index);
  }

  private written(task: ScanTask, index: number): void {
    task.bad[index] = 0;
    this.host.changed(task.layerKey, task.chunkIndex);
  }

  private setContext(task: ScanTask, block: number): void {
    const { context } = this;
    const { volumes } = this.shared;
    const comb = task.itsComb();
    context.comb = comb.index;
    context.generationEpoch = comb.epoch;
    context.generationNumber = comb.number;
    context.volumeKey = task.layerKey;
    context.vtreeKey = task.vtreeKey;
    context.volumeEpoch = volumes.find(task.layerKey)?.epoch ?? 0;
    context.chunkIndex = task.chunkIndex;
    context.firstBlock = block;
    context.blockCount = 1;
    context.run = 0;
    context.opLow = 0;
    context.opHigh = 0;
    context.masks = volumes.isLayered(task.layerKey);
  }

  private nextMember(task: ScanTask): void {
    const comb = task.itsComb();
    const { layerKey: volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount } = task;
    for (let at = task.memberAt + 1; at < comb.members.length; at++) {
      const member = comb.members[at];
      if (member?.inSync !== true || !member.joined || member.peer.version < SCAN_VERSION) continue;
      task.memberAt = at;
      task.member = member;
      task.session = member.session;
      task.phase = SCAN_PHASE.asking;
      task.tag = scanTag(task.index, ++this.attempts);
      task.askedUs = this.shared.nowUs;
      const range = { volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount };
      const asked = { comb: { index: comb.index, generation: comb.generation() }, range };
      const { link, version } = member.peer;
      sendFrame(this.shared.links, link, encodeControl(MSG.SCAN_ASK, task.tag, 0, asked, version));
      return;
    }
    if (task.goal === SCAN_GOAL.mend) MARKS.unmended.hits++;
    this.finish(task);
  }

  /** Ends what nobody answers any more. */
  pump(): void {
    if (this.busy === 0) return;
    for (const task of this.tasks)
      if (task.phase === SCAN_PHASE.asking || task.phase === SCAN_PHASE.fetching)
        this.endIfOver(task);
  }

  tick(nowUs: Micros): void {
    const { detectionUs } = this.shared.timing;
    for (const task of this.tasks) {
      if (task.phase !== SCAN_PHASE.asking && task.phase !== SCAN_PHASE.fetching) continue;
      if (nowUs - task.askedUs < detectionUs) continue;
      MARKS.silent.hits++;
      this.finish(task);
    }
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    if (this.busy === 0) return next;
    for (const task of this.tasks)
      if (task.phase === SCAN_PHASE.asking || task.phase === SCAN_PHASE.fetching)
        next = Math.min(next, task.askedUs + this.shared.timing.detectionUs);
    return next;
  }

  /** Ends a check of a comb that is not served here any more, or of which the asked member is no part; true: it ended. */
  private endIfOver(task: ScanTask): boolean {
    const { comb, member, session } = task;
    const isServed = comb?.part === PART.primary && comb.active;
    const isThere =
      member === null || (member.session === session && member.joined && member.inSync);
    if (isServed && isThere && !this.shared.volumes.isFreed(task.layerKey)) return false;
    MARKS.over.hits++;
    this.finish(task);
    return true;
  }

  private finish(task: ScanTask): void {
    if (task.buffer !== null) this.shared.buffers.give(task.buffer);
    task.buffer = null;
    if (task.lockState !== LOCK_STATE.idle) this.shared.lock.release(task);
    task.phase = SCAN_PHASE.idle;
    task.comb = null;
    task.member = null;
    this.busy--;
  }

  private freeTask(): ScanTask {
    for (const task of this.tasks) if (!task.inUse) return task;
    const task = new ScanTask(this.tasks.length, this.shared.geometry.chunkBlocks);
    this.tasks.push(task);
    return task;
  }
}
