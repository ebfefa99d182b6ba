// FLUSH of a volume (C11): a round asks the primaries of all combs in debt; requests that come while it runs wait for the
// next one, which serves them all. It owns the rounds; how an operation finds its way is the engine's business.
//
// A round covers what was acknowledged before it began: debt is taken at its start, and every request that it answers
// was submitted before that. A comb whose flush is refused goes back into the round.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';

import type { Errno } from './block-front.js';
import { ERRNO } from './block-front.js';
import type { MappedVolume } from './mapped-volume.js';
import type { Op, Request } from './op.js';

const MARKS = {
  joined: mark('sdc: several flushes were served by one round'),
  asked: mark('sdc: a flush asked primaries'),
  replanned: mark('sdc: a flush was sent again to another primary'),
};

/** What a round needs of the engine. */
export interface FlushCarrier {
  /** A flush operation of the volume, not placed yet; null: none is free, `resume` follows. */
  takeFlushOp(volume: MappedVolume): Op | null;
  /** Sends it to the primary of `op.comb`, now or when it can be reached. */
  place(nowUs: Micros, op: Op): void;
  answer(nowUs: Micros, request: Request, errno: Errno): void;
}

export class FlushRounds {
  private readonly carrier: FlushCarrier;
  private readonly stalled = new Set<MappedVolume>();

  constructor(carrier: FlushCarrier) {
    this.carrier = carrier;
  }

  add(nowUs: Micros, volume: MappedVolume, request: Request): void {
    request.nextFlush = null;
    if (volume.waitingTail === null) volume.waitingHead = request;
    else volume.waitingTail.nextFlush = request;
    volume.waitingTail = request;
    if (!volume.roundRuns) this.begin(nowUs, volume);
  }

  private begin(nowUs: Micros, volume: MappedVolume): void {
    volume.roundHead = volume.waitingHead;
    volume.waitingHead = null;
    volume.waitingTail = null;
    volume.roundRuns = true;
    if (volume.roundHead !== null && volume.roundHead.nextFlush !== null) MARKS.joined.hits++;
    volume.takeDebt();
    this.plan(nowUs, volume);
  }

  /** Makes an operation per primary of what is left to flush. */
  private plan(nowUs: Micros, volume: MappedVolume): void {
    while (volume.toFlush.length > 0) {
      const op = this.carrier.takeFlushOp(volume);
      if (op === null) {
        this.stalled.add(volume);
        return;
      }
      MARKS.asked.hits++;
      this.fill(op, volume);
      volume.flushOps += 1;
      this.carrier.place(nowUs, op);
    }
    if (volume.flushOps === 0) this.end(nowUs, volume, ERRNO.ok);
  }

  /** Moves all combs with the primary of the first one into the operation. */
  private fill(op: Op, volume: MappedVolume): void {
    const { primaryKeys } = volume.pool;
    const first = volume.toFlush[0] ?? 0;
    const deviceKey = primaryKeys[first] ?? 0;
    let kept = 0;
    for (const comb of volume.toFlush) {
      if ((primaryKeys[comb] ?? 0) === deviceKey) op.combs.push(comb);
      else volume.toFlush[kept++] = comb;
    }
    volume.toFlush.length = kept;
    op.comb = first;
  }

  /** An operation ended well: its combs are on media. */
  done(nowUs: Micros, volume: MappedVolume): void {
    volume.flushOps -= 1;
    if (volume.flushOps === 0 && volume.toFlush.length === 0) this.end(nowUs, volume, ERRNO.ok);
  }

  /** An operation could not be done where it was sent: its combs are asked again, wherever their primaries are. */
  again(nowUs: Micros, volume: MappedVolume, combs: readonly number[]): void {
    MARKS.replanned.hits++;
    volume.flushOps -= 1;
    for (const comb of combs) volume.toFlush.push(comb);
    this.plan(nowUs, volume);
  }

  /** An operation cannot be done at all: what it should have flushed is owed still. */
  failed(nowUs: Micros, volume: MappedVolume, combs: readonly number[], errno: Errno): void {
    volume.flushOps -= 1;
    for (const comb of combs) volume.owe(comb);
    for (const comb of volume.toFlush) volume.owe(comb);
    volume.toFlush.length = 0;
    // What other operations of the round achieve still counts; the requests learn of the failure at once.
    for (let request = volume.roundHead; request !== null; request = volume.roundHead) {
      volume.roundHead = request.nextFlush;
      request.nextFlush = null;
      this.carrier.answer(nowUs, request, errno);
    }
    if (volume.flushOps === 0) this.end(nowUs, volume, errno);
  }

  private end(nowUs: Micros, volume: MappedVolume, errno: Errno): void {
    for (let request = volume.roundHead; request !== null; request = volume.roundHead) {
      volume.roundHead = request.nextFlush;
      request.nextFlush = null;
      this.carrier.answer(nowUs, request, errno);
    }
    volume.roundRuns = false;
    this.stalled.delete(volume);
    if (volume.waitingHead !== null) this.begin(nowUs, volume);
  }

  /** An operation became free: rounds that wait for one go on. */
  resume(nowUs: Micros): void {
    if (this.stalled.size === 0) return;
    const volumes = [...this.stalled];
    this.stalled.clear();
    for (const volume of volumes) this.plan(nowUs, volume);
  }

  /** The request took too long: it is answered, the round goes on for the others. */
  withdraw(volume: MappedVolume, request: Request): void {
    volume.roundHead = without(volume.roundHead, request);
    volume.waitingHead = without(volume.waitingHead, request);
    let last: Request | null = null;
    for (let at = volume.waitingHead; at !== null; at = at.nextFlush) last = at;
    volume.waitingTail = last;
    request.nextFlush = null;
  }

  /** The mapping is gone; its requests are answered by the caller. */
  forget(volume: MappedVolume): void {
    volume.roundHead = null;
    volume.waitingHead = null;
    volume.waitingTail = null;
    volume.roundRuns = false;
    volume.flushOps = 0;
    volume.toFlush.length = 0;
    this.stalled.delete(volume);
  }
}

function without(head: Request | null, gone: Request): Request | null {
  if (head === gone) return gone.nextFlush;
  for (let at = head; at !== null; at = at.nextFlush)
    if (at.nextFlush === gone) {
      at.nextFlush = gone.nextFlush;
      break;
    }
  return head;
}
