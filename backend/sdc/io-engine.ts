// The client's data path: requests come in, operations go out, requests are answered when the outcome of all their pieces
// is known. It owns the wiring of its parts and how requests end; each part owns its topic. It upholds C10 (the outcome of
// a write is followed until it is known) and C11 (flush debt). It must never answer a write whose outcome is unknown,
// except by an error after the time that the operator set, or to nobody.
//
//   limiter, throttle     when requests of a limited mapping begin
//   cutter, range-table   requests to operations, never two that overlap
//   placer                where operations go, what they wait for
//   replies, verdict      what answers mean
//   flush-rounds          FLUSH
//   request-book          requests that the front end awaits

import type { ClusterMap } from '../cluster-map/cluster-map.js';
import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { LinkId, Links, Log, Micros, Peer, Token } from '../core/ports.js';

import { isNews, settledBelow } from '../protocol/settled-ops.js';
import type { SettledOps } from '../protocol/settled-ops.js';
import type { BlockFront, Errno, IoKind } from './block-front.js';
import { ERRNO, IO } from './block-front.js';
import { Cutter } from './cutter.js';
import { FlushRounds } from './flush-rounds.js';
import { Limiter } from './limiter.js';
import type { MappedVolume } from './mapped-volume.js';
import type { Op, Request } from './op.js';
import { OP_STATE } from './op.js';
import type { ClientOptions } from './options.js';
import { Placer } from './placer.js';
import { Replies } from './replies.js';
import type { EngineHost } from './replies.js';
import { RequestBook } from './request-book.js';

const MARKS = {
  noRoom: mark('sdc: a request found no room'),
  gaveUp: mark('sdc: a request was answered with an error after the bound on time'),
  orphan: mark('sdc: a write went on after its request was answered'),
  revoked: mark('sdc: a mapping was taken away under I/O'),
  abandoned: mark('sdc: nobody awaits a request any more'),
  someWait: mark('sdc: changes are settled while older ones wait'),
};

const SETTLE_US = 1_000_000;

export class IoEngine {
  private readonly options: ClientOptions;
  private readonly log: Log;
  private readonly book: RequestBook;
  private readonly cutter: Cutter;
  private readonly placer: Placer;
  private readonly replies: Replies;
  private readonly flushes: FlushRounds;
  private readonly limiter: Limiter;
  private nextSettleUs: Micros = Infinity;
  private settled: SettledOps = { belowId: 0, open: [] };
  /** What the next change was numbered when it was last said what is settled. */
  private saidNextId = 1;

  constructor(
    options: ClientOptions,
    links: Links,
    log: Log,
    front: BlockFront,
    host: EngineHost,
    map: ClusterMap,
  ) {
    this.options = options;
    this.log = log;
    this.book = new RequestBook(options.requestsMax, front);
    const place = (nowUs: Micros, op: Op): void => {
      this.placer.place(nowUs, op);
    };
    const end = (nowUs: Micros, op: Op, errno: Errno): void => {
      this.end(nowUs, op, errno);
    };
    const replan = (nowUs: Micros, op: Op): void => {
      this.replan(nowUs, op);
    };
    this.placer = new Placer(options, links, log, map, replan, end);
    this.cutter = new Cutter(options, place);
    this.limiter = new Limiter({
      begin: (nowUs, request) => {
        this.cutter.queue(request);
        this.cut(nowUs);
      },
      renew: (nowUs, request) => {
        this.book.renew(nowUs, request);
      },
    });
    this.replies = new Replies(log, host, this.cutter.ops, this.placer, end);
    this.flushes = new FlushRounds({
      takeFlushOp: (volume) => this.cutter.takeFlush(volume),
      place,
      answer: (nowUs, request, errno) => {
        this.book.answer(nowUs, request, errno);
      },
    });
  }

  /** Operations and requests that have not ended: 0 when the client is at rest. */
  get openCount(): number {
    return this.book.openCount + this.cutter.ops.usedCount;
  }

