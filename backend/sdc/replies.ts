// What answers of data processes mean: each belongs to an operation in flight, is done, or says why not and what becomes
// of the operation then. It owns that judgement; it must never believe an answer to an earlier sending, nor content that
// does not verify.

import { assert } from '../core/assert.js';
import { mark } from '../core/marks.js';
import type { Log, Micros } from '../core/ports.js';
import { ENTRY_VERSION, decodeStruct } from '../protocol/control.js';
import { HEADER_BYTES } from '../protocol/frames.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import { getCode, getStatus, getTag } from '../protocol/generated/frame-head.js';
import type { CombEntry } from '../protocol/generated/types.js';
import { ProtocolError } from '../protocol/wire.js';

import type { Errno } from './block-front.js';
import { ERRNO, IO } from './block-front.js';
import type { DeviceLink } from './device-link.js';
import type { Op, OpPool } from './op.js';
import type { Placer } from './placer.js';
import { NEWS_MAX, waitsForSpace } from './placer.js';
import { errnoOf, judge, VERDICT } from './verdict.js';

const MARKS = {
  learned: mark('sdc: a refusal carried a newer entry'),
  late: mark('sdc: ignored an answer to an earlier sending'),
  badRead: mark('sdc: the content of a read did not verify'),
  doubted: mark('sdc: a refusal contradicted the map'),
  dropped: mark('sdc: a refused write that nobody awaits was dropped'),
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
/** Wrong contents of one read, one after the other, before it is an error. */
const BAD_READS_MAX = 3;

export class Replies {
  private readonly log: Log;
  private readonly host: EngineHost;
  private readonly ops: OpPool;
  private readonly placer: Placer;
  private readonly end: (nowUs: Micros, op: Op, errno: Errno) => void;

  /** @param end - the outcome of an operation is known */
  constructor(
    log: Log,
    host: EngineHost,
    ops: OpPool,
    placer: Placer,
    end: (nowUs: Micros, op: Op, errno: Errno) => void,
  ) {
    this.log = log;
    this.host = host;
    this.ops = ops;
    this.placer = placer;
    this.end = end;
  }

  /** A frame of a data process. */
  frame(
    nowUs: Micros,
    link: DeviceLink,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): void {
    const op = this.ops.find(getTag(view, at));
    if (op?.link !== link) {
      MARKS.late.hits++;
      return;
    }
    if (getCode(view, at) !== answerCode(op)) {
      this.placer.distrust(nowUs, link, 'an answer of another kind than the question');
      return;
    }
    const status = getStatus(view, at);
    if (status !== 0) this.refused(nowUs, op, status, bytes, at, bodyBytes);
    else if (op.kind === IO.read) this.readAnswered(nowUs, op, link, bytes, view, at, bodyBytes);
    else if (op.kind === IO.describe) {
      if (this.placer.frames.takeDescription(op, bytes, at + HEADER_BYTES, bodyBytes))
        this.end(nowUs, op, ERRNO.ok);
      else this.placer.distrust(nowUs, link, 'a description of another length');
    } else {
      if (op.probes) this.placer.foundSpace(nowUs, op);
      this.end(nowUs, op, ERRNO.ok);
    }
    if (link.device.waiting.length > 0) this.placer.sendWaiting(nowUs, link.device);
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
    if (this.placer.frames.takeRead(op, bytes, view, at + HEADER_BYTES, bodyBytes)) {
      this.end(nowUs, op, ERRNO.ok);
      return;
    }
    MARKS.badRead.hits++;
    op.attempts += 1;
    if (op.attempts >= BAD_READS_MAX) {
      this.log.event('error', 'sdc.read-unverified', { device: link.device.key, comb: op.comb });
      this.end(nowUs, op, ERRNO.EIO);
    } else this.placer.distrust(nowUs, link, 'content that does not verify');
  }

  private refused(
    nowUs: Micros,
    op: Op,
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
    switch (judge(status, waitsForSpace(op))) {
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
        if (news && op.attempts < NEWS_MAX) {
          op.attempts += 1;
          this.placer.unlist(op);
          this.placer.again(nowUs, op);
          return;
        }
        break;
      case VERDICT.park:
        if (op.request?.abandoned === false) this.placer.park(nowUs, op);
        else {
          // It was not applied, and nobody awaits it: it never will be.
          MARKS.dropped.hits++;
          this.end(nowUs, op, ERRNO.ENOSPC);
        }
        return;
      case VERDICT.later:
        // Whoever is too busy to take it looked for it first: it was not applied.
        if (status === ERR.BUSY && op.kind === IO.write && op.request?.abandoned !== false) {
          MARKS.dropped.hits++;
          this.end(nowUs, op, ERRNO.EIO);
          return;
        }
        break;
    }
    this.placer.later(nowUs, op);
  }
}

function answerCode(op: Op): number {
  if (op.kind === IO.read) return MSG.READ_REPLY;
  if (op.kind === IO.describe) return MSG.DESCRIBE_REPLY;
  return op.kind === IO.flush ? MSG.FLUSH_REPLY : MSG.WRITE_REPLY;
}

/** The entry that a refusal carries, or null when it is none. */
function entryOf(bytes: Uint8Array, at: number, bodyBytes: number): CombEntry | null {
  try {
    return decodeStruct('CombEntry', bytes.subarray(at, at + bodyBytes), ENTRY_VERSION);
  } catch (error) {
    // What does not decode is ignored: the map of the MDM will do.
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}
