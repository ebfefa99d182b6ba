// Waits for what becomes of a change of the MDM cluster. The change is a job of whoever is master, so whoever asked for it
// only looks; it must never ask for it again.

import { setTimeout as pause } from 'node:timers/promises';

import { ClusterError } from './cluster.js';
import type { Cluster } from './cluster.js';

const LOOK_MS = 300;
const WITHIN_MS = 300_000;

/**
 * Resolves when the change came about.
 *
 * @param job - as SWITCH_CLUSTER answered
 * @throws ClusterError CLUSTER_UNCHANGED with the reason when it was given up, PENDING when it takes longer than five minutes
 */
export async function changed(
  cluster: Pick<Cluster, 'clusterState'>,
  job: number,
  withinMs = WITHIN_MS,
): Promise<void> {
  // Not by the wall clock, which may be set meanwhile.
  const untilMs = performance.now() + withinMs;
  for (;;) {
    try {
      const { lastJob, lastReason } = await cluster.clusterState();
      if (lastJob === job && lastReason !== '')
        throw ClusterError.named('CLUSTER_UNCHANGED', lastReason);
      if (lastJob >= job) return;
    } catch (error) {
      // Whoever is master may be another one by now.
      if (!(error instanceof ClusterError)) throw error;
      const { class: kind } = error.info;
      if ((kind !== 'retry' && kind !== 'maybe') || performance.now() >= untilMs) throw error;
    }
    if (performance.now() >= untilMs)
      throw ClusterError.named('PENDING', 'the MDM cluster is still being changed');
    await pause(LOOK_MS);
  }
}
