// Draws scenarios in which the background scanner of the pool is on. In half of them blocks rot and nothing else happens, so
// that all of it must be found and repaired; in the others, in which most often no disk is wrong, nothing may be found,
// also where what is compared is being written without a pause.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';
import { noTrouble } from './trouble-kinds.js';

const ONE_OF = 8;

export function addScans(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x5343414e);
  if (swarm.slow.found || !prng.chance(1, ONE_OF)) return swarm;
  const scanner = prng.pick(['deviceOnly', 'dataComparison', 'dataComparison'] as const);
  if (swarm.overLimit || swarm.trouble.island > 0 || prng.chance(1, 2))
    return swarm.capacityBlocks === 0 && prng.chance(1, 3)
      ? { ...swarm, ...hot(swarm), scanner: 'dataComparison' }
      : { ...swarm, scanner };
  const trouble = { ...noTrouble(), rot: 1 };
  return { ...swarm, scanner, trouble, setUpTroubleUs: 0, realDevice: prng.chance(1, 4) };
}

/** Few blocks that are written all the time. */
function hot({ workload, safetyUs, volumeChunks }: Swarm): Partial<Swarm> {
  return {
    volumeChunks: volumeChunks.map((chunks) => Math.min(2, chunks)),
    safetyUs: Math.min(3_000_000, safetyUs),
    workload: {
      ...workload,
      ...{ depth: 8, thinkUsMax: 500, hotSectors: 16, lengthSectorsMax: 16 },
      ...{ readWeight: 1, writeWeight: 10 },
    },
  };
}
