// Requests to the MDM that await an answer: tags, deadlines, and what becomes of them when the link goes. It must never
// know what a request means beyond whether asking twice is harmless.

import type { Micros } from '../core/ports.js';
import { ERR } from '../protocol/generated/constants.js';
import { setTag } from '../protocol/generated/frame-head.js';
import { sealFrame } from '../protocol/frames.js';
import type { ErrorDetail } from '../protocol/generated/types.js';

/** What came back: the body of the answer, or a status other than 0. */
export interface Answer {
  /** 0, or an error code: of the MDM, or NOT_READY (never sent) or TIMED_OUT (sent, outcome unknown) of this side. */
  readonly status: number;
  readonly details: readonly ErrorDetail[];
  /** Code of the answering frame, 0 when none came. */
  readonly code: number;
  /** Body of the answering frame, valid during the call only. */
  readonly body: Uint8Array;
}

export type Answered = (nowUs: Micros, answer: Answer) => void;

interface Request {
  readonly frame: Uint8Array;
  /** Asking again after an unknown outcome is harmless. */
  readonly repeatable: boolean;
  readonly deadlineUs: Micros;
  readonly answered: Answered;
  sent: boolean;
}

const EMPTY = new Uint8Array(0);

/** An answer made on this side. */
export function failure(status: number): Answer {
  return { status, details: [], code: 0, body: EMPTY };
}

export class Requests {
  private readonly open = new Map<number, Request>();
  private lastTag = 0;

  /** Number of requests without an answer. */
  get size(): number {
    return this.open.size;
  }

  /**
   * Notes a request.
   *
   * @param frame - sealed, with any tag; it gets its own here
   * @returns its tag
   */
  add(frame: Uint8Array, repeatable: boolean, deadlineUs: Micros, answered: Answered): number {
    do this.lastTag = (this.lastTag + 1) >>> 0;
    while (this.lastTag === 0 || this.open.has(this.lastTag));
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    setTag(view, 0, this.lastTag);
    sealFrame(frame, view, 0);
    this.open.set(this.lastTag, { frame, repeatable, deadlineUs, answered, sent: false });
    return this.lastTag;
  }

  /** Frames that were not sent on the present link yet, in the order asked; they count as sent now. */
  *unsent(): Iterable<Uint8Array> {
    for (const request of this.open.values()) {
      if (request.sent) continue;
      request.sent = true;
      yield request.frame;
    }
  }

  /** Gives an answer to whoever asked; false when nobody waits for it any more. */
  settle(nowUs: Micros, tag: number, answer: Answer): boolean {
    const request = this.open.get(tag);
    if (request === undefined) return false;
    if (answer.status === ERR.NOT_MASTER) {
      // Nothing happened there: the request waits for the master.
      request.sent = false;
      return true;
    }
    this.open.delete(tag);
    request.answered(nowUs, answer);
    return true;
  }

  /** The link is gone: repeatable requests wait for the next one, the outcome of the others is unknown. */
  linkLost(nowUs: Micros): void {
    const lost: Request[] = [];
    for (const [tag, request] of this.open) {
      if (!request.sent) continue;
      if (request.repeatable) request.sent = false;
      else {
        this.open.delete(tag);
        lost.push(request);
      }
    }
    for (const request of lost) request.answered(nowUs, failure(ERR.TIMED_OUT));
  }

  /**
   * Fails what nobody answered in time.
   *
   * @param all - whatever its deadline
   */
  expire(nowUs: Micros, all = false): void {
    if (this.open.size === 0) return;
    const late = [...this.open].filter(([, request]) => all || request.deadlineUs <= nowUs);
    for (const [tag] of late) this.open.delete(tag);
    for (const [, request] of late)
      request.answered(nowUs, failure(request.sent ? ERR.TIMED_OUT : ERR.NOT_READY));
  }

  nextDeadlineUs(): Micros {
    let next = Infinity;
    for (const request of this.open.values()) next = Math.min(next, request.deadlineUs);
    return next;
  }
}
