// Commands about volumes that others are having snapshotted or reverted at that moment. It owns the waiting: mostly that takes
// milliseconds, and no client of the original expects to be told of it. It must never repeat what may have happened.

import { setTimeout as pause } from 'node:timers/promises';

import { ClusterError } from './cluster.js';

const PATIENCE_MS = 10_000;
const PAUSE_MS = 50;

/**
 * Runs a command until no volume of it is busy, for ten seconds.
 *
 * @throws ClusterError whatever else it is refused with, and VOLUME_BUSY after that
 */
export async function whenNotBusy<T>(command: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await command();
    } catch (error) {
      const isBusy = error instanceof ClusterError && error.info.name === 'VOLUME_BUSY';
      if (!isBusy || performance.now() >= endMs) throw error;
    }
    await pause(PAUSE_MS);
  }
}
