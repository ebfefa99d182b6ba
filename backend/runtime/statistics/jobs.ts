// Numbers of jobs: combs whose data is being copied, or waits for its turn, as devices get and give it. It owns the names
// under which clients ask for them, which follow no rule.

import type { CopyJob, CopyJobs, Device } from '../../protocol/generated/types.js';

import type { Facts } from './facts.js';

type Count = Exclude<keyof CopyJobs, 'job'>;

/** Behind `activeMoving` and `pendingMoving`: what comes in, and what goes out. */
const NAMES: Readonly<Record<CopyJob, readonly [string, string]>> = {
  forwardRebuild: ['InFwdRebuildJobs', 'OutFwdRebuildJobs'],
  backwardRebuild: ['InBckRebuildJobs', 'OutBckRebuildJobs'],
  rebalance: ['InRebalanceJobs', 'RebalanceJobs'],
  enterMaintenance: ['InEnterProtectedMaintenanceModeJobs', 'OutEnterProtectedMaintenanceModeJobs'],
  exitMaintenance: ['InExitProtectedMaintenanceModeJobs', 'OutExitProtectedMaintenanceModeJobs'],
};

/** Jobs of some devices together. */
export function jobValues(
  facts: Facts,
  devices: readonly Device[],
): Readonly<Record<string, number>> {
  const all = devices.flatMap(({ key }) => facts.deviceStatus.get(key)?.jobs ?? []);
  const sum = (kind: CopyJob, count: Count): number =>
    all.reduce((total, jobs) => total + (jobs.job === kind ? jobs[count] : 0), 0);
  const values: Record<string, number> = {};
  for (const [kind, [into, out]] of Object.entries(NAMES) as [CopyJob, [string, string]][]) {
    values[`activeMoving${into}`] = sum(kind, 'activeIn');
    values[`activeMoving${out}`] = sum(kind, 'activeOut');
    values[`pendingMoving${into}`] = sum(kind, 'pendingIn');
    values[`pendingMoving${out}`] = sum(kind, 'pendingOut');
  }
  return values;
}
