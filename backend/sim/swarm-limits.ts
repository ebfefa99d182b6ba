// Draws scenarios in which operators limit what clients may do on a volume. It must never draw a limit where it is told how fast
// requests are.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';

export function addLimits(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x4c494d49);
  if (swarm.slow.found || !prng.chance(1, 24)) return swarm;
  return { ...swarm, trouble: { ...swarm.trouble, setLimits: prng.pick([2, 5]) } };
}
