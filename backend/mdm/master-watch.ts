// What a standby knows of the master, from looks at the store. It owns how long the master has shown no life; it must never
// count time in which the store would not have shown it.

import type { MasterView, Micros } from '../core/ports.js';

export class MasterWatch {
  private view: MasterView | null = null;
  /** Time without a sign of life while the store answered. */
  private quietUs: Micros = 0;
  /** When the last answered look was sent, -1: none yet. */
  private lookedUs: Micros = -1;

  /** What the store said last, null: nothing that is of use now. */
  get last(): MasterView | null {
    return this.view;
  }

  /** Time without a sign of life while the store answered. */
  get silenceUs(): Micros {
    return this.quietUs;
  }

  /**
   * The store answered a look.
   *
   * @param askedUs - when the look was sent
   * @param countsUsMax - the longest time since the look before that counts as silence
   * @returns whether somebody showed life since the look before
   */
  saw(nowUs: Micros, askedUs: Micros, view: MasterView, countsUsMax: Micros): boolean {
    const before = this.view;
    const isSame = before?.life === view.life;
    // Only what the store would have shown counts: while it does not answer, the master cannot show that it lives.
    const sinceUs = this.lookedUs < 0 ? 0 : askedUs - this.lookedUs;
    this.quietUs = isSame ? this.quietUs + Math.min(sinceUs, countsUsMax) : 0;
    this.lookedUs = isSame ? askedUs : nowUs;
    this.view = view;
    return !isSame && before !== null;
  }

  /** Silence is counted anew: the master key was asked for. */
  restart(): void {
    this.lookedUs = -1;
    this.quietUs = 0;
  }

  /** Nothing is known any more: this was the master itself. */
  forget(): void {
    this.restart();
    this.view = null;
  }
}
