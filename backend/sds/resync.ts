// Copying of content to other members: resync of a returned copy (C6), making copies equal after a change of primary (C7),
// and operations that a member missed while its link was down. It owns the jobs, their order and how many run; it must
// never ask for the admission of a target before all of its data is on media.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { BlockRange } from '../protocol/generated/types.js';
import { byChunk, unionOf } from './block-ranges.js';
import type { CopyRange } from './block-ranges.js';
import { CATCH_UP, NO_GENERATION, PART } from './comb.js';
import type { Comb, Member } from './comb.js';
import { COPY_RESULT, Copier } from './copier.js';
import type { CopyLimits } from './copy-limits.js';
import { COPY_KIND, copyKind } from './copy-work.js';
import type { CopyTask } from './copy-task.js';
import { OP_KIND } from './op.js';
import type { Op } from './op.js';
import type { PeerDevice } from './peer.js';
import type { ResyncPart, Shared } from './shared.js';
import { tagDistance } from './tag-ring.js';

const MARKS = {
  began: mark('sds.resync: a target began to catch up'),
  nothing: mark('sds.resync: a target lacked nothing'),
  drained: mark('sds.resync: everything lies on media at the target'),
  targetGone: mark('sds.resync: the target went away'),
  corrupt: mark('sds.resync: a block of the source does not verify'),
  noRoom: mark('sds.resync: the target has no room'),
  resent: mark('sds.resync: an operation was sent again'),
};

/** Pause after a copy that could not be made. */
const RETRY_US = 30_000 * MICROS_PER_MS;
/** What is switched off is looked at again after this. */
const LOOK_AGAIN_US = 1_000 * MICROS_PER_MS;
const RETRY_FULL_US = 5_000 * MICROS_PER_MS;

interface Job {
  readonly comb: Comb;
  readonly member: Member;
  readonly session: number;
  readonly equalizes: boolean;
}

function urgency({ comb, equalizes }: Job): number {
  if (equalizes) return 2;
  return comb.alone ? 1 : 0;
}

export class Resync implements ResyncPart {
  private readonly shared: Shared;
  private readonly limits: CopyLimits;
  readonly copier: Copier;
  private jobs: Job[] = [];
  private resends: { readonly comb: Comb; readonly member: Member; readonly handle: number }[] = [];
  /** Targets that wait until everything is on media. */
  private draining: { readonly comb: Comb; readonly member: Member }[] = [];
  private stuck: { readonly comb: Comb; readonly member: Member }[] = [];
  private nextJob = 0;
  /** Nothing can start before, unless a copy ends or another job comes: jobs are many, and inputs more. */
  private idleUntilUs: Micros = 0;
  /** For reports: of the present work. */
  bytesTotal = 0;
  bytesDone = 0;

  constructor(shared: Shared, limits: CopyLimits) {
    this.shared = shared;
    this.limits = limits;
    this.copier = new Copier(shared, this.limits, (task, result) => {
      this.ended(task, result);
    });
  }

  begin(comb: Comb, member: Member): void {
    const { store, volumes, geometry } = this.shared;
    MARKS.began.hits++;
    // Whatever a member that starts from nothing says: it lacks everything.
    const { epoch, number } = member.blank ? NO_GENERATION : member.inSyncUntil;
    const blockCount = geometry.chunkBlocks;
    const whole: BlockRange[] = [];
    const named = [...store.chunksStampedAfter(comb.index, epoch, number), ...member.ranges];
    for (const { volumeKey, vtreeKey, chunkIndex } of named)
      if (!volumes.isFreed(volumeKey))
        whole.push({ volumeKey, vtreeKey, chunkIndex, firstBlock: 0, blockCount });
    const work = byChunk(unionOf(whole));
    member.ranges = [];
    if (work.length === 0) MARKS.nothing.hits++;
    if (this.jobs.length === 0) {
      this.bytesTotal = 0;
      this.bytesDone = 0;
    }
    this.bytesTotal += work.length * this.chunkBytes();
    this.addJob(comb, member, work, false);
  }

