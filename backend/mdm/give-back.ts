// When preferred primaries take their combs back, and which. It owns that this happens for many combs at once, and not for
// devices that come and go. It must never make a member primary that is not in sync.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { CombMember } from '../protocol/generated/types.js';
import type { Engine } from './engine.js';
import { withPreferredPrimary } from './reconcile.js';
import type { Runs } from './runs.js';

const MARKS = {
  unsteady: mark('mdm: a device that came and went does not get its combs back yet'),
};

/** Preferred primaries get their combs back together, not one by one. */
const GATHER_US = 1_000_000;

export class GiveBack {
  private readonly engine: Engine;
  private readonly runs: Runs;
  private readonly flapDelayUs: Micros;
  private atUs: Micros = Infinity;

  constructor(engine: Engine, runs: Runs) {
    this.engine = engine;
    this.runs = runs;
    this.flapDelayUs = engine.options.flapDelayMs * MICROS_PER_MS;
  }

  /** When to look, Infinity: no comb is waiting. */
  get dueUs(): Micros {
    return this.atUs;
  }

  /** A new master: preferred primaries may have been left waiting by the last one. */
  start(listenUntilUs: Micros): void {
    this.atUs = listenUntilUs + GATHER_US;
  }

  /** Members may have become such that combs can be given back. */
  soon(nowUs: Micros): void {
    this.atUs = Math.min(this.atUs, nowUs + GATHER_US);
  }

  /** Preferred primaries whose resync has ended everywhere take their combs back, all at once. */
  run(nowUs: Micros): void {
    this.atUs = Infinity;
    for (const { key, status } of this.runs.devices.values()) {
      const steadyUs = this.runs.steadyUs(key, this.flapDelayUs);
      if (status !== 'alive' || steadyUs <= nowUs) continue;
      MARKS.unsteady.hits++;
      this.atUs = Math.min(this.atUs, steadyUs);
    }
    const { state } = this.engine;
    for (const [poolKey, combs] of state.combs.pooled()) {
      const filling = new Set<number>();
      for (const { members, targetMask } of combs)
        members.forEach(({ deviceKey }, index) => {
          if (((targetMask >> index) & 1) === 1) filling.add(deviceKey);
        });
      const isWhole = (member: CombMember): boolean =>
        this.runs.isGood(member) &&
        !filling.has(member.deviceKey) &&
        nowUs >= this.runs.steadyUs(member.deviceKey, this.flapDelayUs);
      for (const entry of combs) {
        const preferred = withPreferredPrimary(entry, isWhole);
        if (preferred !== null) state.combs.put(poolKey, preferred);
      }
    }
  }
}
