// When preferred primaries take their combs back, and which. It owns that this happens for many combs at once, and not for
// devices that come and go; and the rule between the two ways in which a member that stays in sync gives up a comb: nobody
// is switched in one way before both copies have applied the last switch in the other. It must never make a member primary
// that is not in sync.

import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { CombEntry, CombMember } from '../protocol/generated/types.js';
import type { Engine } from './engine.js';
import { withPreferredPrimary } from './reconcile.js';
import type { DeviceRun, Runs } from './runs.js';

const MARKS = {
  behind: mark('mdm: a role goes back when everybody knows that it had been moved'),
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
        state.devices.get(member.deviceKey)?.slowStage === 'none' &&
        nowUs >= this.runs.steadyUs(member.deviceKey, this.flapDelayUs);
      for (const entry of combs) {
        const preferred = withPreferredPrimary(entry, isWhole);
        if (preferred === null) continue;
        if (preferred.members.every((member) => this.knowsMoves(member))) {
          state.combs.put(poolKey, preferred);
          for (const run of this.runsOf(preferred))
            run.givenBackSequence = this.engine.nextSequence;
        } else {
          MARKS.behind.hits++;
          this.soon(nowUs);
        }
      }
    }
  }

  /** Whether a comb with this member may be led by another one than its preferred primary. */
  mayMove(member: CombMember): boolean {
    const run = this.runs.devices.get(member.deviceKey);
    if (run === undefined || !this.runs.isGood(member)) return false;
    return run.appliedSequence >= run.givenBackSequence;
  }

  /** From inside work: a comb is led by another member although the one before stays in sync. */
  moved(entry: CombEntry): void {
    for (const run of this.runsOf(entry)) run.movedSequence = this.engine.nextSequence;
  }

  private knowsMoves({ deviceKey }: CombMember): boolean {
    const run = this.runs.devices.get(deviceKey);
    return run !== undefined && run.appliedSequence >= run.movedSequence;
  }

  private runsOf({ members }: CombEntry): DeviceRun[] {
    return members.flatMap(({ deviceKey }) => this.runs.devices.get(deviceKey) ?? []);
  }
}
