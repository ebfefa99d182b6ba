// Cuts requests into operations, each within one chunk, while operations may be taken. It owns the operations, their ids
// and the order of those that overlap (C10), and who may take how many: writes leave some to everybody else, and each
// volume always gets a few. It must never send anything.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';

import { opHighOf, opIdOf, opLowOf } from '../protocol/settled-ops.js';
import type { Errno, IoKind } from './block-front.js';
import { ERRNO, IO } from './block-front.js';
import { CutQueue } from './cut-queue.js';
import type { MappedVolume } from './mapped-volume.js';
import type { Op, Request } from './op.js';
import { OP_STATE, OpPool } from './op.js';
import type { ClientOptions } from './options.js';
import { RangeTable } from './range-table.js';

const MARKS = {
  behind: mark('sdc: a write waited for an overlapping one'),
  guaranteed: mark('sdc: a volume took an operation that it always gets'),
};

/**
 * Of eight operations, so many may be writes, and so many changes of any kind: what waits for space must not keep discards
 * waiting, and what stands behind it in order must not keep reads waiting (scenario reads-beside-discards).
 */
const WRITES_OF_EIGHT = 6;
const CHANGES_OF_EIGHT = 7;
/** Operations that a volume gets for writes, for zeroes and discards, and for reads, whatever others have taken. */
const GUARANTEED = 4;
/** Pieces of one request in flight: a long discard must not keep others waiting. */
const PIECES_MAX = 64;

/** Requests of a volume that have something left to cut. Reads never stand behind changes that wait for space. */
class Queues {
  readonly volume: MappedVolume;
  readonly reads = new CutQueue();
  readonly zeroes = new CutQueue();
  readonly writes = new CutQueue();
  /** In the list of those that may have something to cut. */
  listed = false;

  constructor(volume: MappedVolume) {
    this.volume = volume;
  }

  get isEmpty(): boolean {
    const { reads, zeroes, writes } = this;
    return reads.first === null && zeroes.first === null && writes.first === null;
  }

  of(kind: IoKind): CutQueue {
    if (kind === IO.write) return this.writes;
    return isZeroing(kind) ? this.zeroes : this.reads;
  }
}

function isZeroing(kind: IoKind): boolean {
  return kind === IO.zero || kind === IO.discard;
}

/** Operations of a volume that are of the same kind. */
function takenOf({ ops, writeOps, zeroOps }: MappedVolume, kind: IoKind): number {
  if (kind === IO.write) return writeOps;
  return isZeroing(kind) ? zeroOps : ops - writeOps - zeroOps;
}

export class Cutter {
  readonly ops = new OpPool();
  readonly ranges = new RangeTable();
  private readonly options: ClientOptions;
  private readonly place: (nowUs: Micros, op: Op) => void;
  private readonly chunkBytes: number;
  private readonly writesMax: number;
  private readonly changesMax: number;
  private writes = 0;
  private zeroes = 0;
  private flushes = 0;
  private nextOpId = 1;
  private readonly queues = new Map<MappedVolume, Queues>();
  /** Those that may have something to cut. */
  private readonly queued: Queues[] = [];
  /** Changes that were numbered since the owner asked last. */
  changes = 0;

  /** @param place - sends an operation on its way */
  constructor(options: ClientOptions, place: (nowUs: Micros, op: Op) => void) {
    this.options = options;
    this.place = place;
    this.chunkBytes = options.geometry.chunkBlocks * options.geometry.blockBytes;
    this.writesMax = Math.max(1, Math.floor((options.opsMax * WRITES_OF_EIGHT) / 8));
    this.changesMax = Math.max(1, Math.floor((options.opsMax * CHANGES_OF_EIGHT) / 8));
  }

  /** Why a request cannot be done at all, or ok. */
  objection(request: Request): Errno {
    const { volume, kind, offsetBytes, lengthBytes } = request;
    if (volume === null) return ERRNO.ESHUTDOWN;
    if (kind === IO.flush) return ERRNO.ok;
    const { sectorBytes } = this.options.geometry;
    const wrong =
      offsetBytes < 0 ||
      lengthBytes < 0 ||
      offsetBytes % sectorBytes !== 0 ||
      lengthBytes % sectorBytes !== 0 ||
      offsetBytes + lengthBytes > volume.sizeBytes;
    if (wrong) return ERRNO.EINVAL;
    const reads = kind === IO.read || kind === IO.describe;
    if (!reads && volume.mapping.access === 'readOnly') return ERRNO.EPERM;
    return ERRNO.ok;
  }

  /** Lets a request be cut when its turn comes. */
  queue(request: Request): void {
    const { volume } = request;
    assert(volume !== null, 'a request to cut belongs to a volume');
    let queues = this.queues.get(volume);
    if (queues === undefined) {
      queues = new Queues(volume);
      this.queues.set(volume, queues);
    }
    if (!queues.listed) this.queued.push(queues);
    queues.listed = true;
    queues.of(request.kind).push(request);
  }

  /** Cuts requests of all volumes, each in turn, while operations may be taken. */
  cut(nowUs: Micros): void {
    if (this.queued.length === 0) return;
    let kept = 0;
    for (const queues of this.queued) {
      this.cutQueue(nowUs, queues.volume, queues.reads);
      this.cutQueue(nowUs, queues.volume, queues.zeroes);
      this.cutQueue(nowUs, queues.volume, queues.writes);
      queues.listed = !queues.isEmpty;
      if (queues.listed) this.queued[kept++] = queues;
    }
    this.queued.length = kept;
    // Whoever was first this time is last the next.
    const first = kept > 1 ? this.queued.shift() : undefined;
    if (first !== undefined) this.queued.push(first);
  }

