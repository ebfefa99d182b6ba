// The client's data path: cuts requests into operations, sends each to the primary of its comb, keeps trying until the
// outcome is known. It owns all operations and the links to data processes; it upholds C1 (routes by the newest entry it
// ever saw), C10 (one id per operation, never two overlapping writes in flight) and C11 (flush debt). It must never
// answer a write whose outcome is unknown, except by an error after the time that the operator set.

import type { ClusterMap } from '../cluster-map/cluster-map.js';
import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { LinkId, Links, Log, Micros, Token } from '../core/ports.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import { decodeStruct } from '../protocol/control.js';
import { MSG } from '../protocol/generated/constants.js';
import { getCode, getStatus, getTag } from '../protocol/generated/frame-head.js';
import type { CombEntry } from '../protocol/generated/types.js';
import { ProtocolError } from '../protocol/wire.js';

import type { BlockFront, Errno, IoKind } from './block-front.js';
import { ERRNO, IO } from './block-front.js';
import { DataFrames } from './data-frames.js';
import type { DeviceLink, DeviceLinks } from './device-link.js';
import { FlushRounds } from './flush-rounds.js';
import { LinkTable } from './link-table.js';
import type { MappedVolume } from './mapped-volume.js';
import type { Op, Request } from './op.js';
import { OP_STATE, OpPool } from './op.js';
import type { ClientOptions } from './options.js';
import { RangeTable } from './range-table.js';
import { RequestBook } from './request-book.js';
import { RetryQueue } from './retry-queue.js';
import { errnoOf, judge, VERDICT } from './verdict.js';

const MARKS = {
  behind: mark('sdc: a write waited for an overlapping one'),
  resent: mark('sdc: an operation was sent again with its id'),
  moved: mark('sdc: an operation moved to a new primary'),
  fenced: mark('sdc: a write waited for its own link to come back'),
  learned: mark('sdc: a refusal carried a newer entry'),
  late: mark('sdc: ignored an answer to an earlier sending'),
  noRoom: mark('sdc: a request found no room'),
  gaveUp: mark('sdc: a request was answered with an error after the bound on time'),
  orphan: mark('sdc: a write went on after its request was answered'),
  revoked: mark('sdc: a mapping was taken away under I/O'),
  badRead: mark('sdc: the content of a read did not verify'),
  doubted: mark('sdc: a refusal contradicted the map'),
};

/** What the engine asks of its owner. */
export interface EngineHost {
  /** Takes a newer entry into the map; `mapChanged` follows at the end of the batch when true. */
  learn(poolKey: number, entry: CombEntry): boolean;
  /** Whether the map is known to be current. */
  isConnected(): boolean;
}

/** How long a refusal that contradicts our map is doubted while the MDM cannot be asked. */
const DOUBT_US = 3_000_000;
const SETTLE_US = 1_000_000;
/** Operations that requests leave for flushes. */
const FLUSH_RESERVE = 8;
/** Pieces of one request in flight: a long discard must not keep others waiting. */
const PIECES_MAX = 64;
/** Wrong contents of one read, one after the other, before it is an error. */
const BAD_READS_MAX = 3;
const TWO_32 = 0x100000000;

export class IoEngine {
  private readonly options: ClientOptions;
  private readonly links: Links;
  private readonly log: Log;
  private readonly host: EngineHost;
  private readonly frames: DataFrames;
  private readonly ops: OpPool;
  private readonly book: RequestBook;
  private readonly ranges = new RangeTable();
  private readonly flushes: FlushRounds;
  private readonly table: LinkTable;
  private readonly retries = new RetryQueue();
  private readonly chunkBytes: number;
  private readonly tryAgain = (nowUs: Micros, op: Op): void => {
    this.again(nowUs, op);
  };
  private nextSettleUs: Micros = Infinity;
  private nextOpId = 1;
  private settledId = 0;
  private changes = 0;

  constructor(
    options: ClientOptions,
    links: Links,
    log: Log,
    front: BlockFront,
    host: EngineHost,
    map: ClusterMap,
  ) {
    assert(options.opsMax > FLUSH_RESERVE, 'more operations than the reserve for flushes');
    this.options = options;
    this.links = links;
    this.log = log;
    this.host = host;
    this.table = new LinkTable(links, options.linksPerDevice, map);
    this.frames = new DataFrames(links, options.geometry);
    this.ops = new OpPool(options.opsMax);
    this.book = new RequestBook(options.requestsMax, front);
    this.flushes = new FlushRounds({
      takeFlushOp: (volume) => this.takeFlushOp(volume),
      place: (nowUs, op) => {
        this.place(nowUs, op);
      },
      answer: (nowUs, request, errno) => {
        this.book.answer(nowUs, request, errno);
      },
    });
    this.chunkBytes = options.geometry.chunkBlocks * options.geometry.blockBytes;
  }

