// The clock by which snapshots are secure. It goes on from what was committed, as fast as the master's own time passes, and
// at most a tenth faster while it is behind the wall clock: a wall clock that jumps ahead does not end the time of a secure
// snapshot early, one that is set back changes nothing. While no MDM is there it stands still, so what is secure stays so for
// longer then. It must never go by the wall clock alone while anything is secure.

import type { Micros } from '../core/ports.js';
import type { Engine } from './engine.js';

/** What it may gain on the time that passes. */
const CATCH_UP = 0.1;
/** While anything is secure it is committed as often: so much is lost with a master at most. */
const NOTE_US = 60_000_000;

export class SecureClock {
  private readonly engine: Engine;
  private baseMs = 0;
  private baseUs: Micros = 0;
  private noteUs: Micros = Infinity;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Goes on from what was committed. */
  start(nowUs: Micros): void {
    this.baseMs = this.engine.state.system.secureClockMs;
    this.baseUs = nowUs;
    this.noteUs = nowUs + NOTE_US;
  }

  nowMs(nowUs: Micros): number {
    const passedMs = Math.floor((nowUs - this.baseUs) / 1000);
    const behindMs = this.engine.wallMs(nowUs) - passedMs - this.baseMs;
    const gainMs = Math.max(0, Math.min(behindMs, Math.floor(passedMs * CATCH_UP)));
    return this.baseMs + passedMs + gainMs;
  }

  /** From inside work: until when something is secure that shall be so for a while. */
  untilMs(nowUs: Micros, minutes: number): number {
    const { state } = this.engine;
    // Where nothing rests on it, it starts from the wall clock.
    if (!this.isNeeded(nowUs)) {
      this.baseMs = Math.max(this.nowMs(nowUs), this.engine.wallMs(nowUs));
      this.baseUs = nowUs;
    }
    const nowMs = this.nowMs(nowUs);
    state.systems.put(state.system.key, { ...state.system, secureClockMs: nowMs });
    return nowMs + minutes * this.engine.options.minuteMs;
  }

  tick(nowUs: Micros): void {
    if (nowUs < this.noteUs) return;
    this.noteUs = nowUs + NOTE_US;
    if (!this.isNeeded(nowUs)) return;
    this.engine.run(nowUs, (at) => {
      const { state } = this.engine;
      state.systems.put(state.system.key, { ...state.system, secureClockMs: this.nowMs(at) });
    });
  }

  nextDeadlineUs(): Micros {
    return this.noteUs;
  }

  /** Whether anything is secure, or about to be. */
  private isNeeded(nowUs: Micros): boolean {
    const { state } = this.engine;
    const nowMs = this.nowMs(nowUs);
    const isSecure = ({ secureUntilMs }: { readonly secureUntilMs: number }): boolean =>
      secureUntilMs > nowMs;
    return state.volumes.find(isSecure) !== undefined || state.cuts.find(isSecure) !== undefined;
  }
}