  private cutQueue(nowUs: Micros, volume: MappedVolume, queue: CutQueue): void {
    for (let request = queue.first; request !== null; request = queue.first) {
      while (
        request.cutBytes < request.lengthBytes &&
        request.pieces < PIECES_MAX &&
        this.mayTake(volume, request)
      )
        this.startPiece(nowUs, request, volume);
      if (request.cutBytes < request.lengthBytes && request.pieces < PIECES_MAX) return;
      queue.shift();
    }
  }

  private mayTake(volume: MappedVolume, { kind }: Request): boolean {
    if (this.ops.usedCount - this.flushes < this.options.opsMax && this.leavesSome(kind))
      return true;
    if (takenOf(volume, kind) >= GUARANTEED) return false;
    MARKS.guaranteed.hits++;
    return this.ops.hasRoom;
  }

  /** Whether others find an operation after one more of this kind. */
  private leavesSome(kind: IoKind): boolean {
    const isWrite = kind === IO.write;
    if (!isWrite && !isZeroing(kind)) return true;
    if (this.writes + this.zeroes >= this.changesMax) return false;
    return !isWrite || this.writes < this.writesMax;
  }

  private startPiece(nowUs: Micros, request: Request, volume: MappedVolume): void {
    const { sectorBytes, blockBytes } = this.options.geometry;
    const op = this.ops.take();
    assert(op !== null, 'there is an operation for the piece');
    const offset = request.offsetBytes + request.cutBytes;
    const chunkIndex = Math.floor(offset / this.chunkBytes);
    const inChunk = offset - chunkIndex * this.chunkBytes;
    let length = Math.min(request.lengthBytes - request.cutBytes, this.chunkBytes - inChunk);
    // Pieces end at block boundaries, so that no block is written twice for one request.
    if (request.kind === IO.read || request.kind === IO.write)
      length = Math.min(length, this.options.ioBytesMax - (inChunk % blockBytes));
    op.request = request;
    op.volume = volume;
    op.kind = request.kind;
    op.fua = request.fua;
    op.bytes = request.bytes;
    // A description has one byte per block.
    op.at = request.at + request.cutBytes / (op.kind === IO.describe ? blockBytes : 1);
    op.vtreeKey = volume.volume.vtreeKey;
    op.chunkIndex = chunkIndex;
    op.firstSector = inChunk / sectorBytes;
    op.sectors = length / sectorBytes;
    op.startedUs = nowUs;
    op.state = OP_STATE.behind;
    volume.ops += 1;
    if (op.kind === IO.write) {
      volume.writeOps += 1;
      this.writes += 1;
    } else if (isZeroing(op.kind)) {
      volume.zeroOps += 1;
      this.zeroes += 1;
    }
    request.cutBytes += length;
    request.pieces += 1;
    if (!op.isChange()) {
      op.opLow = 0;
      op.opHigh = 0;
      this.place(nowUs, op);
      return;
    }
    const id = this.nextOpId++;
    op.opLow = opLowOf(id);
    op.opHigh = opHighOf(id);
    this.changes += 1;
    if (this.ranges.add(op)) this.place(nowUs, op);
    else MARKS.behind.hits++;
  }

  /** An operation for a flush, not placed; null: none is free. Flushes are few, so they always may. */
  takeFlush(volume: MappedVolume): Op | null {
    const op = this.ops.take();
    if (op === null) return null;
    op.volume = volume;
    op.kind = IO.flush;
    op.fua = false;
    op.vtreeKey = 0;
    op.chunkIndex = 0;
    op.firstSector = 0;
    op.sectors = 0;
    op.opLow = 0;
    op.opHigh = 0;
    op.state = OP_STATE.behind;
    volume.ops += 1;
    this.flushes += 1;
    return op;
  }

  /** Gives an operation back. It is in no list of any kind. */
  release(op: Op): void {
    const { volume } = op;
    assert(volume !== null, 'an operation in use belongs to a volume');
    volume.ops -= 1;
    if (op.kind === IO.flush) this.flushes -= 1;
    if (op.kind === IO.write) {
      volume.writeOps -= 1;
      this.writes -= 1;
    } else if (isZeroing(op.kind)) {
      volume.zeroOps -= 1;
      this.zeroes -= 1;
    }
    this.ops.give(op);
  }

  /** A change has ended: what stood behind it may go. */
  passOn(nowUs: Micros, op: Op): void {
    const { bucket } = op;
    this.ranges.remove(op);
    for (
      let behind = this.ranges.nextBehind(op, bucket, null);
      behind !== null;
      behind = this.ranges.nextBehind(op, bucket, behind)
    )
      if (behind.state === OP_STATE.behind && this.ranges.mayGo(behind)) this.place(nowUs, behind);
  }

  /** Of changes that await their outcome, in no order. */
  openIds(): number[] {
    const ids: number[] = [];
    for (const op of this.ops.all)
      if (op.state !== OP_STATE.free && op.isChange()) ids.push(opIdOf(op.opLow, op.opHigh));
    return ids;
  }

  /** The id that the next change gets. */
  get nextId(): number {
    return this.nextOpId;
  }

  /** The volume is gone: nothing of it is cut any more. */
  forget(volume: MappedVolume): void {
    this.queues.delete(volume);
    const at = this.queued.findIndex((queues) => queues.volume === volume);
    if (at >= 0) this.queued.splice(at, 1);
  }
}