  /** The run number is known: links may be opened. */
  start(nowUs: Micros): void {
    this.placer.start(nowUs);
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
    const errno = this.cutter.objection(request);
    if (errno !== ERRNO.ok || volume === undefined) this.book.answer(nowUs, request, errno);
    else if (kind === IO.flush) this.flushes.add(nowUs, volume, request);
    else if (lengthBytes === 0) this.book.answer(nowUs, request, ERRNO.ok);
    else this.limiter.submit(nowUs, volume, request);
    return true;
  }

  private cut(nowUs: Micros): void {
    this.cutter.cut(nowUs);
    if (this.cutter.changes > 0 && this.nextSettleUs === Infinity)
      this.nextSettleUs = nowUs + SETTLE_US;
  }

  /** A flush that could not be done where it was sent: its combs are asked again, wherever their primaries are. */
  private replan(nowUs: Micros, op: Op): void {
    const { volume } = op;
    assert(volume !== null, 'a flush belongs to a volume');
    const combs = [...op.combs];
    this.cutter.release(op);
    this.flushes.again(nowUs, volume, combs);
  }

  /** The outcome of an operation is known. */
  private end(nowUs: Micros, op: Op, errno: Errno): void {
    const { volume, request } = op;
    assert(volume !== null, 'an operation in use belongs to a volume');
    this.placer.unlist(op);
    if (op.kind === IO.flush) {
      const combs = [...op.combs];
      this.cutter.release(op);
      if (errno === ERRNO.ok) this.flushes.done(nowUs, volume);
      else this.flushes.failed(nowUs, volume, combs, errno);
    } else {
      if (op.isChange()) {
        if (errno === ERRNO.ok && !op.fua && volume.pool.pool.durability !== 'media')
          volume.owe(op.comb);
        this.cutter.passOn(nowUs, op);
      }
      this.cutter.release(op);
      if (request !== null) this.endPiece(nowUs, request, errno);
    }
    this.flushes.resume(nowUs);
    this.cut(nowUs);
  }

  private endPiece(nowUs: Micros, request: Request, errno: Errno): void {
    request.pieces -= 1;
    if (errno !== ERRNO.ok) {
      if (request.errno === ERRNO.ok) request.errno = errno;
      // What was not cut yet is not begun any more.
      request.cutBytes = request.lengthBytes;
    }
    if (request.cutBytes < request.lengthBytes) {
      if (request.queue === null) this.cutter.queue(request);
    } else if (request.pieces === 0) this.book.answer(nowUs, request, request.errno);
  }

  // Links.

  linkUp(nowUs: Micros, id: LinkId, peer: Peer): void {
    this.placer.linkUp(nowUs, id, peer);
  }

  linkDown(nowUs: Micros, id: LinkId, reason: string): void {
    this.placer.linkDown(nowUs, id, reason);
  }

  /** Takes a frame of a data process; false: the link is none of the data path. */
  frame(
    nowUs: Micros,
    id: LinkId,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    const link = this.placer.find(id);
    if (link === undefined) return false;
    this.replies.frame(nowUs, link, bytes, view, at, bodyBytes);
    return true;
  }

  // Map and volumes.

  /** The map changed. */
  mapChanged(nowUs: Micros, map: ClusterMap): void {
    this.placer.mapChanged(nowUs, map, this.cutter.ops.all);
  }

  /** The limits of a mapping are others. */
  limitsChanged(nowUs: Micros, volume: MappedVolume): void {
    this.limiter.changed(nowUs, volume);
  }