  equalize(comb: Comb, member: Member, ranges: readonly BlockRange[]): void {
    const work = byChunk(ranges);
    comb.equalizing += work.length;
    this.addJob(comb, member, work, true);
  }

  resend(comb: Comb, member: Member, op: Op): void {
    MARKS.resent.hits++;
    this.resends.push({ comb, member, handle: this.shared.ops.handleOf(op) });
  }

  /** Bytes that members which start from nothing still lack of a comb, of chunks that are known. */
  fillingBytesLeft(comb: Comb): number {
    let chunks = 0;
    for (const member of comb.members)
      if (member.catchUp === CATCH_UP.copying && member.blank)
        chunks += member.work.length - member.workDone;
    return chunks * this.chunkBytes();
  }

  /** Starts what may start. Called at the end of each batch of inputs. */
  pump(): void {
    this.copier.pump();
    while (this.resends.length > 0 && this.copier.hasRoom()) this.startResend();
    const { nowUs } = this.shared;
    if (nowUs < this.idleUntilUs) return;
    while (this.jobs.length > 0 && this.copier.hasRoom())
      if (!this.startNext()) {
        this.idleUntilUs = Math.min(nowUs + LOOK_AGAIN_US, this.limits.nextDeadlineUs());
        return;
      }
  }

  /** A peer acknowledged: targets may have everything on media now. */
  acked(peer: PeerDevice): void {
    if (this.draining.length === 0) return;
    const still: typeof this.draining = [];
    for (const entry of this.draining) {
      const { comb, member } = entry;
      if (member.catchUp !== CATCH_UP.draining || comb.part !== PART.primary) continue;
      if (member.peer === peer && tagDistance(member.drainTag, peer.out.durableTag) <= 0) {
        MARKS.drained.hits++;
        member.catchUp = CATCH_UP.admitting;
        this.shared.parts.changes.consider(comb);
      } else still.push(entry);
    }
    this.draining = still;
  }

  tick(nowUs: Micros): void {
    this.limits.tick(nowUs);
    const due = this.stuck.filter(({ member }) => member.retryAtUs <= nowUs);
    if (due.length === 0) return;
    this.stuck = this.stuck.filter((entry) => !due.includes(entry));
    for (const { comb, member } of due) {
      if (member.catchUp !== CATCH_UP.stuck || comb.part !== PART.primary) continue;
      member.unjoin();
      this.shared.parts.peering.open(nowUs, comb);
    }
  }

  nextDeadlineUs(): Micros {
    let next = this.limits.nextDeadlineUs();
    for (const { member } of this.stuck) next = Math.min(next, member.retryAtUs);
    return next;
  }

  private chunkBytes(): number {
    return this.shared.geometry.chunkBlocks * this.shared.geometry.blockBytes;
  }

  private addJob(comb: Comb, member: Member, work: CopyRange[], equalizes: boolean): void {
    member.work = work;
    member.workNext = 0;
    member.workDone = 0;
    if (!equalizes) member.catchUp = CATCH_UP.copying;
    if (work.length === 0) {
      this.allCopied(comb, member);
      return;
    }
    this.idleUntilUs = 0;
    this.jobs.push({ comb, member, session: member.session, equalizes });
  }

  /**
   * One piece of the next job in turn, so that combs catch up side by side; those go first that clients wait for, then
   * those that have one copy only. False: nothing can start.
   */
  private startNext(): boolean {
    let most = 0;
    for (const job of this.jobs) most = Math.max(most, urgency(job));
    for (let least = most; least >= 0; least--) if (this.startOne(least)) return true;
    return false;
  }

