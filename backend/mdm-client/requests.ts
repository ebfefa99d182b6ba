// Requests to the MDM that await an answer: tags, deadlines, and what becomes of them when the link goes. It must never
// know what a request means beyond whether asking twice is harmless.

import type { Micros } from '../core/ports.js';
import { ERR, LATER_CODES } from '../protocol/generated/constants.js';
import { getCode, setTag } from '../protocol/generated/frame-head.js';
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
  /** Protocol version in which the body is written. */
  readonly version: number;
}

export type Answered = (nowUs: Micros, answer: Answer) => void;

/** A request as a frame of a protocol version: the link that takes it may have another than the one before. */
export type EncodeRequest = (version: number) => Uint8Array;

interface Request {
  frame: Uint8Array;
  /** In which `frame` is written. */
  version: number;
  readonly encode: EncodeRequest;
  /** Asking again after an unknown outcome is harmless. */
  readonly repeatable: boolean;
  readonly deadlineUs: Micros;
  readonly answered: Answered;
  sent: boolean;
}

const EMPTY = new Uint8Array(0);

/** An answer made on this side. */
export function failure(status: number): Answer {
  return { status, details: [], code: 0, body: EMPTY, version: 1 };
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
   * @param encode - its frame, with any tag; it gets its own here
   * @param version - of the present link, or of the last one
   * @returns its tag
   */
  add(
    encode: EncodeRequest,
    version: number,
    repeatable: boolean,
    deadlineUs: Micros,
    answered: Answered,
  ): number {
    do this.lastTag = (this.lastTag + 1) >>> 0;
    while (this.lastTag === 0 || this.open.has(this.lastTag));
    const frame = tagged(encode(version), this.lastTag);
    const request = { frame, version, encode, repeatable, deadlineUs, answered, sent: false };
    this.open.set(this.lastTag, request);
    return this.lastTag;
  }

  /**
   * Frames that were not sent on the present link yet, in the order asked; they count as sent now.
   *
   * @param version - of the present link
   */
  unsent(version: number): readonly Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (const [tag, request] of this.open) {
      if (request.sent || needsVersion(request.frame) > version) continue;
      if (request.version !== version) {
        request.frame = tagged(request.encode(version), tag);
        request.version = version;
      }
      request.sent = true;
      frames.push(request.frame);
    }
    return frames;
  }

  /** Ends requests that an MDM of this version does not know. */
  refuseLater(nowUs: Micros, version: number): void {
    const refused = [...this.open].filter(
      ([, { frame, sent }]) => !sent && needsVersion(frame) > version,
    );
    for (const [tag] of refused) this.open.delete(tag);
    for (const [, { frame, answered }] of refused)
      answered(nowUs, {
        ...failure(ERR.VERSION_UNSUPPORTED),
        details: [
          { name: 'offered', value: `from ${needsVersion(frame)} on` },
          { name: 'served', value: `up to ${version}` },
        ],
      });
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
    if (this.open.size === 0) return next;
    for (const request of this.open.values()) next = Math.min(next, request.deadlineUs);
    return next;
  }
}

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

function tagged(frame: Uint8Array, tag: number): Uint8Array {
  const view = viewOf(frame);
  setTag(view, 0, tag);
  sealFrame(frame, view, 0);
  return frame;
}

/** Protocol version from which its code is known. */
function needsVersion(frame: Uint8Array): number {
  return LATER_CODES.get(getCode(viewOf(frame), 0)) ?? 1;
}