  /** Operations and requests that have not ended: 0 when the client is at rest. */
  get openCount(): number {
    return this.book.openCount + this.options.opsMax - this.ops.freeCount;
  }

  /** The run number is known: links may be opened. */
  start(nowUs: Micros): void {
    this.table.started = true;
    this.table.dialAll(nowUs);
  }

  /** See BlockBack.submit. */
  submit(
    nowUs: Micros,
    volume: MappedVolume | undefined,
    kind: IoKind,
    offsetBytes: number,
    lengthBytes: number,
    fua: boolean,
    bytes: Uint8Array,
    at: number,
    token: Token,
  ): boolean {
    const request = this.book.take(nowUs);
    if (request === null) {
      MARKS.noRoom.hits++;
      return false;
    }
    request.volume = volume ?? null;
    request.kind = kind;
    request.fua = fua;
    request.bytes = bytes;
    request.at = at;
    request.token = token;
    request.offsetBytes = offsetBytes;
    request.lengthBytes = lengthBytes;
    const errno = this.objection(volume, kind, offsetBytes, lengthBytes);
    if (errno !== ERRNO.ok || volume === undefined) this.book.answer(nowUs, request, errno);
    else if (kind === IO.flush) this.flushes.add(nowUs, volume, request);
    else if (lengthBytes === 0) this.book.answer(nowUs, request, ERRNO.ok);
    else {
      this.book.queueCut(request);
      this.cut(nowUs);
    }
    return true;
  }

  private objection(
    volume: MappedVolume | undefined,
    kind: IoKind,
    offsetBytes: number,
    lengthBytes: number,
  ): Errno {
    if (volume === undefined) return ERRNO.ESHUTDOWN;
    if (kind === IO.flush) return ERRNO.ok;
    const { sectorBytes } = this.options.geometry;
    const wrong =
      offsetBytes < 0 ||
      lengthBytes < 0 ||
      offsetBytes % sectorBytes !== 0 ||
      lengthBytes % sectorBytes !== 0 ||
      offsetBytes + lengthBytes > volume.sizeBytes;
    if (wrong) return ERRNO.EINVAL;
    if (kind !== IO.read && volume.mapping.access === 'readOnly') return ERRNO.EPERM;
    return ERRNO.ok;
  }

  /** Cuts requests, in turn, while operations are free. */
  private cut(nowUs: Micros): void {
    for (let request = this.book.nextToCut(); request !== null; request = this.book.nextToCut()) {
      while (
        request.cutBytes < request.lengthBytes &&
        request.pieces < PIECES_MAX &&
        this.ops.freeCount > FLUSH_RESERVE
      )
        this.startPiece(nowUs, request);
      if (request.cutBytes < request.lengthBytes && request.pieces < PIECES_MAX) return;
      this.book.dropCut();
    }
  }

  private startPiece(nowUs: Micros, request: Request): void {
    const { sectorBytes, blockBytes } = this.options.geometry;
    const { volume } = request;
    const op = this.ops.take();
    assert(op !== null && volume !== null, 'there is an operation for the piece');
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
    op.at = request.at + request.cutBytes;
    op.vtreeKey = volume.volume.vtreeKey;
    op.chunkIndex = chunkIndex;
    op.firstSector = inChunk / sectorBytes;
    op.sectors = length / sectorBytes;
    op.startedUs = nowUs;
    op.state = OP_STATE.behind;
    volume.ops += 1;
    request.cutBytes += length;
    request.pieces += 1;
    if (!op.isChange()) {
      op.opLow = 0;
      op.opHigh = 0;
      this.place(nowUs, op);
      return;
    }
    this.numberChange(nowUs, op);
    if (this.ranges.add(op)) this.place(nowUs, op);
    else MARKS.behind.hits++;
  }

  private numberChange(nowUs: Micros, op: Op): void {
    const id = this.nextOpId++;
    op.opLow = id % TWO_32;
    op.opHigh = Math.floor(id / TWO_32);
    this.changes += 1;
    if (this.nextSettleUs === Infinity) this.nextSettleUs = nowUs + SETTLE_US;
  }

  private takeFlushOp(volume: MappedVolume): Op | null {
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
    return op;
  }

