// Operations that wait for their time to be tried again. It owns the pauses; it must never know why.

import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';

import type { Op } from './op.js';
import { OP_STATE, OpList } from './op.js';

const PAUSE_US_MIN = 2 * MICROS_PER_MS;
const PAUSE_US_MAX = 250 * MICROS_PER_MS;

export class RetryQueue {
  private readonly list = new OpList();
  /** Conservative: nothing is due before. */
  nextUs: Micros = Infinity;

  /** The pause doubles with each attempt of the operation. */
  add(nowUs: Micros, op: Op): void {
    const pauseUs = Math.min(PAUSE_US_MAX, PAUSE_US_MIN * 2 ** Math.min(op.attempts, 10));
    op.attempts += 1;
    this.addDue(nowUs + pauseUs, op);
  }

  /** It is to be tried again at a time. */
  addDue(atUs: Micros, op: Op): void {
    op.state = OP_STATE.delayed;
    op.retryAtUs = atUs;
    this.nextUs = Math.min(this.nextUs, atUs);
    this.list.push(op);
  }

  /** Hands over what is due; the operations are in no list then. */
  due(nowUs: Micros, again: (nowUs: Micros, op: Op) => void): void {
    if (nowUs < this.nextUs) return;
    this.nextUs = Infinity;
    // What is added meanwhile stands behind, with a time to come.
    for (let left = this.list.length; left > 0; left--) {
      const op = this.list.shift();
      if (op === null) return;
      if (op.retryAtUs > nowUs) {
        this.nextUs = Math.min(this.nextUs, op.retryAtUs);
        this.list.push(op);
      } else again(nowUs, op);
    }
  }
}
