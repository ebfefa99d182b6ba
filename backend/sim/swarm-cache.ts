// Draws scenarios in which devices have a read cache of a few blocks, so that blocks go and come all the time. It must never
// draw one where there is nothing to read twice.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';

const ONE_OF = 6;

/** Some of the scenarios with real devices, with a cache; the others as they are. */
export function addCache(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x43414348);
  if (!prng.chance(1, ONE_OF) || !swarm.realDevice || swarm.slow.found) return swarm;
  return withCache(prng, swarm);
}

/** The scenario with a cache: what is read lies close together, and hosts read whole blocks. */
export function withCache(prng: Prng, swarm: Swarm): Swarm {
  const { workload } = swarm;
  return {
    ...swarm,
    realDevice: true,
    cacheBlocks: prng.pick([3, 8, 24, 100, 400]),
    trouble: { ...swarm.trouble, setCache: prng.pick([0, 1, 3, 6]) },
    workload: {
      ...workload,
      readWeight: Math.max(workload.readWeight, prng.pick([2, 6, 12])),
      hotSectors: prng.chance(1, 2) ? workload.hotSectors : Math.min(workload.hotSectors, 64),
      alignedPercent: Math.max(workload.alignedPercent, prng.pick([0, 50, 90])),
    },
  };
}
