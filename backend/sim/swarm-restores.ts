// Draws scenarios in which the metadata is lost and a backup restored. It must never draw what no backup can know of: a volume
// that grew, or a copy that cannot be read although nobody gave it up.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';
import { DISK_FAULTS } from './trouble-kinds.js';
import type { TroubleKind } from './trouble-kinds.js';

/** What makes a copy miss something. */
const MISSED: readonly TroubleKind[] = [
  ...(['crashData', 'crashServer', 'powerServer', 'cutServers', 'stayAway'] as const),
];

export function addRestores(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x52455354);
  const { trouble, overLimit, slow } = swarm;
  if (overLimit || slow.factor > 0 || trouble.island > 0) return swarm;
  if (!prng.chance(1, 10)) return swarm;
  return withRestores(prng, swarm);
}

/** A scenario in which the metadata is lost now and then, whatever else happens in it. */
export function withRestores(prng: Prng, swarm: Swarm): Swarm {
  const trouble = { ...swarm.trouble, restoreMdm: prng.between(2, 6), resize: 0 };
  for (const kind of DISK_FAULTS) if (kind !== 'failDisk') trouble[kind] = 0;
  // What happened since the backup must be worth something.
  trouble[prng.pick(MISSED)] += 3;
  return { ...swarm, trouble, troubleGapUsMax: Math.min(800_000, swarm.troubleGapUsMax) };
}