  /** A piece of a job that is as urgent as that. */
  private startOne(least: number): boolean {
    for (let tries = this.jobs.length; tries > 0; tries--) {
      this.nextJob %= Math.max(1, this.jobs.length);
      const job = this.jobs[this.nextJob];
      if (job === undefined) return false;
      const { comb, member } = job;
      const range = member.work[member.workNext];
      const gone = member.session !== job.session || comb.part !== PART.primary;
      if (gone || range === undefined) {
        if (gone) MARKS.targetGone.hits++;
        this.jobs.splice(this.nextJob, 1);
        continue;
      }
      this.nextJob++;
      const kind = job.equalizes ? COPY_KIND.awaited : copyKind(comb, member);
      if (urgency(job) !== least) continue;
      if (!this.limits.mayStart(this.shared.nowUs, kind, member.peer.out.copyAfterUs[kind]))
        continue;
      member.workNext++;
      this.copier.start(comb, member, range, kind);
      return true;
    }
    return false;
  }

  private startResend(): void {
    const next = this.resends.shift();
    if (next === undefined) return;
    const { comb, member, handle } = next;
    const op = this.shared.ops.find(handle);
    if (op === null || !member.joined) return;
    const isMerge = op.kind === OP_KIND.merge;
    const range = {
      volumeKey: op.layerKey,
      vtreeKey: op.vtreeKey,
      chunkIndex: op.chunkIndex,
      firstBlock: op.lockFirst,
      blockCount: op.lockEnd - op.lockFirst,
      layers: isMerge ? [op.layerKey, op.parentKey] : [op.layerKey],
    };
    this.copier.start(comb, member, range, COPY_KIND.awaited, handle);
  }

  private ended(task: CopyTask, result: number): void {
    this.idleUntilUs = 0;
    const { comb, member } = task;
    // A repair of the background scanner is none of these jobs: whoever asked looks at the blocks again.
    if (comb === null || member === null || task.kind === COPY_KIND.repair) return;
    if (task.handle !== 0) {
      if (result === COPY_RESULT.done)
        this.shared.parts.peering.activateIfReady(this.shared.nowUs, comb);
      else if (result === COPY_RESULT.corrupt) this.gaveUp(comb, member);
      return;
    }
    if (result === COPY_RESULT.abandoned || member.session !== task.session) return;
    // What this device cannot read itself, it will read from the other copy: that cannot flip (C7, C9).
    if (result === COPY_RESULT.corrupt && !member.inSync) {
      this.gaveUp(comb, member);
      return;
    }
    if (member.inSync) {
      comb.equalizing--;
      this.shared.parts.peering.activateIfReady(this.shared.nowUs, comb);
      return;
    }
    member.workDone++;
    this.bytesDone += this.chunkBytes();
    if (member.workDone === member.work.length) this.allCopied(comb, member);
  }

  /** From now on acknowledgements wait for the target as well; it is admitted when it has everything on media. */
  private allCopied(comb: Comb, member: Member): void {
    if (member.catchUp !== CATCH_UP.copying) return;
    member.catchUp = CATCH_UP.draining;
    member.work = [];
    member.drainTag = this.shared.parts.forward.flush(member.peer);
    this.draining.push({ comb, member });
    // It may be the next primary: what it knows to be settled by then it need not make equal before it serves.
    this.shared.parts.settling.soon();
  }

  /** C9: never a guess. The target stays out; an operator sees why. */
  private gaveUp(comb: Comb, member: Member): void {
    MARKS.corrupt.hits++;
    this.shared.log.event('error', 'sds.resync-corrupt', {
      comb: comb.index,
      target: member.peer.key,
    });
    if (member.target) this.stop(comb, member, RETRY_US);
  }

  /** The target is full: it stays out for a while, and begins anew. */
  noRoom(comb: Comb, member: Member): void {
    if (member.catchUp === CATCH_UP.stuck) return;
    MARKS.noRoom.hits++;
    this.shared.log.event('warn', 'sds.resync-no-room', {
      comb: comb.index,
      target: member.peer.key,
    });
    this.stop(comb, member, RETRY_FULL_US);
  }

  private stop(comb: Comb, member: Member, pauseUs: Micros): void {
    const wasRequired = member.required;
    member.catchUp = CATCH_UP.stuck;
    member.session++;
    member.retryAtUs = this.shared.nowUs + pauseUs;
    this.stuck.push({ comb, member });
    if (wasRequired) this.shared.parts.stability.membersChanged(this.shared.nowUs, comb);
  }
}
