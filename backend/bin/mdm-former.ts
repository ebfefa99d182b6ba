// Looks for the MDMs of the former cluster while restored metadata waits (mdm/former-mdms.ts). It must never judge what it sees.

import type { Recovery } from '../mdm/recovery.js';
import type { Loop } from '../runtime/loop.js';

import type { StoreReach } from './mdm-reach.js';

const LOOK_MS = 1000;

/** @param isCurrent - the machine is still at work */
export function watchFormer(
  machine: Recovery,
  reach: StoreReach,
  loop: Loop,
  isCurrent: () => boolean,
): void {
  const { all } = machine.former;
  if (all.length === 0) return;
  const look = async (): Promise<void> => {
    const { reports } = await reach.observe(all);
    if (!isCurrent()) return;
    loop.begin();
    machine.formerSeen(loop.nowUs, reports);
    loop.end();
    setTimeout(() => void look(), LOOK_MS).unref();
  };
  void look();
}