  /** Sends an operation to its primary, or lets it wait for a link. It is in no list. */
  private place(nowUs: Micros, op: Op): void {
    const volume = op.volume;
    assert(volume !== null && op.list === null, 'an operation to place belongs to a volume');
    const { pool } = volume;
    if (op.kind !== IO.flush) op.comb = pool.combOf(op.vtreeKey, op.chunkIndex);
    const deviceKey = pool.primaryKeys[op.comb] ?? 0;
    if (deviceKey === 0) {
      this.retries.add(nowUs, op);
      return;
    }
    op.deviceKey = deviceKey;
    const device = this.table.device(deviceKey);
    const link = device.choose(this.options.inFlightPerLinkMax);
    if (link === null) {
      op.state = OP_STATE.waiting;
      device.waiting.push(op);
      this.table.dial(nowUs, device);
    } else this.sendOn(op, volume, link);
  }

  private sendOn(op: Op, volume: MappedVolume, link: DeviceLink): void {
    op.state = OP_STATE.sent;
    op.sendings += 1;
    op.link = link;
    link.inFlight.push(op);
    if (op.everSent) MARKS.resent.hits++;
    this.frames.send(op, volume, link);
    op.everSent = true;
  }

  /** Tries again by the newest map. The operation is in no list; a flush may be divided anew. */
  private again(nowUs: Micros, op: Op): void {
    op.link = null;
    if (op.kind !== IO.flush) {
      this.place(nowUs, op);
      return;
    }
    const { volume } = op;
    assert(volume !== null, 'a flush belongs to a volume');
    const combs = [...op.combs];
    this.release(op);
    this.flushes.again(nowUs, volume, combs);
  }

  private unlist(op: Op): void {
    op.list?.remove(op);
    op.link = null;
  }

  /** Gives an operation back to the pool. It is in no list. */
  private release(op: Op): void {
    if (op.volume !== null) op.volume.ops -= 1;
    this.ops.give(op);
  }

  /** The outcome of an operation is known. */
  private end(nowUs: Micros, op: Op, errno: Errno): void {
    const { volume, request } = op;
    assert(volume !== null, 'an operation in use belongs to a volume');
    this.unlist(op);
    if (op.kind === IO.flush) {
      const combs = [...op.combs];
      this.release(op);
      if (errno === ERRNO.ok) this.flushes.done(nowUs, volume);
      else this.flushes.failed(nowUs, volume, combs, errno);
    } else {
      if (op.isChange()) this.endChange(nowUs, op, volume, errno);
      this.release(op);
      if (request !== null) this.endPiece(nowUs, request, errno);
    }
    this.flushes.resume(nowUs);
    this.cut(nowUs);
  }

  private endChange(nowUs: Micros, op: Op, volume: MappedVolume, errno: Errno): void {
    if (errno === ERRNO.ok && !op.fua && volume.pool.pool.durability !== 'media')
      volume.owe(op.comb);
    const { bucket } = op;
    this.ranges.remove(op);
    for (
      let behind = this.ranges.nextBehind(op, bucket, null);
      behind !== null;
      behind = this.ranges.nextBehind(op, bucket, behind)
    )
      if (behind.state === OP_STATE.behind && this.ranges.mayGo(behind)) this.place(nowUs, behind);
  }

  private endPiece(nowUs: Micros, request: Request, errno: Errno): void {
    request.pieces -= 1;
    if (errno !== ERRNO.ok) {
      if (request.errno === ERRNO.ok) request.errno = errno;
      // What was not cut yet is not begun any more.
      request.cutBytes = request.lengthBytes;
    }
    if (request.cutBytes < request.lengthBytes) {
      if (!request.cutting) this.book.queueCut(request);
    } else if (request.pieces === 0) this.book.answer(nowUs, request, request.errno);
  }

  // Links.

  owns(link: LinkId): boolean {
    return this.table.find(link) !== undefined;
  }

  linkUp(nowUs: Micros, id: LinkId): void {
    const link = this.table.find(id);
    if (link === undefined) return;
    link.state = 'up';
    link.failures = 0;
    for (let op = link.fenced.shift(); op !== null; op = link.fenced.shift()) this.place(nowUs, op);
    this.sendWaiting(nowUs, link.device);
  }

  private sendWaiting(nowUs: Micros, device: DeviceLinks): void {
    while (device.waiting.length > 0) {
      if (device.choose(this.options.inFlightPerLinkMax) === null) return;
      const op = device.waiting.shift();
      assert(op !== null, 'a list of some length has a first');
      this.place(nowUs, op);
    }
  }

