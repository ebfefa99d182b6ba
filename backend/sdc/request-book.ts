// Requests of front ends from `submit` to `ioDone`: oldest first for the bound on time, answered at the end of the batch.
// It owns these lists; it must never know operations.

import { assert } from '../core/assert.js';
import type { Micros } from '../core/ports.js';

import type { BlockFront, Errno } from './block-front.js';
import { ERRNO, IO } from './block-front.js';
import type { Request } from './op.js';
import { RequestPool } from './op.js';

export class RequestBook {
  private readonly pool: RequestPool;
  private readonly front: BlockFront;
  private oldest: Request | null = null;
  private newest: Request | null = null;
  private doneHead: Request | null = null;
  private doneTail: Request | null = null;
  private refused = false;

  constructor(sizeMax: number, front: BlockFront) {
    this.pool = new RequestPool(sizeMax);
    this.front = front;
  }

  /** Requests that the front end awaits. */
  get openCount(): number {
    return this.pool.usedCount;
  }

  /** A request to fill, in the list of open ones; null: no room, `roomAgain` will be said. */
  take(nowUs: Micros): Request | null {
    const request = this.pool.take();
    if (request === null) {
      this.refused = true;
      return null;
    }
    this.append(nowUs, request);
    return request;
  }

  /** The time of an open request begins now. */
  renew(nowUs: Micros, request: Request): void {
    this.unlink(request);
    this.append(nowUs, request);
  }

  private append(nowUs: Micros, request: Request): void {
    request.startedUs = nowUs;
    request.older = this.newest;
    request.newer = null;
    if (this.newest === null) this.oldest = request;
    else this.newest.newer = request;
    this.newest = request;
  }

  private unlink(request: Request): void {
    if (request.older === null) this.oldest = request.newer;
    else request.older.newer = request.newer;
    if (request.newer === null) this.newest = request.older;
    else request.newer.older = request.older;
    request.older = null;
    request.newer = null;
  }

  /** The open request that waits longest, or null. */
  first(): Request | null {
    return this.oldest;
  }

  /** Decides the answer; the front end hears of it at the end of the batch. */
  answer(nowUs: Micros, request: Request, errno: Errno): void {
    assert(!request.answered, 'a request is answered once');
    request.queue?.remove(request);
    this.unlink(request);
    request.answered = true;
    request.errno = errno;
    request.nextDone = null;
    if (request.volume !== null && errno === ERRNO.ok) count(nowUs, request);
    if (this.doneTail === null) this.doneHead = request;
    else this.doneTail.nextDone = request;
    this.doneTail = request;
  }

  /** Tells the front end what was answered. It may submit again meanwhile. */
  deliver(nowUs: Micros): void {
    for (let request = this.doneHead; request !== null; request = this.doneHead) {
      this.doneHead = request.nextDone;
      if (this.doneHead === null) this.doneTail = null;
      request.nextDone = null;
      const { token, errno } = request;
      this.pool.give(request);
      this.front.ioDone(nowUs, token, errno);
    }
    if (this.refused && this.pool.hasRoom) {
      this.refused = false;
      this.front.roomAgain(nowUs);
    }
  }
}

function count(nowUs: Micros, request: Request): void {
  const counters = request.volume?.counters;
  if (counters === undefined) return;
  const micros = nowUs - request.startedUs;
  if (request.kind === IO.read) {
    counters.readOps += 1;
    counters.readBytes += request.lengthBytes;
    counters.readMicros += micros;
  } else if (request.kind === IO.discard) {
    counters.trimOps += 1;
    counters.trimBytes += request.lengthBytes;
  } else if (request.kind === IO.write || request.kind === IO.zero) {
    counters.writeOps += 1;
    counters.writeBytes += request.lengthBytes;
    counters.writeMicros += micros;
  }
}
