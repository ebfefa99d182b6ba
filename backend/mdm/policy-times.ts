// When a snapshot policy runs. Runs that nobody was there for count as one, done late, and keep their numbers, so that the
// levels stay apart in time. It must never know what a run does.

import type { SnapshotPolicy } from '../protocol/generated/types.js';

type Cadence = Pick<SnapshotPolicy, 'cadenceMin'>;

export function cadenceMs({ cadenceMin }: Cadence, minuteMs: number): number {
  return cadenceMin * minuteMs;
}

/** A run, and what comes after it. */
export interface Ran {
  readonly run: number;
  /** When it was to be, wall clock. */
  readonly plannedMs: number;
  readonly nextAtMs: number;
}

/** The run that is made at a moment of the wall clock. */
export function ranAt(policy: SnapshotPolicy, atMs: number, minuteMs: number): Ran {
  const stepMs = cadenceMs(policy, minuteMs);
  const missed = Math.max(0, Math.floor((atMs - policy.nextAtMs) / stepMs));
  const run = policy.nextRun + missed;
  const plannedMs = policy.nextAtMs + missed * stepMs;
  return { run, plannedMs, nextAtMs: plannedMs + stepMs };
}

/** A moment not further away than one cadence: the clock may have been set back since it was chosen. */
export function soonest(policy: SnapshotPolicy, nowMs: number, minuteMs: number): number {
  return Math.min(policy.nextAtMs, nowMs + cadenceMs(policy, minuteMs));
}
