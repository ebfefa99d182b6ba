// Draws scenarios in which operators limit what clients may do on a volume, or choose what its writes get when the pool is full.
// It must never draw a limit where it is told how fast requests are.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';

export function addLimits(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x4c494d49);
  if (swarm.slow.found || !prng.chance(1, 24)) return swarm;
  return { ...swarm, trouble: { ...swarm.trouble, setLimits: prng.pick([2, 5]) } };
}

/** Only small pools get full. */
export function addFullPolicies(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x46554c4c);
  if (swarm.capacityBlocks === 0 || !prng.chance(1, 2)) return swarm;
  return { ...swarm, trouble: { ...swarm.trouble, setFullPolicy: prng.pick([2, 5]) } };
}
