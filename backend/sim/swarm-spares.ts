// Draws scenarios in which a part of the pool is kept free for copies, and the operator changes how much. It must never draw a
// spare that leaves no room for the volume that has to fit on every device.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';

/** Of three servers with one failed, so much is left of what the last volume needs. */
const SPARES = [0, 10, 20, 34] as const;

/** Most of them are small pools, where writes meet the spare. */
export function addSpares(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x53504152);
  if (swarm.moves.combsMax === 0 || swarm.trouble.island > 0 || swarm.slow.found) return swarm;
  if (!prng.chance(1, swarm.capacityBlocks > 0 ? 2 : 24)) return swarm;
  return withSpares(prng, swarm);
}

/** A scenario in which the operator sets the spare. */
export function withSpares(prng: Prng, swarm: Swarm): Swarm {
  const spares = Array.from({ length: prng.between(1, 3) }, () => prng.pick(SPARES));
  return { ...swarm, spares, trouble: { ...swarm.trouble, setSpare: prng.pick([0, 1, 3]) } };
}
