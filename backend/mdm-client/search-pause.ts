// How long a session waits before it looks for the MDM again: longer each time, and shorter where a standby answered. It
// must never be the same for many clients at once.

import type { Micros } from '../core/ports.js';
import { Prng } from '../core/prng.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { MdmClientOptions } from './options.js';

/** The longest pause after the word of a standby. */
const SEARCH_MS_MAX = 250;
const DOUBLINGS_MAX = 16;

export class SearchPause {
  private readonly options: MdmClientOptions;
  private readonly prng: Prng;
  private attempts = 0;
  private isNear = false;

  constructor(options: MdmClientOptions) {
    this.options = options;
    this.prng = new Prng(options.seed);
  }

  /** The master was found, or may be elsewhere now. */
  reset(): void {
    this.attempts = 0;
  }

  /** A standby answered: there is a cluster, and it has a master or will have one within a second. */
  shorten(): void {
    this.isNear = true;
  }

  /** The next pause. */
  nextUs(): Micros {
    const { retryMsMin } = this.options;
    const retryMsMax = this.isNear ? SEARCH_MS_MAX : this.options.retryMsMax;
    this.isNear = false;
    const pauseMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(this.attempts, DOUBLINGS_MAX));
    this.attempts++;
    // Between half and all of the pause, so that many clients do not come together.
    const halfUs = Math.floor((pauseMs * MICROS_PER_MS) / 2);
    return halfUs + this.prng.below(halfUs + 1);
  }
}
