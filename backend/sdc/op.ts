// The pooled objects of the client's data path: a request of a front end, and an operation, which is one piece of it
// within one chunk. It owns their fields and lists; it must never decide anything. Nothing here is allocated per I/O
// once the pools are filled.

import { assert } from '../core/assert.js';
import type { Micros, Token } from '../core/ports.js';

import type { Errno, IoKind } from './block-front.js';
import { ERRNO, IO } from './block-front.js';
import type { MappedVolume } from './mapped-volume.js';

/** Where an operation stands. */
export const OP_STATE = {
  free: 0,
  /** Behind an overlapping write. */
  behind: 1,
  /** Waits for a link to its primary. */
  waiting: 2,
  /** Sent; the answer is awaited. */
  sent: 3,
  /** Waits for its time to be tried again. */
  delayed: 4,
  /** The pool was full: waits for space. */
  parked: 5,
} as const;
export type OpState = (typeof OP_STATE)[keyof typeof OP_STATE];

const EMPTY = new Uint8Array(0);

export class Request {
  volume: MappedVolume | null = null;
  kind: IoKind = IO.read;
  fua = false;
  bytes: Uint8Array = EMPTY;
  at = 0;
  token: Token = 0;
  offsetBytes = 0;
  lengthBytes = 0;
  /** How much of it was cut into operations. */
  cutBytes = 0;
  /** Operations that have not ended. */
  pieces = 0;
  errno: Errno = ERRNO.ok;
  startedUs: Micros = 0;
  /** The front end was answered, or will be at the end of the batch. */
  answered = false;
  /** Nobody awaits the answer any more: what is not begun need not be done. */
  abandoned = false;
  /** The queue in which it waits to be cut. */
  queue: { remove(request: Request): void } | null = null;
  nextToCut: Request | null = null;
  /** Neighbours in the list of open requests, oldest first. */
  older: Request | null = null;
  newer: Request | null = null;
  nextDone: Request | null = null;
  nextFlush: Request | null = null;
}

export class Op {
  /** Place in the pool; the lower half of the tag. */
  readonly slot: number;
  /** Upper half of the tag: a late answer to an earlier use or an earlier sending is recognised by it. */
  sendings = 0;
  state: OpState = OP_STATE.free;
  /** null: the request was answered before the outcome was known; the operation is settled all the same (C10). */
  request: Request | null = null;
  volume: MappedVolume | null = null;
  kind: IoKind = IO.read;
  fua = false;
  bytes: Uint8Array = EMPTY;
  at = 0;
  vtreeKey = 0;
  chunkIndex = 0;
  /** Sectors within the chunk. */
  firstSector = 0;
  sectors = 0;
  opLow = 0;
  opHigh = 0;
  comb = 0;
  deviceKey = 0;
  /** The link that it was last sent on: only its identity matters here. */
  link: object | null = null;
  /** It may have reached a primary, and none has said since that it was not applied. */
  everSent = false;
  /** It waited for space: its end says whether there is some. */
  probes = false;
  attempts = 0;
  retryAtUs: Micros = 0;
  startedUs: Micros = 0;
  /** Combs of a flush. */
  combs: number[] = [];
  /** The list that it is in. */
  list: OpList | null = null;
  previous: Op | null = null;
  next: Op | null = null;
  /** Neighbours among the changing operations of chunks that share a bucket, oldest first. */
  bucket = -1;
  bucketOlder: Op | null = null;
  bucketNewer: Op | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }

  get tag(): number {
    return ((this.sendings & 0xffff) * 0x10000 + this.slot) >>> 0;
  }

  /** Changes data, so it has an operation id and never overlaps another one in flight. */
  isChange(): boolean {
    return this.kind === IO.write || this.kind === IO.zero || this.kind === IO.discard;
  }
}

/** A list of operations; an operation is in at most one. */
export class OpList {
  head: Op | null = null;
  tail: Op | null = null;
  length = 0;

  push(op: Op): void {
    assert(op.list === null, 'an operation is in one list');
    op.list = this;
    op.previous = this.tail;
    op.next = null;
    if (this.tail === null) this.head = op;
    else this.tail.next = op;
    this.tail = op;
    this.length += 1;
  }

  remove(op: Op): void {
    assert(op.list === this, 'the operation is in this list');
    if (op.previous === null) this.head = op.next;
    else op.previous.next = op.next;
    if (op.next === null) this.tail = op.previous;
    else op.next.previous = op.previous;
    op.list = null;
    op.previous = null;
    op.next = null;
    this.length -= 1;
  }

  /** Its operations; each may be taken out when it is handed over. */
  *items(): Iterable<Op> {
    let following: Op | null = null;
    for (let op = this.head; op !== null; op = following) {
      following = op.next;
      yield op;
    }
  }

  shift(): Op | null {
    const op = this.head;
    if (op !== null) this.remove(op);
    return op;
  }
}

/** Slots that half a tag can name. */
const SLOTS_MAX = 0x10000;

/** Operations, made when first needed and kept. How many may be in use is the taker's to decide. */
export class OpPool {
  private readonly made: Op[] = [];
  private readonly free: Op[] = [];

  /** All that were ever used. */
  get all(): readonly Op[] {
    return this.made;
  }

  get usedCount(): number {
    return this.made.length - this.free.length;
  }

  get hasRoom(): boolean {
    return this.usedCount < SLOTS_MAX;
  }

  /** An operation to fill, or null when a tag could not name another one. */
  take(): Op | null {
    const kept = this.free.pop();
    if (kept !== undefined) return kept;
    if (this.made.length === SLOTS_MAX) return null;
    const op = new Op(this.made.length);
    this.made.push(op);
    return op;
  }

  give(op: Op): void {
    assert(op.state !== OP_STATE.free, 'an operation is given back once');
    assert(op.list === null && op.bucket === -1, 'a free operation is in no list');
    op.state = OP_STATE.free;
    op.sendings += 1;
    op.request = null;
    op.volume = null;
    op.bytes = EMPTY;
    op.link = null;
    op.everSent = false;
    op.probes = false;
    op.attempts = 0;
    // Setting the length of an array costs more than the whole rest.
    if (op.combs.length > 0) op.combs.length = 0;
    this.free.push(op);
  }

  /** The operation that a tag names, or null when it was freed or sent again since. */
  find(tag: number): Op | null {
    const op = this.made[tag & 0xffff];
    return op?.state === OP_STATE.sent && op.tag === tag ? op : null;
  }
}

/** Requests, made when first needed and kept, up to a number. */
export class RequestPool {
  private readonly sizeMax: number;
  private readonly free: Request[] = [];
  private made = 0;

  constructor(sizeMax: number) {
    this.sizeMax = sizeMax;
  }

  get usedCount(): number {
    return this.made - this.free.length;
  }

  get hasRoom(): boolean {
    return this.usedCount < this.sizeMax;
  }

  take(): Request | null {
    const kept = this.free.pop();
    if (kept !== undefined) return kept;
    if (this.made === this.sizeMax) return null;
    this.made += 1;
    return new Request();
  }

  give(request: Request): void {
    request.volume = null;
    request.bytes = EMPTY;
    request.cutBytes = 0;
    request.pieces = 0;
    request.errno = ERRNO.ok;
    request.answered = false;
    request.abandoned = false;
    this.free.push(request);
  }
}
