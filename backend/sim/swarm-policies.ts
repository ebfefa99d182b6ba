// Draws scenarios with snapshot policies whose minutes are short, so that dozens of runs fit into one. It must never draw what
// would make the operator insist on what a policy forbids, or metadata that knows nothing of what was secure.

import { Prng } from '../core/prng.js';

import type { Swarm } from './swarm-options.js';

export function addAutoSnapshots(seed: number, swarm: Swarm): Swarm {
  const prng = new Prng(seed, 0x534e504c);
  const { overLimit, slow, trouble, capacityBlocks } = swarm;
  if (!prng.chance(1, 24) || overLimit || slow.found || capacityBlocks > 0) return swarm;
  if (trouble.island > 0 || trouble.restoreMdm > 0) return swarm;
  const minuteMs = prng.pick([100, 300, 700]);
  // The clock of an MDM is wrong when it starts: without a start nothing comes of that.
  const clockJumpMs = prng.pick([0, 2_000, 60_000]);
  return {
    ...swarm,
    ...{ minuteMs, clockJumpMs },
    troubleGapUsMax: Math.min(300_000, swarm.troubleGapUsMax),
    safetyUs: Math.max(swarm.safetyUs, 3_000_000),
    trouble: {
      ...trouble,
      ...{ autoSnapshots: prng.between(6, 14), snapshot: prng.pick([0, 0, 2]) },
      ...{ removeVolume: 0, revertVolume: 0, leaveRevert: 0 },
      crashMdm: trouble.crashMdm + prng.pick(clockJumpMs > 0 ? [2, 4, 8] : [0, 2, 4]),
      slowNetwork: trouble.slowNetwork + prng.pick([0, 0, 3]),
    },
  };
}
