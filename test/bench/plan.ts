// Owns the order of the runs. Pure.
import type { Job } from './jobs.js';

export interface PlannedRun<T> {
  readonly job: Job;
  readonly target: T;
  /** From 0. Runs of one job and repetition are compared with each other. */
  readonly repetition: number;
}

/**
 * Job by job, repetition by repetition, all targets that take the job: figures that are compared
 * were measured minutes apart at most. Each repetition begins with another target, so that no
 * target always profits from what ran before it.
 */
export function planRuns<T extends { readonly takes: (job: Job) => boolean }>(
  jobs: readonly Job[],
  targets: readonly T[],
  runs: number,
): PlannedRun<T>[] {
  const plan: PlannedRun<T>[] = [];
  for (const job of jobs) {
    const taking = targets.filter((target) => target.takes(job));
    for (let repetition = 0; repetition < runs; repetition++) {
      for (let turn = 0; turn < taking.length; turn++) {
        const target = taking[(turn + repetition) % taking.length];
        if (target !== undefined) plan.push({ job, target, repetition });
      }
    }
  }
  return plan;
}
