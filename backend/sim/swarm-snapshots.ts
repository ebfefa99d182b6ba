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
  // Half of them are about the moment of a cut: devices hear of it late, or live anew while it lasts, and clients write one
  // request after the other to volumes of all.
  const hot = prng.chance(1, 2);
  if (hot) {
    trouble.slowNetwork += prng.pick([0, 4, 8]);
    trouble.cutMdm += prng.pick([0, 0, 4]);
    trouble.crashData += prng.pick([0, 0, 4]);
    trouble.snapshot += 6;
  }
  return {
    ...swarm,
    trouble,
    // Several volumes that several clients write tell whether a point is one moment.
    volumeChunks: prng.chance(1, 2)
      ? swarm.volumeChunks
      : Array.from({ length: prng.pick([2, 3]) }, () => prng.between(1, 6)),
    shared: hot || swarm.shared || prng.chance(1, 2),
    clients: hot ? Math.max(2, swarm.clients) : swarm.clients,
    cutHoldMs: hot ? prng.pick([50, 100, 500]) : swarm.cutHoldMs,
    troubleGapUsMax: Math.min(hot ? 100_000 : 400_000, swarm.troubleGapUsMax),
    // Small ranges, so that reads meet writes.
    workload: hot
      ? {
          ...workload,
          hotSectors: 16,
          together: true,
          thinkUsMax: Math.max(4_000, workload.thinkUsMax),
          writeWeight: 6,
        }
      : { ...workload, hotSectors: Math.min(64, workload.hotSectors) },
  };
}