  linkDown(nowUs: Micros, id: LinkId, reason: string): void {
    const link = this.table.find(id);
    if (link === undefined) return;
    this.table.forget(id);
    const wasUp = link.state === 'up';
    link.down(nowUs);
    if (wasUp) this.log.event('debug', 'sdc.link-down', { device: link.device.key, reason });
    // The outcome of what was in flight is unknown: it is sent again with the same ids (C10).
    for (let op = link.inFlight.shift(); op !== null; op = link.inFlight.shift())
      if (op.isChange() && link.device.links.length > 1) this.fence(nowUs, op, link);
      else this.again(nowUs, op);
    this.table.dial(nowUs, link.device);
  }

  /** With several links to one device: the retry goes out after the other end has dropped what the lost one carried. */
  private fence(nowUs: Micros, op: Op, link: DeviceLink): void {
    const primary = op.volume?.pool.primaryKeys[op.comb];
    if (primary !== link.device.key) {
      // Elsewhere the generation tells old frames from new ones.
      this.again(nowUs, op);
      return;
    }
    MARKS.fenced.hits++;
    op.link = null;
    op.state = OP_STATE.waiting;
    link.fenced.push(op);
  }

  /** Always takes the frame. */
  frame(
    nowUs: Micros,
    id: LinkId,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): void {
    const link = this.table.find(id);
    if (link === undefined) return;
    const op = this.ops.find(getTag(view, at));
    if (op?.link !== link) {
      MARKS.late.hits++;
      return;
    }
    const expected =
      op.kind === IO.read
        ? MSG.READ_REPLY
        : op.kind === IO.flush
          ? MSG.FLUSH_REPLY
          : MSG.WRITE_REPLY;
    if (getCode(view, at) !== expected) {
      this.distrust(nowUs, link, 'an answer of another kind than the question');
      return;
    }
    const status = getStatus(view, at);
    if (status !== 0) this.refused(nowUs, op, link, status, bytes, at, bodyBytes);
    else if (op.kind === IO.read) this.readAnswered(nowUs, op, link, bytes, view, at, bodyBytes);
    else this.end(nowUs, op, ERRNO.ok);
    if (link.device.waiting.length > 0) this.sendWaiting(nowUs, link.device);
  }

  private readAnswered(
    nowUs: Micros,
    op: Op,
    link: DeviceLink,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): void {
    if (this.frames.takeRead(op, bytes, view, at + HEADER_BYTES, bodyBytes)) {
      this.end(nowUs, op, ERRNO.ok);
      return;
    }
    MARKS.badRead.hits++;
    op.attempts += 1;
    if (op.attempts >= BAD_READS_MAX) {
      this.log.event('error', 'sdc.read-unverified', { device: link.device.key, comb: op.comb });
      this.end(nowUs, op, ERRNO.EIO);
    } else this.distrust(nowUs, link, 'content that does not verify');
  }

  /** The other end sent what it must not: the link is closed and what was in flight asked again. */
  private distrust(nowUs: Micros, link: DeviceLink, reason: string): void {
    this.log.event('warn', 'sdc.link-distrusted', { device: link.device.key, reason });
    const { id } = link;
    this.links.close(id);
    this.linkDown(nowUs, id, reason);
  }

  private refused(
    nowUs: Micros,
    op: Op,
    link: DeviceLink,
    status: number,
    bytes: Uint8Array,
    at: number,
    bodyBytes: number,
  ): void {
    const { volume } = op;
    assert(volume !== null, 'an operation in flight belongs to a volume');
    const entry = bodyBytes === 0 ? null : entryOf(bytes, at + HEADER_BYTES, bodyBytes);
    const news = entry !== null && this.host.learn(volume.pool.pool.key, entry);
    if (news) MARKS.learned.hits++;
    switch (judge(status, volume.pool.pool.fullPolicy === 'wait')) {
      case VERDICT.done:
      case VERDICT.fail:
        this.end(nowUs, op, errnoOf(status));
        return;
      case VERDICT.doubt:
        MARKS.doubted.hits++;
        if (!this.host.isConnected() && nowUs - op.startedUs > DOUBT_US) {
          this.end(nowUs, op, errnoOf(status));
          return;
        }
        break;
      case VERDICT.reroute:
        // After a few refusals in a row even news waits a little: two that disagree must not be asked in turns.
        if (news && op.attempts < 4) {
          op.attempts += 1;
          this.unlist(op);
          this.again(nowUs, op);
          return;
        }
        break;
      case VERDICT.later:
        break;
    }
    this.unlist(op);
    this.retries.add(nowUs, op);
  }

