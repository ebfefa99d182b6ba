// How many combs devices get and give data of, by reason: counted from the committed entries and from what waits for its
// turn, whenever somebody asks. It must never decide anything.

import { isBlank, isInSync, isTarget, primaryOf } from '../cluster-map/entry.js';
import type { CombEntry, CopyJob, CopyJobs } from '../protocol/generated/types.js';
import { hasTwoCopies } from './move-wishes.js';
import { isComingBack, isCoveredElsewhere, restOf } from './rest.js';
import type { Runs } from './runs.js';
import type { State } from './state.js';

type Mutable = { -readonly [name in keyof CopyJobs]: CopyJobs[name] };

export class JobTally {
  private readonly state: State;
  private readonly byDevice = new Map<number, Map<CopyJob, Mutable>>();

  constructor(state: State, runs: Runs) {
    this.state = state;
    for (const [, combs] of state.combs.pooled())
      for (const entry of combs) {
        // Nearly all, nearly always.
        if (entry.members.length === 2 && entry.inSyncMask === 3) continue;
        this.addReturned(entry, runs);
        this.addTargets(entry);
      }
    for (const copies of runs.waitingCopies.values())
      for (const { entry, to } of copies) this.add('pending', this.kindOfNew(entry), entry, to);
  }

  /** Kinds of which the device has none are left out. */
  of(deviceKey: number): readonly CopyJobs[] {
    return [...(this.byDevice.get(deviceKey)?.values() ?? [])];
  }

  private addTargets(entry: CombEntry): void {
    entry.members.forEach(({ deviceKey }, index) => {
      if (!isTarget(entry, index)) return;
      const kind = isBlank(entry, index) ? this.kindOfNew(entry) : this.kindOfReturned(deviceKey);
      this.add('active', kind, entry, deviceKey);
    });
  }

  /** Copies whose device is there again, and which nobody brings up to date yet. */
  private addReturned(entry: CombEntry, runs: Runs): void {
    entry.members.forEach((member, index) => {
      const { deviceKey } = member;
      if (isInSync(entry, index) || isTarget(entry, index) || isBlank(entry, index)) return;
      if (runs.devices.get(deviceKey)?.status !== 'alive') return;
      if (restOf(this.state, deviceKey) !== 'none') return;
      this.add('pending', this.kindOfReturned(deviceKey), entry, deviceKey);
    });
  }

  /** Why a comb gets a copy on a device that has none. */
  private kindOfNew(entry: CombEntry): CopyJob {
    if (!hasTwoCopies(entry)) return 'forwardRebuild';
    const { devices } = this.state;
    const isCovered = entry.members.some(
      ({ deviceKey }, index) =>
        isInSync(entry, index) &&
        isCoveredElsewhere(this.state, devices.get(deviceKey)?.sdsKey ?? 0),
    );
    return isCovered ? 'enterMaintenance' : 'rebalance';
  }

  private kindOfReturned(deviceKey: number): CopyJob {
    const { devices, sds } = this.state;
    const { maintenance } = sds.get(devices.get(deviceKey)?.sdsKey ?? 0) ?? {};
    const isBack = maintenance === 'protected' && isComingBack(this.state, deviceKey);
    return isBack ? 'exitMaintenance' : 'backwardRebuild';
  }

  private add(stage: 'active' | 'pending', kind: CopyJob, entry: CombEntry, to: number): void {
    this.jobsOf(to, kind)[`${stage}In`]++;
    this.jobsOf(primaryOf(entry)?.deviceKey ?? 0, kind)[`${stage}Out`]++;
  }

  private jobsOf(deviceKey: number, job: CopyJob): Mutable {
    const kinds = this.byDevice.get(deviceKey) ?? new Map<CopyJob, Mutable>();
    this.byDevice.set(deviceKey, kinds);
    const jobs = kinds.get(job) ?? { job, activeIn: 0, activeOut: 0, pendingIn: 0, pendingOut: 0 };
    kinds.set(job, jobs);
    return jobs;
  }
}
