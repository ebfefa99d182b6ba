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

/** The flushes of one volume. */
class Round {
  runs = false;
  /** Combs that are still to be asked. */
  readonly toFlush: number[] = [];
  /** Operations that have not ended. */
  ops = 0;
  /** How often a part of it was refused: the pauses before new attempts grow. */
  attempts = 0;
  /** Requests that the running round answers, and those that came after it began. */
  head: Request | null = null;
  waitingHead: Request | null = null;
  waitingTail: Request | null = null;
}

export class FlushRounds {
  private readonly carrier: FlushCarrier;
  private readonly stalled = new Set<MappedVolume>();
  private readonly rounds = new Map<MappedVolume, Round>();

  constructor(carrier: FlushCarrier) {
    this.carrier = carrier;
  }

  private roundOf(volume: MappedVolume): Round {
    let round = this.rounds.get(volume);
    if (round === undefined) {
      round = new Round();
      this.rounds.set(volume, round);
    }
    return round;
  }

  add(nowUs: Micros, volume: MappedVolume, request: Request): void {
    const round = this.roundOf(volume);
    request.nextFlush = null;
    if (round.waitingTail === null) round.waitingHead = request;
    else round.waitingTail.nextFlush = request;
    round.waitingTail = request;
    if (!round.runs) this.begin(nowUs, volume);
  }

  private begin(nowUs: Micros, volume: MappedVolume): void {
    const round = this.roundOf(volume);
    round.head = round.waitingHead;
    round.waitingHead = null;
    round.waitingTail = null;
    round.runs = true;
    round.attempts = 0;
    if (round.head !== null && round.head.nextFlush !== null) MARKS.joined.hits++;
    volume.takeDebt(round.toFlush);
    this.plan(nowUs, volume);
  }

  /** Makes an operation per primary of what is left to flush. */
  private plan(nowUs: Micros, volume: MappedVolume): void {
    const round = this.roundOf(volume);
    while (round.toFlush.length > 0) {
      const op = this.carrier.takeFlushOp(volume);
      if (op === null) {
        this.stalled.add(volume);
        return;
      }
      MARKS.asked.hits++;
      this.fill(op, volume);
      op.attempts = round.attempts;
      round.ops += 1;
      this.carrier.place(nowUs, op);
    }
    if (round.ops === 0) this.end(nowUs, volume, ERRNO.ok);
  }

  /** Moves all combs with the primary of the first one into the operation. */
  private fill(op: Op, volume: MappedVolume): void {
    const round = this.roundOf(volume);
    const { primaryKeys } = volume.pool;
    const first = round.toFlush[0] ?? 0;
    const deviceKey = primaryKeys[first] ?? 0;
    let kept = 0;
    for (const comb of round.toFlush) {
      if ((primaryKeys[comb] ?? 0) === deviceKey) op.combs.push(comb);
      else round.toFlush[kept++] = comb;
    }
    round.toFlush.length = kept;
    op.comb = first;
  }

  /** An operation ended well: its combs are on media. */
  done(nowUs: Micros, volume: MappedVolume): void {
    const round = this.roundOf(volume);
    round.ops -= 1;
    if (round.ops === 0 && round.toFlush.length === 0) this.end(nowUs, volume, ERRNO.ok);
  }

  /** An operation could not be done where it was sent: its combs are asked again, wherever their primaries are. */
  again(nowUs: Micros, volume: MappedVolume, combs: readonly number[]): void {
    const round = this.roundOf(volume);
    MARKS.replanned.hits++;
    round.attempts += 1;
    round.ops -= 1;
    for (const comb of combs) round.toFlush.push(comb);
    this.plan(nowUs, volume);
  }

  /** An operation cannot be done at all: what it should have flushed is owed still. */
  failed(nowUs: Micros, volume: MappedVolume, combs: readonly number[], errno: Errno): void {
    const round = this.roundOf(volume);
    round.ops -= 1;
    for (const comb of combs) volume.owe(comb);
    for (const comb of round.toFlush) volume.owe(comb);
    round.toFlush.length = 0;
    // What other operations of the round achieve still counts; the requests learn of the failure at once.
    for (let request = round.head; request !== null; request = round.head) {
      round.head = request.nextFlush;
      request.nextFlush = null;
      this.carrier.answer(nowUs, request, errno);
    }
    if (round.ops === 0) this.end(nowUs, volume, errno);
  }

  private end(nowUs: Micros, volume: MappedVolume, errno: Errno): void {
    const round = this.roundOf(volume);
    for (let request = round.head; request !== null; request = round.head) {
      round.head = request.nextFlush;
      request.nextFlush = null;
      this.carrier.answer(nowUs, request, errno);
    }
    round.runs = false;
    this.stalled.delete(volume);
    if (round.waitingHead !== null) this.begin(nowUs, volume);
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
    const round = this.roundOf(volume);
    round.head = without(round.head, request);
    round.waitingHead = without(round.waitingHead, request);
    let last: Request | null = null;
    for (let at = round.waitingHead; at !== null; at = at.nextFlush) last = at;
    round.waitingTail = last;
    request.nextFlush = null;
  }

  /** The mapping is gone; its requests are answered by the caller. */
  forget(volume: MappedVolume): void {
    this.rounds.delete(volume);
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
