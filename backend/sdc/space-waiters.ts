// Writes of which one device said that the pool is full: they wait for space. A few of them ask from time to time, whether there is some; when
// they succeed, more follow at once. It owns that pace: all of them asking again and again would keep links and devices
// busy with payloads that are refused. It must never know where an operation goes.

import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';

import type { Op } from './op.js';
import { OP_STATE, OpList } from './op.js';

const PAUSE_US = 200 * MICROS_PER_MS;
const PROBES_MIN = 4;
const PROBES_MAX = 512;

export class SpaceWaiters {
  private readonly parked = new OpList();
  private probes = PROBES_MIN;
  /** When some are to ask again. */
  nextUs: Micros = Infinity;

  /** The operation, in no list, was refused for want of space. */
  add(nowUs: Micros, op: Op): void {
    op.state = OP_STATE.parked;
    op.probes = true;
    this.probes = PROBES_MIN;
    this.parked.push(op);
    this.nextUs = Math.min(this.nextUs, nowUs + PAUSE_US);
  }

  /** One that had waited found space: others try now. */
  succeeded(nowUs: Micros): void {
    this.probes = Math.min(PROBES_MAX, this.probes * 2);
    if (this.parked.length > 0) this.nextUs = nowUs;
  }

  /** Hands over those that are to ask again; they are in no list then. */
  due(nowUs: Micros, again: (nowUs: Micros, op: Op) => void): void {
    if (nowUs < this.nextUs) return;
    this.nextUs = Infinity;
    for (let left = Math.min(this.probes, this.parked.length); left > 0; left--) {
      const op = this.parked.shift();
      if (op !== null) again(nowUs, op);
    }
    // The answers come first where there are any; they move this.
    if (this.parked.length > 0) this.nextUs = Math.min(this.nextUs, nowUs + PAUSE_US);
  }
}