  // Map and volumes.

  /** The map changed: what waits for or was sent to a device that is not the primary any more moves on. */
  mapChanged(nowUs: Micros, map: ClusterMap): void {
    this.table.map = map;
    for (const op of this.ops.all) {
      const { volume } = op;
      if (op.state === OP_STATE.free || op.state === OP_STATE.behind || volume === null) continue;
      const stays =
        op.state !== OP_STATE.delayed && volume.pool.primaryKeys[op.comb] === op.deviceKey;
      if (stays) continue;
      if (op.state === OP_STATE.sent) MARKS.moved.hits++;
      this.unlist(op);
      this.again(nowUs, op);
    }
    this.table.dialAll(nowUs);
  }

  /** The mapping is gone: everything of it is answered, nothing of it is sent any more. */
  revoke(nowUs: Micros, volume: MappedVolume): void {
    volume.mapped = false;
    if (volume.ops > 0) MARKS.revoked.hits++;
    for (const op of this.ops.all) {
      if (op.volume !== volume) continue;
      this.unlist(op);
      if (op.bucket !== -1) this.ranges.remove(op);
      this.release(op);
    }
    this.flushes.forget(volume);
    for (let request = this.book.first(); request !== null;) {
      const following: Request | null = request.newer;
      if (request.volume === volume) {
        request.pieces = 0;
        this.book.answer(nowUs, request, ERRNO.ESHUTDOWN);
      }
      request = following;
    }
    this.cut(nowUs);
  }

  // Time.

  tick(nowUs: Micros): void {
    this.retries.due(nowUs, this.tryAgain);
    if (nowUs >= this.table.nextDialUs) this.table.dialAll(nowUs);
    if (nowUs >= this.nextSettleUs) this.settle(nowUs);
    for (
      let request = this.book.first();
      request !== null && request.startedUs + this.options.ioTimeoutUs <= nowUs;
      request = this.book.first()
    )
      this.giveUp(nowUs, request);
  }

  nextDeadlineUs(): Micros {
    const first = this.book.first();
    const expiryUs = first === null ? Infinity : first.startedUs + this.options.ioTimeoutUs;
    return Math.min(this.retries.nextUs, this.table.nextDialUs, this.nextSettleUs, expiryUs);
  }

  /** Tells the data processes below which id nothing is awaited any more. */
  private settle(nowUs: Micros): void {
    let lowest = this.nextOpId;
    for (const op of this.ops.all) {
      if (op.state === OP_STATE.free || !op.isChange()) continue;
      lowest = Math.min(lowest, op.opHigh * TWO_32 + op.opLow);
    }
    this.nextSettleUs =
      lowest === this.nextOpId && this.changes === 0 ? Infinity : nowUs + SETTLE_US;
    this.changes = 0;
    if (lowest === this.settledId) return;
    this.settledId = lowest;
    for (const link of this.table.up())
      this.frames.sendSettled(link, lowest % TWO_32, Math.floor(lowest / TWO_32));
  }

  /** The time that the operator set is over. */
  private giveUp(nowUs: Micros, request: Request): void {
    MARKS.gaveUp.hits++;
    const { volume } = request;
    assert(volume !== null, 'an open request belongs to a volume');
    this.log.event('warn', 'sdc.io-timed-out', { volume: volume.key, kind: request.kind });
    if (request.kind === IO.flush) this.flushes.withdraw(volume, request);
    request.cutBytes = request.lengthBytes;
    this.book.answer(nowUs, request, ERRNO.EIO);
    for (const op of this.ops.all) {
      if (op.request !== request) continue;
      op.request = null;
      if (op.isChange() && op.everSent) {
        // It may have been applied: it goes on until that is known, with bytes of its own.
        MARKS.orphan.hits++;
        if (op.kind === IO.write) {
          const length = op.sectors * this.options.geometry.sectorBytes;
          op.bytes = op.bytes.slice(op.at, op.at + length);
          op.at = 0;
        }
      } else this.end(nowUs, op, ERRNO.EIO);
    }
  }

  /** Hands answers to the front end. */
  deliver(nowUs: Micros): void {
    this.book.deliver(nowUs);
  }
}

/** The entry that a refusal carries, or null when it is none. */
function entryOf(bytes: Uint8Array, at: number, bodyBytes: number): CombEntry | null {
  try {
    return decodeStruct('CombEntry', bytes.subarray(at, at + bodyBytes));
  } catch (error) {
    // What does not decode is ignored: the map of the MDM will do.
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}
