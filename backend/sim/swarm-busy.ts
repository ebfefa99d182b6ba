// Draws scenarios with many small requests at once: rings of records, logs and queues fill up while something holds up what
// would empty them. They take several times as long as others, so they are few. It must never draw requests of no length.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';

const ONE_OF = 24;
/** More would have the history judged for longer than the scenario runs. */
const SAFETY_US_MAX = 3_500_000;
const VOLUMES_MAX = 3;
const CHUNKS_MAX = 8;
const LINGER_PERCENT_MAX = 5;

/** Some of the scenarios, made busy; the others as they are. */
export function addBusy(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x42555359);
  const { overLimit, slow, clients } = swarm;
  if (!prng.chance(1, ONE_OF) || overLimit || slow.found || clients > 3) return swarm;
  return busy(prng, swarm);
}

function busy(prng: Prng, swarm: Swarm): Swarm {
  const workload = {
    ...swarm.workload,
    depth: prng.pick([8, 16, 24, 32]),
    thinkUsMax: prng.pick([10, 50, 200, 1000]),
    lengthSectorsMax: prng.pick([8, 9, 16, 40]),
    hotSectors: prng.pick([4, 16, 16, 64]),
    alignedPercent: prng.pick([0, 50, 100]),
    readWeight: prng.pick([0, 1, 5]),
    writeWeight: prng.pick([2, 10, 30]),
    zeroWeight: prng.pick([0, 5, 20, 60]),
    flushWeight: prng.pick([0, 0, 1, 5]),
  };
  const { network } = swarm;
  const lingerPercent = Math.min(network.lingerPercent, prng.pick([0, 1, LINGER_PERCENT_MAX]));
  const trouble = { ...swarm.trouble };
  if (prng.chance(1, 2)) trouble.slowDisk += prng.pick([2, 6]);
  for (const kind of ['breakLink', 'stallLink', 'cutServers', 'pauseData', 'stayAway'] as const)
    if (prng.chance(1, 5)) trouble[kind] += prng.pick([1, 3]);
  return {
    ...swarm,
    ...{ workload, trouble, network: { ...network, lingerPercent } },
    realDevice: true,
    safetyUs: Math.min(swarm.safetyUs, prng.pick([1_500_000, 2_500_000, SAFETY_US_MAX])),
    ...(swarm.capacityBlocks === 0 ? crowd(prng, swarm) : {}),
  };
}

/** Small devices are drawn together with what has to fit on them; others may have more clients and smaller volumes. */
function crowd(
  prng: Prng,
  { volumeChunks, clients }: Swarm,
): Pick<Swarm, 'volumeChunks' | 'clients' | 'shared'> {
  return {
    volumeChunks: volumeChunks.slice(0, VOLUMES_MAX).map((chunks) => Math.min(chunks, CHUNKS_MAX)),
    clients: Math.max(clients, prng.pick([2, 3, 3])),
    shared: prng.chance(2, 3),
  };
}
