// Draws scenarios in which operators take snapshots, revert volumes and remove what they like. It must never draw what would
// hide a wrong snapshot: a volume without readers, or metadata that knows nothing of it.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';
import { noTrouble } from './trouble-kinds.js';

/** The scenario with snapshots, or as it is where they cannot be. */
export function withSnapshots(swarm: Swarm): Swarm {
  const prng = new Prng(swarm.seed, 0x534e4150);
  const { capacityBlocks, slow, overLimit } = swarm;
  if (slow.found || overLimit || swarm.trouble.island > 0) return swarm;
  const { workload } = swarm;
  const trouble = {
    ...swarm.trouble,
    ...{ snapshot: prng.between(3, 8), revertVolume: prng.pick([0, 1, 3]), restoreMdm: 0 },
    removeVolume: prng.pick([0, 1, 3]),
  };
  // The first draw of its own stream: what the others draw stays what it was.
  trouble.leaveRevert = new Prng(swarm.seed, 0x4c454156).pick([0, 0, 0, 2, 6]);
  // Half of them are about the moment of a cut: devices hear of it late, or live anew while it lasts, and clients write one
  // request after the other to volumes of all.
  const hot = prng.chance(1, 2) && capacityBlocks === 0;
  if (hot) {
    trouble.slowNetwork += prng.pick([0, 4, 8]);
    trouble.cutMdm += prng.pick([0, 0, 4]);
    trouble.crashData += prng.pick([0, 0, 4]);
    trouble.snapshot += 6;
    trouble.lateSwitch = prng.pick([0, 2, 6]);
    if (prng.chance(1, 4)) return withLateDevices(prng, swarm);
  }
  // Small devices are filled by what is drawn for them.
  if (capacityBlocks > 0)
    return { ...swarm, trouble, troubleGapUsMax: Math.min(400_000, swarm.troubleGapUsMax) };
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

/**
 * Nothing happens but that one device and one client hear of cuts when the hold is over, while clients write one request after
 * the other to volumes on several devices: whoever certifies then has let something begin that is not in the other volume.
 */
function withLateDevices(prng: Prng, swarm: Swarm): Swarm {
  return {
    ...swarm,
    ...{
      shared: true,
      clients: prng.pick([2, 3]),
      volumeChunks: prng.pick([
        [1, 1],
        [2, 1, 1],
      ]),
    },
    ...{
      combLog2: prng.pick([2, 3]),
      cutHoldMs: 50,
      commitUsMax: Math.min(2_000, swarm.commitUsMax),
    },
    ...{
      safetyUs: 3_000_000,
      troubleGapUsMax: 400_000,
      troubleUsMax: 2_000_000,
      setUpTroubleUs: 0,
    },
    trouble: { ...noTrouble(), lateSwitch: 1 },
    workload: {
      ...swarm.workload,
      ...{ depth: 4, thinkUsMax: 20_000, lengthSectorsMax: 16, hotSectors: 16 },
      ...{ readWeight: 2, writeWeight: 6, zeroWeight: 0, abandonPermille: 0, readers: 0 },
      together: true,
    },
  };
}
