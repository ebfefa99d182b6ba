// Requests of one volume that have something left to cut into operations, in order of arrival. It owns their order; it
// must never know why one waits.

import { assert } from '../core/assert.js';

import type { Request } from './op.js';

export class CutQueue {
  private head: Request | null = null;
  private tail: Request | null = null;

  /** Whose turn it is; it stays in front. */
  get first(): Request | null {
    return this.head;
  }

  push(request: Request): void {
    assert(request.queue === null, 'a request is queued for cutting once');
    request.queue = this;
    request.nextToCut = null;
    if (this.tail === null) this.head = request;
    else this.tail.nextToCut = request;
    this.tail = request;
  }

  /** Takes out the one in front. */
  shift(): void {
    const request = this.head;
    if (request === null) return;
    this.head = request.nextToCut;
    if (this.head === null) this.tail = null;
    request.queue = null;
    request.nextToCut = null;
  }

  /** Takes a request out, wherever it stands. */
  remove(request: Request): void {
    assert(request.queue === this, 'the request is in this queue');
    let before: Request | null = null;
    for (let at = this.head; at !== null && at !== request; at = at.nextToCut) before = at;
    if (before === null) {
      this.shift();
      return;
    }
    before.nextToCut = request.nextToCut;
    if (this.tail === request) this.tail = before;
    request.queue = null;
    request.nextToCut = null;
  }
}