  /** The mapping is gone: everything of it is answered, nothing of it is sent any more. */
  revoke(nowUs: Micros, volume: MappedVolume): void {
    volume.mapped = false;
    if (volume.ops > 0) MARKS.revoked.hits++;
    for (const op of this.cutter.ops.all) {
      if (op.volume !== volume) continue;
      this.placer.unlist(op);
      if (op.bucket !== -1) this.cutter.ranges.remove(op);
      this.cutter.release(op);
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
    this.cutter.forget(volume);
    this.limiter.forget(volume);
    this.cut(nowUs);
  }

  // Requests that end before their operations.

  /**
   * Nobody awaits these requests any more. What is not begun never happens, so that it holds no memory and nothing else
   * up; what may have been applied goes on until that is known. All are answered, as any other request.
   */
  abandon(nowUs: Micros, isGone: (token: Token) => boolean): void {
    for (let request = this.book.first(); request !== null;) {
      const following: Request | null = request.newer;
      if (isGone(request.token)) this.abandonRequest(nowUs, request);
      request = following;
    }
    // The youngest first: none of them is sent because another, which it waited for, has ended.
    const dropped = this.cutter.ops.all
      .filter((op) => op.request?.abandoned === true && !(op.isChange() && op.everSent))
      .sort((one, other) => other.opHigh - one.opHigh || other.opLow - one.opLow);
    for (const op of dropped) this.end(nowUs, op, ERRNO.EIO);
  }

  private abandonRequest(nowUs: Micros, request: Request): void {
    MARKS.abandoned.hits++;
    const { volume } = request;
    assert(volume !== null, 'an open request belongs to a volume');
    request.abandoned = true;
    if (request.kind === IO.flush) this.flushes.withdraw(volume, request);
    // Its rest never happens: it is not done, however its pieces end (seed 7001230).
    if (request.cutBytes < request.lengthBytes) request.errno = ERRNO.EIO;
    request.cutBytes = request.lengthBytes;
    if (request.pieces === 0) this.book.answer(nowUs, request, ERRNO.EIO);
  }

  /** The time that the operator set is over. */
  private giveUp(nowUs: Micros, request: Request): void {
    MARKS.gaveUp.hits++;
    const { volume } = request;
    assert(volume !== null, 'an open request belongs to a volume');
    this.log.event('warn', 'sdc.io-timed-out', { volume: volume.key, kind: request.kind });
    if (request.kind === IO.flush) this.flushes.withdraw(volume, request);
    request.cutBytes = request.lengthBytes;
    const pieces = this.cutter.ops.all.filter((op) => op.request === request);
    const full = pieces.some((op) => op.state === OP_STATE.parked);
    this.book.answer(nowUs, request, full ? ERRNO.ENOSPC : ERRNO.EIO);
    for (const op of pieces) {
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

  // Time.

  tick(nowUs: Micros): void {
    this.placer.tick(nowUs);
    this.limiter.tick(nowUs);
    if (nowUs >= this.nextSettleUs) this.settle(nowUs);
    for (
      let request = this.book.first();
      request !== null && request.startedUs + this.options.ioTimeoutUs <= nowUs;
      request = this.book.first()
    )
      if (!this.limiter.excuses(nowUs, request)) this.giveUp(nowUs, request);
  }

  nextDeadlineUs(): Micros {
    const first = this.book.first();
    const expiryUs = first === null ? Infinity : first.startedUs + this.options.ioTimeoutUs;
    return Math.min(
      this.placer.nextDeadlineUs(),
      this.limiter.nextDeadlineUs(),
      this.nextSettleUs,
      expiryUs,
    );
  }

  /** Tells the data processes for which changes nothing is awaited any more; what waits for long does not hold up the rest. */
  private settle(nowUs: Micros): void {
    const { cutter } = this;
    const ids = cutter.openIds();
    const lowest = ids.reduce((least, id) => Math.min(least, id), cutter.nextId);
    const settled = settledBelow(ids, Math.max(lowest, this.saidNextId));
    const isIdle = lowest === cutter.nextId && cutter.changes === 0;
    this.nextSettleUs = isIdle ? Infinity : nowUs + SETTLE_US;
    cutter.changes = 0;
    this.saidNextId = cutter.nextId;
    if (!isNews(settled, this.settled)) return;
    if (settled.open.length > 0) MARKS.someWait.hits++;
    this.settled = settled;
    this.placer.sendSettled(settled);
  }

  /** Hands answers to the front end. */
  deliver(nowUs: Micros): void {
    this.book.deliver(nowUs);
  }
}
