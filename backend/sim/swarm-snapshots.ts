// Draws scenarios in which operators take snapshots, revert volumes and remove what they like. It must never draw what would
// hide a wrong snapshot: a volume without readers, or metadata that knows nothing of it.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';

/** The scenario with snapshots, or as it is where they cannot be. */
export function withSnapshots(swarm: Swarm): Swarm {
  const prng = new Prng(swarm.seed, 0x534e4150);
  const { capacityBlocks, slow, overLimit } = swarm;
  if (capacityBlocks > 0 || slow.found || overLimit || swarm.trouble.island > 0) return swarm;
  const { workload } = swarm;
  const trouble = {
    ...swarm.trouble,
    ...{ snapshot: prng.between(3, 8), revertVolume: prng.pick([0, 1, 3]), restoreMdm: 0 },
    removeVolume: prng.pick([0, 1, 3]),
  };
  return {
    ...swarm,
    trouble,
    // Several volumes that several clients write tell whether a point is one moment.
    volumeChunks: prng.chance(1, 2)
      ? swarm.volumeChunks
      : Array.from({ length: prng.pick([2, 3]) }, () => prng.between(1, 6)),
    shared: swarm.shared || prng.chance(1, 2),
    troubleGapUsMax: Math.min(400_000, swarm.troubleGapUsMax),
    // Small ranges, so that reads meet writes.
    workload: { ...workload, hotSectors: Math.min(64, workload.hotSectors) },
  };
}
